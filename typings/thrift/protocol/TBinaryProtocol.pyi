from thrift.protocol.TProtocol import TProtocolBase
from thrift.transport.TTransport import TTransportBase

class TBinaryProtocol(TProtocolBase):
    def __init__(self, trans: TTransportBase) -> None: ...
