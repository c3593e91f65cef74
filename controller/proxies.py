"""What the connected proxies said, for people and programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.protocols.model import Ref
from meltemi.protocols.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meltemi.protocols.model import Secret
    from meltemi.xds.status import Refusal, Status, StreamStatus, TypeStatus

REDACTED = "<redacted>"


def refusal_problems(status: Status) -> Iterator[Problem]:
    """A finding on every object that a proxy's refusal may come from."""
    for stream in status.streams():
        for type_url, found in stream.types.items():
            if (refusal := found.refusal) is None:
                continue
            for origin in refusal.origins:
                if isinstance(origin, Ref):
                    yield Problem(
                        "MEL0503",
                        origin,
                        f"proxy {stream.node.id} refused {type_url.rpartition('.')[2]} "
                        f"{', '.join(refusal.names)}: {refusal.message}",
                        "the proxy keeps what it had; correct the object, or report this to the "
                        "plugin's author",
                    )


def describe(status: Status, secrets: Iterable[Secret], now: float) -> list[dict[str, object]]:
    """The open streams, oldest first; times are seconds ago. No secret is shown."""
    values = [value for secret in secrets for value in secret.data.values() if value]
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
        "nack": None if found.refusal is None else _refusal(found.refusal, secrets, now),
    }


def _refusal(refusal: Refusal, secrets: list[str], now: float) -> dict[str, object]:
    message = refusal.message
    for value in secrets:
        message = message.replace(value, REDACTED)
    return {
        "message": message,
        "names": list(refusal.names),
        "certain": refusal.named,
        "origins": [str(origin) for origin in refusal.origins],
        "since": round(now - refusal.since, 3),
    }
