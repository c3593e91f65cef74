"""Keeps up with one kind: list, watch, and again from where it was, whatever happens.

The contract: every change is told once; nothing is ever told to be gone unless the API server says
so; a server that fails is asked less and less often; a silent one is asked again.
"""

from __future__ import annotations

import asyncio
from random import Random
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from meltemi.controller.kube.api import ApiError
from meltemi.controller.kube.backoff import Backoff
from meltemi.controller.kube.mirror import (
    Gone,
    Mirror,
    Seen,
    mapping,
    mappings,
    revision_of,
)
from meltemi.controller.kube.state import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from meltemi.controller.kube.api import Api
    from meltemi.controller.kube.kinds import Kind
    from meltemi.controller.kube.mirror import Body

PAGE = 500
WATCH_S = 290.0
"""Seconds that a watch is asked to last, more or less: not all must end together."""

ABSENT_S = 60.0
"""Seconds for which a kind must be unknown to the API server before its objects count as gone: a
server that has just started does not know the kinds of CRDs yet.
"""

STALE_S = 30.0
"""Seconds of waiting after which a failure is more than a restart of the API server."""

_INITIAL_END = "k8s.io/initial-events-end"

News: TypeAlias = Seen | Gone


DENIED_S = 4.0
"""Seconds for which the right to read must be missing before it counts as missing: a server that
has just started knows no roles yet and refuses everybody, seen for 20 to 200 ms.
"""

SOUND_S = 10.0
"""Seconds of following after which a failure counts as a first one."""

_VERDICTS = {404: State.ABSENT, 403: State.DENIED}
"""What an answer says of the kind; all others say something of the server, or of us."""


class Expired(Exception):
    """The server has forgotten where the watch was (410): everything must be listed again."""


