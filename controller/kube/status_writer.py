"""Writes what is known of objects into their status: as much as changed, and only on the leader."""

from __future__ import annotations

import asyncio
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from meltemi.controller.kube.api import CREDENTIALS, MERGE_PATCH, ApiError
from meltemi.controller.kube.backoff import Backoff
from meltemi.controller.kube.mirror import mapping
from meltemi.controller.kube.status_update import Urgency, update
from meltemi.controller.kube.work_queue import WorkQueue
from meltemi.controller.log_limit import LogLimit
from meltemi.controller.statuses.conditions import Reason
from meltemi.controller.store.objects import Identity
from meltemi.xds.token_bucket import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from meltemi.controller.crds.status import Status
    from meltemi.controller.kube.api import Api
    from meltemi.controller.kube.mirror import Body
    from meltemi.controller.kube.status_update import Transition, Update
    from meltemi.controller.kube.written import Written, WrittenStatuses

log: Any = structlog.get_logger("meltemi")

SETTLING_S = 0.1
"""Seconds after a change before it is written: what proxies answer at once is written with it."""

APART_S = 0.5
"""Seconds between two writes of one object."""

RATES: Mapping[Urgency, float] = {
    Urgency.PROBLEM: 100.0,
    Urgency.STATE: 50.0,
    Urgency.NUMBERS: 10.0,
}
"""Writes a second, after quiet five seconds' worth at once: each urgency has a lane of its own."""

IN_FLIGHT = 8
WRITE_S = 3.0
"""Seconds that a write may take: less than what a leader that stopped leaves before the next."""

HOPELESS_S = 60.0
"""Seconds until a write that was refused, and not for being too much, is tried again."""

PATIENCE: Mapping[str, float] = {Reason.PENDING: 1.0, Reason.NO_PROXIES: 5.0}
"""Seconds for which ``Programmed`` must be so before that is written. Most changes are accepted
sooner; who moves to another replica is counted again when that one has reported it.
"""

YOUNG_S = 30.0
"""Seconds for which a process that has just begun does not say that proxies are gone: they are on
their way to it. An Envoy waits as long at most before it connects again.
"""

HEARING_S = 3.5
"""Seconds for which a new leader writes only problems: so long may one that led until now take to
see that it does no more (2.4), and to report what its proxies say.
"""

LOG_RATE = 1 / 600.0
MANAGER = {"fieldManager": "meltemi"}

NEXT_STEPS = {
    401: CREDENTIALS,
    403: "let the service account patch the status of this kind",
    404: "apply the definitions of this version of Meltemi (meltemi manifests crds): those in the "
    "cluster have no status",
    422: "apply the definitions of this version of Meltemi (meltemi manifests crds)",
}
EXPECTED = "nothing: it is tried again"


class Outcome(Enum):
    """How a write went. The values are in the metrics."""

    WRITTEN = "written"
    CONFLICT = "conflict"
    GONE = "gone"
    DENIED = "denied"
    FAILED = "failed"


_OUTCOMES = {409: Outcome.CONFLICT, 404: Outcome.GONE, 403: Outcome.DENIED}


class _Job(NamedTuple):
    """What to write into an object, as it was last seen."""

    identity: Identity
    written: Written
    wanted: Status
    update: Update


class _Turn(NamedTuple):
    """When an object may be written, and how urgent it was when that was settled."""

    urgency: Urgency
    due: float


