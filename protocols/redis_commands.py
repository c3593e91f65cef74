"""Which commands redis_proxy knows since when; what it does not know, it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SINCE: Mapping[tuple[int, int], frozenset[str]] = {
    (1, 37): frozenset(
        {
            "CLUSTER",
            "CONFIG",
            "FLUSHALL",
            "FLUSHDB",
            "HELLO",
            "OBJECT",
            "RANDOMKEY",
            "SCRIPT",
            "SLOWLOG",
        }
    ),
    (1, 38): frozenset({"BITFIELD_RO"}),
    (1, 39): frozenset(
        {
            "HEXPIRE",
            "HEXPIREAT",
            "HEXPIRETIME",
            "HPERSIST",
            "HPEXPIRE",
            "HPEXPIREAT",
            "HPEXPIRETIME",
            "HPTTL",
            "HTTL",
        }
    ),
    (1, 40): frozenset({"CLIENT"}),
}
"""By Envoy's (major, minor), as seen on real builds from 1.36 on."""


def lacking(envoy: tuple[int, int]) -> list[str]:
    """The commands that this Envoy refuses and a newer one does not; none when its version is not
    told.
    """
    return sorted(
        name for since, names in SINCE.items() if (0, 0) < envoy < since for name in names
    )
