"""Meltemi without one mechanism of make before break: what stories of no failed call must notice.

Run as a program: ``python -m tests.envoy.naive NAME serve ...``, which is ``meltemi serve ...``.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from meltemi.controller import plane
from meltemi.protocols.types import type_table
from meltemi.testing.control_plane import MeltemiProcess
from meltemi.xds.release import Release
from meltemi.xds.resource import Removal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Set
    from pathlib import Path

    from meltemi.xds.resource import TypeRules


def without_gating(rules: TypeRules) -> TypeRules:
    """Listeners and routes do not wait for the clusters that they name."""
    return replace(rules, gated=False)


def without_linger(rules: TypeRules) -> TypeRules:
    """Clusters go as soon as the rules no longer have them."""
    return replace(rules, removal=Removal.AT_ONCE) if rules.removal is Removal.LINGER else rules


def without_order(rules: TypeRules) -> TypeRules:
    """Neither of the two: everything at once."""
    return without_linger(without_gating(rules))


def _serve_by(change: Callable[[TypeRules], TypeRules]) -> None:
    def naive(route_types: Iterable[str]) -> tuple[TypeRules, ...]:
        return tuple(change(rules) for rules in type_table(route_types))

    plane.type_table = naive  # type: ignore[attr-defined]


def _remove_on_reconnect() -> None:
    """After a reconnect, clusters that only the proxy knows go at once."""
    adopt = Release.adopt

    def at_once(release: Any, names: Set[str]) -> None:
        adopt(release, names)
        release._leaving = dict.fromkeys(release._leaving, 0.0)

    Release.adopt = at_once  # type: ignore[assignment, method-assign]


CONTROLS: Mapping[str, Callable[[], None]] = {
    "without-gating": partial(_serve_by, without_gating),
    "without-linger": partial(_serve_by, without_linger),
    "without-order": partial(_serve_by, without_order),
    "without-linger-after-reconnect": _remove_on_reconnect,
}


def naive(control: str) -> Callable[[Path], MeltemiProcess]:
    """For stages: the process of ``MeltemiProcess``, changed."""
    assert control in CONTROLS
    return partial(MeltemiProcess, program=("-m", "tests.envoy.naive", control))


def main() -> None:
    """``meltemi`` with the arguments that follow the control's name."""
    from meltemi.__main__ import main as meltemi

    CONTROLS[sys.argv.pop(1)]()
    meltemi()


if __name__ == "__main__":
    main()