class StatusWriter:
    """``wanted`` says what an object's status should be, ``leads`` whether we may write now.
    ``told`` hears of transitions that were written, ``counted`` of the outcome of each write.
    """

    def __init__(
        self,
        api: Api,
        written: WrittenStatuses,
        wanted: Callable[[Identity], Status | None],
        leads: Callable[[], bool],
        *,
        told: Callable[[Written, Sequence[Transition]], None],
        counted: Callable[[Outcome], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._api = api
        self._written = written
        self._wanted = wanted
        self._leads = leads
        self._told = told
        self._counted = counted
        self._clock = clock
        self._queue = WorkQueue[Identity](APART_S)
        self._lanes = {each: TokenBucket(rate, clock()) for each, rate in RATES.items()}
        self._turns: dict[Identity, _Turn] = {}
        self._failures: dict[Identity, Backoff] = {}
        self._unreachable = Backoff()
        self._paused = clock()
        self._grown_up = clock() + YOUNG_S
        self._informed = clock()
        self._since: dict[Identity, float] = {}
        self._unkept: dict[Identity, Status] = {}
        self._log_limit = LogLimit(LOG_RATE)
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._wake = asyncio.Event()
        self._writing = False

    @property
    def waiting(self) -> int:
        """How many objects wait to be looked at, or are being written."""
        return len(self._queue)

    def begin(self) -> None:
        """Look at every object: this replica leads now, and so the API server answers."""
        self._writing = True
        self._unreachable.reset()
        self._failures.clear()
        self._paused = self._clock()
        self._informed = self._paused + HEARING_S
        for identity in self._written:
            self._queue.put(identity, self._clock())
        self._wake.set()

    def end(self) -> None:
        """Write no more. What is not written yet is for the next leader to find."""
        self._writing = False
        self._queue.clear()
        self._turns.clear()

    def look(self, identity: Identity) -> None:
        """Something about the object may have changed."""
        if self._writing:
            self._queue.put(identity, self._clock() + SETTLING_S)
            self._wake.set()

    async def run(self) -> None:
        """For ever; objects are written between ``begin`` and ``end``."""
        async with asyncio.TaskGroup() as writes:
            while True:
                await self._slots.acquire()
                identity = await self._next()
                writes.create_task(self._write(identity))

    async def _next(self) -> Identity:
        """The next object whose status is to be written now."""
        while True:
            await self._due()
            while (identity := self._queue.take(self._clock())) is not None:
                if self._has_turn(identity):
                    return identity
                self._queue.done(identity, self._clock(), rest=False)
                await asyncio.sleep(0)  # there may be thousands

    async def _due(self) -> None:
        self._wake.clear()
        deadline = self._queue.deadline()
        delay = None if deadline is None else max(0.0, deadline - self._clock())
        try:
            async with asyncio.timeout(delay):
                await self._wake.wait()
        except TimeoutError:
            return

    def _has_turn(self, identity: Identity) -> bool:
        """Whether there is something to write, and now. An object that must wait keeps its place in
        the lane; it goes to a better one when it has become more urgent.
        """
        if (job := self._job(identity)) is None:
            self._turns.pop(identity, None)
            self._since.pop(identity, None)
            return False
        now, urgency = self._clock(), job.update.urgency
        if now < (certain := self._certain(job, now)):
            self._queue.put(identity, certain)
            return False
        turn = self._turns.get(identity)
        if turn is None or urgency < turn.urgency:
            turn = _Turn(urgency, now + self._lanes[urgency].spend(1.0, now))
        if turn.due > now:
            self._turns[identity] = turn
            self._queue.put(identity, turn.due)
            return False
        self._turns.pop(identity, None)
        return True

    def _certain(self, job: _Job, now: float) -> float:
        """When it is certain that what is to be said does not pass. A problem is."""
        transitions = job.update.transitions
        passing = [PATIENCE.get(each.condition.reason, 0.0) for each in transitions if each.passes]
        if job.update.urgency is Urgency.PROBLEM:
            self._since.pop(job.identity, None)
            return now
        if not passing:
            self._since.pop(job.identity, None)
            return self._informed
        certain = max(self._since.setdefault(job.identity, now) + max(passing), self._informed)
        lost = any(each.is_loss for each in transitions)
        return max(certain, self._grown_up) if lost else certain

    def _job(self, identity: Identity) -> _Job | None:
        written, wanted = self._written.get(identity), self._wanted(identity)
        if written is None:
            for known in (self._turns, self._since, self._failures, self._unkept):
                known.pop(identity, None)
            return None
        if wanted is None or self._unkept.get(identity) == wanted:
            return None
        found = update(wanted, written.read_status())
        return None if found is None else _Job(identity, written, wanted, found)

    async def _write(self, identity: Identity) -> None:
        outcome: Outcome | None = None
        try:
            job = self._job(identity)
            if job is not None and self._leads():
                outcome = await self._send(job)
                self._counted(outcome)
        finally:
            self._queue.done(identity, self._clock(), rest=outcome is Outcome.WRITTEN)
            self._slots.release()
            self._wake.set()

    async def _send(self, job: _Job) -> Outcome:
        # With the version that it was compared with: neither somebody's change nor a successor's
        # words are written over, not even by a leader that was asleep and does not know.
        metadata = {"resourceVersion": str(job.written.revision)}
        body = {"metadata": metadata, "status": job.update.status}
        path = f"{job.written.path}/status"
        try:
            async with asyncio.timeout(WRITE_S):
                answer = await self._api.send(
                    "PATCH", path, body, query=MANAGER, content_type=MERGE_PATCH
                )
        except TimeoutError:
            return await self._failed(job, ApiError(0, "no answer"))
        except ApiError as error:
            return await self._failed(job, error)
        self._accepted(job, answer)
        return Outcome.WRITTEN

    def _accepted(self, job: _Job, answer: Body) -> None:
        self._unreachable.reset()
        self._failures.pop(job.identity, None)
        self._unkept.pop(job.identity, None)
        if update(job.wanted, mapping(answer.get("status"))) is not None:
            self._unkept[job.identity] = job.wanted
            self._say(job, ApiError(422, "the definition in the cluster does not keep all of it"))
        self._written.put(job.written.kind, job.identity, answer)
        self._told(job.written, job.update.transitions)

    async def _failed(self, job: _Job, error: ApiError) -> Outcome:
        outcome = _OUTCOMES.get(error.status, Outcome.FAILED)
        if outcome is Outcome.CONFLICT:
            await self._read_again(job)
        elif outcome is not Outcome.GONE or await self._is_there(job):
            self._say(job, error)
            self._queue.put(job.identity, self._clock() + self._delay(job, error))
        return outcome

    async def _read_again(self, job: _Job) -> None:
        """What stands there now, however old its version looks: clusters are restored."""
        try:
            async with asyncio.timeout(WRITE_S):
                found = await self._api.get(job.written.path)
        except (ApiError, TimeoutError):
            self._queue.put(job.identity, self._clock() + APART_S)
        else:
            self._written.put(job.written.kind, job.identity, found, certain=True)

    async def _is_there(self, job: _Job) -> bool:
        """Whether the object is there, of a kind that is defined without a status."""
        try:
            async with asyncio.timeout(WRITE_S):
                found = await self._api.get(job.written.path)
        except ApiError as error:
            return error.status != 404
        except TimeoutError:
            return True
        return mapping(found.get("metadata")).get("uid", "") == job.written.uid

    def _delay(self, job: _Job, error: ApiError) -> float:
        """Seconds until it is tried again. A server that is away, or has too much to do, is left
        alone by all.
        """
        now = self._clock()
        if error.status in {0, 429, 503}:
            if now >= self._paused:
                away = error.status != 429
                self._paused = now + self._unreachable.next(error.retry_after, away=away)
                self._queue.pause(self._paused)
            return self._paused - now
        if error.status >= 500:
            return self._failures.setdefault(job.identity, Backoff()).next(error.retry_after)
        return HOPELESS_S

    def _say(self, job: _Job, error: ApiError) -> None:
        if (left_out := self._log_limit.take(error.status, self._clock())) is not None:
            log.warning(
                "status.failing",
                kind=job.identity.kind,
                namespace=job.identity.namespace,
                name=job.identity.name,
                error=str(error),
                next_step=NEXT_STEPS.get(error.status, EXPECTED),
                left_out=left_out,
            )
