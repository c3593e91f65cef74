"""Tells transitions of objects as Events, which ``kubectl describe`` shows below the object."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic, time
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from meltemi.controller.kube.api import MERGE_PATCH, ApiError
from meltemi.controller.kube.event_series import EventSeries
from meltemi.controller.kube.timestamps import time_of
from meltemi.controller.log_limit import LogLimit
from meltemi.xds.token_bucket import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from meltemi.controller.kube.api import Api
    from meltemi.controller.kube.event_series import Told
    from meltemi.controller.kube.instance import Instance
    from meltemi.controller.kube.status_update import Transition
    from meltemi.controller.kube.written import Written

log: Any = structlog.get_logger("meltemi")

RATE = 5.0
"""Events a second, after quiet five seconds' worth at once."""

WAITING = 1000
"""How many may wait; of more, the oldest are not told. What they say stands in the status."""

REQUEST_S = 5.0
LOG_RATE = 1 / 600.0
COMPONENT = "meltemi"


class _Item(NamedTuple):
    about: Written
    transition: Transition


class EventWriter:
    """Best effort: what cannot be told is in the status anyway. ``leads``: whether we may write."""

    def __init__(
        self,
        api: Api,
        instance: Instance,
        leads: Callable[[], bool],
        *,
        clock: Callable[[], float] = monotonic,
        wall: Callable[[], float] = time,
    ) -> None:
        self._api = api
        self._instance = instance
        self._leads = leads
        self._clock = clock
        self._wall = wall
        self._waiting: deque[_Item] = deque(maxlen=WAITING)
        self._series = EventSeries()
        self._bucket = TokenBucket(RATE, clock())
        self._log_limit = LogLimit(LOG_RATE)
        self._wake = asyncio.Event()

    def tell(self, about: Written, transitions: Iterable[Transition]) -> None:
        """Conditions of the object have changed. What gets well is told, not what always was."""
        for each in transitions:
            recovered = each.is_good and each.before not in {"", each.condition.status}
            if each.is_problem or recovered:
                self._waiting.append(_Item(about, each))
        self._wake.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            self._wake.clear()
            while self._waiting:
                await asyncio.sleep(self._bucket.spend(1.0, self._clock()))
                item = self._waiting.popleft()
                if self._leads():
                    await self._send(item)
            await self._wake.wait()

    async def _send(self, item: _Item) -> None:
        what = _what(item)
        told = self._series.tell(what, item.about.name, self._clock())
        try:
            async with asyncio.timeout(REQUEST_S):
                try:
                    await self._write(item, told)
                except ApiError as error:
                    if error.status != 404 or told.count == 1:
                        raise
                    self._series.forget(what)  # somebody deleted it
                    await self._write(item, self._series.tell(what, item.about.name, self._clock()))
        except (ApiError, TimeoutError) as error:
            self._series.forget(what)
            if (left_out := self._log_limit.take("", self._clock())) is not None:
                text = str(error) or "no answer"
                log.warning("event.failing", error=text, left_out=left_out)

    async def _write(self, item: _Item, told: Told) -> None:
        # Those about objects of the cluster are in this namespace.
        namespace = item.about.namespace or "default"
        path = f"/api/v1/namespaces/{namespace}/events"
        now = time_of(self._wall())
        if told.count == 1:
            metadata = {"namespace": namespace, "name": told.name}
            event = {"apiVersion": "v1", "kind": "Event", "metadata": metadata}
            await self._api.send("POST", path, {**event, **self._content(item, now)})
        else:
            again = {"count": told.count, "lastTimestamp": now}
            await self._api.send("PATCH", f"{path}/{told.name}", again, content_type=MERGE_PATCH)

    def _content(self, item: _Item, now: str) -> dict[str, object]:
        about, condition = item.about, item.transition.condition
        regarding = {"kind": about.kind.kind, "namespace": about.namespace, "name": about.name}
        regarding |= {"apiVersion": about.api_version, "uid": about.uid}
        return {
            "type": "Warning" if item.transition.is_problem else "Normal",
            "reason": condition.reason,
            "message": condition.message or f"{condition.type} is {condition.status}",
            "involvedObject": regarding,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": COMPONENT, "host": self._instance.name},
            "reportingComponent": COMPONENT,
            "reportingInstance": self._instance.name,
        }


def _what(item: _Item) -> tuple[str, ...]:
    """What makes two tellings the same."""
    condition = item.transition.condition
    words = condition.type, condition.status, condition.reason, condition.message
    return (item.about.uid, *words)
