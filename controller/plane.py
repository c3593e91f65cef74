"""A control plane in one process: source, store, compiler, fleet and ADS server, wired up."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

import structlog

from meltemi.controller.dump import secrets_of
from meltemi.controller.findings_board import FindingsBoard
from meltemi.controller.fleet import Fleet
from meltemi.controller.gauges import Present, readings
from meltemi.controller.heartbeat import heartbeat
from meltemi.controller.holdoff import HoldOff
from meltemi.controller.identity import authenticated
from meltemi.controller.inspection import Inspection
from meltemi.controller.log_limit import LogLimit
from meltemi.controller.loop import Loop
from meltemi.controller.metrics import Metrics
from meltemi.controller.nodes import LONGEST_ID, profile
from meltemi.controller.offline.presets import preset
from meltemi.controller.proxies import refusal_problems
from meltemi.controller.redaction import Redactor
from meltemi.controller.roster import Roster
from meltemi.controller.sources import Synced
from meltemi.controller.statuses.board import StatusBoard
from meltemi.controller.store.store import Store
from meltemi.controller.store.turnover import Turnover
from meltemi.protocols.compiler import Compiler
from meltemi.protocols.group import NOWHERE
from meltemi.protocols.types import type_table
from meltemi.xds.credentials import MutualTls, ServerTls
from meltemi.xds.csds import ClientStatusDiscovery
from meltemi.xds.peer import Peer
from meltemi.xds.server import AdsServer, Refused
from meltemi.xds.session import Nacked
from meltemi.xds.status import Status

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator

    from meltemi.controller.findings import Finding
    from meltemi.controller.gauges import Share
    from meltemi.controller.identity import Verify
    from meltemi.controller.metrics import Reading
    from meltemi.controller.proxies import Member
    from meltemi.controller.settings import Settings
    from meltemi.controller.sources import Source
    from meltemi.protocols.group import Group
    from meltemi.protocols.piece import PieceKey
    from meltemi.protocols.problem import Problem
    from meltemi.protocols.registry import Registry
    from meltemi.xds.bearer import Verified
    from meltemi.xds.group import Group as Streams
    from meltemi.xds.session import Event
    from meltemi.xds.wire import Node

SETTLING = 0.5
"""Seconds beyond a health check's interval after which a new host has had its first checks."""

FLUSHING = 0.1
"""The part of the grace that a stopping server takes at most to publish what was held."""

EXPOSED = (
    "everybody who reaches this address reads the rules of the namespace 'default', and no "
    "password is sent; serve over mutual TLS (--tls-cert, --tls-key, --client-ca) or on loopback"
)

NO_STREAM = 0
"""For the log: streams that never became one, all together."""

LONGEST_TEXT = 1000
"""Characters of a text in the log that may quote a proxy's words."""

PLUGIN_FAILED = "MEL0502"
"""Its cause is an exception of somebody else's code, which may quote anything."""

log: Any = structlog.get_logger("meltemi")


