"""The encoder against betterproto2's own serializer and official protobuf, class by class."""

from __future__ import annotations

import functools
from datetime import UTC, timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import betterproto2
import pytest
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.core.v3 import HealthCheck, TypedExtensionConfig
from envoy_data_plane.envoy.config.endpoint.v3 import ClusterLoadAssignment
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.extensions.filters.network.generic_proxy.action import v3 as action
from envoy_data_plane.envoy.extensions.filters.network.generic_proxy.matcher import v3 as matcher
from envoy_data_plane.envoy.extensions.filters.network.generic_proxy.v3 import (
    GenericProxy,
)
from envoy_data_plane.envoy.extensions.filters.network.generic_proxy.v3 import (
    RouteConfiguration as GenericRoutes,
)
from envoy_data_plane.envoy.extensions.filters.network.redis_proxy.v3 import (
    RedisProtocolOptions,
    RedisProxy,
)
from envoy_data_plane.envoy.extensions.filters.network.tcp_proxy.v3 import TcpProxy
from envoy_data_plane.envoy.extensions.filters.network.thrift_proxy.v3 import (
    RouteConfiguration as ThriftRoutes,
)
from envoy_data_plane.envoy.extensions.filters.network.thrift_proxy.v3 import (
    ThriftProxy,
)
from envoy_data_plane.envoy.service.runtime.v3 import Runtime
from envoy_data_plane.google.protobuf import Duration, Struct, Timestamp, Value
from envoy_data_plane.message_pool import default_message_pool
from google.protobuf import descriptor_pool, message_factory
from hypothesis import HealthCheck as Check
from hypothesis import given, settings
from hypothesis import strategies as st

from meltemi.protocols.encode import encode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message as OfficialMessage
    from hypothesis.strategies import DrawFn, SearchStrategy

    MessageClass = type[betterproto2.Message]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # deprecated fields too

ROOTS: tuple[MessageClass, ...] = (
    Cluster,
    ClusterLoadAssignment,
    GenericProxy,
    GenericRoutes,
    HealthCheck,
    Listener,
    RedisProtocolOptions,
    RedisProxy,
    Runtime,
    TcpProxy,
    ThriftProxy,
    ThriftRoutes,
    TypedExtensionConfig,
    action.RouteAction,
    matcher.RequestMatcher,
)

OFFICIAL_MODULES = (
    "config.cluster.v3.cluster",
    "config.endpoint.v3.endpoint",
    "config.listener.v3.listener",
    "extensions.filters.network.generic_proxy.action.v3.action",
    "extensions.filters.network.generic_proxy.matcher.v3.matcher",
    "extensions.filters.network.generic_proxy.v3.generic_proxy",
    "extensions.filters.network.generic_proxy.v3.route",
    "extensions.filters.network.redis_proxy.v3.redis_proxy",
    "extensions.filters.network.tcp_proxy.v3.tcp_proxy",
    "extensions.filters.network.thrift_proxy.v3.route",
    "extensions.filters.network.thrift_proxy.v3.thrift_proxy",
    "service.runtime.v3.rtds",
)


def metadata(cls: MessageClass) -> betterproto2.ProtoClassMetadata:
    """It has no public door."""
    return cast("betterproto2.ProtoClassMetadata", cast("Any", cls)._betterproto)


def value_class(cls: MessageClass, name: str) -> type:
    """The class of a field's value, a list's items or a map's values."""
    classes = metadata(cls).cls_by_field
    return classes.get(f"{name}.value") or classes[name]


def reachable() -> list[MessageClass]:
    found: set[MessageClass] = set()
    pending = list(ROOTS)
    while pending:
        if (cls := pending.pop()) not in found:
            found.add(cls)
            pending += nested_classes(cls)
    return sorted(found, key=full_name)


def nested_classes(cls: MessageClass) -> Iterator[MessageClass]:
    for name, meta in metadata(cls).meta_by_field_name.items():
        nested = meta.unwrap() if meta.unwrap else value_class(cls, name)
        if issubclass(nested, betterproto2.Message):
            yield nested


def full_name(cls: MessageClass) -> str:
    return default_message_pool.type_to_url[cls].removeprefix("type.googleapis.com/")


@functools.cache
def official(cls: MessageClass) -> type[OfficialMessage] | None:
    """The class of xds-protos; None for the few messages that are newer."""
    for module in OFFICIAL_MODULES:
        import_module(f"envoy.{module}_pb2")
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(full_name(cls))
    except KeyError:
        return None
    return message_factory.GetMessageClass(descriptor)


