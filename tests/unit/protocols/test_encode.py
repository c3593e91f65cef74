"""What the property tests do not reach: packing, odd values, types that no Envoy field has."""

from __future__ import annotations

import datetime
import math
from datetime import UTC, timedelta

import betterproto2
import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster, ClusterDiscoveryType
from envoy_data_plane.envoy.config.core.v3 import Address, SocketAddress
from envoy_data_plane.envoy.extensions.filters.network.redis_proxy.v3 import RedisProxy
from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy.v3 import TcpProxy
from envoy_data_plane.google.protobuf import (
    DoubleValue,
    ListValue,
    StringValue,
    Struct,
    Timestamp,
    Value,
)
from google.protobuf.duration_pb2 import Duration
from pydantic.dataclasses import dataclass

from meltemi.protocols._pb import redis_proxy_pb2
from meltemi.protocols.encode import encode, pack


@dataclass(eq=False, repr=False)
class Rare(betterproto2.Message):
    """A message of the types that Envoy's own do not use."""

    sint32: int = betterproto2.field(1, betterproto2.TYPE_SINT32)
    sint64: int = betterproto2.field(2, betterproto2.TYPE_SINT64)
    fixed32: int = betterproto2.field(3, betterproto2.TYPE_FIXED32)
    fixed64: int = betterproto2.field(4, betterproto2.TYPE_FIXED64)
    sfixed32: int = betterproto2.field(5, betterproto2.TYPE_SFIXED32)
    sfixed64: int = betterproto2.field(6, betterproto2.TYPE_SFIXED64)
    packed: list[int] = betterproto2.field(7, betterproto2.TYPE_SINT32, repeated=True)
    doubles: list[float] = betterproto2.field(8, betterproto2.TYPE_DOUBLE, repeated=True)
    numbers: dict[int, bool] = betterproto2.field(
        9,
        betterproto2.TYPE_MAP,
        map_meta=betterproto2.map_meta(betterproto2.TYPE_INT32, betterproto2.TYPE_BOOL),
    )
    names: list[str] = betterproto2.field(
        1000, betterproto2.TYPE_MESSAGE, unwrap=lambda: StringValue, repeated=True
    )
    moment: datetime.datetime | None = betterproto2.field(
        1001, betterproto2.TYPE_MESSAGE, unwrap=lambda: Timestamp, optional=True
    )
    optional: int | None = betterproto2.field(1002, betterproto2.TYPE_INT32, optional=True)
    one: int | None = betterproto2.field(1003, betterproto2.TYPE_INT32, group="choice")
    message: Value | None = betterproto2.field(1004, betterproto2.TYPE_MESSAGE)


@pytest.mark.parametrize(
    "message",
    [
        Rare(sint32=-(2**31), sint64=2**63 - 1),
        Rare(sint32=1, sint64=-1),
        Rare(fixed32=2**32 - 1, fixed64=2**64 - 1),
        Rare(sfixed32=-(2**31), sfixed64=-(2**63)),
        Rare(packed=[0, -1, 64, -8192], doubles=[0.0, math.pi]),
        Rare(numbers={-1: False, 0: True, 300: True}),
        Rare(names=["", "a", "b" * 200]),
        Rare(moment=datetime.datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC)),
        Rare(moment=datetime.datetime(9999, 12, 31, tzinfo=UTC)),
        Rare(optional=0, one=0, message=Value()),
        Cluster(type=ClusterDiscoveryType(77)),
        DoubleValue(value=math.nan),
        DoubleValue(value=math.inf),
        DoubleValue(value=-0.0),
        Value(number_value=0.0),
        Address(socket_address=SocketAddress(port_value=0)),
    ],
    ids=repr,
)
def test_rare_types_and_edges_have_betterprotos_bytes(message: betterproto2.Message) -> None:
    assert encode(message) == bytes(message)


def test_deep_nesting_of_one_class_is_encoded() -> None:
    value = Value(string_value="leaf")
    for _ in range(20):
        fields = {"child": Value(list_value=ListValue(values=[value]))}
        value = Value(struct_value=Struct(fields=fields))

    assert Value.parse(encode(value)) == value


@pytest.mark.parametrize(
    "delta",
    [
        timedelta(milliseconds=-1),
        timedelta(milliseconds=-1500),
        timedelta(seconds=-3),
        timedelta(days=104_250, microseconds=1),
    ],
    ids=str,
)
def test_durations_that_betterproto_gets_wrong_are_right(delta: timedelta) -> None:
    official = Duration()
    official.FromTimedelta(delta)
    body = official.SerializeToString()

    encoded = encode(Cluster(connect_timeout=delta))

    assert encoded == bytes((4 << 3 | 2, len(body))) + body


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(TypeError, match="offset-naive"):
        encode(Rare(moment=datetime.datetime(2026, 1, 1)))  # noqa: DTZ001 - the case under test


def test_fields_unknown_to_a_parser_are_kept() -> None:
    body = encode(TcpProxy(stat_prefix="tcp")) + b"\xfa\x7f\x01x"

    assert encode(TcpProxy.parse(body)) == body


def test_an_instance_of_a_subclass_is_encoded_like_its_parent() -> None:
    class Loopback(SocketAddress):
        pass

    special = Address(socket_address=Loopback(address="127.0.0.1", port_value=80))
    plain = Address(socket_address=SocketAddress(address="127.0.0.1", port_value=80))

    assert encode(special) == encode(plain)


def test_an_any_holds_type_and_bytes() -> None:
    proxy = TcpProxy(stat_prefix="tcp", cluster="backend")

    packed = pack(proxy)

    assert packed.type_url.endswith("/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy")
    assert packed.unpack() == proxy


def test_an_any_takes_fields_that_the_class_lacks() -> None:
    proxy = RedisProxy(stat_prefix="redis")

    packed = pack(proxy, redis_proxy_pb2.RedisProxy(protocol_version=1))

    assert packed.value == encode(proxy) + bytes((12 << 3, 1))


def test_a_class_that_is_not_of_envoy_cannot_be_packed() -> None:
    with pytest.raises(KeyError):
        pack(Rare())
