"""What is wrong between objects, whatever proxies there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.protocols.problem import Problem
from meltemi.protocols.servable import broken_regexes
from meltemi.protocols.sight import rule_matters, rule_rank

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from meltemi.protocols.model import (
        DestinationPolicy,
        Mesh,
        RedisSettings,
        RedisUpstream,
        Ref,
        Rule,
    )


def lint(mesh: Mesh, host: str) -> Iterator[Problem]:
    """The contradictions among the objects of one host."""
    services = mesh.services.get(host, ())
    # What may be meant for others is none of our business unless it is about a port of ours.
    rules = [
        rule
        for rule in mesh.rules.get(host, ())
        if rule.ref.kind != "VirtualService" or any(rule_matters(rule, s) for s in services)
    ]
    policies = mesh.policies.get(host, ())
    redis, upstreams = mesh.redis.get(host, ()), mesh.upstreams.get(host, ())
    if host not in mesh.services:
        refs = (
            [entry.ref for entry in rules]
            + [entry.ref for entry in policies]
            + [entry.ref for entry in redis]
            + [entry.ref for entry in upstreams]
        )
        for ref in dict.fromkeys(ref.object for ref in refs):
            yield Problem(
                "MEL0308",
                ref,
                f"no Service or ServiceEntry has the host {host!r}: the object has no effect",
                "correct the host, or create the service",
            )
        # Nothing is compiled of them, which would have told these; the webhook refuses them.
        for rule in rules:
            for route in rule.routes:
                yield from broken_regexes(route)
    yield from _claims(mesh, host)
    yield from _losing_rules(host, rules)
    for group in (policies, redis, upstreams):
        yield from _losers(host, group)


def _claims(mesh: Mesh, host: str) -> Iterator[Problem]:
    """Services of one namespace that claim one host."""
    seen: dict[str, Ref] = {}
    for service in mesh.services.get(host, ()):
        first = seen.setdefault(service.namespace, service.ref)
        if first is not service.ref:
            yield Problem(
                "MEL0207",
                service.ref,
                f"{first} has the host {host!r} already",
                "remove one of them, or give it another host",
            )


def _losing_rules(host: str, rules: Sequence[Rule]) -> Iterator[Problem]:
    winners: dict[str, Rule] = {}
    first = min(rules, key=rule_rank, default=None)
    for rule in rules:
        if first is not None and rule_rank(rule) > rule_rank(first):
            yield _conflict(host, rule.ref, first.ref)
            continue
        winner = winners.setdefault(rule.ref.namespace, rule)
        if winner is not rule:
            yield _conflict(host, rule.ref, winner.ref)


def _losers(
    host: str,
    entries: Sequence[DestinationPolicy] | Sequence[RedisSettings] | Sequence[RedisUpstream],
) -> Iterator[Problem]:
    winners: dict[str, Ref] = {}
    for entry in entries:
        winner = winners.setdefault(entry.ref.namespace, entry.ref)
        if winner is not entry.ref:
            yield _conflict(host, entry.ref, winner)


def _conflict(host: str, loser: Ref, winner: Ref) -> Problem:
    return Problem(
        "MEL0309",
        loser.object,
        f"{winner.object} rules {host!r}; this object has no effect on it",
        "merge the two objects, or delete one",
    )
