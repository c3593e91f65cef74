"""What would be found if an object were stored, without a trace of it in what is served."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from meltemi.controller.nodes import profile
from meltemi.controller.offline.offline import namespaces
from meltemi.controller.offline.presets import preset
from meltemi.controller.store.objects import Upsert
from meltemi.controller.store.store import Store
from meltemi.protocols.compiler import Compiler
from meltemi.protocols.group import NOWHERE
from meltemi.protocols.model import Application, Rule
from meltemi.protocols.routing import destinations

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from meltemi.controller.settings import Settings
    from meltemi.controller.store.objects import Decoded
    from meltemi.protocols.model import Endpoint, Mesh
    from meltemi.protocols.problem import Problem
    from meltemi.protocols.registry import Registry


LARGEST = 100
"""Hosts and routes of an object that is tried."""


class PluginFailedError(Exception):
    """A plugin raised for these hosts. What it raised may quote anything, so it is not said."""


class Trial:
    """``store`` is the live one, which is only read."""

    def __init__(self, store: Store, registry: Registry, settings: Settings) -> None:
        self._store = store
        self._registry = registry
        self._settings = settings
        self._stock = profile(preset(), registry).group

    def fits(self, decoded: Decoded) -> bool:
        """Whether it is small enough: proxies wait while a host is compiled, at up to 3 ms a route,
        and they will once more when the object is stored.
        """
        routes = sum(len(value.routes) for value in decoded.values if isinstance(value, Rule))
        return len(self._store.concerns(decoded)) + routes <= LARGEST

    def run(self, decoded: Decoded) -> Generator[None, None, tuple[Problem, ...]]:
        """What is wrong with the object beside the others that there are: compiled for stock
        proxies as ``meltemi validate`` does, but of the hosts that it is about alone. The caller
        may do other work between two pieces; what is found is of the moment of the first.

        Raises:
            PluginFailedError: not everything could be found.
        """
        hosts = self._store.concerns(decoded) | frozenset(self._users(decoded))
        mesh = self._mesh(decoded, hosts)
        compiler = Compiler(
            self._registry,
            mesh,
            check_interval=self._settings.health_check_interval,
            allowed=self._settings.allowed,
            exposed=self._settings.security.exposed,
        )
        compiler.lint(hosts)
        selected = frozenset(f"*/{host}" for host in hosts)
        for namespace in sorted(namespaces(mesh)):
            key = replace(self._stock, namespace=namespace, bind=NOWHERE, services=selected)
            yield from compiler.open(key)
        if compiler.failures:
            raise PluginFailedError(", ".join(sorted({key.host for key in compiler.failures})))
        about = decoded.identity.ref()
        return tuple(each for each in compiler.problems() if each.about.object == about)

    def _users(self, decoded: Decoded) -> Iterator[str]:
        """For each application protocol a host that speaks it: all of them would say the same."""
        for value in decoded.values:
            if isinstance(value, Application):
                speaking = (
                    host
                    for host, services in self._store.mesh.services.items()
                    if any(p.protocol == value.protocol for s in services for p in s.ports)
                )
                yield from [host for host in [next(speaking, "")] if host]

    def _mesh(self, decoded: Decoded, hosts: frozenset[str]) -> Mesh:
        """The hosts with the object as it would be, and those that their rules lead to."""
        supposed, live = Store(), self._store.mesh
        supposed.apply(map(Upsert, self._store.about(hosts)))
        supposed.apply((Upsert(decoded),))
        rules = (rule for host in hosts for rule in supposed.mesh.rules.get(host, ()))
        reached = {destination.host for rule in rules for destination in destinations(rule)}
        supposed.apply(map(Upsert, self._store.about(reached - hosts)))
        return replace(
            supposed.mesh,
            endpoints=_endpoints(supposed.mesh, live),
            secrets=live.secrets,
            applications={**live.applications, **supposed.mesh.applications},
        )


def _endpoints(supposed: Mesh, live: Mesh) -> dict[tuple[str, str], tuple[Endpoint, ...]]:
    """What objects list themselves as it would be; what slices and Pods stand for as it is."""
    keys = {
        (service.namespace, host)
        for host, services in supposed.services.items()
        for service in services
    }
    return {key: supposed.endpoints.get(key) or live.endpoints.get(key, ()) for key in keys}
