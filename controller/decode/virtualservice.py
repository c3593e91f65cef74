"""Istio's VirtualService: ``http`` routes for protocols that are not HTTP, as Aeraki has it, and
``tcp`` routes.

It may be meant for HTTP services, gateways or nobody here: what it cannot say is told only where
one of its routes is used (``Remark``), and it is no mistake that its hosts are unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.controller.decode.virtual_routes import routes
from meltemi.controller.decode.virtual_schema import MESH
from meltemi.controller.store.hosts import expand, flaw
from meltemi.protocols.model import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.decode.metadata import Metadata
    from meltemi.controller.decode.notes import Notes
    from meltemi.controller.decode.virtual_schema import VirtualObject, VirtualSpec
    from meltemi.controller.store.objects import Value

NOT_OURS = "MEL0111"


def virtual_service(written: VirtualObject, meta: Metadata, notes: Notes) -> Iterator[Value]:
    """One rule for all of its hosts."""
    spec = written.spec
    gateways = [gateway for gateway in spec.gateways if gateway != MESH]
    if gateways:
        cause = f"gateways are not served: {', '.join(gateways)}"
        notes.add(NOT_OURS, "spec.gateways", cause, "nothing, if it is for them")
    if spec.gateways and MESH not in spec.gateways:
        return
    if spec.tls:
        cause = "routes by server names are not read"
        notes.add(NOT_OURS, "spec.tls", cause, "nothing, if it is for other readers")
    hosts = tuple(_hosts(spec, meta, notes))
    found = tuple(routes(spec, notes))
    if hosts and found:
        yield Rule(notes.ref, hosts, found, meta.creation_timestamp, spec.export_to or ("*",))


def _hosts(spec: VirtualSpec, meta: Metadata, notes: Notes) -> dict[str, None]:
    """Those that may be a service's, each once."""
    hosts: dict[str, None] = {}
    for i, host in enumerate(spec.hosts):
        if (cause := flaw(host)) is None:
            hosts[expand(host, meta.namespace)] = None
        else:
            notes.add(NOT_OURS, f"spec.hosts[{i}]", f"{host!r}: {cause}", "name the services")
    return hosts
