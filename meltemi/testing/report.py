"""What a run of calls shows: pure accounting, no clock and no network."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Call:
    """One call. Times are seconds of the driver's clock; exactly one of answer and error is set."""

    connection: int
    began: float
    ended: float
    answer: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The calls of a run, in the order in which they ended."""

    calls: tuple[Call, ...]
    connections: int
    """How many connections are kept open."""
    reconnects: int = 0
    """How often a lost connection had to be opened again."""

    @property
    def failed(self) -> int:
        return sum(call.error is not None for call in self.calls)

    @property
    def errors(self) -> Counter[str]:
        """How often each error came."""
        return Counter(call.error for call in self.calls if call.error is not None)

    @property
    def answers(self) -> Counter[str]:
        """How often each answer came."""
        return Counter(call.answer for call in self.calls if call.answer is not None)

    def share(self, answer: str) -> float:
        """The part of the answered calls that got this answer, 0 to 1; 0 if none was answered."""
        answered = self.answers.total()
        return self.answers[answer] / answered if answered else 0.0

    @property
    def rate(self) -> float:
        """Calls per second from the first beginning to the last end; 0 for fewer than two calls."""
        if len(self.calls) < 2:
            return 0.0
        lasted = self.calls[-1].ended - min(call.began for call in self.calls)
        return len(self.calls) / lasted if lasted > 0 else 0.0

    @property
    def slowest(self) -> float:
        """The longest call, in seconds; 0 without calls."""
        return max((call.ended - call.began for call in self.calls), default=0.0)

    @property
    def connections_used(self) -> int:
        """On how many different connections calls were answered."""
        return len({call.connection for call in self.calls if call.answer is not None})

    def since(self, moment: float) -> Report:
        """Only the calls that began at or after this moment."""
        return replace(self, calls=tuple(call for call in self.calls if call.began >= moment))

    def first_change(self, after: float, changed: Callable[[str], bool]) -> float | None:
        """Seconds from ``after`` to the end of the first call that shows the change, or None.

        A call shows it when ``changed`` holds for its answer, though it may have begun before.
        """
        for call in self.calls:
            if call.ended >= after and call.answer is not None and changed(call.answer):
                return call.ended - after
        return None
