"""What ``status`` of an object says: its problems and its tally in the words of conditions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from meltemi.controller.crds.status import Condition, Rollout, Status
from meltemi.protocols.problem import CODES, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Literal

    from meltemi.controller.statuses.tally import Tally
    from meltemi.protocols.model import Ref
    from meltemi.protocols.problem import Problem

LONGEST_MESSAGE = 1024
"""Characters of a message. Kubernetes allows 32,768, but people read these."""


class Type(StrEnum):
    """The conditions, in the order in which they are told."""

    ACCEPTED = "Accepted"
    RESOLVED_REFS = "ResolvedRefs"
    PROGRAMMED = "Programmed"
    EFFECTIVE = "Effective"
    CONFLICTED = "Conflicted"


class Reason(StrEnum):
    """Every reason that a condition can have. A condition that is as it should be has its own type
    as a reason, ``Conflicted`` has ``NoConflict``.
    """

    ACCEPTED = "Accepted"
    ACCEPTED_WITH_WARNINGS = "AcceptedWithWarnings"
    PARTIALLY_INVALID = "PartiallyInvalid"
    INVALID = "Invalid"

    RESOLVED_REFS = "ResolvedRefs"
    DESTINATION_NOT_FOUND = "DestinationNotFound"
    SECRET_NOT_FOUND = "SecretNotFound"
    NO_ENDPOINTS = "NoEndpoints"

    PROGRAMMED = "Programmed"
    PENDING = "Pending"
    PROXY_REJECTED = "ProxyRejected"
    PARTIALLY_REJECTED = "PartiallyRejected"
    NO_PROXIES = "NoProxies"
    FILTER_UNSUPPORTED = "FilterUnsupported"
    NOT_ACCEPTED = "NotAccepted"
    NOT_IN_FORCE = "NotInForce"

    EFFECTIVE = "Effective"
    PARTIALLY_EFFECTIVE = "PartiallyEffective"
    HOST_NOT_FOUND = "HostNotFound"
    OVERRULED = "Overruled"
    UNREACHABLE = "Unreachable"
    NO_ROUTE_LEFT = "NoRouteLeft"

    NO_CONFLICT = "NoConflict"
    HOST_CLAIMED = "HostClaimed"
    ADDRESS_IN_USE = "AddressInUse"


class Speaks(NamedTuple):
    """The condition that a code speaks for, and the reason that it gives."""

    type: Type
    reason: Reason


def _codes(type: Type, reason: Reason, *codes: int) -> dict[str, tuple[Speaks, ...]]:
    return {f"MEL{code:04}": (Speaks(type, reason),) for code in codes}


SPEAKS: dict[str, tuple[Speaks, ...]] = {
    **_codes(Type.ACCEPTED, Reason.INVALID, 101, 102, 104, 105, 106, 107, 108, 109),
    **_codes(Type.ACCEPTED, Reason.ACCEPTED_WITH_WARNINGS, 103, 110, 111),
    **_codes(Type.ACCEPTED, Reason.PARTIALLY_INVALID, 201, 203),
    **_codes(Type.ACCEPTED, Reason.ACCEPTED_WITH_WARNINGS, 202, 205, 206),
    **_codes(Type.CONFLICTED, Reason.ADDRESS_IN_USE, 204, 208),
    **_codes(Type.CONFLICTED, Reason.HOST_CLAIMED, 207),
    **_codes(Type.RESOLVED_REFS, Reason.DESTINATION_NOT_FOUND, 301, 302, 303),
    **_codes(Type.ACCEPTED, Reason.PARTIALLY_INVALID, 304, 305, 311, 312, 314, 316, 317),
    **_codes(Type.PROGRAMMED, Reason.FILTER_UNSUPPORTED, 306),
    **_codes(Type.ACCEPTED, Reason.ACCEPTED_WITH_WARNINGS, 307, 313),
    **_codes(Type.EFFECTIVE, Reason.HOST_NOT_FOUND, 308),
    "MEL0309": (
        Speaks(Type.CONFLICTED, Reason.OVERRULED),
        Speaks(Type.EFFECTIVE, Reason.OVERRULED),
    ),
    **_codes(Type.EFFECTIVE, Reason.UNREACHABLE, 310),
    **_codes(Type.EFFECTIVE, Reason.NO_ROUTE_LEFT, 315),
    **_codes(Type.RESOLVED_REFS, Reason.NO_ENDPOINTS, 401),
    **_codes(Type.ACCEPTED, Reason.PARTIALLY_INVALID, 402, 409, 412, 420),
    **_codes(Type.RESOLVED_REFS, Reason.SECRET_NOT_FOUND, 403),
    **_codes(Type.ACCEPTED, Reason.ACCEPTED_WITH_WARNINGS, 404, 405, 406, 407, 411, 421, 422),
    **_codes(Type.PROGRAMMED, Reason.FILTER_UNSUPPORTED, 408, 410, 501),
    **_codes(Type.PROGRAMMED, Reason.NOT_IN_FORCE, 502),
    **_codes(Type.PROGRAMMED, Reason.PROXY_REJECTED, 503),
    **_codes(Type.ACCEPTED, Reason.ACCEPTED_WITH_WARNINGS, 504, 505, 506),
    # About kinds of the cluster, not about an object.
    "MEL0601": (),
    "MEL0602": (),
    "MEL0603": (),
}
"""What each code of the catalogue speaks for."""

_NO_PROXIES = "no proxy is connected that it concerns; `meltemi proxies` lists those that are"

_NOTHING = (
    "nothing is made of it for any proxy: connect one whose namespace its host is exported to, or "
    "give its host a port of a protocol that is served"
)

_UNABLE = (
    "their build lacks the protocol's filter (MEL0501), or another service has the address of the "
    "listener (MEL0208); `meltemi proxies` and the findings of the service say which"
)

_WORST_FIRST = (Severity.ERROR, Severity.WARNING, Severity.INFO)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an object. ``generation`` is the one that was looked at, 0 where objects
    have none; ``readable`` says whether that one can be read; ``in_force``: the generation that
    proxies should have something of, None if there is nothing of any.
    """

    about: Ref
    generation: int
    readable: bool
    in_force: int | None
    problems: Sequence[Problem]
    tally: Tally


