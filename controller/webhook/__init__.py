"""The validating webhook: the API server asks before it stores an object of ours."""
