"""Rules without a server: read once, compiled, explained and tested."""
