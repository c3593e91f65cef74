"""Who is at a port, and whether that is as it should be."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from meltemi.controller.health import probing
from meltemi.controller.health.ports import Port, PortName, Probed, port_results
from meltemi.controller.health.probing import probe
from meltemi.controller.health.result import State
from meltemi.testing.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

PORT = Port("xds", LOOPBACK, 18000)


@pytest.mark.parametrize(
    ("probed", "running", "state"),
    [
        (Probed("served"), True, State.FINE),
        (Probed("served"), False, State.FINE),
        (Probed("free"), False, State.FINE),
        (Probed("free"), True, State.ERROR),
        (Probed("closed", "no such address"), False, State.ERROR),
        (Probed("foreign", "why"), False, State.ERROR),
        (Probed("foreign", "why"), True, State.ERROR),
    ],
)
def test_what_is_there_decides(probed: Probed, running: bool, state: State) -> None:
    (found,) = port_results(PORT, probed, running=running)
    assert (found.state, found.about) == (state, "--xds 127.0.0.1:18000")
    assert probed.reason in found.text


def test_an_address_of_the_sixth_version_is_in_brackets() -> None:
    assert str(Port("admin", "::1", 80)) == "--admin [::1]:80"


@asynccontextmanager
async def saying(words: bytes) -> AsyncGenerator[int]:
    """Somebody who says this to whoever connects, and listens on; gives the port."""

    gone: list[asyncio.Event] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gone.append(asyncio.Event())
        left = gone[-1]
        writer.write(words)
        with suppress(ConnectionError):
            await reader.read()
        writer.transport.abort()
        left.set()

    server = await asyncio.start_server(answer, LOOPBACK, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    for left in gone:
        await left.wait()


async def test_nobody_is_free() -> None:
    assert await probe(Port("xds", LOOPBACK, free_port())) == Probed("free")


async def test_a_name_that_nobody_knows_cannot_be_opened() -> None:
    assert (await probe(Port("xds", "nowhere.invalid", 18000))).state == "closed"


SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
WELL = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n"


@pytest.mark.parametrize(
    ("option", "words", "state"),
    [
        ("xds", SETTINGS, "served"),
        ("xds", b"220 mail.example\r\n", "foreign"),
        ("admin", WELL, "served"),
    ],
)
async def test_who_answers_is_known_by_how(option: PortName, words: bytes, state: str) -> None:
    async with saying(words) as port:
        assert (await probe(Port(option, LOOPBACK, port))).state == state


@pytest.mark.parametrize("tls", [False, True])
async def test_who_says_nothing_is_not_waited_for(
    tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probing, "PATIENCE_S", 0.05)
    async with saying(b"") as port:
        found = await probe(Port("xds", LOOPBACK, port, tls))
    assert found == Probed("foreign", "no answer in 0.05 s")


@pytest.mark.parametrize("option", ["xds", "webhook"])
async def test_plain_text_is_no_tls(option: PortName) -> None:
    async with saying(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        found = await probe(Port(option, LOOPBACK, port, tls=True))
    assert found.state == "foreign"
    assert found.reason.startswith("no TLS: ")


async def test_a_page_of_somebody_else_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "PATIENCE_S", 0.2)
    async with saying(b"HTTP/1.1 404 Not Found\r\n\r\n") as port:
        assert (await probe(Port("admin", LOOPBACK, port))).state == "foreign"


async def test_a_server_of_all_addresses_is_found_here() -> None:
    async with saying(SETTINGS) as port:
        assert (await probe(Port("xds", "0.0.0.0", port))).state == "served"
