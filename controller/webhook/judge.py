"""Whether an object may be stored: refused is what is wrong with the object itself.

What is wrong between objects, such as a subset that nobody defines, is a warning: objects may be
applied in any order, and what is right today is wrong when another one goes. Refusing does not
depend on what this replica knows, so all replicas refuse the same, at any time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

import structlog

from meltemi.controller.decode import decode
from meltemi.controller.findings import findings
from meltemi.controller.kube.mirror import mapping
from meltemi.controller.store.objects import Upsert
from meltemi.controller.webhook.review import sentence
from meltemi.protocols.model import Rule
from meltemi.protocols.problem import Severity
from meltemi.protocols.servable import broken_regexes

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from typing import TypeAlias

    from meltemi.controller.decode import Outcome
    from meltemi.controller.store.objects import Decoded
    from meltemi.controller.webhook.review import Request
    from meltemi.protocols.problem import Problem

    Trying: TypeAlias = Generator[None, None, tuple[Problem, ...]]
    """Gives way between two pieces of work, and ends with what was found."""

SLICE = 0.005
"""Seconds of judging after which proxies get their turn."""

DEADLINE = 3.0
"""Seconds after which judging is given up; the API server waits for 5."""

UNJUDGED = (
    "Meltemi could not look at all of this object, and let it pass: its log has the reason, and "
    "the object's status will have what is wrong"
)

log: Any = structlog.get_logger("meltemi")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The object is refused if there are ``errors``. ``failed``: it was not looked at everything,
    because of a failure of ours.
    """

    errors: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()
    failed: bool = False


NOTHING_WRONG = Verdict()


class Judge:
    """``trial`` finds what is wrong between an object and the others that there are, None where
    that cannot be told: as long as they are not known, or of an object that is very large.
    """

    def __init__(
        self, trial: Callable[[Decoded], Trying | None], deadline: float = DEADLINE
    ) -> None:
        self._trial = trial
        self._deadline = deadline

    async def judge(self, request: Request) -> Verdict:
        """Never raises: a failure of ours must not keep anybody from working."""
        try:
            if (written := written_anew(request)) is None:
                return NOTHING_WRONG
            outcome = decode(written)
            errors = own_errors(outcome)
            before = () if request.stored is None else own_errors(decode(request.stored))
            if _adds_to(before, errors):
                return Verdict(errors)
            found = await self._tried(outcome)
            return Verdict(warnings=_warnings((*errors, *_problems(outcome), *found)))
        except Exception:  # a plugin may raise anything
            log.exception("webhook.failed", object=request.name)
            return Verdict(warnings=(UNJUDGED,), failed=True)

    async def _tried(self, outcome: Outcome) -> tuple[Problem, ...]:
        if not isinstance(outcome, Upsert) or (trying := self._trial(outcome.decoded)) is None:
            return ()
        async with asyncio.timeout(self._deadline):
            return await _in_slices(trying)


async def _in_slices(trying: Trying) -> tuple[Problem, ...]:
    started = monotonic()
    while True:
        try:
            next(trying)
        except StopIteration as end:
            found: tuple[Problem, ...] = end.value
            return found
        if monotonic() - started > SLICE:
            await asyncio.sleep(0)
            started = monotonic()


def written_anew(request: Request) -> Mapping[str, object] | None:
    """The object that is to be judged. None for what is always allowed: a deletion and all that
    leads to it, such as the end of a finalizer, and what is no part of the object itself.
    """
    written = request.written
    if request.operation not in {"CREATE", "UPDATE"} or request.sub_resource or written is None:
        return None
    return None if "deletionTimestamp" in mapping(written.get("metadata")) else written


def own_errors(outcome: Outcome) -> tuple[Problem, ...]:
    """What makes the object, or a part of it, of no use to anybody."""
    found = [each for each in _problems(outcome) if each.severity is Severity.ERROR]
    if isinstance(outcome, Upsert):
        rules = [value for value in outcome.decoded.values if isinstance(value, Rule)]
        found += [each for rule in rules for route in rule.routes for each in broken_regexes(route)]
    return tuple(dict.fromkeys(found))


def _problems(outcome: Outcome) -> tuple[Problem, ...]:
    return outcome.decoded.problems if isinstance(outcome, Upsert) else outcome.problems


def _adds_to(before: Iterable[Problem], errors: Iterable[Problem]) -> bool:
    """Whether there is an error that was not there: an object that was stored before anybody
    judged it can be labelled, and mended step by step.
    """
    known = {(each.code, each.about.field, each.cause) for each in before}
    return any((each.code, each.about.field, each.cause) not in known for each in errors)


def _warnings(problems: Iterable[Problem]) -> tuple[str, ...]:
    """Each once, the worst first."""
    return tuple(sentence(finding.problem) for finding in findings(problems))
