"""Whether rules do what cases expect of them, and which routes no case reaches."""

from __future__ import annotations

from dataclasses import dataclass, replace
from difflib import get_close_matches
from math import isclose
from typing import TYPE_CHECKING

from meltemi.controller.offline.explanation import NotFound, explain, step_name
from meltemi.controller.offline.route_cases import NO_TIMEOUT, Target
from meltemi.controller.store.hosts import expand
from meltemi.protocols.api import ANY_OTHER
from meltemi.protocols.model import Layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from meltemi.controller.offline.explanation import Explanation
    from meltemi.controller.offline.route_cases import Case, Expectation, WantedRule
    from meltemi.protocols.group import Group
    from meltemi.protocols.model import Mesh, Ref, Route
    from meltemi.protocols.registry import Registry


@dataclass(frozen=True, slots=True)
class Difference:
    """What is not as expected. ``hint`` is a clause, or empty."""

    field: str
    expected: str
    actual: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a case. ``error`` is why there is no answer, else empty."""

    case: Case
    answer: Explanation | None
    differences: tuple[Difference, ...] = ()
    error: str = ""

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not (self.differences or self.error)


@dataclass(frozen=True, slots=True)
class RouteId:
    """A route of a rule, as users call it."""

    ref: Ref
    name: str

    def __str__(self) -> str:
        return step_name(self.ref, self.name)


@dataclass(frozen=True, slots=True)
class Coverage:
    """The routes of all rules, by whether a case reached them."""

    reached: tuple[RouteId, ...]
    unreached: tuple[RouteId, ...]

    @property
    def total(self) -> int:
        """How many routes there are."""
        return len(self.reached) + len(self.unreached)

    @property
    def percent(self) -> float:
        """Where there is nothing to reach, everything was reached."""
        return 100 * len(self.reached) / self.total if self.total else 100.0


@dataclass(frozen=True, slots=True)
class Examiner:
    """Puts cases to rules. ``group`` gives the proxies of a namespace, of None their own one."""

    mesh: Mesh
    registry: Registry
    group: Callable[[str | None], Group]

    def verdict(self, case: Case) -> Verdict:
        """Run one case."""
        group = self.group(case.namespace)
        host = expand(case.host, group.key.namespace)
        try:
            answer = explain(self.mesh, group, host, case.port, case.attributes)
        except NotFound as error:
            return Verdict(case, None, error=str(error))
        if (flaw := self._foreign_attribute(answer.protocol, case.attributes)) is not None:
            return Verdict(case, answer, error=flaw)
        found = differences(case.expect, answer, group.key.namespace)
        return Verdict(case, answer, tuple(map(self._with_hint, found)))

    def _with_hint(self, difference: Difference) -> Difference:
        """A route that no rule has is a slip of the pen, too."""
        names = {_called(route) for route in _routes(self.mesh)}
        if difference.field != "rule.route" or difference.expected in names:
            return difference
        close = get_close_matches(difference.expected, sorted(names), 1)
        hint = f"did you mean {close[0]}?" if close else "no rule has such a route"
        return replace(difference, hint=hint)

    def _foreign_attribute(self, protocol: str, names: Iterable[str]) -> str | None:
        """An attribute that requests of the protocol never have: a slip of the pen."""
        if (registered := self.registry.get(protocol)) is None:
            return None
        known = registered.plugin.attributes
        if (
            ANY_OTHER in known
            or (foreign := next((n for n in names if n not in known), None)) is None
        ):
            return None
        there = ", ".join(known) or "none"
        return f"{protocol} has no attribute {foreign!r}; it has: {there}"


def coverage(mesh: Mesh, verdicts: Iterable[Verdict]) -> Coverage:
    """Which routes decided in some case, passed or not."""
    answers = [verdict.answer for verdict in verdicts if verdict.answer is not None]
    taken = {step.rule for answer in answers for step in answer.considered if step.matched}
    routes = sorted(
        {RouteId(route.ref, route.name) for route in _routes(mesh)}, key=lambda route: route.ref
    )
    return Coverage(
        tuple(route for route in routes if str(route) in taken),
        tuple(route for route in routes if str(route) not in taken),
    )


def _routes(mesh: Mesh) -> Iterator[Route]:
    """A rule of several hosts gives its routes for each; those for ports of others are none."""
    for host, rules in mesh.rules.items():
        ports = [port for service in mesh.services.get(host, ()) for port in service.ports]
        for route in (route for rule in rules for route in rule.routes):
            if route.layer is Layer.ANY or any(route.concerns(port) for port in ports):
                yield route


def _called(route: Route) -> str:
    return route.name or route.ref.field


def differences(wanted: Expectation, answer: Explanation, namespace: str) -> Iterator[Difference]:
    """What is not as wanted, where hosts are named as in this namespace."""
    if wanted.rule is not None:
        yield from _rule_differences(wanted.rule, answer)
    if wanted.outcome is not None and wanted.outcome != answer.outcome:
        yield Difference("outcome", wanted.outcome, answer.outcome)
    if wanted.destinations is not None:
        found = [Target(d.host, d.port, d.subset, d.weight) for d in answer.destinations]
        yield from _target_differences("destinations", wanted.destinations, found, namespace)
    if wanted.mirrors is not None:
        found = [Target(m.host, m.port, m.subset, m.percentage) for m in answer.mirrors]
        yield from _target_differences("mirrors", wanted.mirrors, found, namespace)
    if wanted.timeout is not None and not _same_timeout(wanted.timeout, answer.timeout):
        yield Difference("timeout", _seconds(wanted.timeout), _seconds(answer.timeout))


def _rule_differences(wanted: WantedRule, answer: Explanation) -> Iterator[Difference]:
    if answer.rule is None:
        named = "/".join(part for part in wanted if part is not None)
        yield Difference("rule", named, f"none, the outcome is {answer.outcome}")
        return
    for field, expected in wanted._asdict().items():
        actual = getattr(answer.rule, field)
        if expected not in (None, actual):
            yield Difference(f"rule.{field}", expected, actual)


def _target_differences(
    field: str, wanted: Iterable[Target], found: Sequence[Target], namespace: str
) -> Iterator[Difference]:
    """Order means nothing. Everything must be named, except what gets nothing anyway."""
    named = [
        each if each.host is None else each._replace(host=expand(each.host, namespace))
        for each in wanted
    ]
    served = [target for target in found if target.share]
    if not (
        _each_finds_its_own(named, found, _fits) and _each_finds_its_own(served, named, _fits_to)
    ):
        yield Difference(field, _listed(named), _listed(found))


def _fits(wanted: Target, found: Target) -> bool:
    return all(part in (None, there) for part, there in zip(wanted, found, strict=True))


def _fits_to(found: Target, wanted: Target) -> bool:
    return _fits(wanted, found)


def _each_finds_its_own(
    seekers: Sequence[Target], offers: Sequence[Target], fits: Callable[[Target, Target], bool]
) -> bool:
    """Whether there is a different offer for each seeker (a matching by augmenting paths).

    Where that holds both ways round, one assignment serves both sides (Mendelsohn and Dulmage).
    """
    owner: dict[int, int] = {}

    def settle(seeker: int, asked: set[int]) -> bool:
        for index, offer in enumerate(offers):
            if index in asked or not fits(seekers[seeker], offer):
                continue
            asked.add(index)
            if index not in owner or settle(owner[index], asked):
                owner[index] = seeker
                return True
        return False

    return all(settle(seeker, set()) for seeker in range(len(seekers)))


def _listed(targets: Iterable[Target]) -> str:
    return ", ".join(map(_shown, targets)) or "none"


def _shown(target: Target) -> str:
    """``orders.example:20880/v2 20 %``, as much of it as is known."""
    address = ":".join(str(part) for part in (target.host, target.port) if part is not None)
    place = f"{address}/{target.subset}" if target.subset else address
    share = "" if target.share is None else f"{target.share:g} %"
    return " ".join(part for part in (place, share) if part) or "anything"


def _same_timeout(wanted: float | str, actual: float | None) -> bool:
    if isinstance(wanted, str) or actual is None:
        return wanted == NO_TIMEOUT and actual is None
    return isclose(wanted, actual, abs_tol=1e-9)


def _seconds(timeout: float | str | None) -> str:
    if timeout is None or isinstance(timeout, str):
        return NO_TIMEOUT
    return f"{timeout:g} s"
