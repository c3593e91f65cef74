"""Clients that say exactly what a scenario wants said, and hear what the server says.

Silence is proven by a fence: the client asks for something else, and that answer must be the next
thing that it hears.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import grpc.aio

from meltemi.protocols.types import type_table
from meltemi.testing.resources import ROUTE, empty, plain
from meltemi.testing.xds_client import (
    Response,
    delta_request,
    read_delta,
    read_sotw,
    sotw_request,
)
from meltemi.xds.resource import Missing, TypeRules
from meltemi.xds.subscription import WILDCARD
from tests.conformance.scenario import Dialect

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from meltemi.xds.resource import TypeUrl
    from tests.conformance.world import World

FENCE: TypeUrl = "type.googleapis.com/test.Fence"
FENCE_MARK = "fence-"


def _readable(rules: TypeRules) -> TypeRules:
    """Absences as bodies of the tests' own form."""
    if not isinstance(rules.missing_sotw, Missing):
        rules = replace(rules, missing_sotw=empty)
    if not isinstance(rules.missing_delta, Missing):
        rules = replace(rules, missing_delta=empty)
    return rules


# The product's own table. A fence comes after everything else that is due.
RULES = (
    *(_readable(rules) for rules in type_table([ROUTE])),
    TypeRules(FENCE, missing_sotw=empty, missing_delta=empty),
)


class StreamEnded(AssertionError):
    """The server ended a stream that should live."""


class ServerFailed(Exception):
    """The server raised: nobody's verdict on a rule."""


def contents(response: Response) -> dict[str, str]:
    """What a response carries, by name; a fence does not count."""
    pairs = (body.decode().partition("=") for body in response.bodies)
    return {name: content for name, _, content in pairs if not name.startswith(FENCE_MARK)}


@dataclass(slots=True)
class Talk:
    """What a client remembers of one type: what it asks for and what it heard and accepted."""

    names: tuple[str, ...] = ()
    named: bool = False
    nonce: str = ""
    version: str = ""
    held: dict[str, str] = field(default_factory=dict[str, str])

    def change(self, adds: Iterable[str], drops: Iterable[str]) -> None:
        """Ask for more and for less."""
        self.names = (*(name for name in self.names if name not in drops), *adds)
        self.named = self.named or bool(self.names)


class Stream:
    """One stream of one client. Scenarios that hold for both dialects use ``ask`` and ``answer``;
    the others say what they like.
    """

    dialect: Dialect

    def __init__(
        self, world: World, channel: grpc.aio.Channel, method: str, *, only: TypeUrl, node: str
    ) -> None:
        self.world = world
        self.only = only
        self.talks: dict[TypeUrl, Talk] = {}
        # grpc's stubs make a call generic in what the serializers would be.
        self._call: Any = channel.stream_stream(method)()
        self._said: list[bytes] = []
        self._call.add_done_callback(self._end)
        self._node = node

    # Talking

    async def say(self, raw: bytes) -> None:
        """Write a request as it is, and wait until the server has read it or ended the stream."""
        await self.rush(raw)
        await self.world.caught_up()

    async def rush(self, *requests: bytes) -> None:
        """Write requests without waiting for the server to read them."""
        for raw in requests:
            self._said.append(raw)
            try:
                await self.world.send(self._call, raw)
            except (asyncio.InvalidStateError, grpc.aio.AioRpcError):
                await self._raise_end()

    def _end(self, _: object) -> None:
        for raw in self._said:
            self.world.note_read(raw)

    async def hear(self) -> Response:
        """The next response. Raises StreamEnded, or TimeoutError when there is none."""
        try:
            async with asyncio.timeout(self.world.patience):
                raw: object = await self._call.read()
        except grpc.aio.AioRpcError:
            raw = None
        if not isinstance(raw, bytes):
            await self._raise_end()
        response = self.read(raw)
        self.talk(response.type_url).nonce = response.nonce
        return response

    async def end(self) -> tuple[grpc.StatusCode, str]:
        """How the server ended the stream."""
        async with asyncio.timeout(self.world.patience):
            code, details = await self._call.code(), await self._call.details()
        if code is grpc.StatusCode.UNKNOWN:
            raise ServerFailed(details)
        return code, details

    async def _raise_end(self) -> NoReturn:
        code, details = await self.end()
        raise StreamEnded(f"{code.name}: {details}")

    async def close(self) -> None:
        """Have no more to say."""
        await self._call.done_writing()

    def talk(self, type_url: TypeUrl) -> Talk:
        return self.talks.setdefault(type_url, Talk())

    def node(self) -> str:
        """The node's id, for the first request only."""
        node, self._node = self._node, ""
        return node

    # What a well-behaved client does, whatever the dialect

    async def ask(self, type_url: TypeUrl, *names: str) -> None:
        """Want exactly these names from now on; none at first means all, for some types."""
        raise NotImplementedError

    async def answer(self, response: Response, error: str | None = None) -> None:
        """ACK, or NACK with an error."""
        if error is None:
            self.accept(response)
        await self.reply(response.type_url, response.nonce, error)

    async def reply(
        self,
        type_url: TypeUrl,
        nonce: str,
        error: str | None = None,
        *,
        adds: Iterable[str] = (),
        drops: Iterable[str] = (),
    ) -> None:
        """A request with any nonce, which may change what is asked for as well."""
        raise NotImplementedError

    def accept(self, response: Response) -> None:
        """Remember what the next requests say about it."""
        raise NotImplementedError

    def read(self, raw: bytes) -> Response:
        raise NotImplementedError

    async def take(self) -> Response:
        """Hear the next response and accept it."""
        response = await self.hear()
        await self.answer(response)
        return response

    async def get(self, type_url: TypeUrl, *names: str) -> Response:
        """Ask, hear and accept."""
        await self.ask(type_url, *names)
        response = await self.take()
        assert response.type_url == type_url
        return response

    async def silence(self) -> None:
        """Nothing has been said that was not heard. Responses so far must have been answered."""
        fence = self.world.next_fence()
        kind = self.only or FENCE
        talk = self.talk(kind)
        if self.only:
            await self._fence_of_the_only_type(talk, fence)
        else:
            await self.ask(FENCE, *talk.names, fence)
        response = await self.hear()
        assert response.type_url == kind, f"heard {response} instead of silence"
        assert any(body.startswith(fence.encode()) for body in response.bodies), response
        if not _full_state(kind) or self.dialect is Dialect.DELTA:
            assert contents(response) == {}, f"heard {response} instead of silence"
            assert not response.removed, f"heard {response} instead of silence"
        await self.answer(response)

    async def _fence_of_the_only_type(self, talk: Talk, fence: str) -> None:
        self.world.publish(plain(self.only, fence))
        if talk.named and WILDCARD not in talk.names:
            await self.ask(self.only, *talk.names, fence)
        else:
            assert self.only in self.talks, "nothing was asked yet"


