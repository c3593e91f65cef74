"""Takes part in the election of the leader over a Lease of ``coordination.k8s.io/v1``."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from random import Random
from secrets import token_hex
from time import monotonic, time
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from meltemi.controller.kube.api import CREDENTIALS, ApiError
from meltemi.controller.kube.election import RENEW_S, Election, Record
from meltemi.controller.kube.mirror import mapping

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from meltemi.controller.kube.api import Api
    from meltemi.controller.kube.instance import Instance
    from meltemi.controller.kube.mirror import Body

log: Any = structlog.get_logger("meltemi")

ATTEMPT_S = RENEW_S / 2
"""Seconds that a look at the Lease may take, so that a leader has two before it must stop."""

RESIGN_S = 2.0
"""Seconds that giving it back may take: others find out anyway, only later."""

NEXT_STEPS = {
    401: CREDENTIALS,
    403: "let the service account get, create and update leases in that namespace",
    404: "create the namespace, or name another one with MELTEMI_POD_NAMESPACE",
}
EXPECTED = "nothing, if the API server comes back"


class Lease:
    """The Lease in the instance's namespace, named like its service. ``clock`` is monotonic,
    ``wall`` since 1970, in seconds.
    """

    def __init__(
        self,
        api: Api,
        instance: Instance,
        *,
        clock: Callable[[], float] = monotonic,
        wall: Callable[[], float] = time,
        random: Random | None = None,
    ) -> None:
        self._api = api
        self._clock = clock
        self._wall = wall
        # Two replicas that were given the same name by mistake must not both lead.
        identity = f"{instance.name}_{token_hex(4)}"
        self._election = Election(identity, random or Random())
        self._where = f"/apis/coordination.k8s.io/v1/namespaces/{instance.namespace}/leases"
        self._path = f"{self._where}/{instance.service}"
        self._metadata: Body = {"namespace": instance.namespace, "name": instance.service}
        self._body: Body | None = None
        self._begun = asyncio.Event()
        self._ended = asyncio.Event()
        self._failing = -1

    @property
    def leads(self) -> bool:
        """Whether this replica may write now. To be asked right before each write."""
        return self._election.leads(self._clock())

    @property
    def follows(self) -> bool:
        """Whether another replica holds the Lease, as far as this one has seen."""
        return self._election.follows()

    async def begun(self) -> None:
        """Until this replica leads."""
        await self._begun.wait()

    async def ended(self) -> None:
        """Until a replica that leads does so no more, be it for a moment."""
        await self._ended.wait()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Stand for election while the context lasts, and give the Lease back at its end."""
        try:
            async with asyncio.TaskGroup() as tasks:
                running = tasks.create_task(self._run())
                try:
                    yield
                finally:
                    running.cancel()
        finally:
            with suppress(ApiError, TimeoutError):
                async with asyncio.timeout(RESIGN_S):
                    await self._resign()
            self._tell()

    async def _run(self) -> None:
        while True:
            await self._attempt()
            self._tell()
            await asyncio.sleep(self._election.pause(self._clock()))
            self._tell()

    async def _attempt(self) -> None:
        """One look, and a bid if there is something to win."""
        try:
            async with asyncio.timeout(ATTEMPT_S):
                await self._look()
                asked = self._clock()
                if (bid := self._election.bid(asked, self._wall())) is not None:
                    await self._write(bid)
                    self._tell()  # it may have been too late for the last one
                    self._election.won(bid, asked)
        except TimeoutError:
            self._failed(ApiError(0, "no answer"))
        except ApiError as error:
            self._failed(error)
        else:
            self._failing = -1

    async def _look(self) -> None:
        """A leader knows what it wrote: nobody else could have written since."""
        if self.leads and self._body is not None:
            return
        try:
            self._body = await self._api.get(self._path)
        except ApiError as error:
            if error.status != 404:
                raise
            self._body = None
        spec = mapping((self._body or {}).get("spec"))
        try:
            record = msgspec.convert(spec, Record)
        except msgspec.ValidationError as error:
            raise ApiError(0, f"the Lease cannot be read: {error}") from error
        self._election.saw(record, self._clock())

    async def _write(self, record: Record) -> None:
        """In place of what was read, also if somebody deleted it; 409 if it has changed since."""
        spec = msgspec.to_builtins(record)
        body, self._body = self._body, None
        if body is not None:
            try:
                self._body = await self._api.send("PUT", self._path, {**body, "spec": spec})
            except ApiError as error:
                if error.status != 404:
                    raise
            else:
                return
        api = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
        new = {**api, "metadata": self._metadata, "spec": spec}
        self._body = await self._api.send("POST", self._where, new)

    async def _resign(self) -> None:
        await self._look()
        if (resignation := self._election.resignation(self._wall())) is not None:
            await self._write(resignation)

    def _failed(self, error: ApiError) -> None:
        """Another one was quicker, or the API server does not do what it should: said once."""
        self._body = None
        if error.status != 409 and error.status != self._failing:
            self._failing = error.status
            log.warning(
                "leader.failing",
                lease=self._path,
                error=str(error),
                next_step=NEXT_STEPS.get(error.status, EXPECTED),
            )

    def _tell(self) -> None:
        leads = self.leads
        if leads == self._begun.is_set():
            return
        if leads:
            log.info("leader.elected", identity=self._election.identity)
            self._begun.set()
            self._ended.clear()
        else:
            log.info("leader.lost", identity=self._election.identity)
            self._begun.clear()
            self._ended.set()
