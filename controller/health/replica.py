"""What a running replica knows of its own health, and of its cluster's."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from meltemi.controller.health.cluster import IDLE_S, Cluster
from meltemi.controller.health.local import local_checks
from meltemi.controller.health.result import HealthRecord, error
from meltemi.controller.health.running import Check, run
from meltemi.controller.health.serving import Connected, proxy_results, source_results
from meltemi.controller.kube.api import Api
from meltemi.controller.sources import SourceError
from meltemi.controller.sources.kube import configured
from meltemi.xds.status import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from kubernetes.aio.client import Configuration

    from meltemi.controller.health.ports import Port
    from meltemi.controller.health.result import Name, Result
    from meltemi.controller.manifests.wish import Wish
    from meltemi.controller.plane import ControlPlane
    from meltemi.controller.settings import Settings
    from meltemi.controller.sources import Source

FRESH_S = 5.0
"""Seconds for which an answer is given again: however often it is asked for, the API server and the
event loop notice little of it.
"""

CONNECT = "mount a service account's token, or say with --kubeconfig how to reach it"


class ReplicaHealth:
    """Of one process. ``ports`` are those that it should listen on. ``connect`` to the cluster that
    it runs in, and ``wish`` what it needs there; None where it serves files. ``clock`` is
    monotonic, in seconds.
    """

    def __init__(
        self,
        plane: ControlPlane,
        source: Source,
        settings: Settings,
        ports: Iterable[Port] = (),
        connect: Callable[[], Awaitable[Configuration]] | None = None,
        wish: Wish | None = None,
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._plane = plane
        self._source = source
        self._settings = settings
        self._ports = tuple(ports)
        self._connect = connect
        self._wish = wish
        self._clock = clock
        self._looking = asyncio.Lock()
        self._found: tuple[Result, ...] = ()
        self._until = -inf

    async def report(self) -> HealthRecord:
        """How it is now, or was a moment ago."""
        async with self._looking:
            if self._clock() >= self._until:
                self._found = await self._look()
                self._until = self._clock() + FRESH_S
        return {
            "version": version("meltemi"),
            "replica": self._settings.instance.name,
            "results": [each.to_dict() for each in self._found],
        }

    async def _look(self) -> tuple[Result, ...]:
        checks = (
            Check("api", self._look_at_cluster),
            Check("source", self._look_at_source),
            *local_checks(self._settings, self._ports, running=True),
            Check("proxies", self._look_at_proxies),
        )
        return await run(checks)

    async def _look_at_cluster(self) -> Iterable[Result]:
        """What its service account may see: not the definitions, of which the source tells."""
        if self._connect is None or self._wish is None:
            return ()
        try:
            api = Api(await configured(self._connect), idle=IDLE_S)
        except SourceError as refused:
            return (error("api", str(refused), CONNECT),)
        names: set[Name] = {"istio", "rbac"}
        if self._settings.write_status:
            names |= {"lease", "replicas"}
        if self._wish.webhook:
            names.add("webhook")
        try:
            cluster = Cluster(api, self._wish, lease=self._settings.instance.service)
            return (await cluster.look(names)).results
        finally:
            await api.close()

    async def _look_at_source(self) -> Iterable[Result]:
        return source_results([*self._source.followed()], ready=self._plane.ready)

    async def _look_at_proxies(self) -> Iterable[Result]:
        return proxy_results([*self._connected()])

    def _connected(self) -> Iterator[Connected]:
        members = self._plane.members()
        by_group = {each.group: each for each in members.values()}
        lacking = {
            group: tuple(lack.protocol for lack in member.lacking(group))
            for group, member in by_group.items()
        }
        for number, stream in self._plane.status.numbered().items():
            if (member := members.get(number)) is not None:
                refused = any(each.state[0] is State.NACKED for each in stream.types.values())
                node = stream.node
                yield Connected(node.id, node.version, refused, lacking[member.group])
