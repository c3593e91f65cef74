"""A Kubernetes cluster as a source of objects: the API server's words, told once and in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog
from kubernetes.aio.config import ConfigException

from meltemi.controller.decode import Unnamed, decode
from meltemi.controller.kube.api import IDLE_S, Api
from meltemi.controller.kube.kinds import WATCHED
from meltemi.controller.kube.mirror import Gone
from meltemi.controller.kube.reflector import Reflector, State
from meltemi.controller.objects import Delete, Identity
from meltemi.controller.sources import SourceError, Synced

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence

    from kubernetes.aio.client import Configuration

    from meltemi.controller.kube.kinds import Kind
    from meltemi.controller.kube.reflector import News
    from meltemi.controller.objects import Change
    from meltemi.controller.sources import Event, Place
    from meltemi.protocols.problem import Problem

log: Any = structlog.get_logger("meltemi")


class KubeSource:
    """What a cluster has of the kinds that mean something here. ``connect`` gives its API server.

    ``namespaces``: those to look at, all of them when empty; objects of the cluster are looked at
    anyway. ``selector``: a label selector that objects must match. ``idle``: seconds of silence
    after which a connection counts as dead. ``changed`` is called when a reflector's state changes.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Configuration]],
        *,
        kinds: Sequence[Kind] = WATCHED,
        namespaces: Sequence[str] = (),
        selector: str = "",
        idle: float = IDLE_S,
        changed: Callable[[Reflector], None] = lambda _: None,
    ) -> None:
        self._connect = connect
        self._watched = tuple(
            (kind, namespace)
            for kind in kinds
            for namespace in (namespaces if kind.namespaced and namespaces else ("",))
        )
        self._selector = selector
        self._idle = idle
        self._changed = changed
        self._changes: dict[Identity, Change] = {}
        self._arrived = asyncio.Event()

    def place(self, problem: Problem) -> Place | None:
        """A cluster has no files."""
        return None

    async def events(self) -> AsyncGenerator[Event]:
        """Everything, then ``Synced``, then what changes, for ever. Changes of one object that
        nobody has taken yet are merged. Raises SourceError where no API server is configured.
        """
        api = Api(await configured(self._connect), idle=self._idle)
        reflectors = [self._reflector(api, *watched) for watched in self._watched]
        running = [asyncio.create_task(each.run()) for each in reflectors]
        try:
            for reflector in reflectors:
                await _until(reflector.synced, running)
            yield self._take()
            yield Synced()
            while True:
                await _until(self._arrived, running)
                yield self._take()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            await api.close()

    def _reflector(self, api: Api, kind: Kind, namespace: str) -> Reflector:
        def deliver(news: Iterable[News]) -> None:
            for each in news:
                self._put(kind, each)
            self._arrived.set()

        return Reflector(
            kind, api, deliver, namespace=namespace, selector=self._selector, changed=self._told
        )

    def _put(self, kind: Kind, news: News) -> None:
        identity = Identity(kind.group, kind.kind, *news.name)
        if isinstance(news, Gone):
            self._changes[identity] = Delete(identity)
            return
        outcome = decode(news.body)
        if isinstance(outcome, Unnamed):  # an API server names everything
            log.error("source.unreadable", kind=str(kind), problems=outcome.problems)
            return
        self._changes[identity] = outcome

    def _told(self, reflector: Reflector) -> None:
        state = reflector.state
        say = log.info if state in {State.FOLLOWING, State.ABSENT} else log.warning
        say("source.kind", kind=str(reflector.kind), state=state.value, reason=reflector.reason)
        self._changed(reflector)

    def _take(self) -> tuple[Change, ...]:
        self._arrived.clear()
        changes, self._changes = self._changes, {}
        return tuple(changes.values())


async def configured(connect: Callable[[], Awaitable[Configuration]]) -> Configuration:
    """How to reach the API server. Raises SourceError."""
    try:
        return await connect()
    except (ConfigException, OSError) as error:
        raise SourceError(
            f"no API server is configured: {error}. Name a file with --kubeconfig, or run in "
            "a pod with a service account"
        ) from error


async def _until(event: asyncio.Event, running: Iterable[asyncio.Task[None]]) -> None:
    """Raises what ended a reflector, which nothing should."""
    waiting = asyncio.create_task(event.wait())
    try:
        done, _ = await asyncio.wait({waiting, *running}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {waiting}:
            task.result()
    finally:
        waiting.cancel()
