"""A Kubernetes cluster as a source of objects: the API server's words, told once and in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from kubernetes.aio.config import ConfigException

from meltemi.controller.decode import Unnamed, decode
from meltemi.controller.kube.api import IDLE_S, Api
from meltemi.controller.kube.kinds import SECRETS, WATCHED
from meltemi.controller.kube.mirror import Gone
from meltemi.controller.kube.references import References, Turn
from meltemi.controller.kube.reflector import Reflector
from meltemi.controller.kube.state import State
from meltemi.controller.kube.trouble import crowded, resource_of, trouble
from meltemi.controller.kube.written import WrittenStatuses
from meltemi.controller.sources import Followed, SourceError, Synced
from meltemi.controller.store.objects import Delete, Identity, Invalid, identity_of

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        Awaitable,
        Callable,
        Iterable,
        Iterator,
        Sequence,
    )

    from kubernetes.aio.client import Configuration

    from meltemi.controller.kube.kinds import Kind
    from meltemi.controller.kube.reflector import News
    from meltemi.controller.sources import Event, Place
    from meltemi.controller.store.objects import Change
    from meltemi.protocols.problem import Problem

log: Any = structlog.get_logger("meltemi")


class _Key(NamedTuple):
    """What one reflector follows: a kind in a namespace or in all, or one object of it."""

    kind: Kind
    namespace: str
    name: str = ""


class _Running(NamedTuple):
    reflector: Reflector
    task: asyncio.Task[None]


class KubeSource:
    """What a cluster has of the kinds that mean something here, and the Secrets that these name.
    ``connect`` gives its API server.

    ``namespaces``: those to look at, all of them when empty; objects of the cluster are looked at
    anyway, but for ``whole`` kinds. ``selector``: a label selector that objects of selectable kinds
    must match. ``idle``: seconds of silence after which a connection counts as dead. ``changed`` is
    called when a reflector's state changes. ``written``: the statuses that stand there.
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
        self.namespaces = tuple(namespaces)
        self._connect = connect
        self._watched = tuple(
            _Key(kind, namespace)
            for kind in kinds
            if not (kind.whole and namespaces)
            for namespace in (namespaces if kind.namespaced and namespaces else ("",))
        )
        self._selector = selector
        self._idle = idle
        self._changed = changed
        self._running: dict[_Key, _Running] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._references = References()
        self._changes: dict[Identity, Change] = {}
        self._told: dict[Identity, Change] = {}
        self._arrived = asyncio.Event()
        self.written = WrittenStatuses()

    def place(self, problem: Problem) -> Place | None:
        """A cluster has no files."""
        return None

    def followed(self) -> Iterator[Followed]:
        """One for each kind and namespace, and for each Secret."""
        for reflector, _ in self._running.values():
            state = reflector.state.name.lower()
            counts = reflector.events, reflector.relists
            yield Followed(reflector.kind.kind, state, *counts, reflector.age)

    async def events(self) -> AsyncGenerator[Event]:
        """Everything, then ``Synced``, then what changes, for ever. Changes of one object that
        nobody has taken yet are merged. Raises SourceError where no API server is configured.
        """
        api = Api(await configured(self._connect), idle=self._idle, connect=self._connect)
        try:
            for key in self._watched:
                self._follow(api, key)
            for key in self._watched:
                await self._until(self._running[key].reflector.synced)
            while secrets := self._unread(self._running):
                await self._until(secrets[0].synced)
            yield self._take()
            yield Synced()
            while True:
                await self._until(self._arrived)
                if changes := self._take():
                    yield changes
        finally:
            for key in tuple(self._running):
                self._end(key)
            await asyncio.gather(*self._leaving, return_exceptions=True)
            await api.close()

    # -- reflectors --------------------------------------------------------------------------------

    def _follow(self, api: Api, key: _Key) -> None:
        def deliver(news: Iterable[News]) -> None:
            for each in news:
                turn = self._put(key.kind, each)
                for name in turn.dropped:
                    self._leave(_Key(SECRETS, *name))
                for name in turn.wanted:
                    self._follow(api, _Key(SECRETS, *name))
                if turn.beyond is not None:
                    about = Identity.of_resource(str(SECRETS), each.name.namespace)
                    problem = crowded(about, turn.beyond)
                    self._change(Invalid(about, (problem,)) if turn.beyond else Delete(about))
            self._arrived.set()

        reflector = Reflector(
            key.kind,
            api,
            deliver,
            namespace=key.namespace,
            selector=self._selector if key.kind.selectable else "",
            name=key.name,
            changed=self._note,
        )
        self._running[key] = _Running(reflector, asyncio.create_task(reflector.run()))

    def _leave(self, key: _Key) -> None:
        reflector = self._end(key)
        self._change(Delete(_identity(key.kind, key.namespace, key.name)))
        self._change(Delete(resource_of(reflector)))

    def _end(self, key: _Key) -> Reflector:
        reflector, task = self._running.pop(key)
        task.cancel()
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        return reflector

    def _note(self, reflector: Reflector) -> None:
        """Its state has changed."""
        state = reflector.state
        say = log.info if state in {State.FOLLOWING, State.ABSENT} else log.warning
        about = resource_of(reflector)
        say("source.kind", kind=about.name, state=state.value, reason=reflector.reason)
        problem = trouble(reflector)
        self._change(Delete(about) if problem is None else Invalid(about, (problem,)))
        self._arrived.set()
        self._changed(reflector)

    async def _until(self, event: asyncio.Event) -> None:
        """Raises what ended a reflector, which nothing should."""
        waiting = asyncio.create_task(event.wait())
        try:
            while not waiting.done():
                tasks = [running.task for running in self._running.values()]
                await asyncio.wait([waiting, *tasks], return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    if task.done() and not task.cancelled():
                        task.result()
        finally:
            waiting.cancel()

    # -- changes -----------------------------------------------------------------------------------

    def _put(self, kind: Kind, news: News) -> Turn:
        """Take in what came of an object; which Secrets are to be followed or left now."""
        identity = _identity(kind, *news.name)
        self.written.take(kind, identity, news)
        if isinstance(news, Gone):
            self._change(Delete(identity))
            return self._references.put(identity)
        outcome = decode(news.body)
        if isinstance(outcome, Unnamed):  # an API server names everything
            log.error("source.unreadable", kind=str(kind), problems=outcome.problems)
            return Turn()
        self._change(outcome)
        if isinstance(outcome, Invalid):  # what it was before stays in force
            return Turn()
        return self._references.put(identity, outcome.decoded.values)

    def _change(self, change: Change) -> None:
        """Unless it is none: most of what is written to objects is nothing that is read here."""
        identity = identity_of(change)
        if isinstance(change, Delete):
            if self._told.pop(identity, None) is None:
                return
        elif self._told.get(identity) == change:
            return
        else:
            self._told[identity] = change
        self._changes[identity] = change

    def _take(self) -> tuple[Change, ...]:
        """What came, but for what names a Secret that is not read yet: for a moment it would lock
        what it guards.
        """
        self._arrived.clear()
        taken = {i: change for i, change in self._changes.items() if not self._waits(i)}
        for identity in taken:
            del self._changes[identity]
        return tuple(taken.values())

    def _waits(self, identity: Identity) -> bool:
        names = self._references.of(identity)
        return bool(names and self._unread(_Key(SECRETS, *name) for name in names))

    def _unread(self, keys: Iterable[_Key]) -> list[Reflector]:
        """Those of Secrets that are followed and were not read yet."""
        secrets = (self._running[key] for key in keys if key.name and key in self._running)
        return [each.reflector for each in secrets if not each.reflector.synced.is_set()]


async def configured(connect: Callable[[], Awaitable[Configuration]]) -> Configuration:
    """How to reach the API server. Raises SourceError."""
    try:
        return await connect()
    except (ConfigException, OSError) as error:
        raise SourceError(
            f"no API server is configured: {error}. Name a file with --kubeconfig, or run in "
            "a pod with a service account"
        ) from error


def _identity(kind: Kind, namespace: str, name: str) -> Identity:
    return Identity(kind.group, kind.kind, namespace, name)
