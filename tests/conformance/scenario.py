"""Scenarios: what a client does and must see, for a rule, and the mutants that it must notice.

A module ``scenarios_*.py`` registers async functions; the tests run each in its variants, and
once more under each of its mutants.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import pytest

    from tests.conformance.world import World

    Run = Callable[[World], Awaitable[None]]
    Mutant = Callable[[pytest.MonkeyPatch], None]
    Method = Callable[..., Any]


class Dialect(Enum):
    """The two ways to speak xDS."""

    SOTW = "sotw"
    DELTA = "delta"


class Variant(NamedTuple):
    """How a client speaks: the dialect, and whether all types share one stream."""

    dialect: Dialect
    aggregated: bool

    def __str__(self) -> str:
        return f"{self.dialect.value}-{'ads' if self.aggregated else 'single'}"


SOTW_ADS = Variant(Dialect.SOTW, aggregated=True)
DELTA_ADS = Variant(Dialect.DELTA, aggregated=True)
SOTW_SINGLE = Variant(Dialect.SOTW, aggregated=False)
DELTA_SINGLE = Variant(Dialect.DELTA, aggregated=False)

ALL = (SOTW_ADS, DELTA_ADS, SOTW_SINGLE, DELTA_SINGLE)
SOTW = (SOTW_ADS, SOTW_SINGLE)
DELTA = (DELTA_ADS, DELTA_SINGLE)
ADS = (SOTW_ADS, DELTA_ADS)
SINGLE = (SOTW_SINGLE, DELTA_SINGLE)


@dataclass(frozen=True, slots=True)
class Scenario:
    """``run`` must pass in each variant, and fail in at least one under each of ``kills``."""

    rule: int
    run: Run
    variants: tuple[Variant, ...]
    kills: tuple[Mutant, ...]

    @property
    def name(self) -> str:
        return self.run.__name__


SCENARIOS: list[Scenario] = []


def scenario(
    rule: int, *, kills: tuple[Mutant, ...], variants: tuple[Variant, ...] = ALL
) -> Callable[[Run], Run]:
    """Register a scenario of a rule."""

    def register(run: Run) -> Run:
        SCENARIOS.append(Scenario(rule, run, variants, kills))
        return run

    return register


def all_scenarios() -> list[Scenario]:
    """Those of all modules, by rule."""
    for path in sorted(Path(__file__).parent.glob("scenarios_*.py")):
        import_module(f"tests.conformance.{path.stem}")
    return sorted(SCENARIOS, key=lambda each: each.rule)


def mutate(patch: pytest.MonkeyPatch, owner: object, name: str, mutant: Method) -> None:
    """A method, perhaps a private one, becomes ``mutant``, which gets the original first."""
    original = getattr(owner, name)

    def mutated(*args: Any, **kwargs: Any) -> Any:
        return mutant(original, *args, **kwargs)

    patch.setattr(owner, name, mutated)


def nothing(*_: object, **__: object) -> None:
    """What a mutant does that forgets something."""
