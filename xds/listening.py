"""A server of gRPC's at an address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc.aio

from meltemi.xds.transport import channel_arguments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from meltemi.xds.limits import Limits


def listening(
    address: str,
    credentials: grpc.ServerCredentials | None,
    handlers: Sequence[grpc.GenericRpcHandler],
    limits: Limits,
) -> tuple[grpc.aio.Server, int]:
    """A server that is not started yet, with its port; plaintext without ``credentials``.

    Raises OSError when the address is taken.
    """
    server = grpc.aio.server(options=channel_arguments(limits))
    server.add_generic_rpc_handlers(handlers)
    try:
        if credentials is None:
            return server, server.add_insecure_port(address)
        return server, server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise OSError(
            f"cannot listen on {address}: it is in use, or no address of this machine; end what "
            "listens there, or choose another address"
        ) from error
