"""Reads what other replicas report: the leader's part."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import structlog

from meltemi.controller.kube.api import ApiError
from meltemi.controller.kube.kinds import Kind
from meltemi.controller.kube.mirror import Gone, mapping, revision_of
from meltemi.controller.kube.peers import Peers
from meltemi.controller.kube.publisher import KEY, LABEL, collection, report_name
from meltemi.controller.kube.reflector import Reflector
from meltemi.controller.kube.report import Report, ReportError
from meltemi.controller.kube.state import State
from meltemi.controller.log_limit import LogLimit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from meltemi.controller.kube.api import Api
    from meltemi.controller.kube.instance import Instance
    from meltemi.controller.kube.mirror import Body
    from meltemi.controller.kube.reflector import News
    from meltemi.controller.statuses.tally import Tally
    from meltemi.controller.store.objects import Identity

log: Any = structlog.get_logger("meltemi")

CONFIG_MAPS = Kind("", "ConfigMap", "configmaps", ("v1",))
SWEEP_S = 1.0
"""Seconds between two looks at who is silent."""

REQUEST_S = 2.0
LOG_RATE = 1 / 600.0


class Gatherer:
    """``leads``: whether we may write now. ``changed`` hears of objects of which others say
    something else than before; None means all of them.
    """

    def __init__(
        self,
        api: Api,
        instance: Instance,
        leads: Callable[[], bool],
        changed: Callable[[Iterable[Identity] | None], None],
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._api = api
        self._instance = instance
        self._leads = leads
        self._changed = changed
        self._clock = clock
        self._own = report_name(instance, instance.name)
        self._prefix = report_name(instance, "")
        self._peers = Peers()
        self._revisions: dict[str, int] = {}
        self._log_limit = LogLimit(LOG_RATE)

    def __len__(self) -> int:
        """How many replicas count, beside us."""
        return len(self._peers)

    def tally(self, identity: Identity, uid: str = "") -> Tally | None:
        """What the proxies of others say of an object; None when there are no others."""
        return self._peers.tally(identity, uid)

    async def run(self, ready: Callable[[], None]) -> None:
        """For as long as we lead. ``ready`` is called when everything was read that there is."""
        self._peers = Peers()
        self._revisions = {}
        reflector = Reflector(
            CONFIG_MAPS,
            self._api,
            self.deliver,
            namespace=self._instance.namespace,
            selector=f"{LABEL}=true",
            changed=self._noted,
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(reflector.run())
            await reflector.synced.wait()
            ready()
            while True:
                await asyncio.sleep(SWEEP_S)
                await self.sweep()

    def deliver(self, news: Iterable[News]) -> None:
        """What the watch tells of reports."""
        for each in news:
            name = each.name.name
            if name == self._own or not name.startswith(self._prefix):
                continue
            if isinstance(each, Gone):
                self._revisions.pop(name, None)
                if not self._peers.missed(name, self._clock()):
                    self._forget(name)
                continue
            self._revisions[name] = revision_of(mapping(each.body.get("metadata")))
            if changed := self._peers.take(name, self._read(name, each.body), self._clock()):
                self._changed(changed)

    def _read(self, name: str, body: Body) -> Report:
        """One that cannot be read is of a version of us that is not this one."""
        try:
            return Report.decode(mapping(body.get("binaryData")).get(KEY))
        except ReportError as error:
            if self._log_limit.take(name, self._clock()) is not None:
                log.warning("report.unreadable", report=name, error=str(error))
            return Report(0, {})

    def _forget(self, name: str) -> None:
        self._revisions.pop(name, None)
        if self._peers.drop(name):
            self._changed(None)

    async def sweep(self) -> None:
        """Count those no more who are silent; their reports are nobody else's to remove."""
        for name in self._peers.expired(self._clock()):
            revision = self._revisions.get(name)
            self._forget(name)
            if revision is not None and self._leads():
                await self._delete(name, revision)

    async def _delete(self, name: str, revision: int) -> None:
        """Unless it has come to life since."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1"}
        unchanged = {"preconditions": {"resourceVersion": str(revision)}}
        with suppress(ApiError, TimeoutError):
            async with asyncio.timeout(REQUEST_S):
                path = f"{collection(self._instance.namespace)}/{name}"
                await self._api.send("DELETE", path, {**options, **unchanged})

    def _noted(self, reflector: Reflector) -> None:
        state = reflector.state
        say = log.info if state is State.FOLLOWING else log.warning
        say("source.kind", kind=str(reflector.kind), state=state.value, reason=reflector.reason)
