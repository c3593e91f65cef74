"""A Kubernetes cluster as a source of objects: the API server's words, told once and in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from meltemi.controller.decode import Unnamed, decode
from meltemi.controller.objects import Delete, Identity
from meltemi.controller.sources import Synced
from meltemi.controller.sources.kube.api import IDLE_S, Api
from meltemi.controller.sources.kube.kinds import WATCHED
from meltemi.controller.sources.kube.mirror import Gone
from meltemi.controller.sources.kube.reflector import Reflector, State

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Sequence

    from kubernetes.aio.client import Configuration

    from meltemi.controller.objects import Change
    from meltemi.controller.sources import Event, Place
    from meltemi.controller.sources.kube.kinds import Kind
    from meltemi.controller.sources.kube.reflector import News
    from meltemi.protocols.problem import Problem

log: Any = structlog.get_logger("meltemi")


class KubeSource:
    """What a cluster has of the kinds that mean something here.

    ``namespaces``: those to look at, all of them when empty; objects of the cluster are looked at
    anyway. ``selector``: a label selector that objects must match. ``idle``: seconds of silence
    after which a connection counts as dead. ``changed`` is called when a reflector's state changes.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        kinds: Sequence[Kind] = WATCHED,
        namespaces: Sequence[str] = (),
        selector: str = "",
        idle: float = IDLE_S,
        changed: Callable[[Reflector], None] = lambda _: None,
    ) -> None:
        self._api = Api(configuration, idle=idle)
        self._changes: dict[Identity, Change] = {}
        self._arrived = asyncio.Event()
        self._changed = changed
        self.reflectors = tuple(
            self._reflector(kind, namespace, selector)
            for kind in kinds
            for namespace in (namespaces if kind.namespaced and namespaces else ("",))
        )

    def place(self, _: Problem) -> Place | None:
        """A cluster has no files."""
        return None

    async def events(self) -> AsyncGenerator[Event]:
        """Everything, then ``Synced``, then what changes, for ever. Changes of one object that
        nobody has taken yet are merged.
        """
        running = [asyncio.create_task(each.run()) for each in self.reflectors]
        try:
            for reflector in self.reflectors:
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
            await self._api.close()

    def _reflector(self, kind: Kind, namespace: str, selector: str) -> Reflector:
        def deliver(news: Iterable[News]) -> None:
            for each in news:
                self._put(kind, each)
            self._arrived.set()

        return Reflector(
            kind, self._api, deliver, namespace=namespace, selector=selector, changed=self._told
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


async def _until(event: asyncio.Event, running: Iterable[asyncio.Task[None]]) -> None:
    """Raises what ended a reflector, which nothing should."""
    waiting = asyncio.create_task(event.wait())
    try:
        done, _ = await asyncio.wait({waiting, *running}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {waiting}:
            task.result()
    finally:
        waiting.cancel()
