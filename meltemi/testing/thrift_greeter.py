"""The service that Thrift calls go to, in the manner of generated code.

Instead of the compiler's output for ``service Greeter { string hello(1: string name) }``, one
client and one processor for every method of that shape: the name of the method is a matter of the
call, so that routes by method have something to tell apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from thrift.Thrift import TApplicationException, TMessageType, TProcessor, TType

if TYPE_CHECKING:
    from thrift.protocol.TProtocol import TProtocolBase

_NAME, _SUCCESS = 1, 0

Answer: TypeAlias = Callable[[str, str, "TProtocolBase"], str]
"""(method, name, the protocol that the request came by) -> answer."""


class GreeterClient:
    """Calls over one protocol, one at a time."""

    def __init__(self, protocol: TProtocolBase) -> None:
        self._protocol = protocol
        self._sequence = 0

    def call(self, method: str, name: str) -> str:
        """``method(name)``. ``service:method`` is how multiplexed clients name a method.

        Raises TApplicationException as the peer sent it, TTransportException for a lost connection.
        """
        self._sequence += 1
        out = self._protocol
        out.writeMessageBegin(method, TMessageType.CALL, self._sequence)
        _write_struct(out, f"{method}_args", "name", _NAME, name)
        out.writeMessageEnd()
        out.trans.flush()
        return self._receive()

    def _receive(self) -> str:
        answer = self._protocol
        _, kind, sequence = answer.readMessageBegin()
        if kind == TMessageType.EXCEPTION:
            error = TApplicationException()
            error.read(answer)
            answer.readMessageEnd()
            raise error
        success = _read_struct(answer, _SUCCESS)
        answer.readMessageEnd()
        if sequence != self._sequence:
            raise TApplicationException(
                TApplicationException.BAD_SEQUENCE_ID, "another call's answer"
            )
        if success is None:
            raise TApplicationException(TApplicationException.MISSING_RESULT, "no result")
        return success


class GreeterProcessor(TProcessor):
    """Serves every method with one function."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def process(self, iprot: TProtocolBase, oprot: TProtocolBase) -> None:
        method, _, sequence = iprot.readMessageBegin()
        name = _read_struct(iprot, _NAME) or ""
        iprot.readMessageEnd()
        answer = self._answer(method, name, iprot)
        oprot.writeMessageBegin(method, TMessageType.REPLY, sequence)
        _write_struct(oprot, f"{method}_result", "success", _SUCCESS, answer)
        oprot.writeMessageEnd()
        oprot.trans.flush()


def _write_struct(out: TProtocolBase, struct: str, name: str, number: int, text: str) -> None:
    out.writeStructBegin(struct)
    out.writeFieldBegin(name, TType.STRING, number)
    out.writeString(text)
    out.writeFieldEnd()
    out.writeFieldStop()
    out.writeStructEnd()


def _read_struct(source: TProtocolBase, number: int) -> str | None:
    text = None
    source.readStructBegin()
    while True:
        _, kind, at = source.readFieldBegin()
        if kind == TType.STOP:
            break
        if at == number and kind == TType.STRING:
            text = source.readString()
        else:
            source.skip(kind)
        source.readFieldEnd()
    source.readStructEnd()
    return text
