"""Tells the leader what the proxies of this replica say, in a ConfigMap of its own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from math import inf
from secrets import token_hex
from time import monotonic
from typing import TYPE_CHECKING, Any

import structlog

from meltemi.controller.kube.api import CREDENTIALS, ApiError
from meltemi.controller.kube.backoff import Backoff
from meltemi.controller.kube.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from meltemi.controller.kube.api import Api
    from meltemi.controller.kube.instance import Instance
    from meltemi.controller.statuses.tally import Tally
    from meltemi.controller.store.objects import Identity

log: Any = structlog.get_logger("meltemi")

LABEL = "meltemi.io/report"
BEAT = "meltemi.io/beat"
"""The annotation that shows that a replica lives when it has nothing new to say."""

KEY = "tallies"
SETTLING_S = 0.2
"""Seconds after a change before it is reported: what proxies answer at once is reported with it."""

APART_S = 0.5
"""Seconds between two reports."""

BEAT_S = 5.0
"""Seconds after which a report is repeated: three of them within what a replica may be silent."""

REQUEST_S = 2.0
TICK_S = 0.5
"""Seconds between two looks at whether somebody else leads."""

NEXT_STEPS = {
    401: CREDENTIALS,
    403: "let the service account create, update and delete configmaps in that namespace",
    404: "create the namespace, or name another one with MELTEMI_POD_NAMESPACE",
}
EXPECTED = "nothing: it is tried again; the leader does not count our proxies meanwhile"


def collection(namespace: str) -> str:
    """Where the reports are."""
    return f"/api/v1/namespaces/{namespace}/configmaps"


def report_name(instance: Instance, replica: str) -> str:
    """Of the ConfigMap of a replica. Nothing else in the namespace is called so."""
    return f"{instance.service}-report-{replica}"


class Publisher:
    """``objects`` are all that have a status, ``tally`` says what our proxies say of one, and
    ``proxies`` how many there are. ``needed``: whether there is a leader, and it is not us.
    """

    def __init__(
        self,
        api: Api,
        instance: Instance,
        needed: Callable[[], bool],
        *,
        objects: Callable[[], Iterable[Identity]],
        tally: Callable[[Identity], Tally | None],
        proxies: Callable[[], int],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._api = api
        self._instance = instance
        self._needed = needed
        self._objects = objects
        self._tally = tally
        self._proxies = proxies
        self._clock = clock
        self._where = collection(instance.namespace)
        self._name = report_name(instance, instance.name)
        self._tallies: dict[Identity, Tally] | None = None
        self._counted = 0
        self._changed: set[Identity] = set()
        self._published = ""
        self._stands = True  # perhaps from a replica that had our name
        self._start = token_hex(4)
        self._beats = 0
        self._spoke = -inf
        self._stirred = -inf
        self._patient_until = -inf
        # Longer, and an API server that is back would find us counted no more.
        self._backoff = Backoff(limit=BEAT_S)
        self._failing = False
        self._wake = asyncio.Event()

    def look(self, identity: Identity) -> None:
        """Our proxies may say something else of the object."""
        if not self._changed:
            self._stirred = self._clock()
        self._changed.add(identity)
        self._wake.set()

    async def run(self) -> None:
        """For ever. A report goes with its replica."""
        try:
            while True:
                await self._step()
                await self._pause()
        finally:
            await self._withdraw()

    async def _step(self) -> None:
        now = self._clock()
        if not self._needed():
            self._tallies = None
            self._changed.clear()
            if now >= self._patient_until:
                await self._withdraw()
        elif now >= self._due():
            encoded = self._encoded()
            if encoded != self._published or now >= self._spoke + BEAT_S:
                await self._publish(encoded)

    def _due(self) -> float:
        """When to report next."""
        if self._published and not self._changed:
            return self._spoke + BEAT_S
        return max(self._spoke + APART_S, self._stirred + SETTLING_S, self._patient_until)

    async def _pause(self) -> None:
        """Until it is due, but not for long: others come to lead without telling us."""
        if self._changed:
            await asyncio.sleep(min(TICK_S, max(0.0, self._due() - self._clock())))
            return
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(TICK_S):
                await self._wake.wait()

    def _encoded(self) -> str:
        """What is to be reported now; only what may have changed is counted again."""
        proxies = self._proxies()
        if self._tallies is None:
            self._tallies, self._changed = {}, set(self._objects())
        elif not self._changed and proxies == self._counted and self._published:
            return self._published
        self._counted = proxies
        for identity in self._changed:
            if (tally := self._tally(identity)) is None:
                self._tallies.pop(identity, None)
            else:
                self._tallies[identity] = tally
        self._changed.clear()
        return Report(proxies, self._tallies).encode()

    async def _publish(self, encoded: str) -> None:
        self._spoke = self._clock()
        self._stands = True
        if await self._done(self._put(self._body(encoded))):
            self._published = encoded

    def _body(self, encoded: str) -> dict[str, object]:
        self._beats += 1
        metadata = {
            "name": self._name,
            "namespace": self._instance.namespace,
            "labels": {LABEL: "true", "app.kubernetes.io/part-of": "meltemi"},
            "annotations": {BEAT: f"{self._start}-{self._beats}"},
        }
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        return {**body, "binaryData": {KEY: encoded}}

    async def _put(self, body: Mapping[str, object]) -> None:
        try:
            await self._api.send("PUT", f"{self._where}/{self._name}", body)
        except ApiError as error:
            if error.status != 404:
                raise
            await self._api.send("POST", self._where, body)

    async def _withdraw(self) -> None:
        if self._stands and await self._done(self._delete()):
            self._stands, self._published = False, ""

    async def _delete(self) -> None:
        """Emptied before: one that goes with its proxies in it was deleted by somebody else."""
        path = f"{self._where}/{self._name}"
        try:
            await self._api.send("PUT", path, self._body(Report(0, {}).encode()))
            await self._api.send("DELETE", path)
        except ApiError as error:
            if error.status != 404:
                raise

    async def _done(self, request: Coroutine[None, None, None]) -> bool:
        """Whether it worked. What fails is said once, and tried again later."""
        try:
            async with asyncio.timeout(REQUEST_S):
                await request
        except TimeoutError:
            return self._failed(ApiError(0, "no answer"))
        except ApiError as error:
            return self._failed(error)
        self._backoff.reset()
        self._failing = False
        return True

    def _failed(self, error: ApiError) -> bool:
        self._published = ""
        away = not error.status or error.status >= 500
        self._patient_until = self._clock() + self._backoff.next(error.retry_after, away=away)
        if not self._failing:
            self._failing = True
            next_step = NEXT_STEPS.get(error.status, EXPECTED)
            log.warning("report.failing", report=self._name, error=str(error), next_step=next_step)
        return False
