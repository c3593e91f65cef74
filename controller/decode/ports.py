"""Which protocol a port speaks: its name's word, else its appProtocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meltemi.protocols.model import Port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.decode.notes import Notes

NO_TOKEN = "MEL0201"
NOT_OURS = "MEL0206"

METAPROTOCOL = "metaprotocol"
_FOREIGN = frozenset(
    {"http", "http2", "https", "grpc", "grpc-web", "h2c", "tls", "ws", "wss", "quic"}
)
_NAMES = "tcp-dubbo, tcp-thrift or tcp-redis"


@dataclass(frozen=True, slots=True)
class Statement:
    """What a port says of itself. ``protocol`` empty: it says it in a way that cannot be meant."""

    protocol: str
    application: str = ""


@dataclass(frozen=True, slots=True)
class WrittenPort:
    """A port as its object has it. ``hint`` is appProtocol, or a ServiceEntry's ``protocol``."""

    number: int
    name: str
    transport: str
    hint: str
    field: str


def ports(written: list[WrittenPort], notes: Notes) -> tuple[Port, ...]:
    """The ports that Meltemi serves; the notes say why others are not."""
    numbers: set[int] = set()
    return tuple(_served(written, numbers, notes))


def _served(written: list[WrittenPort], numbers: set[int], notes: Notes) -> Iterator[Port]:
    for port in written:
        if port.transport.upper() in {"UDP", "SCTP"}:
            continue
        if port.number in numbers:
            cause = f"port {port.number} is listed twice"
            notes.wrong(port.field, cause, "give each port a number of its own")
            continue
        numbers.add(port.number)
        if (statement := _statement(port, notes)) is not None:
            yield Port(
                number=port.number,
                name=port.name,
                protocol=statement.protocol,
                ref=notes.ref.at(port.field),
                application=statement.application,
            )


def _statement(port: WrittenPort, notes: Notes) -> Statement | None:
    """The first clear statement wins; a name that only says ``tcp`` gives way to the hint."""
    named = statement_of_name(port.name)
    if named is not None and named.protocol not in {"", "tcp"}:
        return named
    if (hinted := statement_of_hint(port.hint)) is not None:
        return hinted
    if named is None:
        notes.add(
            NOT_OURS,
            port.field,
            f"port {port.number} ({port.name or 'without a name'}) states none of our protocols",
            f"nothing, or name it {_NAMES}",
        )
        return None
    if not named.protocol:
        notes.add(
            NO_TOKEN,
            port.field,
            f"{port.name!r} does not say which protocol port {port.number} speaks",
            f"name it {_NAMES}, or tcp-metaprotocol-<application>",
        )
        return None
    return named


def statement_of_name(name: str) -> Statement | None:
    """``tcp-<protocol>[-x]`` or ``tcp-metaprotocol-<application>[-x]``, in any case.

    An application is a protocol like any other: which engine speaks it is not a port's business.
    """
    words = name.lower().split("-")
    if words[0] != "tcp":
        return None
    if len(words) == 1:
        return Statement("tcp")
    if words[1] != METAPROTOCOL:
        return Statement(words[1])
    application = words[2] if len(words) > 2 else ""
    return Statement(application, application)


def statement_of_hint(hint: str) -> Statement | None:
    """A protocol that an appProtocol names; None for HTTP and its family, and for plain TCP."""
    word = hint.lower()
    if not word or word == "tcp" or word in _FOREIGN or "/" in word:
        return None
    return Statement(word)
