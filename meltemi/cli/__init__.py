"""The command line: one file per command, and what they share in ``output`` and ``inputs``."""
