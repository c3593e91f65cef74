from thrift.protocol.TProtocol import TProtocolFactory
from thrift.Thrift import TProcessor
from thrift.transport.TSocket import TServerSocket
from thrift.transport.TTransport import TTransportFactoryBase

class TThreadedServer:
    def __init__(
        self,
        processor: TProcessor,
        server_transport: TServerSocket,
        transport_factory: TTransportFactoryBase,
        protocol_factory: TProtocolFactory,
        /,
        *,
        daemon: bool = ...,
    ) -> None: ...
    def serve(self) -> None: ...
