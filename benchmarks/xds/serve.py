"""A server in a process of its own, told what to change: ``engine``, ``product`` or ``floor``.

Run by the benchmarks as ``python -m benchmarks.xds.serve engine --world FILE``. It says its port,
then obeys ``{"resource": ...}``, written as in ``world``, or in ``rules`` for the product.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import uvloop

from benchmarks.xds import world
from benchmarks.xds.child import Answer, obey
from benchmarks.xds.engine import Engine
from benchmarks.xds.floor import Floor
from benchmarks.xds.security import mutual_tls
from meltemi.controller import collector

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager


class Server(Protocol):
    """What can be measured."""

    def publish(self, changed: Any, /) -> None: ...
    def serve(self, address: str) -> AbstractAsyncContextManager[int]: ...


async def serve(flags: argparse.Namespace) -> None:
    """Serve on loopback until there are no more commands."""
    server, read = _server(flags)
    collector.seldom()  # as ``meltemi serve`` does

    async def do(command: Answer) -> Answer:
        server.publish(read(command["resource"]))
        return {}

    async with server.serve("127.0.0.1:0") as port:
        await obey({"port": port}, do)


def _server(flags: argparse.Namespace) -> tuple[Server, Any]:
    lines = world.read(flags.world)
    if flags.kind == "product":
        from benchmarks.xds.product import Product  # with all plugins, a second

        return Product(lines), dict[str, Any]
    resources = [world.from_line(line) for line in lines]
    if flags.kind == "floor":
        return Floor(resources, mutual_tls(flags.tls)), world.from_line
    return Engine(resources, flags.scopes, mutual_tls(flags.tls)), world.from_line


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kind", choices=["engine", "product", "floor"])
    parser.add_argument("--world", type=Path, required=True)
    parser.add_argument("--scopes", type=int, default=1)
    parser.add_argument("--tls", type=Path, help="a folder with tls.crt, tls.key and ca.crt")
    parser.add_argument("--uvloop", action="store_true")
    flags = parser.parse_args()
    (uvloop.run if flags.uvloop else asyncio.run)(serve(flags))


if __name__ == "__main__":
    main()
