"""Apache Dubbo itself, both lines of it as both sides, through an Envoy that Meltemi rules."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.listener.v3 import Listener

from meltemi.protocols import envoy
from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.dubbo_java import DUBBO_2, DUBBO_3, JavaConsumer, JavaProvider
from meltemi.testing.dubbo_orders import Call
from meltemi.testing.dubbo_wire import HEADER, Heartbeat, body_length, from_bytes
from meltemi.testing.fetching import UnavailableError
from meltemi.testing.load import Load
from meltemi.testing.ports import LOOPBACK, Address, free_port
from meltemi.testing.standalone import embedded_meltemi, standalone_envoy
from tests.abilities import Seen, saw
from tests.envoy.rig import (
    HOST,
    PATIENCE_S,
    Stage,
    entry,
    route,
    rule,
    save,
    share,
    subsets,
    trouble,
    version_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from envoy_data_plane.envoy.config.core.v3 import HealthCheck

    from meltemi.protocols.api import ClusterOptions
    from meltemi.testing.envoy import Envoy
    from tests.envoy.rig import Document, Serve, XdsServer

pytestmark = [pytest.mark.envoy, pytest.mark.asyncio(loop_scope="module")]

MIB = 1 << 20
HELLO = Call("sayHello", "ann")
SPLIT = Call("sayHello", "ann", {"load": "split"})
BOTH = Call("sayHello", "ann", {"load": "both"})
LINES = {"dubbo3": DUBBO_3, "dubbo2": DUBBO_2}

newest_pair = pytest.mark.parametrize(
    ("providers", "consumer"), [(DUBBO_3, DUBBO_3)], indirect=True, ids=["dubbo3"]
)
"""For what Envoy and the rules do, whichever Dubbo is at their ends."""


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=LINES.values(), ids=[f"to-{line}" for line in LINES]
)
async def providers(request: pytest.FixtureRequest) -> AsyncGenerator[Mapping[str, JavaProvider]]:
    """v1 and v2; v2 serves a group and version of its own as well."""
    both = ("", ""), ("gray", "2.0.0")
    async with AsyncExitStack() as closing:
        try:
            v1 = await closing.enter_async_context(JavaProvider("v1", dubbo=request.param))
            v2 = JavaProvider("v2", dubbo=request.param, services=both)
            await closing.enter_async_context(v2)
        except UnavailableError as error:
            pytest.skip(f"Apache Dubbo {request.param} was left out: {error}")
        yield {"v1": v1, "v2": v2}


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=LINES.values(),
    ids=[f"from-{line}" for line in LINES],
)
async def consumer(request: pytest.FixtureRequest) -> AsyncGenerator[JavaConsumer]:
    async with AsyncExitStack() as closing:
        try:
            started = JavaConsumer(dubbo=request.param, heartbeat_s=1)
            await closing.enter_async_context(started)
        except UnavailableError as error:
            pytest.skip(f"Apache Dubbo {request.param} was left out: {error}")
        yield started


def matching(name: str, value: str, **weights: int) -> Document:
    """A route of the calls whose attribute has this value."""
    match = {"attributes": {name: {"exact": value}}}
    return route(**weights) | {"name": f"{name}-{value}", "match": match}


def rules(**split: int) -> Document:
    """All rules of all tests: only the weights of one route ever change."""
    everywhere = {"route": [{"destination": {"host": HOST}}]}
    return rule(
        matching("user", "bob", v2=100),
        matching("method", "attachment", v2=100),
        matching("group", "gray", v2=100),
        matching("load", "split", **split),
        matching("load", "both") | everywhere,
        route(v1=100),
    )


@dataclass(frozen=True, slots=True)
class Mesh:
    """Two providers behind an Envoy."""

    rules: Path
    port: int
    endpoints: dict[str, Address]
    meltemi: XdsServer
    envoy: Envoy

    @property
    def address(self) -> Address:
        """Where consumers find the Greeter."""
        return Address(LOOPBACK, self.port)

    def split(self, **weights: int) -> None:
        """Save other weights of the weighted route."""
        save(self.rules / "rules.yaml", subsets("v1", "v2"), rules(**weights))

    async def until_healthy(self) -> None:
        """Wait until Envoy knows that whoever was killed is back."""

        async def holds() -> bool:
            stats = await self.envoy.stats("cluster.")
            healthy = {name: now for name, now in stats.items() if name.endswith("ship_healthy")}
            return all(
                now == stats[name.replace("ship_healthy", "ship_total")]
                for name, now in healthy.items()
            )

        await self.envoy.process.wait_until(holds, "find all endpoints healthy", PATIENCE_S)

    async def connections(self) -> int:
        """How many connections consumers ever opened."""
        stat = f"listener.outbound|{self.port}||greeter.example.downstream_cx_total"
        return (await self.envoy.stats(stat))[stat]

    @asynccontextmanager
    async def under_load(self, consumer: JavaConsumer, call: Call) -> AsyncGenerator[Stage]:
        """Eight threads of the consumer call without a pause, on one connection."""
        connect = consumer.caller(self.address, call)
        async with AsyncExitStack() as closing, Load(connect, connections=8, rate=400) as load:
            yield Stage(
                protocol="dubbo",
                rules=self.rules,
                port=self.port,
                servers={},
                endpoints=self.endpoints,
                meltemi=self.meltemi,
                envoy=self.envoy,
                load=load,
                closing=closing,
            )


@asynccontextmanager
async def meshed(
    folder: Path, providers: Mapping[str, JavaProvider], serve: Serve = MeltemiProcess
) -> AsyncGenerator[Mesh]:
    port = free_port()
    endpoints = {label: provider.address for label, provider in providers.items()}
    save(folder / "service.yaml", entry("dubbo", port, endpoints))
    save(folder / "rules.yaml", subsets("v1", "v2"), rules(v1=80, v2=20))
    async with serve(folder) as meltemi, standalone_envoy(meltemi.xds) as proxy:
        await proxy.wait_ready()
        yield Mesh(folder, port, endpoints, meltemi, proxy)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(
    providers: Mapping[str, JavaProvider], tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Mesh]:
    async with meshed(tmp_path_factory.mktemp("rules"), providers) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="module")
async def mesh(standing: Mesh) -> Mesh:
    """The one of all tests, whatever the test before has killed."""
    await standing.until_healthy()
    return standing


async def test_calls_go_where_method_attachments_and_group_say(
    mesh: Mesh, consumer: JavaConsumer
) -> None:
    expected = {
        "v1": [HELLO, Call("sayHello", attachments={"user": "ann"}), Call("sleep", 0)],
        "v2": [
            Call("sayHello", attachments={"user": "bob"}),
            Call("attachment", "x"),
            Call("sayHello", group="gray", version="2.0.0"),
        ],
    }
    for version, calls in expected.items():
        for call in calls:
            outcomes = await consumer.calls(mesh.address, call, times=20, threads=4)
            assert {version_of(each.result()) for each in outcomes} == {version}, call


async def test_names_of_attachments_are_matched_by_case(mesh: Mesh, consumer: JavaConsumer) -> None:
    outcome = await consumer.call(mesh.address, "sayHello", attachments={"USER": "bob"})
    assert version_of(outcome.result()) == "v1"


async def test_an_attachment_reaches_the_provider(mesh: Mesh, consumer: JavaConsumer) -> None:
    outcome = await consumer.call(
        mesh.address, "attachment", "place", attachments={"place": "Århus"}
    )
    assert outcome.result() == "v2: Århus"


async def test_weights_change_under_load_on_the_open_connection_without_a_failed_call(
    mesh: Mesh, consumer: JavaConsumer
) -> None:
    mesh.split(v1=80, v2=20)
    async with mesh.under_load(consumer, SPLIT) as stage:
        await stage.until_share("v2", 0.2)
        connections = await mesh.connections()
        assert share(await stage.calls(), "v2") == pytest.approx(0.2, abs=0.02)
        mesh.split(v1=10, v2=90)
        await stage.until_share("v2", 0.9)
        assert share(await stage.calls(), "v2") == pytest.approx(0.9, abs=0.02)
        assert trouble(stage.load.report()) == {}
        assert await mesh.connections() == connections
        await saw(mesh.envoy, "dubbo", Seen.JAVA)


@pytest.mark.parametrize(
    ("method", "argument", "error", "text"),
    [
        ("refuse", "100 % grün & more", "Refusal", "v1: 100 % grün & more"),
        ("sleep", -1, "IllegalArgumentException", "timeout value is negative"),
    ],
    ids=["declared", "undeclared"],
)
async def test_an_exception_of_the_provider_reaches_the_consumer_as_it_was_thrown(
    mesh: Mesh, consumer: JavaConsumer, method: str, argument: str | int, error: str, text: str
) -> None:
    outcome = await consumer.call(mesh.address, method, argument)
    assert (outcome.error, outcome.text, outcome.code) == (error, text, None)


async def test_an_object_graph_comes_back_as_it_was_sent(
    mesh: Mesh, consumer: JavaConsumer
) -> None:
    outcome = await consumer.call(mesh.address, "order")
    assert outcome.result() == "v1: the same order"


async def test_large_arguments_and_results_pass(mesh: Mesh, consumer: JavaConsumer) -> None:
    for size in (MIB, 6 * MIB):
        outcome = await consumer.call(mesh.address, "echo", size, timeout_s=PATIENCE_S)
        assert outcome.result() == f"{size} bytes, the same"


@newest_pair
async def test_without_our_buffer_limits_a_large_argument_is_never_answered(
    providers: Mapping[str, JavaProvider],
    consumer: JavaConsumer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Some connections are closed, others hang until the consumer gives up."""

    def cluster(**fields: Any) -> Cluster:
        fields["per_connection_buffer_limit_bytes"] = None
        return Cluster(**fields)

    def listener(**fields: Any) -> Listener:
        fields["per_connection_buffer_limit_bytes"] = None
        return Listener(**fields)

    monkeypatch.setattr(envoy, "Cluster", cluster)
    monkeypatch.setattr(envoy, "Listener", listener)
    async with meshed(tmp_path, providers, embedded_meltemi) as mesh:
        small = await consumer.call(mesh.address, "echo", MIB // 2)
        large = await consumer.call(mesh.address, "echo", 6 * MIB, timeout_s=3)
    assert (small.error, large.error) == (None, "RpcException")


@asynccontextmanager
async def killed(provider: JavaProvider) -> AsyncGenerator[None]:
    """Without this provider. It is back after."""
    await provider.kill()
    try:
        yield
    finally:
        await provider.start()


async def test_a_killed_provider_fails_no_call_after_the_next_check_and_is_used_when_back(
    mesh: Mesh, providers: Mapping[str, JavaProvider], consumer: JavaConsumer
) -> None:
    async with mesh.under_load(consumer, BOTH) as stage:
        healthy = f"cluster.{stage.cluster()}.membership_healthy"
        await stage.until_share("v2", 0.5)
        async with killed(providers["v2"]):
            await stage.until_stat(healthy, lambda now: now == 1)
            report = await stage.calls()
            assert trouble(report) == {}
            assert share(report, "v1") == 1
        await stage.until_share("v2", 0.5)


def unchecked(_: ClusterOptions) -> list[HealthCheck]:
    return []


@newest_pair
async def test_without_a_check_a_killed_provider_keeps_failing_its_share(
    providers: Mapping[str, JavaProvider],
    consumer: JavaConsumer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(envoy, "health_checks", unchecked)
    async with (
        meshed(tmp_path, providers, embedded_meltemi) as mesh,
        mesh.under_load(consumer, BOTH) as stage,
    ):
        await stage.until_share("v2", 0.5)
        async with killed(providers["v2"]):
            await stage.load.first(lambda call: call.error is not None)
            await stage.calls(800)  # more than a second, in which a check would have come
            report = await stage.calls()
    assert report.failed / len(report.calls) == pytest.approx(0.5, abs=0.1)


class Mute:
    """A server that accepts connections and answers nothing, not even heartbeats."""

    def __init__(self) -> None:
        self.connected: asyncio.Queue[None] = asyncio.Queue()
        self.probed: asyncio.Queue[None] = asyncio.Queue()
        """An entry for each heartbeat."""

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[Address]:
        async with await asyncio.start_server(self._hush, LOOPBACK, 0) as server:
            yield Address(*server.sockets[0].getsockname())

    async def _hush(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected.put_nowait(None)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                header = await reader.readexactly(HEADER.size)
                body = await reader.readexactly(body_length(header))
                if isinstance(from_bytes(header, body), Heartbeat):
                    self.probed.put_nowait(None)
        writer.close()


@pytest.mark.parametrize("providers", [DUBBO_3], indirect=True, ids=["to-dubbo3"])
async def test_an_idle_connection_stays_good(mesh: Mesh, consumer: JavaConsumer) -> None:
    """For longer than a consumer waits for answers to its heartbeats, which Envoy gives."""
    assert (await consumer.call(mesh.address, "sayHello")).error is None
    connections, mute = await mesh.connections(), Mute()
    async with mute.listening() as address:
        await consumer.call(address, "sayHello", timeout_s=0.5)
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(4):
                await mute.probed.get()
        outcomes = await consumer.calls(mesh.address, HELLO, times=100, threads=8)
    assert [each.text for each in outcomes if each.error] == []
    assert await mesh.connections() == connections


@pytest.mark.parametrize("consumer", [DUBBO_2], indirect=True, ids=["dubbo2"])
async def test_an_idle_connection_without_answers_to_heartbeats_is_given_up(
    consumer: JavaConsumer,
) -> None:
    """By Dubbo 2.7; 3.3 probes as well, and draws no conclusion."""
    mute = Mute()
    async with mute.listening() as address, asyncio.timeout(PATIENCE_S):
        await consumer.call(address, "sayHello", timeout_s=0.5)
        await mute.connected.get()
        await mute.connected.get()
    assert mute.probed.qsize() > 0
