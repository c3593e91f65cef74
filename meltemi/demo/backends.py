"""The servers behind Envoy: two versions for each protocol."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from meltemi.testing.dubbo import DubboServer
from meltemi.testing.thrift import ThriftServer
from meltemi.testing.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from meltemi.testing.ports import Address

VERSIONS: Final = ("v1", "v2")
PASSWORD: Final = "open-sesame"
"""What examples/redis/secret.yaml says."""
CART: Final = "cart:served-by"
"""A key whose value is the version of the server that holds it."""


@dataclass(frozen=True, slots=True)
class Backends:
    """``ports``: where the server really listens that an example expects at a port.

    ``current`` and ``successor`` are v1 and v2 of Redis.
    """

    ports: Mapping[int, int]
    current: Valkey
    successor: Valkey


@asynccontextmanager
async def backends() -> AsyncGenerator[Backends]:
    """All of them, on free loopback ports, until the context ends."""
    async with AsyncExitStack() as running:
        dubbo = [await running.enter_async_context(DubboServer(each)) for each in VERSIONS]
        thrift = [await running.enter_async_context(ThriftServer(each)) for each in VERSIONS]
        valkeys = [await running.enter_async_context(Valkey(password=PASSWORD)) for _ in VERSIONS]
        for version, server in zip(VERSIONS, valkeys, strict=True):
            await server.ask("SET", CART, version)
        listening = {
            **_at((20881, 20882), [server.address for server in dubbo]),
            **_at((9091, 9092), [server.address for server in thrift]),
            **_at((6381, 6382), [server.address for server in valkeys]),
        }
        yield Backends(listening, *valkeys)


def _at(expected: tuple[int, int], listening: list[Address]) -> dict[int, int]:
    return {port: address.port for port, address in zip(expected, listening, strict=True)}