SCALARS: dict[str, SearchStrategy[Any]] = {
    betterproto2.TYPE_BOOL: st.booleans(),
    betterproto2.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    betterproto2.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    betterproto2.TYPE_UINT32: st.integers(0, 2**32 - 1),
    betterproto2.TYPE_UINT64: st.integers(0, 2**64 - 1),
    betterproto2.TYPE_FLOAT: st.floats(width=32, allow_nan=False),
    betterproto2.TYPE_DOUBLE: st.floats(allow_nan=False),
    betterproto2.TYPE_STRING: st.text(max_size=200),
    betterproto2.TYPE_BYTES: st.binary(max_size=200),
}


def wrapped_values(wrapper: MessageClass) -> SearchStrategy[Any]:
    if wrapper is Duration:  # beyond these, betterproto2 is wrong
        return st.timedeltas(timedelta(0), timedelta(days=100_000))
    if wrapper is Timestamp:
        return st.datetimes(timezones=st.just(UTC))
    return SCALARS[metadata(wrapper).meta_by_field_name["value"].proto_type]


def single_values(
    cls: MessageClass, name: str, meta: betterproto2.FieldMetadata, depth: int
) -> SearchStrategy[Any]:
    if meta.unwrap:
        return wrapped_values(meta.unwrap())
    if meta.proto_type == betterproto2.TYPE_MESSAGE:
        return messages(value_class(cls, name), depth - 1)
    if meta.proto_type == betterproto2.TYPE_ENUM:
        return st.sampled_from(list(cast("type[betterproto2.Enum]", value_class(cls, name))))
    return SCALARS[meta.proto_type]


def field_values(
    cls: MessageClass, name: str, meta: betterproto2.FieldMetadata, depth: int
) -> SearchStrategy[Any]:
    if meta.map_meta:
        keys = SCALARS[meta.map_meta[0].proto_type]
        values = single_values(cls, name, meta.map_meta[1], depth)
        return st.dictionaries(keys, values, max_size=3).map(
            lambda entries: dict(sorted(entries.items()))
        )
    values = single_values(cls, name, meta, depth)
    return st.lists(values, max_size=3) if meta.repeated else values


def is_leaf(meta: betterproto2.FieldMetadata) -> bool:
    value = meta.map_meta[1] if meta.map_meta else meta
    return value.proto_type != betterproto2.TYPE_MESSAGE or value.unwrap is not None


@st.composite
def messages(draw: DrawFn, cls: MessageClass, depth: int) -> betterproto2.Message:
    """A message of the class with any of its fields; those of ``depth`` 0 have no messages."""
    fields = [
        (name, meta)
        for name, meta in metadata(cls).meta_by_field_name.items()
        if depth > 0 or is_leaf(meta)
    ]
    chosen = draw(st.integers(0, 2 ** len(fields) - 1))
    values: dict[str, Any] = {}
    groups: set[str] = set()
    for position, (name, meta) in enumerate(fields):
        if chosen >> position & 1 and meta.group not in groups:
            values[name] = draw(field_values(cls, name, meta, depth))
            groups |= {meta.group} if meta.group else set()
    return cls(**values)


@pytest.mark.parametrize("cls", reachable(), ids=full_name)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[Check.too_slow, Check.data_too_large]
)
@given(data=st.data())
def test_a_message_has_betterprotos_bytes_and_protobufs_meaning(
    cls: MessageClass, data: st.DataObject
) -> None:
    message = data.draw(messages(cls, depth=1))

    body = encode(message)

    assert body == bytes(message)
    if (official_class := official(cls)) is not None:
        read = official_class.FromString(body)
        assert cls.parse(read.SerializeToString()) == message


def test_nearly_every_class_has_an_official_counterpart() -> None:
    assert sum(official(cls) is None for cls in reachable()) < 10


@given(entries=st.dictionaries(st.text(), st.floats(allow_nan=False)), data=st.data())
def test_the_order_in_which_a_map_was_built_has_no_effect(
    entries: dict[str, float], data: st.DataObject
) -> None:
    def layer(names: list[str]) -> Runtime:
        values = {name: Value(number_value=entries[name]) for name in names}
        return Runtime(name="layer", layer=Struct(fields=values))

    one = encode(layer(list(entries)))
    other = encode(layer(data.draw(st.permutations(list(entries)))))

    assert one == other
    official_runtime = official(Runtime)
    assert official_runtime is not None
    assert official_runtime.FromString(one) == official_runtime.FromString(
        bytes(layer(list(entries)))
    )
