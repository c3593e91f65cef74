"""What the connected proxies said, for people and programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.protocols.model import Ref
from meltemi.protocols.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meltemi.xds.status import Refusal, Status, StreamStatus, TypeStatus

REDACTED = "<redacted>"


def refusal_problems(status: Status, secrets: Iterable[str]) -> Iterator[Problem]:
    """A finding on every object that a proxy's refusal may come from."""
    values = [*secrets]
    for stream in status.streams():
        for type_url, found in stream.types.items():
            for refusal in found.refusals:
                yield from _problems(stream, type_url, refusal, without(refusal.message, values))


def _problems(
    stream: StreamStatus, type_url: str, refusal: Refusal, message: str
) -> Iterator[Problem]:
    next_step = (
        "the proxy keeps what it had; correct the object, or report this to the plugin's author"
    )
    if "Address already in use" in message:
        next_step = "free the port on the proxy's machine, or map it with `ports` in its metadata"
    for origin in refusal.origins:
        if isinstance(origin, Ref):
            yield Problem(
                "MEL0503",
                origin,
                f"proxy {stream.node.id} refused {type_url.rpartition('.')[2]} "
                f"{', '.join(refusal.names)}: {message}",
                next_step,
            )


def without(message: str, secrets: Iterable[str]) -> str:
    """A proxy's own words, which may quote what it was sent, without any secret."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        message = message.replace(secret, REDACTED)
    return message


def describe(status: Status, secrets: Iterable[str], now: float) -> list[dict[str, object]]:
    """The open streams, oldest first; times are seconds ago. No secret is shown."""
    values = [*secrets]
    return [_stream(stream, values, now) for stream in status.streams()]


def _stream(stream: StreamStatus, secrets: list[str], now: float) -> dict[str, object]:
    node = stream.node
    return {
        "id": node.id,
        "cluster": node.cluster,
        "version": ".".join(map(str, node.version)),
        "metadata": node.metadata.get("meltemi", {}),
        "connected": round(now - stream.since, 3),
        "types": {url: _type(found, secrets, now) for url, found in sorted(stream.types.items())},
    }


def _type(found: TypeStatus, secrets: list[str], now: float) -> Mapping[str, object]:
    return {
        "subscribed": found.subscribed,
        "version": found.version,
        "refusals": [_refusal(refusal, secrets, now) for refusal in found.refusals],
    }


def _refusal(refusal: Refusal, secrets: list[str], now: float) -> dict[str, object]:
    return {
        "message": without(refusal.message, secrets),
        "names": list(refusal.names),
        "certain": refusal.named,
        "origins": [str(origin) for origin in refusal.origins],
        "since": round(now - refusal.since, 3),
    }
