from collections.abc import Collection

from thrift.protocol.TProtocol import TProtocolBase, TProtocolFactory
from thrift.transport.TTransport import TTransportBase

class THeaderProtocol(TProtocolBase):
    def __init__(
        self, transport: TTransportBase, allowed_client_types: Collection[int]
    ) -> None: ...
    def get_headers(self) -> dict[bytes, bytes]: ...
    def set_header(self, key: bytes, value: bytes) -> None: ...

class THeaderProtocolFactory(TProtocolFactory):
    def __init__(self, allowed_client_types: Collection[int] = ...) -> None: ...
