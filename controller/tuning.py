"""How much is served and how fast, as numbers that the environment may set."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from meltemi.xds.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Tuning:
    """Of the port for proxies, and of the loop: seconds of quiet after which changes that follow
    each other leave together, and the longest that one waits.
    """

    limits: Limits = field(default_factory=Limits)
    hold_off: float = 0.05
    hold_off_longest: float = 0.5


class Number(NamedTuple):
    """A setting: ``MELTEMI_`` and ``name``, from ``low`` to ``high``; ``off``: or 0, which means
    never. ``field`` is that of ``Limits`` or ``Tuning``, whose type is the number's.
    """

    name: str
    field: str
    low: float
    high: float
    unit: str = ""
    off: bool = False

    @property
    def allowed(self) -> str:
        """What may be written."""
        kind = self.unit or "a whole number"
        return f"{kind} from {self.low:.10g} to {self.high:.10g}" + (", or 0 for never" * self.off)


NUMBERS = (
    Number("MAX_STREAMS", "streams", 1, 1e6),
    Number("MAX_STREAMS_PER_PEER", "streams_per_peer", 1, 1e6),
    Number("MAX_GROUPS", "groups", 1, 1e6),
    Number("MAX_PREPARING", "preparing", 1, 1e4),
    Number("MAX_WAITING", "waiting", 0, 1e6),
    Number("MAX_REQUEST_BYTES", "request_bytes", 65_536, 1e9),
    Number("MAX_NAMES", "names", 1, 1e7),
    Number("MAX_REQUEST_RATE", "request_rate", 1, 1e5, "requests a second"),
    Number("FIRST_REQUEST_TIMEOUT", "first_request", 1, 600, "seconds"),
    Number("WRITE_TIMEOUT", "write", 1, 3600, "seconds"),
    Number("KEEPALIVE", "keepalive", 1, 3600, "seconds"),
    Number("MAX_STREAM_AGE", "age", 1, 1e6, "seconds", off=True),
    Number("GRACE", "grace", 0.1, 3600, "seconds"),
    Number("HOLD_OFF", "hold_off", 0, 60, "seconds"),
    Number("HOLD_OFF_LONGEST", "hold_off_longest", 0, 60, "seconds"),
)


def tuning(environment: Mapping[str, str], prefix: str) -> Tuning:
    """The numbers that are set, and the others' defaults.

    Raises:
        ValueError: with a sentence that names the setting and what may be written.
    """
    found: dict[str, Any] = dict(_found(environment, prefix))
    of_limits = {each.name for each in fields(Limits)}
    limits = {name: value for name, value in found.items() if name in of_limits}
    others = {name: value for name, value in found.items() if name not in of_limits}
    tuned = replace(Tuning(limits=replace(Limits(), **limits)), **others)
    if tuned.hold_off > tuned.hold_off_longest:
        raise ValueError(
            f"{prefix}HOLD_OFF is {tuned.hold_off:g} seconds and {prefix}HOLD_OFF_LONGEST "
            f"{tuned.hold_off_longest:g}: no change may be held for less than the quiet that it "
            "waits for; raise the second, or lower the first"
        )
    return tuned


def _found(environment: Mapping[str, str], prefix: str) -> Iterator[tuple[str, float]]:
    whole = {each.name for each in fields(Limits) if isinstance(each.default, int)}
    for number in NUMBERS:
        name = f"{prefix}{number.name}"
        if (text := environment.get(name)) is None:
            continue
        value = _value(text, whole=number.field in whole)
        if not number.low <= value <= number.high and not (number.off and value == 0):
            raise ValueError(f"{name} is {text!r}: write {number.allowed}")
        yield number.field, value


def _value(text: str, *, whole: bool) -> float:
    """Not a number for what is none."""
    try:
        return int(text) if whole else float(text)
    except ValueError:
        return math.nan
