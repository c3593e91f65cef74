"""Dubbo2 frames: requests, responses and heartbeats to bytes and back.

A frame is a header of 16 bytes (magic 0xdabb, flags, status, id, length of the body) and a body of
Hessian 2 values. After https://dubbo.apache.org/en/overview/reference/protocols/tcp/.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, TypeAlias

from meltemi.testing.hessian2 import HessianError, Thing, Value, encode
from meltemi.testing.hessian2_reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HEADER = struct.Struct(">HBBqi")
MAGIC = 0xDABB
DUBBO_VERSION = "2.0.2"

_REQUEST, _TWO_WAY, _EVENT, _HESSIAN2 = 0x80, 0x40, 0x20, 0x02


class Status(IntEnum):
    """What a response says of the call; only OK has a result."""

    OK = 20
    CLIENT_TIMEOUT = 30
    SERVER_TIMEOUT = 31
    BAD_REQUEST = 40
    BAD_RESPONSE = 50
    SERVICE_NOT_FOUND = 60
    SERVICE_ERROR = 70
    SERVER_ERROR = 80
    CLIENT_ERROR = 90


class _Kind(IntEnum):
    """The first value in the body of a response."""

    EXCEPTION = 0
    VALUE = 1
    NULL = 2
    EXCEPTION_WITH_ATTACHMENTS = 3
    VALUE_WITH_ATTACHMENTS = 4
    NULL_WITH_ATTACHMENTS = 5


class DubboWireError(ConnectionError):
    """The peer sent something that is not Dubbo2 with Hessian 2: the connection is of no use."""


class DubboCallError(RuntimeError):
    """A call without a result. ``status`` is the wire's; 20 means that the service raised.

    ``reason`` is what Envoy says of an error of its own (``route_not_found``, ``timeout``,
    ``connection_failure``...), empty for errors of the service.
    """

    def __init__(self, status: int, text: str, reason: str) -> None:
        super().__init__(f"status {status}: {reason or text or 'no text'}")
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Request:
    """One call. ``interface`` is what travels as the path, ``descriptor`` the Java signature."""

    id: int
    interface: str
    method: str
    version: str = ""
    descriptor: str = ""
    arguments: tuple[Value, ...] = ()
    attachments: Mapping[str, Value] = field(default_factory=dict[str, "Value"])
    two_way: bool = True


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to the request of this id.

    ``value`` is the result, or with ``raised`` the exception of the service; with a status other
    than OK it is the error text. ``status`` may be a number that is not in ``Status``.
    """

    id: int
    status: int = Status.OK
    value: Value = None
    raised: bool = False
    attachments: Mapping[str, Value] = field(default_factory=dict[str, "Value"])

    @property
    def ok(self) -> bool:
        """Whether ``value`` is a result."""
        return self.status == Status.OK and not self.raised

    @property
    def reason(self) -> str:
        """Envoy's word for an error of its own, as in ``DubboCallError``."""
        return str(self.attachments.get("reason", ""))

    def result(self) -> Value:
        """The result of the call. Raises DubboCallError when there is none."""
        if self.ok:
            return self.value
        text = self.value.type if isinstance(self.value, Thing) else str(self.value or "")
        raise DubboCallError(self.status, text, self.reason)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Are you there? With ``answer``: I am."""

    id: int
    answer: bool = False


Message: TypeAlias = Request | Response | Heartbeat


def to_bytes(message: Message) -> bytes:
    """The whole frame."""
    match message:
        case Request():
            flags = _REQUEST | (_TWO_WAY if message.two_way else 0)
            return _frame(flags, 0, message.id, _request_body(message))
        case Response():
            return _frame(0, message.status, message.id, _response_body(message))
        case Heartbeat(answer=False):
            return _frame(_REQUEST | _TWO_WAY | _EVENT, 0, message.id, encode(None))
        case Heartbeat():
            return _frame(_EVENT, Status.OK, message.id, encode(None))


def _frame(flags: int, status: int, number: int, body: bytes) -> bytes:
    return HEADER.pack(MAGIC, flags | _HESSIAN2, status, number, len(body)) + body


def _request_body(request: Request) -> bytes:
    named = (DUBBO_VERSION, request.interface, request.version, request.method, request.descriptor)
    return encode(*named, *request.arguments, _map(request.attachments))


def _response_body(response: Response) -> bytes:
    if response.status != Status.OK:
        return encode(response.value)
    attachments = _map(response.attachments)
    if response.raised:
        return encode(_Kind.EXCEPTION_WITH_ATTACHMENTS, response.value, attachments)
    if response.value is None:
        return encode(_Kind.NULL_WITH_ATTACHMENTS, attachments)
    return encode(_Kind.VALUE_WITH_ATTACHMENTS, response.value, attachments)


def _map(attachments: Mapping[str, Value]) -> dict[Value, Value]:
    return {name: value for name, value in attachments.items()}  # noqa: C416  # other key type


def body_length(header: bytes) -> int:
    """How many bytes follow the 16 of this header. Raises DubboWireError."""
    magic, _, _, _, length = HEADER.unpack(header)
    if magic != MAGIC:
        raise DubboWireError(f"a frame begins with 0x{magic:04x}, not with 0x{MAGIC:04x}")
    return int(length)


def from_bytes(header: bytes, body: bytes) -> Message:
    """The message of one frame. Raises DubboWireError."""
    _, flags, status, number, _ = HEADER.unpack(header)
    if flags & _EVENT:
        return Heartbeat(number, answer=not flags & _REQUEST)
    try:
        reader = Reader(body)
        if flags & _REQUEST:
            return _read_request(number, reader, two_way=bool(flags & _TWO_WAY))
        return _read_response(number, status, reader)
    except HessianError as error:
        raise DubboWireError(f"frame {number} cannot be read: {error}") from error


def _read_request(number: int, reader: Reader, *, two_way: bool) -> Request:
    _, interface, version, method, descriptor = (str(reader.read()) for _ in range(5))
    rest = list(_all_of(reader))
    attachments = _named(rest.pop() if rest else None)
    return Request(
        number, interface, method, version, descriptor, tuple(rest), attachments, two_way
    )


def _read_response(number: int, status: int, reader: Reader) -> Response:
    if status != Status.OK:
        values = list(_all_of(reader))
        text = values[0] if values else ""
        return Response(number, status, text, attachments=_named(values[-1] if values else None))
    kind = reader.read()
    if kind not in tuple(_Kind):
        raise HessianError(f"a response of kind {kind!r}")
    value = None if kind in _WITHOUT_VALUE else reader.read()
    attachments = _named(reader.read() if reader.more else None)
    return Response(number, status, value, kind in _RAISED, attachments)


_WITHOUT_VALUE = (_Kind.NULL, _Kind.NULL_WITH_ATTACHMENTS)
_RAISED = (_Kind.EXCEPTION, _Kind.EXCEPTION_WITH_ATTACHMENTS)


def _all_of(reader: Reader) -> Iterator[Value]:
    while reader.more:
        yield reader.read()


def _named(value: Value) -> dict[str, Value]:
    return {str(key): each for key, each in value.items()} if isinstance(value, dict) else {}
