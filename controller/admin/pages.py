"""What each path of the admin port answers. Nothing can be changed there."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, TypedDict

import msgspec
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from meltemi.controller.admin.guard import GRANT, Guard
from meltemi.controller.dump import dump, secrets_of
from meltemi.controller.proxies import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from starlette.requests import Request

    from meltemi.controller.admin.access import Grant
    from meltemi.controller.health.replica import ReplicaHealth
    from meltemi.controller.plane import ControlPlane
    from meltemi.controller.proxies import Member
    from meltemi.controller.store.objects import Identity
    from meltemi.protocols.group import GroupKey


def application(
    plane: ControlPlane,
    tokens: Path | None = None,
    *,
    closed: bool = False,
    health: Callable[[], ReplicaHealth] | None = None,
) -> Starlette:
    """All pages; with ``tokens`` for those who have one, ``closed`` for nobody. ``health`` has a
    page where it is looked after.
    """
    pages = Pages(plane, health)
    answers = {
        "healthz": pages.healthz,
        "readyz": pages.readyz,
        "metrics": pages.metrics,
        "proxies": pages.proxies,
        "findings": pages.findings,
        "objects": pages.objects,
        "config": pages.config,
        "check": pages.check,
    }
    routes = [Route(f"/{name}", page) for name, page in answers.items()]
    return Starlette(routes=routes, middleware=[Middleware(Guard, tokens=tokens, closed=closed)])


class Pages:
    """The pages of one control plane."""

    def __init__(self, plane: ControlPlane, health: Callable[[], ReplicaHealth] | None) -> None:
        self._plane = plane
        self._health = health

    async def healthz(self, _: Request) -> Response:
        """An event loop that is stuck does not answer."""
        return PlainTextResponse("ok\n")

    async def readyz(self, _: Request) -> Response:
        """Whether proxies are served."""
        if self._plane.ready:
            return PlainTextResponse("ok\n")
        text = "no proxy is served: the configuration is not loaded yet, or this is the end\n"
        return PlainTextResponse(text, status_code=503)

    async def metrics(self, request: Request) -> Response:
        """Everything that is counted and measured, for those who may see everything."""
        if not _grant(request).everything:
            raise HTTPException(403, "the metrics are of all namespaces")
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._plane.metrics.registry), media_type=content_type)

    async def check(self, request: Request) -> Response:
        """``HealthRecord``, for those who may see everything."""
        if not _grant(request).everything:
            raise HTTPException(403, "the health of the installation is of all namespaces")
        if self._health is None:
            raise HTTPException(404, "nobody looks after the health of this server")
        return JSONResponse(await self._health().report())

    async def proxies(self, request: Request) -> Response:
        """``[StreamRecord]``; ``?id=`` and ``?namespace=`` narrow it."""
        wanted, sees = request.query_params.get("id"), _narrowed(request)
        nodes = self._plane.status.numbered()
        members = {
            number: member
            for number, member in self._plane.members().items()
            if sees(member.namespace) and wanted in (None, nodes[number].node.id)
        }
        return JSONResponse(describe(self._plane.status, members, monotonic()))

    async def findings(self, request: Request) -> Response:
        """``[FindingRecord]``; ``?namespace=`` narrows it."""
        sees = _narrowed(request)
        found = (each.to_dict() for each in self._plane.findings)
        return JSONResponse([each for each in found if sees(each["namespace"])])

    async def objects(self, request: Request) -> Response:
        """``[ObjectRecord]``; ``?kind=``, ``?namespace=`` and ``?name=`` narrow it."""
        sees, query = _narrowed(request), request.query_params
        wanted = {name: query[name] for name in ("kind", "name") if name in query}
        found = (
            describe_object(self._plane, identity)
            for identity in sorted(self._plane.statuses)
            if sees(identity.namespace)
            and all(getattr(identity, name) == value for name, value in wanted.items())
        )
        return JSONResponse([each for each in found if each is not None])

    async def config(self, request: Request) -> Response:
        """``[GroupRecord]``; with ``?proxy=ID`` and everything that proxies of that name should
        hold, without secrets.
        """
        sees = _narrowed(request)
        wanted = request.query_params.get("proxy")
        members = {n: m for n, m in self._plane.members().items() if sees(m.namespace)}
        if wanted is None:
            return JSONResponse([_group(key, found) for key, found in _groups(members.values())])
        nodes = self._plane.status.numbered()
        named = [member for number, member in members.items() if nodes[number].node.id == wanted]
        if not named:
            raise HTTPException(404, f"no proxy {wanted!r} is connected, as far as you may see")
        secrets, may_hold = [*secrets_of(self._plane.store.mesh)], self._plane.redactor.is_in
        answer: list[dict[str, object]] = []
        for key, found in _groups(named):
            # Beside the event loop: a large snapshot takes seconds, and never changes.
            held = await asyncio.to_thread(dump, found[0].snapshot, secrets, may_hold)
            answer.append({**_group(key, found), "held": held})
        return JSONResponse(answer)


class ObjectRecord(TypedDict):
    """An object and its status, as Kubernetes has it. ``generation`` is the last that was read, 0
    of an object in a file.
    """

    kind: str
    namespace: str
    name: str
    generation: int
    status: object


def describe_object(plane: ControlPlane, identity: Identity) -> ObjectRecord | None:
    """None if there is no such object any more."""
    status, state = plane.statuses.current(identity), plane.store.state(identity)
    if status is None or state is None:
        return None
    return {
        "kind": identity.kind,
        "namespace": identity.namespace,
        "name": identity.name,
        "generation": state.generation,
        "status": msgspec.to_builtins(status),
    }


class GroupRecord(TypedDict):
    """Proxies that share their configuration. ``resources`` by type; ``version`` is on the wire."""

    namespace: str
    bind: str
    services: list[str]
    ports: dict[str, int]
    envoy: str
    rtds: bool
    streams: int
    resources: dict[str, TypeSummary]


class TypeSummary(TypedDict):
    """What a group has of a type."""

    count: int
    version: str


def _groups(members: Iterable[Member]) -> Iterable[tuple[GroupKey, list[Member]]]:
    found: dict[GroupKey, list[Member]] = {}
    for member in members:
        found.setdefault(member.group, []).append(member)
    return found.items()


def _group(key: GroupKey, members: Sequence[Member]) -> GroupRecord:
    snapshot = members[0].snapshot
    return {
        "namespace": key.namespace,
        "bind": key.bind,
        "services": sorted(key.services),
        "ports": dict(key.ports),
        "envoy": ".".join(map(str, key.target.capability.version)),
        "rtds": key.target.rtds,
        "streams": len(members),
        "resources": {
            type_url: {"count": len(table), "version": snapshot.version(type_url)}
            for type_url in sorted(snapshot.types())
            if (table := snapshot.of_type(type_url))
        },
    }


def _grant(request: Request) -> Grant:
    grant: Grant = request.scope["state"][GRANT]
    return grant


def _narrowed(request: Request) -> Callable[[str], bool]:
    """Which namespaces the answer is about."""
    grant, wanted = _grant(request), request.query_params.get("namespace")
    if wanted is None:
        return grant.sees
    if not grant.sees(wanted):
        raise HTTPException(403, f"this token is not for the namespace {wanted!r}")
    return wanted.__eq__
