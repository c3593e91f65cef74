"""Proxies that need not be there to compile for them: what stock builds of Envoy can do."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

from meltemi.xds.wire import Extension, Node

if TYPE_CHECKING:
    from collections.abc import Mapping

PRESETS: Mapping[str, tuple[int, int]] = {"envoy-1.36": (1, 36), "envoy-1.40": (1, 40)}
"""Envoy's (major, minor) by the preset's name; ``builds/<name>.txt`` lists its extensions."""

DEFAULT = "envoy-1.40"


class UnknownPresetError(LookupError):
    """There is no preset of that name. The text lists those that there are."""


def preset(name: str = DEFAULT) -> Node:
    """A stock Envoy that was started with a bootstrap of ours.

    Raises:
        UnknownPresetError: nobody knows that build.
    """
    if (version := PRESETS.get(name)) is None:
        known = ", ".join(sorted(PRESETS))
        raise UnknownPresetError(f"there is no preset {name!r}; there are: {known}")
    return Node(
        id=name,
        cluster="",
        metadata={"meltemi": {"rtds": True}},
        version=version,
        extensions=frozenset(Extension("", url) for url in type_urls(name)),
    )


def type_urls(name: str) -> frozenset[str]:
    """What that build lists in ``Node.extensions``, without ``type.googleapis.com/``."""
    listed = resources.files("meltemi.controller") / "builds" / f"{name}.txt"
    lines = listed.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))
