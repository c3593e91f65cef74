"""The command ``meltemi``, and ``python -m meltemi``."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import NoReturn

from meltemi.cli.app import app
from meltemi.cli.output import Exit

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What a write fails with when the device, not the program, is the reason."""


def main() -> None:
    """Run the command line and leave the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file name need not be text; no name may turn an answer into a traceback.
            stream.reconfigure(errors="backslashreplace")
    if (where := foreign_platform()) is not None:
        sys.stderr.write(f"meltemi: made for Linux with glibc; {where}, so expect failures\n")
    try:
        try:
            app(prog_name="meltemi")
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        _leave_without_output(error)


def _leave_without_output(error: OSError) -> NoReturn:
    """A sentence instead of a traceback, here and when the interpreter empties its buffers."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    try:
        sys.stderr.write(f"meltemi: the output cannot be written: {error.strerror}\n")
        sys.stderr.flush()
    except OSError:
        os.dup2(nowhere, sys.stderr.fileno())
    sys.exit(Exit.UNREACHABLE)


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
