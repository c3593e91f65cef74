"""What one of the replicas does in its cluster, besides reading it and serving proxies."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

from meltemi.controller.kube.api import Api
from meltemi.controller.kube.lease import Lease
from meltemi.controller.kube.statuses import Statuses
from meltemi.controller.sources.kube import configured

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

    from kubernetes.aio.client import Configuration

    from meltemi.controller.kube.instance import Instance
    from meltemi.controller.kube.written import WrittenStatuses
    from meltemi.controller.plane import ControlPlane


class Duty(Protocol):
    """Something that goes on for as long as the replica runs. It deals with its own failures: one
    that raises ends the process.
    """

    async def run(self) -> None: ...


class Replica:
    """``connect`` gives its API server, ``written`` what stands there in the statuses of objects,
    which this replica writes when it leads: None where nobody wants that.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Configuration]],
        instance: Instance,
        written: WrittenStatuses | None = None,
    ) -> None:
        self._connect = connect
        self._instance = instance
        self._written = written

    @asynccontextmanager
    async def running(self, plane: ControlPlane) -> AsyncGenerator[None]:
        """All duties, while the context lasts. Raises SourceError: no API server is configured."""
        api = Api(await configured(self._connect), connect=self._connect)
        try:
            lease = Lease(api, self._instance)
            elected = nullcontext() if self._written is None else lease.running()
            # Duties end before somebody else may take over what only the leader does.
            async with elected, asyncio.TaskGroup() as tasks:
                duties = self._duties(api, plane, lease)
                running = [tasks.create_task(duty.run()) for duty in duties]
                try:
                    yield
                finally:
                    for task in running:
                        task.cancel()
        finally:
            await api.close()

    def _duties(self, api: Api, plane: ControlPlane, lease: Lease) -> Iterator[Duty]:
        if self._written is not None:
            statuses = Statuses(
                api,
                self._instance,
                lease,
                plane.statuses,
                self._written,
                proxies=lambda: len(plane.status.numbered()),
            )
            plane.share = statuses.share
            yield statuses
