"""Which objects decide for a host, seen from a client's namespace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from meltemi.protocols.model import (
    DestinationPolicy,
    Mesh,
    RedisSettings,
    RedisUpstream,
    Ref,
    Rule,
    Service,
    visible,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

RULES = ("MetaRouter", "RedisService", "VirtualService")
"""The kinds of objects that route a host: an earlier one takes it from a later one."""

Owned = TypeVar("Owned", RedisSettings, RedisUpstream)


@dataclass(frozen=True, slots=True)
class Sight:
    """The objects that decide for one host."""

    service: Service
    rule: Rule | None
    policy: DestinationPolicy | None
    redis: RedisSettings | None
    upstream: RedisUpstream | None

    def chosen(self) -> tuple[Ref | None, ...]:
        """Their identities: two namespaces with the same choice share what is compiled."""
        objects = (self.service, self.rule, self.policy, self.redis, self.upstream)
        return tuple(None if entry is None else entry.ref.object for entry in objects)


def look(mesh: Mesh, host: str, namespace: str) -> Sight | None:
    """What a client in ``namespace`` sees of ``host``; None when it does not see it."""
    if (service := service_of(mesh, host, namespace)) is None:
        return None
    return Sight(
        service=service,
        rule=rule_of(mesh, service, namespace),
        policy=policy_of(mesh, service, namespace),
        redis=_owned(mesh.redis.get(host, ()), service),
        upstream=upstream_of(mesh, service),
    )


def service_of(mesh: Mesh, host: str, namespace: str) -> Service | None:
    """The client's own namespace first, then the mesh's order (Kubernetes, then age)."""
    candidates = [
        service
        for service in mesh.services.get(host, ())
        if visible(service.export_to, service.namespace, namespace)
    ]
    own = (service for service in candidates if service.namespace == namespace)
    return next(own, candidates[0] if candidates else None)


def rule_of(mesh: Mesh, service: Service, namespace: str) -> Rule | None:
    """By kind first; then the client's, the service's and other namespaces'; then age."""
    candidates = (
        rule
        for rule in mesh.rules.get(service.host, ())
        if visible(rule.export_to, rule.ref.namespace, namespace) and rule_matters(rule, service)
    )

    def precedence(rule: Rule) -> tuple[int, bool, bool]:
        owner = rule.ref.namespace
        return rule_rank(rule), owner != namespace, owner != service.namespace

    return min(candidates, key=precedence, default=None)


def rule_rank(rule: Rule) -> int:
    """Less comes first. Kinds that nobody knows come last."""
    return RULES.index(rule.ref.kind) if rule.ref.kind in RULES else len(RULES)


def rule_matters(rule: Rule, service: Service) -> bool:
    """Whether it is about some port of the service: it may be meant for others, such as HTTP's."""
    return not rule.routes or any(rule.on(port) is not None for port in service.ports)


def policy_of(mesh: Mesh, service: Service, namespace: str) -> DestinationPolicy | None:
    """The client's namespace, then the service's: never a third one's (Istio's rule)."""
    candidates = [
        policy
        for policy in mesh.policies.get(service.host, ())
        if visible(policy.export_to, policy.ref.namespace, namespace)
    ]
    for owner in (namespace, service.namespace):
        for policy in candidates:
            if policy.ref.namespace == owner:
                return policy
    return None


def upstream_of(mesh: Mesh, service: Service) -> RedisUpstream | None:
    """How Envoy talks to it, if it is a Redis."""
    return _owned(mesh.upstreams.get(service.host, ()), service)


def _owned(candidates: Iterable[Owned], service: Service) -> Owned | None:
    """Settings of a host come from its own namespace only."""
    return next((entry for entry in candidates if entry.ref.namespace == service.namespace), None)
