"""What the connected proxies were sent and said, for people and programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

from meltemi.protocols.model import Ref
from meltemi.protocols.problem import Problem
from meltemi.xds.status import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from meltemi.controller.unsupported import Unsupported
    from meltemi.protocols.group import GroupKey
    from meltemi.xds.session import Session
    from meltemi.xds.snapshot import Snapshot
    from meltemi.xds.status import Refusal, Status, StreamStatus, TypeStatus


UNSUPPORTED = "UNSUPPORTED"
"""The state of a protocol of which a proxy has no engine."""


@dataclass(frozen=True, slots=True)
class Member:
    """A stream as the fleet knows it: its group, what it should hold, and how to find out which
    protocols in the scope of a group its proxies cannot speak.
    """

    group: GroupKey
    session: Session[Any]
    snapshot: Snapshot
    lacking: Callable[[GroupKey], tuple[Unsupported, ...]]

    @property
    def namespace(self) -> str:
        """Which one it speaks for."""
        return self.group.namespace


class RefusalRecord(TypedDict):
    """A NACK that stands. ``since`` in seconds ago; ``certain``: it is about these."""

    message: str
    names: list[str]
    certain: bool
    origins: list[str]
    since: float


class TypeRecord(TypedDict):
    """A type on a stream. ``since`` in seconds ago: how long it has been in this state."""

    state: str
    since: float
    subscribed: bool
    version: str
    unanswered: int
    refusals: list[RefusalRecord]


class UnsupportedRecord(TypedDict):
    """A protocol in the proxy's scope that it has no engine for."""

    protocol: str
    reason: str
    origins: list[str]


class StreamRecord(TypedDict):
    """An open stream; a proxy may have several. ``connected`` in seconds ago."""

    stream: int
    id: str
    cluster: str
    namespace: str
    version: str
    dialect: str
    address: str
    identity: str
    metadata: object
    connected: float
    types: dict[str, TypeRecord]
    unsupported: list[UnsupportedRecord]


def describe(status: Status, members: Mapping[int, Member], now: float) -> list[StreamRecord]:
    """These of the open streams, oldest first, as programs read them."""
    return [
        _stream(number, stream, members[number], now)
        for number, stream in status.numbered().items()
        if number in members
    ]


def _stream(number: int, stream: StreamStatus, member: Member, now: float) -> StreamRecord:
    node, session = stream.node, member.session
    return {
        "stream": number,
        "id": node.id,
        "cluster": node.cluster,
        "namespace": member.namespace,
        "version": ".".join(map(str, node.version)),
        "dialect": session.dialect,
        "address": stream.peer.address,
        "identity": str(stream.peer.identity or ""),
        "metadata": node.metadata.get("meltemi", {}),
        "connected": round(now - stream.since, 3),
        "types": dict(_types(stream, member, now)),
        "unsupported": [
            {
                "protocol": each.protocol,
                "reason": each.reason,
                "origins": [str(origin) for origin in each.origins],
            }
            for each in member.lacking(member.group)
        ],
    }


def _types(stream: StreamStatus, member: Member, now: float) -> Iterator[tuple[str, TypeRecord]]:
    """Those that it asks for, and those of which there is something that it does not ask for."""
    for type_url in member.session.types:
        found = stream.types.get(type_url)
        if found is not None:
            yield type_url, _type(found, now)
        elif member.snapshot.of_type(type_url):
            yield type_url, _never_asked_for(now - stream.since)


def _type(found: TypeStatus, now: float) -> TypeRecord:
    state, since = found.state
    return {
        "state": state.value,
        "since": round(now - since, 3),
        "subscribed": found.subscribed,
        "version": found.version,
        "unanswered": len(found.pending),
        "refusals": [_refusal(refusal, now) for refusal in found.refusals],
    }


def _never_asked_for(since: float) -> TypeRecord:
    return {
        "state": State.NOT_SUBSCRIBED.value,
        "since": round(since, 3),
        "subscribed": False,
        "version": "",
        "unanswered": 0,
        "refusals": [],
    }


def _refusal(refusal: Refusal, now: float) -> RefusalRecord:
    return {
        "message": refusal.message,
        "names": list(refusal.names),
        "certain": refusal.certain,
        "origins": [str(origin) for origin in refusal.origins],
        "since": round(now - refusal.since, 3),
    }


def refusal_problems(status: Status) -> Iterator[Problem]:
    """A finding on every object that a proxy's refusal may come from."""
    for stream in status.streams():
        for type_url, found in stream.types.items():
            for refusal in found.refusals:
                yield from _problems(stream, type_url, refusal)


def _problems(stream: StreamStatus, type_url: str, refusal: Refusal) -> Iterable[Problem]:
    next_step = (
        "the proxy keeps what it had; correct the object, or report this to the plugin's author"
    )
    if "Address already in use" in refusal.message:
        next_step = "free the port on the proxy's machine, or map it with `ports` in its metadata"
    for origin in refusal.origins:
        if isinstance(origin, Ref):
            yield Problem(
                "MEL0503",
                origin,
                f"proxy {stream.node.id} refused {type_url.rpartition('.')[2]} "
                f"{', '.join(refusal.names)}: {refusal.message}",
                next_step,
            )
