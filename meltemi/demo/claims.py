"""What the demo claims, held against what was measured. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meltemi.demo.story import BROKEN_CODE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meltemi.demo.story import Step

TOLERANCE: Final = 0.03
"""How far a share may be from the promised one: a few calls are under way when counting begins."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What a step showed. ``saved`` is a moment of the load's clock, ``change`` the seconds from it
    to the step's sign, None if that never came; ``before`` and ``after`` are shares of the new
    version; calls are those of all protocols meanwhile.
    """

    saved: float
    change: float | None
    before: float
    after: float
    calls: int
    failed: int


@dataclass(frozen=True, slots=True)
class Told:
    """A mistake as the control plane tells it, and how long after the save it did."""

    code: str
    title: str
    where: str
    cause: str
    next_step: str
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Totals:
    """All calls until a moment. ``connections``: how many are kept open."""

    calls: int
    failed: int
    reconnects: int
    connections: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that the demo says, whether it was observed, and what was measured."""

    text: str
    held: bool
    measured: str


def step_claim(step: Step, observed: Observed) -> Claim:
    """The edit took effect as promised, and no call failed meanwhile."""
    held = (
        observed.change is not None
        and abs(observed.before - step.before) <= TOLERANCE
        and abs(observed.after - step.after) <= TOLERANCE
        and observed.failed == 0
    )
    seen = "never" if observed.change is None else f"after {milliseconds(observed.change)}"
    measured = (
        f"{step.sign or 'first changed answer'} {seen}; "
        f"{step.told(observed.before, observed.after)}; "
        f"{failed_of(observed.failed, observed.calls)}"
    )
    return Claim(f"{step.protocol}: {step.title}", held, measured)


def finding_claim(text: str, told: Told | None) -> Claim:
    """The mistake is told, with its place, cause and next step."""
    if told is None:
        return Claim(text, held=False, measured=f"no finding {BROKEN_CODE}")
    held = all((told.where, told.cause, told.next_step))
    return Claim(text, held, f"{told.code} at {told.where} after {milliseconds(told.after)}")


def fixed_claim(left: int) -> Claim:
    """After the correction nothing is wrong. ``left`` is the number of errors that are told."""
    return Claim("After the correction no error is told", left == 0, f"{left} errors")


def failures_claim(totals: Totals) -> Claim:
    """No call failed. ``totals``: of the whole demo."""
    held = totals.failed == 0 and totals.calls > 0
    return Claim("No call failed", held, failed_of(totals.failed, totals.calls))


def records_claim(written: int, lost: int, failed: int) -> Claim:
    """Kafka has every record that it acknowledged, and none was given up."""
    held = lost == 0 and failed == 0 and written > 0
    return Claim("Kafka: no record was lost", held, f"{lost} of {written:,} records lost")


def passage_claim(passed: Sequence[int], direct: int) -> Claim:
    """``passed``: connections of clients on each of Envoy's listeners for Kafka; ``direct``: those
    that brokers accepted from somebody else than Envoy.
    """
    measured = f"{sum(passed)} on {len(passed)} listeners of Envoy, {direct} past it"
    held = direct == 0 and all(passed)
    return Claim("Kafka: every connection of every client passed Envoy", held, measured)


def connections_claim(totals: Totals) -> Claim:
    """The rules changed on connections that stayed open. ``totals``: until a listener is replaced,
    which is the one change that ends connections.
    """
    held = totals.reconnects == 0 and totals.connections > 0
    text = "No client had to connect again until a listener was replaced"
    measured = f"{totals.reconnects} reconnects of {totals.connections} open connections"
    return Claim(text, held, measured)


def failed_of(failed: int, calls: int) -> str:
    """How many calls failed."""
    return f"{failed} of {calls:,} calls failed"


def milliseconds(seconds: float) -> str:
    """A short time for people."""
    return f"{seconds * 1000:.0f} ms" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms"
