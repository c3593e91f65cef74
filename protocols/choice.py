"""Which engine serves a port, and what is told where it is none of the protocol's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.protocols.problem import Problem
from meltemi.protocols.tcp import TCP_PROXY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.protocols.api import Capability, Engine
    from meltemi.protocols.model import Mesh, Port
    from meltemi.protocols.registry import Registered, Registry

METAPROTOCOL = "metaprotocol"
"""The plugin of applications that have no plugin of their own, but a codec."""


def speaker(registry: Registry, mesh: Mesh, port: Port) -> Registered | None:
    """Whose plugin serves the port: its protocol's own, else MetaProtocol's if there is a codec."""
    own = registry.get(port.protocol)
    if own is not None and own.plugin.name != METAPROTOCOL:
        return own
    return registry.get(METAPROTOCOL) if port.protocol in mesh.applications else None


def choose_engine(
    registered: Registered | None,
    capability: Capability,
    *,
    application: bool = False,
    tls: bool = False,
    allowed: frozenset[str] = frozenset(),
) -> Engine | None:
    """The best engine of the protocol that such a proxy has. ``application``: the port's protocol
    is one of MetaProtocol's. ``tls``: the port's TLS is passed through. ``allowed`` names engines
    that serve only where they may.
    """
    for engine in registered.plugin.engines if registered else ():
        if engine.tls != tls or (engine.applications and not application):
            continue
        if engine.on_leave and engine.name not in allowed:
            continue
        if _has(capability, engine):
            return engine
    return None


def choose(
    registry: Registry, mesh: Mesh, port: Port, capability: Capability, allowed: frozenset[str]
) -> tuple[Registered, Engine, tuple[Problem, ...]]:
    """The plugin and the engine that serve the port; TCP where nothing better can, which is told.

    Raises LookupError where there is no plugin for TCP either.
    """
    registered = speaker(registry, mesh, port)
    application = bool(port.application) or port.protocol in mesh.applications
    engine = choose_engine(
        registered, capability, application=application, tls=port.tls, allowed=allowed
    )
    if registered is not None and engine is not None:
        return registered, engine, ()
    tcp = registry.get("tcp")
    if tcp is None:
        raise LookupError("no plugin serves tcp: the distribution meltemi is not installed")
    if registered is None:
        problem = _unknown(registry, port)
    else:
        problem = _lacking(registered, port, capability, application=application)
    return tcp, TCP_PROXY, (problem,)


def _has(capability: Capability, engine: Engine) -> bool:
    return engine.requires <= capability.extensions and engine.since <= capability.version


def _unknown(registry: Registry, port: Port) -> Problem:
    plugins = (entry.plugin.name for entry in registry)
    known = ", ".join(name for name in plugins if name != METAPROTOCOL)
    return Problem(
        "MEL0202",
        port.ref,
        f"no plugin serves {port.protocol!r}, and no ApplicationProtocol names its codec",
        f"install its plugin, write an ApplicationProtocol, or use one of: {known}",
    )


def _lacking(
    registered: Registered, port: Port, capability: Capability, *, application: bool
) -> Problem:
    """The proxy has none of the engines that would serve the port, perhaps one of another name."""
    engines = [*_recommended(registered, port)]
    names = ", ".join(each.name for each in engines if application or not each.applications)
    major, minor = capability.version
    build = f"an Envoy {major}.{minor}" if capability.version != (0, 0) else "a proxy"
    others = (each.name for each in engines if each.applications and _has(capability, each))
    unasked = "" if application else next(others, "")
    named = f"name the port tcp-metaprotocol-{port.protocol}, which its {unasked} serves, or "
    return Problem(
        "MEL0501",
        port.ref,
        f"{build} of this build has none of {port.protocol}'s engines "
        f"({names}): connections are passed through, rules cannot match",
        f"{named if unasked else ''}use an Envoy build that has one of them",
    )


def _recommended(registered: Registered, port: Port) -> Iterator[Engine]:
    for engine in registered.plugin.engines:
        if not engine.on_leave and engine.tls == port.tls:
            yield engine
