"""Bytes to proto-JSON, held against betterproto2's own way."""

from __future__ import annotations

import pytest
from envoy_data_plane.envoy.config.core.v3 import TypedExtensionConfig
from envoy_data_plane.envoy.config.listener.v3 import Filter
from envoy_data_plane.google.protobuf import Any, StringValue
from envoy_data_plane.message_pool import default_message_pool
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from meltemi.controller.proto_json import Json, decode
from meltemi.protocols.encode import encode, pack
from tests.properties.test_encode import messages, reachable

PREFIX = "type.googleapis.com/"
FILTER = f"{PREFIX}envoy.config.listener.v3.Filter"
# Durations, wrappers, structs and Any are no JSON objects of fields.
CLASSES = [cls for cls in reachable() if not cls.__module__.endswith("google.protobuf")]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # deprecated fields too
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_a_message_is_shown_as_betterproto_shows_it(data: st.DataObject) -> None:
    cls = data.draw(st.sampled_from(CLASSES))
    message = data.draw(messages(cls, depth=1))
    try:
        expected = message.to_dict()
    except TypeError:  # it does not show what is of an unknown type
        reject()
    assert without_unknown(decode(default_message_pool.type_to_url[cls], encode(message))) == (
        expected
    )


def without_unknown(value: Json) -> Json:
    """Without the sizes of what cannot be decoded."""
    if isinstance(value, dict):
        return {k: without_unknown(v) for k, v in value.items() if k != "undecodedBytes"}
    return [without_unknown(item) for item in value] if isinstance(value, list) else value


def test_an_any_is_unpacked_however_deep() -> None:
    inner = Filter(name="inner", typed_config=pack(StringValue(value="x")))
    outer = Filter(name="outer", typed_config=pack(TypedExtensionConfig("e", pack(inner))))
    assert decode(FILTER, encode(outer)) == {
        "name": "outer",
        "typedConfig": {
            "@type": f"{PREFIX}envoy.config.core.v3.TypedExtensionConfig",
            "name": "e",
            "typedConfig": {
                "@type": FILTER,
                "name": "inner",
                "typedConfig": {"@type": f"{PREFIX}google.protobuf.StringValue", "value": "x"},
            },
        },
    }


def test_an_any_of_an_unknown_type_is_named_with_its_size() -> None:
    config = Any(type_url="example.com/Unknown", value=b"\x01\x02\x03")
    assert decode(FILTER, encode(Filter(name="f", typed_config=config))) == {
        "name": "f",
        "typedConfig": {"@type": "example.com/Unknown", "undecodedBytes": 3},
    }


def test_a_field_that_nobody_knows_is_left_out() -> None:
    assert decode(FILTER, encode(Filter(name="f")) + b"\xf8\x3f\x01") == {"name": "f"}


@pytest.mark.parametrize("body", [b"\x0b", b"\x0a", b"\x80"])
def test_bytes_that_are_no_message_are_an_error(body: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        decode(FILTER, body)