class _Said(NamedTuple):
    """A condition without its bookkeeping."""

    type: Type
    status: Literal["True", "False"]
    reason: Reason
    message: str


def status(facts: Facts, before: Status | None, now: str) -> Status:
    """The whole status. ``before`` is what was said last, ``now`` a time in RFC 3339: a condition
    whose status stays keeps its time.
    """
    known = {each.type: each for each in before.conditions} if before else {}
    said = (_accepted, _resolved_refs, _programmed, _effective, _conflicted)
    conditions = (_condition(tell(facts), facts.generation, known, now) for tell in said)
    tally = facts.tally
    rollout = Rollout(tally.proxies, tally.acked, tally.nacked, tally.pending, tally.unsupported)
    return Status(facts.generation, tuple(conditions), rollout)


def _condition(said: _Said, generation: int, known: dict[str, Condition], now: str) -> Condition:
    last = known.get(said.type)
    since = last.last_transition_time if last and last.status == said.status else now
    message = _cut(said.message, LONGEST_MESSAGE)
    return Condition(said.type.value, said.status, said.reason.value, message, generation, since)


def _accepted(facts: Facts) -> _Said:
    found = _speaking(facts, Type.ACCEPTED)
    if not facts.readable:
        text = f"{_told(found, 'it cannot be read')}; {_stays(facts)}"
        return _Said(Type.ACCEPTED, "False", Reason.INVALID, text)
    if found and found[0].severity is Severity.ERROR:
        return _Said(Type.ACCEPTED, "False", Reason.PARTIALLY_INVALID, _told(found))
    if found and found[0].severity is Severity.WARNING:
        return _Said(Type.ACCEPTED, "True", Reason.ACCEPTED_WITH_WARNINGS, _told(found))
    return _Said(Type.ACCEPTED, "True", Reason.ACCEPTED, _told(found))


def _stays(facts: Facts) -> str:
    """What is in force of an object that cannot be read."""
    if facts.in_force is None:
        return "nothing of it is in force"
    if not facts.in_force:
        return "what was read before stays in force, if anything was"
    if facts.in_force == facts.generation:
        return "what it guards is locked"
    return f"generation {facts.in_force} stays in force"


def _resolved_refs(facts: Facts) -> _Said:
    if found := _speaking(facts, Type.RESOLVED_REFS):
        reason = _reason(found[0], Type.RESOLVED_REFS)
        return _Said(Type.RESOLVED_REFS, "False", reason, _told(found))
    return _Said(Type.RESOLVED_REFS, "True", Reason.RESOLVED_REFS, "")