class ControlPlane:
    """Serves what a source says. ``redactor`` knows every secret that was ever in a snapshot;
    ``share`` tells what else this process does in a cluster.
    """

    def __init__(
        self, registry: Registry, source: Source, settings: Settings, *, identifier: str = "meltemi"
    ) -> None:
        self.store = Store()
        self.status = Status()
        self.redactor = Redactor()
        types = type_table(registry.route_types)
        self.metrics = Metrics([rules.type_url for rules in types], self._readings)
        self.statuses = StatusBoard(self.store, self.status, self.metrics.converged)
        self.share: Callable[[], Share | None] = lambda: None
        self._source = source
        self._heard: float | None = None
        self._synced = False
        self._registry = registry
        self._security = security = settings.security
        interval = settings.health_check_interval
        turnover = Turnover(self.store.mesh.endpoints, hold=interval + SETTLING)
        self._compiler = Compiler(
            registry,
            replace(self.store.mesh, endpoints=turnover),
            check_interval=interval,
            allowed=settings.allowed,
            exposed=security.exposed,
        )
        tuning = settings.tuning
        hold_off = HoldOff(tuning.hold_off, tuning.hold_off_longest)
        self._loop = Loop(
            self.store,
            self._compiler,
            self._published,
            self._settled,
            turnover,
            hold_off,
            self.metrics.compiled,
        )
        self._flushing = tuning.limits.grace * FLUSHING
        self._fleet = Fleet(
            registry,
            self._loop,
            joined=self.statuses.joined,
            exposed=security.exposed,
            most=tuning.limits.groups,
        )
        self._roster = Roster(self._fleet, self._compiler, self.store.mesh)
        self._ads = AdsServer(
            types,
            self.join,
            self,
            identifier=identifier,
            limits=tuning.limits,
            turned_away=self.metrics.turned_away,
        )
        inspection = Inspection(self.status, self.members, self.redactor, exposed=security.exposed)
        asked = ClientStatusDiscovery(self._ads.visit, inspection.clients, inspection.contents)
        self._ads.offer(asked.handler())
        self._log_limit = LogLimit()
        self._board = FindingsBoard(self._problems, source.place, self.statuses.found)
        self._failing: dict[PieceKey, str] = {}
        self._learned = False

    @property
    def ready(self) -> bool:
        """Whether everything was read and compiled once, so that proxies are served."""
        return self._ads.ready

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that is wrong now."""
        return self._board.current

    def members(self) -> dict[int, Member]:
        """The open streams by number."""
        return self._roster.members()

    def _readings(self) -> Iterator[Reading]:
        now = Present(
            ready=self.ready,
            synced=self._synced,
            heard=None if self._heard is None else monotonic() - self._heard,
            held=self._loop.held,
            groups=sum(1 for _ in self._compiler.groups()),
            sessions=self._roster.sessions(),
            status=self.status,
            identities=self.store.identities(),
            findings=self.findings,
            followed=self._source.followed(),
            share=self.share(),
        )
        return readings(now)

    @asynccontextmanager
    async def running(self, address: str, verify: Verify | None = None) -> AsyncGenerator[int]:
        """Serve xDS on ``host:port`` while the context lasts; gives the port. ``verify``: whose a
        token is, where the settings have a port for tokens.

        Raises:
            OSError: the address is taken. ValueError: it may not be served in plaintext.
            CertificateError: the files of TLS cannot be used.
            SourceError: the source cannot begin, or failed later (in an ExceptionGroup).
        """
        security = self._security
        tls = MutualTls(security.tls, security.trust_domain, _replaced) if security.tls else None
        serving = self._ads.serve(address, tls, plaintext=security.exposed)
        async with serving as port, self._token_port(verify), asyncio.TaskGroup() as tasks:
            work = (
                self._loop.run(),
                self._follow(),
                self.statuses.keep_looking(),
                heartbeat(self.metrics.lagged),
            )
            running = [tasks.create_task(each) for each in work]
            log.info("server.listening", xds=address, port=port, tls=tls is not None)
            if security.exposed:
                log.warning("server.exposed", xds=address, next_step=EXPOSED)
            try:
                yield port
            finally:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._flushing):
                        await self._loop.flush()
                for task in running:
                    task.cancel()

    @asynccontextmanager
    async def _token_port(self, verify: Verify | None) -> AsyncGenerator[None]:
        tokens = self._security.tokens
        if tokens is None or verify is None:
            yield
            return

        async def authenticate(
            address: str, metadata: Iterable[tuple[str, str | bytes]]
        ) -> Verified:
            try:
                return await authenticated(verify, metadata)
            except Refused as refused:
                self._denied("", Peer(address), refused)
                raise

        tls = ServerTls(tokens.tls, _replaced)
        async with self._ads.serve_tokens(tokens.address, tls, authenticate) as port:
            log.info("server.tokens", xds=tokens.address, port=port, audience=tokens.audience)
            yield

    async def _follow(self) -> None:
        async for event in self._source.events():
            self._heard = monotonic()
            if not isinstance(event, Synced):
                self.metrics.changed(len(event))
                self._loop.submit(event)
                continue
            self._synced = True
            # A group without proxies: what is wrong is told before the first one connects.
            stock = profile(preset(), self._registry).group
            reference = replace(stock, bind=NOWHERE)
            self._fleet.keep(reference)
            await self._loop.open(reference)
            self._ads.ready = True
            log.info("source.synced", objects=self.store.count, findings=len(self.findings))

    def _published(self, group: Group) -> None:
        self._learn()
        changed = self._fleet.publish(group)
        streams = self._fleet.streams(group.key)
        self.statuses.published(group, streams, changed, self._loop.arrived)
        log.info("snapshot.published", namespace=group.key.namespace, resources=len(changed))

    def _learn(self) -> None:
        """Know the secrets before anything that holds them is sent; once in a round."""
        if not self._learned:
            self.redactor.learn(secrets_of(self.store.mesh))
        self._learned = True

    def _settled(self) -> None:
        """After a round: what is wrong now, and what of it is new."""
        self._learn()
        self._learned = False
        self._roster.recompiled()
        for key, text in self._compiler.failures.items():
            if self._failing.get(key) != text:
                shown = self.redactor.text(text)
                log.error("plugin.failed", host=key.host, port=key.port, traceback=shown)
        self._failing = dict(self._compiler.failures)
        self._board.look()
        self.statuses.settled(self._compiler.groups(), held=self._loop.held > 0)

    def _problems(self) -> Iterator[Problem]:
        for found in self.store.problems.values():
            yield from found
        yield from map(self._redacted, self._compiler.problems())
        yield from refusal_problems(self.status)

    def _redacted(self, problem: Problem) -> Problem:
        if problem.code != PLUGIN_FAILED:
            return problem
        return replace(problem, cause=self.redactor.text(problem.cause))

    async def join(self, node: Node, peer: Peer) -> Streams:
        """The streams that a proxy's is one of. Raises Refused."""
        try:
            return await self._fleet.join(node, peer)
        except Refused as refused:
            self._denied(node.id[:LONGEST_ID], peer, refused)
            raise

    def _denied(self, node_id: str, peer: Peer, refused: Refused) -> None:
        if (left_out := self._log_limit.take(NO_STREAM, monotonic())) is not None:
            log.warning(
                "proxy.denied",
                node=node_id,
                identity=str(peer.identity or ""),
                address=peer.address,
                error=refused.message[:LONGEST_TEXT],
                left_out=left_out,
            )

    # -- what proxies say (xds.server.Observer) ----------------------------------------------------

    def opened(self, stream: int, node: Node, peer: Peer, now: float) -> None:
        """A proxy has introduced itself."""
        self._fleet.opened(stream, node, peer)
        self.status.opened(stream, node, peer, now)
        self.metrics.connected()
        identity = str(peer.identity or "")
        log.info("proxy.connected", node=node.id, stream=stream, identity=identity)

    def said(self, stream: int, event: Event, now: float) -> None:
        """A proxy was sent something, or has answered. It may quote what it was sent."""
        if isinstance(event, Nacked):
            event = replace(event, message=self.redactor.text(event.message))
            self._nacked(stream, event, now)
        self.metrics.said(event)
        refusals = self.status.said(stream, event, now)
        self.statuses.said(stream, event, now, refusals=refusals)
        if refusals:
            self._board.look_soon(now)

    def _nacked(self, stream: int, event: Nacked, now: float) -> None:
        if (left_out := self._log_limit.take(stream, now)) is not None:
            log.warning(
                "proxy.nacked",
                stream=stream,
                type=event.type_url,
                error=event.message,
                left_out=left_out,
            )

    def closed(self, stream: int) -> None:
        """A stream has ended."""
        self._fleet.closed(stream)
        self.status.closed(stream)
        self.statuses.closed(stream)
        self._log_limit.forget(stream)
        log.info("proxy.disconnected", stream=stream)


def _replaced(wrong: str) -> None:
    """The files of TLS were replaced, or cannot be."""
    if wrong:
        log.error("certificate.refused", error=wrong)
    else:
        log.info("certificate.replaced")
