"""The command ``meltemi``, and ``python -m meltemi``."""

from __future__ import annotations

import io
import os
import sys

from meltemi.cli.app import app


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file name need not be text; no name may turn an answer into a traceback.
            stream.reconfigure(errors="backslashreplace")
    if (where := foreign_platform()) is not None:
        sys.stderr.write(f"meltemi: made for Linux with glibc; {where}, so expect failures\n")
    app(prog_name="meltemi")


def foreign_platform() -> str | None:
    """What is unusual about the machine, as a clause."""
    if sys.platform != "linux":
        return f"this is {sys.platform}"
    try:
        os.confstr("CS_GNU_LIBC_VERSION")
    except ValueError:
        return "this Linux has another C library"
    return None


if __name__ == "__main__":
    main()
