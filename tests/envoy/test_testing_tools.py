"""The test tools against each other: real Envoys between our servers and our clients."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from meltemi.testing.dubbo import DubboClient, DubboServer, dubbo_caller
from meltemi.testing.dubbo_wire import DubboCallError, Request, Response
from meltemi.testing.envoy import Envoy, EnvoyAdminError, validate
from meltemi.testing.hessian2 import Thing
from meltemi.testing.load import Load
from meltemi.testing.ports import Address, free_port, unanswered_address
from meltemi.testing.process import ServerProcessError
from meltemi.testing.redis_connection import RedisConnection, RedisRefusedError, redis_caller
from meltemi.testing.thrift import AsyncThriftClient, ThriftCallError, ThriftServer, thrift_caller
from meltemi.testing.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from meltemi.testing.load import Connect
    from meltemi.testing.report import Call

pytestmark = pytest.mark.envoy

TYPES = "type.googleapis.com/envoy.extensions.filters.network"
GENERIC = f"{TYPES}.generic_proxy"


def any_of(type_url: str, **fields: Any) -> dict[str, Any]:
    return {"@type": type_url, **fields}


def endpoint(address: Address) -> dict[str, Any]:
    socket = {"socket_address": {"address": address.host, "port_value": address.port}}
    return {"endpoint": {"address": socket}}


def cluster(name: str, *localities: tuple[Address, int], **fields: Any) -> dict[str, Any]:
    """A static cluster; each locality is one endpoint with its weight."""
    endpoints = [
        {
            "locality": {"sub_zone": str(number)},
            "load_balancing_weight": weight,
            "lb_endpoints": [endpoint(address)],
        }
        for number, (address, weight) in enumerate(localities)
    ]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "common_lb_config": {"locality_weighted_lb_config": {}},
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
        **fields,
    }


def bootstrap(proxy: dict[str, Any], *clusters: dict[str, Any], port: int = 0) -> dict[str, Any]:
    """One listener ``main`` with one network filter."""
    listener = {
        "name": "main",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "proxy", "typed_config": proxy}]}],
    }
    return {"static_resources": {"listeners": [listener], "clusters": list(clusters)}}


def to(cluster_name: str) -> dict[str, Any]:
    action = any_of(f"{GENERIC}.action.v3.RouteAction", cluster=cluster_name, timeout="5s")
    return {"action": {"name": "route", "typed_config": action}}


def when(**request: Any) -> dict[str, Any]:
    """A condition on method and properties (attachments)."""
    seen = {"name": "request", "typed_config": any_of(f"{GENERIC}.matcher.v3.RequestMatchInput")}
    wanted = any_of(f"{GENERIC}.matcher.v3.RequestMatcher", **request)
    matching = {"input": seen, "custom_match": {"name": "request", "typed_config": wanted}}
    return {"single_predicate": matching}


def dubbo(*routes: tuple[dict[str, Any], str], default: str) -> dict[str, Any]:
    """generic_proxy for every Dubbo service: the routes in order, then the default cluster."""
    matchers = [{"predicate": condition, "on_match": to(name)} for condition, name in routes]
    matcher = {"on_no_match": to(default)}
    listed = {"matcher_list": {"matchers": matchers}} if matchers else {}
    codec = any_of(f"{GENERIC}.codecs.dubbo.v3.DubboCodecConfig")
    router = any_of(f"{GENERIC}.router.v3.Router")
    return any_of(
        f"{GENERIC}.v3.GenericProxy",
        stat_prefix="dubbo",
        codec_config={"name": "dubbo", "typed_config": codec},
        filters=[{"name": "envoy.filters.generic.router", "typed_config": router}],
        route_config={"name": "routes", "routes": matcher | listed},
    )


def thrift(*routes: dict[str, Any]) -> dict[str, Any]:
    router = any_of(
        f"{TYPES}.thrift_proxy.router.v3.Router", close_downstream_on_upstream_error=False
    )
    return any_of(
        f"{TYPES}.thrift_proxy.v3.ThriftProxy",
        stat_prefix="thrift",
        route_config={"name": "routes", "routes": list(routes)},
        thrift_filters=[{"name": "envoy.filters.thrift.router", "typed_config": router}],
    )


def thrift_route(cluster_name: str, method: str = "", **headers: str) -> dict[str, Any]:
    named = [{"name": key, "string_match": {"exact": value}} for key, value in headers.items()]
    return {
        "match": {"method_name": method, "headers": named},
        "route": {"cluster": cluster_name},
    }


def redis(*routes: dict[str, Any], default: str) -> dict[str, Any]:
    return any_of(
        f"{TYPES}.redis_proxy.v3.RedisProxy",
        stat_prefix="redis",
        settings={"op_timeout": "5s"},
        prefix_routes={"routes": list(routes), "catch_all_route": {"cluster": default}},
    )


async def listening(envoy: Envoy) -> Address:
    await envoy.wait_ready()
    return (await envoy.listeners())["main"]


NO_ROUTES = dubbo(default="absent")


async def test_envoy_tells_its_listeners_stats_and_configuration() -> None:
    somewhere = Address("127.0.0.1", 9)
    async with Envoy(bootstrap(NO_ROUTES, cluster("one|1||x", (somewhere, 1)))) as envoy:
        await envoy.wait_ready()
        assert (await envoy.listeners())["main"].port != 0
        assert (await envoy.stats("cluster.one|1||x."))["cluster.one|1||x.membership_total"] == 1
        assert set(await envoy.stats("listener_manager.listener_a")) == {
            "listener_manager.listener_added"
        }
        (held,) = await envoy.config_dump("static_clusters", mask="cluster.name")
        assert held["cluster"]["name"] == "one|1||x"
        assert any("EndpointsConfigDump" in part["@type"] for part in await envoy.config_dump())
        with pytest.raises(EnvoyAdminError, match="status 404"):
            await envoy.admin_get("/no-such-page")


async def test_an_envoy_without_its_control_plane_is_up_but_not_ready() -> None:
    with unanswered_address() as nobody:
        ads = {
            "api_type": "DELTA_GRPC",
            "transport_api_version": "V3",
            "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
        }
        waiting: dict[str, Any] = bootstrap(NO_ROUTES, cluster("xds", (nobody, 1))) | {
            "node": {"id": "n", "cluster": "c"},
            "dynamic_resources": {"ads_config": ads, "cds_config": {"ads": {}}},
        }
        async with Envoy(waiting) as envoy:
            assert not await envoy.ready()
            with pytest.raises(ServerProcessError, match="did not become ready"):
                await envoy.wait_ready(timeout_s=0.1)


async def test_a_bootstrap_that_envoy_refuses_is_reported_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(ServerProcessError, match="no_such_field"):
        async with Envoy("no_such_field: 1", folder=tmp_path):
            pass
    assert "no_such_field" in (tmp_path / "envoy.log").read_text()


async def test_validation_passes_what_is_right_and_names_what_is_wrong() -> None:
    assert await validate(bootstrap(NO_ROUTES)) is None
    wrong = NO_ROUTES | {"stat_prefix": ""}
    assert "StatPrefix: value length must be at least 1" in str(await validate(bootstrap(wrong)))


async def test_dubbo_calls_follow_method_attachment_and_weights() -> None:
    bob = when(properties=[{"name": "user", "string_match": {"exact": "bob"}}])
    getters = when(method={"prefix": "get"})
    async with DubboServer("v1") as v1, DubboServer("v2") as v2:
        split = cluster("split", (v1.address, 80), (v2.address, 20))
        only = [cluster("v1", (v1.address, 1)), cluster("v2", (v2.address, 1))]
        proxy = dubbo((bob, "v2"), (getters, "v1"), default="split")
        async with (
            Envoy(bootstrap(proxy, split, *only)) as envoy,
            await DubboClient.open(await listening(envoy)) as client,
        ):

            async def versions(method: str, **attachments: str) -> Counter[object]:
                call = client.call
                calls = [call("demo.Greeter", method, attachments=attachments) for _ in range(100)]
                return Counter([reply.result() for reply in await asyncio.gather(*calls)])

            assert await versions("hello", user="bob") == {"v2": 100}
            assert await versions("getName") == {"v1": 100}
            # Envoy begins its rounds anywhere: exact to a call.
            assert (await versions("hello"))["v2"] == pytest.approx(20, abs=1)
            # Controls: names of attachments have case, and a prefix is not a part.
            assert (await versions("hello", User="bob"))["v1"] == pytest.approx(80, abs=1)
            assert (await versions("forget"))["v2"] == pytest.approx(20, abs=1)


async def test_envoys_own_dubbo_errors_carry_their_reason() -> None:
    async with DubboServer("v1") as v1:
        clusters = cluster("v1", (v1.address, 1))
        async with (
            Envoy(bootstrap(dubbo(default="v1"), clusters)) as envoy,
            await DubboClient.open(await listening(envoy)) as client,
        ):
            await client.heartbeat()
            assert (await client.call("demo.Greeter", "hello")).ok
            await v1.stop()
            reply = await client.call("demo.Greeter", "hello")
            assert (reply.status, reply.reason) == (80, "connection_failure")
    async with (
        Envoy(bootstrap(NO_ROUTES)) as envoy,
        await DubboClient.open(await listening(envoy)) as client,
    ):
        reply = await client.call("demo.Greeter", "hello")
        assert (reply.status, reply.reason) == (80, "cluster_not_found")


async def test_the_exception_of_a_dubbo_service_reaches_the_caller_through_envoy() -> None:
    async def raising(request: Request) -> Response:
        missing = Thing("demo.NotFound", {"message": "no ann"})
        return Response(request.id, value=missing, raised=True)

    async with DubboServer("v1", answer=raising) as v1:
        clusters = cluster("v1", (v1.address, 1))
        async with (
            Envoy(bootstrap(dubbo(default="v1"), clusters)) as envoy,
            await DubboClient.open(await listening(envoy)) as client,
        ):
            reply = await client.call("demo.Greeter", "hello")
            with pytest.raises(DubboCallError, match=r"status 20: demo\.NotFound"):
                reply.result()
            assert isinstance(reply.value, Thing)
            assert reply.value.fields == {"message": "no ann"}


async def test_a_tcp_check_takes_a_silent_server_for_healthy_and_an_unanswered_address_not() -> (
    None
):
    check: dict[str, Any] = {
        "timeout": "0.2s",
        "interval": "1s",
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        "tcp_health_check": {},
    }
    async with DubboServer("v1", silent=True) as silent:
        with unanswered_address() as nobody:
            clusters = [
                cluster("silent", (silent.address, 1), health_checks=[check]),
                cluster("unanswered", (nobody, 1), health_checks=[check]),
            ]
            async with Envoy(bootstrap(NO_ROUTES, *clusters)) as envoy:
                await envoy.wait_ready()
                stats = await envoy.stats("cluster.")
    assert stats["cluster.silent.membership_healthy"] == 1
    assert stats["cluster.unanswered.membership_healthy"] == 0
    assert stats["cluster.unanswered.health_check.network_failure"] == 1


async def test_thrift_calls_follow_method_and_header() -> None:
    async with ThriftServer("v1") as v1, ThriftServer("v2") as v2:
        proxy = thrift(thrift_route("v2", "hello", user="bob"), thrift_route("v1", "hello"))
        clusters = [cluster("v1", (v1.address, 1)), cluster("v2", (v2.address, 1))]
        async with Envoy(bootstrap(proxy, *clusters)) as envoy:
            at = await listening(envoy)
            async with (
                await AsyncThriftClient.open(at) as client,
                await AsyncThriftClient.open(at, transport="framed") as framed,
            ):
                assert await client.call("hello", "ann", {"user": "bob"}) == "v2:ann"
                assert await client.call("hello", "ann", {"user": "eve"}) == "v1:ann"
                assert await client.hello("ann") == "v1:ann"
                assert await framed.hello("ann") == "v1:ann"
                for unrouted in (client, framed):
                    with pytest.raises(ThriftCallError, match="no route for method 'bye'"):
                        await unrouted.call("bye", "ann")
                assert v2.requests[0].headers["user"] == "bob"


async def mirrored(server: Valkey, key: str) -> str:
    """The value, when it has arrived: a mirror is not waited for by the call that caused it."""
    async with asyncio.timeout(10):
        while (value := await server.ask("GET", key)) is None:  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.01)
    return str(value)


async def test_redis_commands_follow_their_prefix_and_writes_are_mirrored() -> None:
    async with Valkey() as main, Valkey() as users, Valkey(password="secret") as copy:
        mirror = {"cluster": "copy", "exclude_read_commands": True}
        proxy = redis(
            {"prefix": "user:", "cluster": "users", "request_mirror_policy": [mirror]},
            default="main",
        )
        options = any_of(
            f"{TYPES}.redis_proxy.v3.RedisProtocolOptions",
            auth_password={"inline_string": "secret"},
        )
        authenticated = {"envoy.filters.network.redis_proxy": options}
        clusters = [
            cluster("main", (main.address, 1)),
            cluster("users", (users.address, 1)),
            cluster("copy", (copy.address, 1), typed_extension_protocol_options=authenticated),
        ]
        async with (
            Envoy(bootstrap(proxy, *clusters)) as envoy,
            await RedisConnection.open(await listening(envoy)) as client,
        ):
            assert await client.ask("SET", "item:1", "a") == "OK"
            assert await client.ask("SET", "user:1", "b") == "OK"
            assert await main.ask("MGET", "item:1", "user:1") == ["a", None]
            assert await users.ask("MGET", "item:1", "user:1") == [None, "b"]
            assert await mirrored(copy, "user:1") == "b"
            # Control: what is not mirrored did not come earlier on the same connection.
            assert await copy.ask("GET", "item:1") is None
            with pytest.raises(RedisRefusedError, match="unknown command"):
                await client.ask("SUBSCRIBE", "news")
            assert await client.ask("GET", "user:1") == "b"


@pytest.mark.parametrize(
    ("password", "says"),
    [("wrong", "invalid username-password pair"), ("", "Authentication required")],
)
async def test_a_valkey_with_a_password_refuses_others(password: str, says: str) -> None:
    async with Valkey(password="secret") as server:
        with pytest.raises(RedisRefusedError, match=says):
            await RedisConnection.open(server.address, password=password)
        assert await server.ask("PING") == "PONG"


async def steady(connect: Connect) -> None:
    """Eight connections, a few hundred calls: nothing fails and nothing is opened again."""
    async with Load(connect) as load:
        await load.more(200)
        report = load.report()
    assert (report.failed, report.reconnects, report.connections_used) == (0, 0, 8)


async def test_steady_load_on_open_dubbo_connections_has_no_failures() -> None:
    async with DubboServer("v1") as v1:
        clusters = cluster("v1", (v1.address, 1))
        async with Envoy(bootstrap(dubbo(default="v1"), clusters)) as envoy:
            await steady(dubbo_caller(await listening(envoy), "demo.Greeter", "hello"))
            stats = await envoy.stats("generic_proxy.dubbo.")
            assert stats["generic_proxy.dubbo.downstream_rq_total"] >= 200


async def test_steady_load_on_open_thrift_connections_has_no_failures() -> None:
    async with ThriftServer("v1") as v1:
        proxy, clusters = thrift(thrift_route("v1")), cluster("v1", (v1.address, 1))
        async with Envoy(bootstrap(proxy, clusters)) as envoy:
            await steady(thrift_caller(await listening(envoy), "hello", "ann"))
            assert (await envoy.stats("thrift.thrift."))["thrift.thrift.request"] >= 200


async def test_steady_load_on_open_redis_connections_has_no_failures() -> None:
    async with Valkey() as main:
        proxy, clusters = redis(default="main"), cluster("main", (main.address, 1))
        async with Envoy(bootstrap(proxy, clusters)) as envoy:
            await steady(redis_caller(await listening(envoy), "INCR", "count"))
            stats = await envoy.stats("redis.redis.")
            assert stats["redis.redis.downstream_cx_total"] == 8


async def test_load_notices_a_killed_destination() -> None:
    async with DubboServer("v1") as v1, DubboServer("v2") as v2:
        split = cluster("split", (v1.address, 50), (v2.address, 50))
        async with Envoy(bootstrap(dubbo(default="split"), split)) as envoy:
            connect = dubbo_caller(await listening(envoy), "demo.Greeter", "hello")
            async with Load(connect) as load:
                await load.more(50)
                await v2.stop()
                await load.first(lambda call: call.error is not None)
                report = load.report()
    assert report.failed >= 1
    assert report.reconnects == 0


CALLERS: dict[str, Callable[[Address], Connect]] = {
    "dubbo": lambda at: dubbo_caller(at, "demo.Greeter", "hello"),
    "thrift": lambda at: thrift_caller(at, "hello", "ann"),
    "redis": lambda at: redis_caller(at, "INCR", "count"),
}


async def every_connection(load: Load, *, answered: bool) -> None:
    """Wait until each of the eight connections had a call with, or without, an answer."""
    missing = set(range(8))

    def shows(call: Call) -> bool:
        if (call.answer is not None) == answered:
            missing.discard(call.connection)
        return not missing

    await load.first(shows)


@pytest.mark.parametrize("protocol", CALLERS)
async def test_load_notices_a_killed_envoy_and_counts_every_reconnect(protocol: str) -> None:
    async with DubboServer("v1") as dubbo_v1, ThriftServer("v1") as thrift_v1, Valkey() as main:
        proxies = {
            "dubbo": (dubbo(default="v1"), dubbo_v1.address),
            "thrift": (thrift(thrift_route("v1")), thrift_v1.address),
            "redis": (redis(default="v1"), main.address),
        }
        proxy, address = proxies[protocol]
        fixed = bootstrap(proxy, cluster("v1", (address, 1)), port=free_port())
        async with (
            Envoy(fixed) as envoy,
            Load(CALLERS[protocol](await listening(envoy))) as load,
        ):
            await every_connection(load, answered=True)
            assert load.take().failed == 0
            await envoy.kill()
            await every_connection(load, answered=False)
            async with Envoy(fixed):
                await every_connection(load, answered=True)
                report = load.report()
    assert report.failed >= 8
    assert report.reconnects == 8