class Reflector:
    """Follows one kind, in one namespace or all. ``deliver`` gets what changed, in order.

    ``selector``: a label selector that objects must match. ``name``: follow this one object alone,
    which needs the rights to get it and to watch it, but not to list. ``synced`` is set when
    everything that there was has been delivered, or when the kind is absent or denied and others
    must not wait for it. ``changed`` is called when ``state`` changes. ``events`` counts what came
    of watches.
    """

    def __init__(
        self,
        kind: Kind,
        api: Api,
        deliver: Callable[[Sequence[News]], None],
        *,
        namespace: str = "",
        selector: str = "",
        name: str = "",
        changed: Callable[[Reflector], None] = lambda _: None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        self.kind = kind
        self.state = State.STARTING
        self.reason = ""
        self.synced = asyncio.Event()
        self.namespace = namespace
        self.name = name
        self.events = 0
        self._lists = 0
        self._heard: float | None = None
        self._api = api
        self._deliver = deliver
        self._narrowed = {
            **({"labelSelector": selector} if selector else {}),
            **({"fieldSelector": f"metadata.name={name}"} if name else {}),
        }
        self._changed = changed
        self._sleep = sleep
        self._random = random or Random()
        self._backoff = Backoff(random=self._random)
        self._mirror = Mirror()
        self._path = ""
        self._type: Body = {}
        self._revision = ""
        self._streams_lists = True
        self._since = 0.0
        self._verdict = State.STARTING
        self._lasting = 0.0
        self._away = False

    @property
    def relists(self) -> int:
        """How often all had to be read again."""
        return max(0, self._lists - 1)

    @property
    def age(self) -> float | None:
        """Seconds since the API server said something; None when it never did."""
        return None if self._heard is None else monotonic() - self._heard

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self._follow()
            except Expired:
                self._revision = ""
                await self._sleep(self._delay())
            except ApiError as error:
                await self._wait(error)

    async def _follow(self) -> None:
        if not self._path:
            self._path = await self._find()
        if not self._revision:
            await self._read_all()
        started, events = monotonic(), self.events
        await self._watch({"resourceVersion": self._revision})
        if self.events == events and monotonic() - started < 1.0:
            raise ApiError(0, "the watch ended at once")
        self._backoff.reset()

    # -- finding the kind --------------------------------------------------------------------------

    async def _find(self) -> str:
        """The path of the best version that the server has."""
        if not self.kind.group:
            return self._choose(self.kind.versions[0])
        group = await self._api.get(f"/apis/{self.kind.group}")
        served = _versions(group)
        for version in self.kind.versions:
            if version in served:
                return self._choose(version)
        raise ApiError(404, f"the API server has {self.kind.group} in {', '.join(sorted(served))}")

    def _choose(self, version: str) -> str:
        api = f"{self.kind.group}/{version}" if self.kind.group else version
        self._type = {"apiVersion": api, "kind": self.kind.kind}
        return self.kind.path(version, self.namespace)

    # -- everything --------------------------------------------------------------------------------

    async def _read_all(self) -> None:
        try:
            if self.name:
                await self._read_one()
            elif not (self._streams_lists and await self._stream_all()):
                await self._list_all()
        except (LookupError, ValueError) as error:
            raise ApiError(0, f"the answer is no object and no list: {error!r}") from error

    async def _read_one(self) -> None:
        self._mirror.begin()
        revision = "0"  # the watch begins with the object, should it be there by then
        try:
            body = await self._api.get(f"{self._path}/{self.name}")
        except ApiError as error:
            if error.status != 404:
                raise
        else:
            self._tell((self._mirror.seen(self._typed(body)),))
            revision = str(revision_of(mapping(body.get("metadata"))))
        self._complete(revision)

    async def _list_all(self) -> None:
        self._mirror.begin()
        # The first list may come from the server's cache; a later one must not go back in time.
        oldest = {} if self.synced.is_set() else {"resourceVersion": "0"}
        query = {"limit": str(PAGE), **oldest, **self._narrowed}
        while True:
            page = await self._page(query)
            items = mappings(page["items"])
            self._tell(self._mirror.seen(self._typed(item)) for item in items)
            metadata = mapping(page.get("metadata"))
            if not (more := metadata.get("continue")):
                break
            query = {"limit": str(PAGE), "continue": str(more), **self._narrowed}
        self._complete(str(revision_of(metadata)))

    async def _page(self, query: Mapping[str, str]) -> Body:
        try:
            return await self._api.get(self._path, query)
        except ApiError as error:
            if error.status == 410:  # etcd was compacted between two pages
                raise Expired from error
            raise

    async def _stream_all(self) -> bool:
        """The list as a watch that begins with everything; whether the server does that."""
        query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        self._mirror.begin()
        try:
            await self._watch(query)
        except ApiError as error:
            if error.status in {400, 422, 500} and not self._revision:
                self._streams_lists = False
                return False
            raise
        return bool(self._revision)

    def _complete(self, revision: str) -> None:
        self._tell(self._mirror.end())
        self._revision = revision
        self._lists += 1
        self._heard = monotonic()
        self._enter(State.FOLLOWING)
        self.synced.set()

    # -- what happens then -------------------------------------------------------------------------

    async def _watch(self, query: Mapping[str, str]) -> None:
        """Until the server ends it, or says nothing any more. Raises ApiError, Expired."""
        seconds = int(WATCH_S * self._random.uniform(0.8, 1.0))
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
            **self._narrowed,
            **query,
        }
        try:
            async with self._api.stream(self._path, query) as lines:
                if self._revision:
                    self._enter(State.FOLLOWING)
                async for line in lines:
                    self._take(line)
        except ApiError as error:
            if error.status == 410:
                raise Expired from error
            raise

    def _take(self, line: bytes) -> None:
        try:
            event = msgspec.json.decode(line)
            body: Any = event["object"]
            self._apply(event["type"], body)
        except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ApiError(0, f"the watch sent something else than an event: {error}") from error
        self.events += 1
        self._heard = monotonic()

    def _apply(self, kind: str, body: Body) -> None:
        if kind == "ERROR":
            status = int(str(body.get("code", 0)))
            if status == 410:
                raise Expired
            raise ApiError(status, f"{status} {body.get('message', '')}")
        revision = revision_of(mapping(body["metadata"]))
        if kind == "BOOKMARK":
            annotations = mapping(mapping(body["metadata"]).get("annotations"))
            if annotations.get(_INITIAL_END) == "true" and not self._revision:
                self._complete(str(revision))
        elif kind == "DELETED":
            self._tell((self._mirror.deleted(body),))
        elif kind in {"ADDED", "MODIFIED"}:
            self._tell((self._mirror.seen(self._typed(body)),))
        if self._revision and revision > int(self._revision):
            self._revision = str(revision)

    def _typed(self, body: Body) -> Body:
        """Items of a list do not say what they are."""
        return body if "kind" in body else {**self._type, **body}

    def _tell(self, news: Iterable[News | None]) -> None:
        if told := [each for each in news if each is not None]:
            self._deliver(told)

    # -- when it does not work ---------------------------------------------------------------------

    async def _wait(self, error: ApiError) -> None:
        """A kind that is absent, or that we may not read, holds up nobody else."""
        away = not error.status or error.status >= 500
        delay = self._delay(error.retry_after, away=away)
        state = self._judged(_VERDICTS.get(error.status, State.FAILING), delay)
        if state is State.ABSENT:
            self._path = ""
            if self._lasting >= ABSENT_S and len(self._mirror) and await self._is_gone():
                self._tell(self._mirror.clear())
        if state in {State.ABSENT, State.DENIED}:
            self._revision = ""
            if not self.kind.required:
                self.synced.set()
        if not self.synced.is_set():
            self._revision = ""
        self._enter(state, str(error))
        await self._sleep(delay)

    def _judged(self, verdict: State, delay: float) -> State:
        """What to make of a verdict that lasts; waiting is part of that."""
        self._lasting = self._lasting + delay if verdict is self._verdict else delay
        self._verdict = verdict
        if verdict is State.FAILING and self._lasting >= STALE_S:
            return State.STALE
        if verdict is State.DENIED and self._lasting < DENIED_S:
            return State.FAILING
        return verdict

    def _delay(self, asked: float = 0.0, *, away: bool = False) -> float:
        """Before trying again. What went well for a while is forgiven a first failure. A server
        that was away and is back may have forgotten where we were (410) or have to read itself
        first (429): it is not left alone for as long as one that is away.
        """
        sound = self.state is State.FOLLOWING and monotonic() - self._since >= SOUND_S
        if sound or (self._away and not away):
            self._backoff.reset()
        self._away = away
        return self._backoff.next(asked)

    async def _is_gone(self) -> bool:
        """Whether an API server lists what it has, and the kind is not among it: a 404 may also
        come from something else that stands where the server was.
        """
        try:
            groups = mappings((await self._api.get("/apis")).get("groups"))
            for group in groups:
                if group.get("name") == self.kind.group and await self._is_in(group):
                    return False
        except ApiError:
            return False
        return bool(groups and self.kind.group)

    async def _is_in(self, group: Body) -> bool:
        """Whether one of the group's versions that we read has the kind."""
        for version in self.kind.versions:
            if version in _versions(group):
                found = await self._api.get(f"/apis/{self.kind.group}/{version}")
                resources = mappings(found.get("resources"))
                if self.kind.plural in {each.get("name") for each in resources}:
                    return True
        return False

    def _enter(self, state: State, reason: str = "") -> None:
        if (state, reason) != (self.state, self.reason):
            if state is not self.state:
                self._since = monotonic()
            if state is State.FOLLOWING:
                self._verdict = state
            self.state, self.reason = state, reason
            self._changed(self)


def _versions(group: Body) -> set[str]:
    """Those in which the server has a group of kinds."""
    return {str(each.get("version")) for each in mappings(group.get("versions"))}
