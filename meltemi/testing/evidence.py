"""What a test really drove: the record behind "real servers: Envoy 1.40.0 (12 tests)".

A tool that starts a real server calls ``record`` as soon as the server answers. Whoever runs tests
collects with ``collecting``; outside of it a record goes nowhere, so the tools work without any
test runner.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

# A plain list, not a context variable: servers are also started in threads and in event loops
# whose context was copied before the test began.
_open: list[set[str]] = []


def record(name: str) -> None:
    """Say that a real server now runs. ``name`` has its version: ``Envoy 1.40.0``."""
    for names in _open:
        names.add(name)


@contextmanager
def collecting() -> Generator[set[str]]:
    """The names recorded while the block runs; blocks may nest, every one of them hears."""
    names: set[str] = set()
    _open.append(names)
    try:
        yield names
    finally:
        _open[:] = [other for other in _open if other is not names]
