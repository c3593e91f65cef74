"""One port for all brokers: the server name of a client's TLS says which of them it gets."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from meltemi.testing.ports import LOOPBACK, Address, free_port
from meltemi.testing.standalone import embedded_meltemi, standalone_envoy
from tests.abilities import Seen, saw
from tests.envoy.rig import PATIENCE_S, save

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.envoy.rig import Document

pytestmark = pytest.mark.envoy

DOMAIN = "kafka.test"
CLOSED = ""


@asynccontextmanager
async def broker(name: str) -> AsyncGenerator[Address]:
    """A server that says its name as soon as something arrives: what it is sent, stays TLS."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (await reader.read(1 << 16)).startswith(b"\x16"):  # a TLS handshake
            writer.write(name.encode())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, LOOPBACK, 0)
    async with server:
        yield Address(*server.sockets[0].getsockname()[:2])


def hello(server_name: str) -> bytes:
    """The first message of a TLS client that wants this server."""
    sent = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(
        ssl.MemoryBIO(), sent, server_hostname=server_name
    )
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


async def who_answers(at: Address, first: bytes) -> str:
    """What comes back for these bytes; nothing when the connection is closed."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(at.host, at.port)
        writer.write(first)
        try:
            return (await reader.read()).decode()
        except ConnectionError:
            return CLOSED
        finally:
            writer.close()


def cluster(port: int, *at: Address) -> Document:
    return {
        "apiVersion": "meltemi.io/v1alpha1",
        "kind": "KafkaCluster",
        "metadata": {"name": "events"},
        "spec": {
            "host": "kafka.example",
            "brokers": [{"id": i, "host": a.host, "port": a.port} for i, a in enumerate(at, 1)],
            "listeners": {"sni": {"port": port, "domain": DOMAIN}},
        },
    }


async def test_the_server_name_decides_and_without_a_known_one_nobody_answers(
    tmp_path: Path,
) -> None:
    async with broker("one") as one, broker("two") as two, broker("moved") as moved:
        at = Address(LOOPBACK, free_port())
        save(tmp_path / "kafka.yaml", cluster(at.port, one, two))
        async with embedded_meltemi(tmp_path) as meltemi, standalone_envoy(meltemi.xds) as envoy:
            await envoy.wait_ready()
            answers = {
                name: await who_answers(at, hello(name))
                for name in (f"broker-1.{DOMAIN}", f"broker-2.{DOMAIN}", f"broker-3.{DOMAIN}")
            }
            assert answers == {
                f"broker-1.{DOMAIN}": "one",
                f"broker-2.{DOMAIN}": "two",
                f"broker-3.{DOMAIN}": CLOSED,
            }
            assert {await who_answers(at, hello(DOMAIN)) for _ in range(4)} == {"one", "two"}
            assert await who_answers(at, b"\0\0\0\x04 not TLS") == CLOSED

            save(tmp_path / "kafka.yaml", cluster(at.port, one, moved))

            async def has_moved() -> bool:
                return await who_answers(at, hello(f"broker-2.{DOMAIN}")) == "moved"

            await envoy.process.wait_until(has_moved, "lead to the broker's new place", PATIENCE_S)
            assert await who_answers(at, hello(f"broker-1.{DOMAIN}")) == "one"
            await saw(envoy, "kafka", Seen.SERVER_NAMES)