def _programmed(facts: Facts) -> _Said:
    tally = facts.tally
    if not facts.readable:
        text = "the object cannot be read: see the condition Accepted"
        return _Said(Type.PROGRAMMED, "False", Reason.NOT_ACCEPTED, text)
    if tally.nacked:
        every = tally.nacked == tally.proxies - tally.unsupported
        reason = Reason.PROXY_REJECTED if every else Reason.PARTIALLY_REJECTED
        return _Said(Type.PROGRAMMED, "False", reason, _refused(tally))
    found = _speaking(facts, Type.PROGRAMMED)
    if tally.unsupported:
        text = f"{_of(tally.unsupported, tally)} cannot have all of it: {_told(found, _UNABLE)}"
        return _Said(Type.PROGRAMMED, "False", Reason.FILTER_UNSUPPORTED, text)
    if tally.pending:
        text = (
            f"{_of(tally.pending, tally)} did not answer yet; `meltemi proxies` says which are "
            "PENDING, and since when"
        )
        return _Said(Type.PROGRAMMED, "False", Reason.PENDING, text)
    if facts.in_force is None and facts.problems:
        text = f"nothing of it is in force: {_told(_worst_first(facts.problems))}"
        return _Said(Type.PROGRAMMED, "False", Reason.NOT_IN_FORCE, text)
    if not tally.proxies:
        text = _NO_PROXIES if facts.in_force is not None else _NOTHING
        return _Said(Type.PROGRAMMED, "False", Reason.NO_PROXIES, text)
    text = f"{_of(tally.acked, tally)} accepted it"
    return _Said(Type.PROGRAMMED, "True", Reason.PROGRAMMED, text)


def _effective(facts: Facts) -> _Said:
    found = _speaking(facts, Type.EFFECTIVE)
    if not found:
        return _Said(Type.EFFECTIVE, "True", Reason.EFFECTIVE, "")
    if facts.in_force is not None:
        return _Said(Type.EFFECTIVE, "True", Reason.PARTIALLY_EFFECTIVE, _told(found))
    return _Said(Type.EFFECTIVE, "False", _reason(found[0], Type.EFFECTIVE), _told(found))


def _conflicted(facts: Facts) -> _Said:
    if found := _speaking(facts, Type.CONFLICTED):
        reason = _reason(found[0], Type.CONFLICTED)
        return _Said(Type.CONFLICTED, "True", reason, _told(found))
    return _Said(Type.CONFLICTED, "False", Reason.NO_CONFLICT, "")


def _speaking(facts: Facts, type: Type) -> list[Problem]:
    """The problems that speak for a condition, the worst first."""
    return _worst_first(
        problem
        for problem in facts.problems
        if any(speaks.type is type for speaks in SPEAKS[problem.code])
    )


def _worst_first(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(
        problems,
        key=lambda each: (
            _WORST_FIRST.index(CODES[each.code].severity),
            each.code,
            each.about.field,
            each.cause,
        ),
    )


def _reason(problem: Problem, type: Type) -> Reason:
    return next(each.reason for each in SPEAKS[problem.code] if each.type is type)


def _told(problems: Sequence[Problem], otherwise: str = "") -> str:
    """The first problem, and how many more there are."""
    if not problems:
        return otherwise
    first, *others = problems
    more = f" (and {len(others)} more, see `meltemi validate`)" if others else ""
    # The end matters most: what to do.
    cause = _cut(first.cause, LONGEST_MESSAGE // 2)
    return f"{first.code} {first.about}: {cause}; {_cut(first.next_step, 256)}{more}"


def _refused(tally: Tally) -> str:
    text = f"{_of(tally.nacked, tally)} refused it and kept what was there before"
    if tally.words is None:
        return text
    if "Address already in use" in tally.words.message:
        next_step = "free the port on that machine, or map it with `ports` in the proxy's metadata"
    else:
        next_step = "correct the object, or report this to the plugin's author"
    return f"{text}; {tally.words.proxy} says: {tally.words.message}; {next_step}"


def _of(some: int, tally: Tally) -> str:
    return f"{some} of {tally.proxies} {'proxy' if tally.proxies == 1 else 'proxies'}"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
