"""Fail when a file of the repository names a place that exists on one machine only.

That is a home folder, the folder that this checkout lies in, or a relative path that leaves it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Somebody's checkout may well lie here; texts may still name these.
SHARED_PLACES = frozenset(
    Path(place) for place in ("/", "/app", "/build", "/home", "/opt", "/src", "/srv", "/tmp")
)
RELATIVE = re.compile(r"(?<![\w.])(?:\.\./)+[A-Za-z][\w./-]*")


def machine_path(root: Path, home: Path) -> re.Pattern[str]:
    """What finds a path of this machine, or anybody's home folder."""
    own = {str(place) for place in (root, root.parent, home) if place not in SHARED_PLACES}
    places = [r"/(?:home|Users)/\w+", *(re.escape(place) for place in sorted(own))]
    return re.compile(rf"(?<![\w./}}-])(?:{'|'.join(places)})(?![\w-])")


def findings(root: Path, path: Path, text: str, machine: re.Pattern[str]) -> Iterator[str]:
    """One sentence for each place in the text of ``path``."""
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{path.relative_to(root)}:{number}"
        for match in machine.finditer(line):
            yield f"{where} names {match[0]}, a folder of one machine"
        for match in RELATIVE.finditer(line):
            if not (path.parent / match[0]).resolve().is_relative_to(root):
                yield f"{where} names {match[0]}, which is outside of the repository"


def texts(root: Path) -> Iterator[tuple[Path, str]]:
    """The text files that are, or could be, committed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().rstrip("\0").split("\0"):
        path = root / name
        if path.is_file() and not path.is_symlink():
            try:
                yield path, path.read_text()
            except UnicodeDecodeError:
                continue


def main() -> int:
    """Print what was found; 1 when that is anything."""
    root = Path(__file__).resolve().parents[1]
    machine = machine_path(root, Path.home())
    found = [line for path, text in texts(root) for line in findings(root, path, text, machine)]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
