from thrift.protocol.TProtocol import TProtocolBase

class TType:
    STOP: int
    STRING: int

class TMessageType:
    CALL: int
    REPLY: int
    EXCEPTION: int

class TProcessor:
    def process(self, iprot: TProtocolBase, oprot: TProtocolBase) -> None: ...

class TException(Exception):
    message: str | None

class TApplicationException(TException):
    BAD_SEQUENCE_ID: int
    MISSING_RESULT: int
    type: int
    def __init__(self, type: int = ..., message: str | None = ...) -> None: ...
    def read(self, iprot: TProtocolBase) -> None: ...
