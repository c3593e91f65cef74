"""What is wrong now, and what of it is new: the log hears of both."""

from __future__ import annotations

import asyncio
from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING, Any

import structlog

from meltemi.controller.findings import Finding, findings
from meltemi.protocols.problem import CODES, Severity
from meltemi.xds.token_bucket import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from meltemi.controller.sources import Place
    from meltemi.protocols.problem import Problem

LOOKS = 2.0
"""How often a second it is looked again at what is wrong, because of what proxies say."""

MOST = 20
"""As many that are only information are told one by one when they appear together, of a code."""

log: Any = structlog.get_logger("meltemi")


class FindingsBoard:
    """``problems`` gives everything that is wrong, ``place`` where a user finds it. ``current`` is
    what was found at the last look. ``told`` hears what appeared and what was resolved.
    """

    def __init__(
        self,
        problems: Callable[[], Iterable[Problem]],
        place: Callable[[Problem], Place | None],
        told: Callable[[Collection[Finding], Collection[Finding]], None] = lambda _, __: None,
    ) -> None:
        self.current: tuple[Finding, ...] = ()
        self._problems = problems
        self._place = place
        self._told = told
        self._looks = TokenBucket(LOOKS, monotonic())
        self._looking: asyncio.TimerHandle | None = None

    def look(self) -> None:
        """Look now."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        before = set(self.current)
        self.current = findings(self._problems(), self._place)
        appeared = [finding for finding in self.current if finding not in before]
        resolved = before.difference(self.current)
        _tell(appeared)
        for finding in resolved:
            problem = finding.problem
            log.info("finding.resolved", code=problem.code, about=str(problem.about))
        self._told(appeared, resolved)

    def look_soon(self, now: float) -> None:
        """At once, unless proxies refuse and accept all the time."""
        if self._looking is not None:
            return
        if pause := self._looks.spend(1, now):
            self._looking = asyncio.get_running_loop().call_later(pause, self.look)
        else:
            self.look()


def _tell(appeared: Collection[Finding]) -> None:
    """Of what is only information there may be one for each port of a cluster."""
    counts = Counter(each.problem.code for each in appeared if each.severity is Severity.INFO)
    many = {code: number for code, number in counts.items() if number > MOST}
    for finding in appeared:
        if finding.problem.code not in many:
            say = log.info if finding.severity is Severity.INFO else log.warning
            say("finding.appeared", **finding.to_dict())
    for code, number in many.items():
        log.info("findings.appeared", code=code, title=CODES[code].title, count=number)
