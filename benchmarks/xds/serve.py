"""A server in a process of its own, told what to change: ``engine`` or ``floor``.

Run by the benchmarks as ``python -m benchmarks.xds.serve engine --world FILE``. It says its port,
then obeys ``{"do": "set", "resource": ...}``; resources are written as in ``world``.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import uvloop

from benchmarks.xds import world
from benchmarks.xds.child import Answer, obey
from benchmarks.xds.engine import Engine
from benchmarks.xds.floor import Floor


async def serve(server: Engine | Floor) -> None:
    """Serve on loopback until there are no more commands."""

    async def do(command: Answer) -> Answer:
        server.publish(world.from_line(command["resource"]))
        return {}

    async with server.serve("127.0.0.1:0") as port:
        await obey({"port": port}, do)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kind", choices=["engine", "floor"])
    parser.add_argument("--world", type=Path, required=True)
    parser.add_argument("--scopes", type=int, default=1)
    parser.add_argument("--tls", type=Path, help="a folder with server.pem and ca.pem")
    parser.add_argument("--uvloop", action="store_true")
    flags = parser.parse_args()
    resources = [world.from_line(line) for line in world.read(flags.world)]
    server = (
        Floor(resources) if flags.kind == "floor" else Engine(resources, flags.scopes, flags.tls)
    )
    (uvloop.run if flags.uvloop else asyncio.run)(serve(server))


if __name__ == "__main__":
    main()
