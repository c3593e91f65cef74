"""What compose.yaml runs beside Meltemi and Envoy: `demo.py serve` is the servers of two protocols,
`demo.py call` the clients of three, which print who answers.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from meltemi.demo.backends import CART, PASSWORD, VERSIONS
from meltemi.demo.traffic import crowd
from meltemi.testing.dubbo import DubboServer
from meltemi.testing.ports import LOOPBACK, Address
from meltemi.testing.redis_connection import RedisConnection
from meltemi.testing.thrift import ThriftServer

if TYPE_CHECKING:
    from meltemi.demo.traffic import Crowd

LOOK_S = 2.0


async def serve(dubbo: list[int], thrift: list[int]) -> None:
    """A server of each version at these ports, until somebody ends us."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as running:
        for version, port in zip(VERSIONS, dubbo, strict=True):
            await running.enter_async_context(DubboServer(version, port=port))
        for version, port in zip(VERSIONS, thrift, strict=True):
            await running.enter_async_context(ThriftServer(version, port=port))
        await stop.wait()


async def call(orders: int, catalog: int, sessions: int, valkeys: list[int]) -> None:
    """Call through the proxy's ports; each Valkey is told first which version it is."""
    for version, port in zip(VERSIONS, valkeys, strict=True):
        opening = RedisConnection.open(Address(LOOPBACK, port), password=PASSWORD)
        async with await opening as valkey:
            await valkey.ask("SET", CART, version)
    ports = {"orders": orders, "catalog": catalog, "sessions": sessions}
    at = {f"{name}.example": Address(LOOPBACK, port) for name, port in ports.items()}
    async with crowd(at) as calls:
        while True:
            await asyncio.sleep(LOOK_S)
            sys.stdout.write(f"{line(calls)}\n")
            sys.stdout.flush()


def line(calls: Crowd) -> str:
    """The share of version 2 since the last line, and the calls that ever failed."""
    taken = {name: traffic.take() for name, traffic in calls.kinds.items()}
    del taken["sessions"]  # its answers are numbers
    shares = [f"{name} {report.share('v2'):.0%}" for name, report in taken.items()]
    return f"answered by v2: {', '.join(shares)}; failed calls: {calls.totals().failed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    servers = commands.add_parser("serve")
    servers.add_argument("--dubbo", type=int, nargs=2, required=True)
    servers.add_argument("--thrift", type=int, nargs=2, required=True)
    clients = commands.add_parser("call")
    for name in ("orders", "catalog", "sessions"):
        clients.add_argument(f"--{name}", type=int, required=True)
    clients.add_argument("--valkeys", type=int, nargs=2, required=True)
    wanted = parser.parse_args()
    if wanted.command == "serve":
        asyncio.run(serve(wanted.dubbo, wanted.thrift))
    else:
        asyncio.run(call(wanted.orders, wanted.catalog, wanted.sessions, wanted.valkeys))


if __name__ == "__main__":
    main()
