"""The admin port: health, readiness, metrics, and what is served to whom."""