def _full_state(type_url: TypeUrl) -> bool:
    return any(rule.full_state for rule in RULES if rule.type_url == type_url)


class SotwStream(Stream):
    """State of the world."""

    dialect = Dialect.SOTW

    def read(self, raw: bytes) -> Response:
        return read_sotw(raw)

    async def ask(self, type_url: TypeUrl, *names: str) -> None:
        talk = self.talk(type_url)
        talk.names, talk.named = names, talk.named or bool(names)
        await self.request(type_url, names, version=talk.version, nonce=talk.nonce)

    def accept(self, response: Response) -> None:
        self.talk(response.type_url).version = response.version

    async def reply(
        self,
        type_url: TypeUrl,
        nonce: str,
        error: str | None = None,
        *,
        adds: Iterable[str] = (),
        drops: Iterable[str] = (),
    ) -> None:
        talk = self.talk(type_url)
        talk.change(adds, drops)
        await self.request(type_url, talk.names, version=talk.version, nonce=nonce, error=error)

    async def request(
        self,
        type_url: TypeUrl,
        names: Iterable[str] = (),
        *,
        version: str = "",
        nonce: str = "",
        error: str | None = None,
    ) -> None:
        """Say a request of these parts."""
        raw = sotw_request(
            type_url, names, version=version, nonce=nonce, error=error, node=self.node()
        )
        await self.say(raw)


class DeltaStream(Stream):
    """Incremental."""

    dialect = Dialect.DELTA

    def read(self, raw: bytes) -> Response:
        return read_delta(raw)

    async def ask(self, type_url: TypeUrl, *names: str) -> None:
        talk = self.talk(type_url)
        before, talk.names = talk.names, names
        talk.named = talk.named or bool(names)
        added = [name for name in names if name not in before]
        dropped = [name for name in before if name not in names]
        await self.request(type_url, added, dropped)

    async def resume(self, type_url: TypeUrl, *names: str, held: Mapping[str, str]) -> None:
        """Ask as a client does that reconnects with these versions."""
        talk = self.talk(type_url)
        talk.names, talk.named = names, bool(names)
        await self.request(type_url, names, initial=held)

    def accept(self, response: Response) -> None:
        talk = self.talk(response.type_url)
        talk.held.update(zip(response.names, response.versions, strict=True))
        for name in response.removed:
            talk.held.pop(name, None)

    async def reply(
        self,
        type_url: TypeUrl,
        nonce: str,
        error: str | None = None,
        *,
        adds: Iterable[str] = (),
        drops: Iterable[str] = (),
    ) -> None:
        self.talk(type_url).change(adds, drops)
        await self.request(type_url, adds, drops, nonce=nonce, error=error)

    async def request(
        self,
        type_url: TypeUrl,
        subscribe: Iterable[str] = (),
        unsubscribe: Iterable[str] = (),
        *,
        initial: Mapping[str, str] | None = None,
        nonce: str = "",
        error: str | None = None,
    ) -> None:
        """Say a request of these parts."""
        raw = delta_request(
            type_url,
            subscribe,
            unsubscribe,
            initial=initial,
            nonce=nonce,
            error=error,
            node=self.node(),
        )
        await self.say(raw)
