"""Talking to Kubernetes: reading and writing objects over its API."""
