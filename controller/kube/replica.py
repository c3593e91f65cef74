"""What one of the replicas does in its cluster, besides reading it and serving proxies."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from meltemi.controller.kube.api import Api

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

    from kubernetes.aio.client import Configuration

    from meltemi.controller.kube.instance import Instance
    from meltemi.controller.plane import ControlPlane


class Duty(Protocol):
    """Something that goes on for as long as the replica runs. It deals with its own failures: one
    that raises ends the process.
    """

    async def run(self) -> None: ...


class Replica:
    """``connect`` gives its API server."""

    def __init__(self, connect: Callable[[], Awaitable[Configuration]], instance: Instance) -> None:
        self._connect = connect
        self._instance = instance

    @asynccontextmanager
    async def running(self, plane: ControlPlane) -> AsyncGenerator[None]:
        """All duties, while the context lasts."""
        api = await Api.connected(self._connect)
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(duty.run()) for duty in self._duties(api, plane)]
                try:
                    yield
                finally:
                    for task in running:
                        task.cancel()
        finally:
            await api.close()

    def _duties(self, api: Api, plane: ControlPlane) -> Iterator[Duty]:
        yield from ()
