"""Bytes against official protobuf: what we decode, what we encode."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from google.protobuf import any_pb2

from meltemi.xds import wire
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, Resource
from meltemi.xds.wire import Extension, Header, Locality, Names, ProtocolError

# xds-protos has no type stubs.
official: Any = import_module("envoy.service.discovery.v3.discovery_pb2")

MANY = tuple(f"outbound|20880|v1|service-{number}.shop.svc.cluster.local" for number in range(40))


def request(**fields: object) -> Any:
    return official.DiscoveryRequest(**fields)


def a_node() -> Any:
    message = official.DiscoveryRequest()
    node = message.node
    node.id, node.cluster = "gateway-1", "gateways"
    node.locality.region, node.locality.zone, node.locality.sub_zone = "eu", "eu-1", "rack-7"
    node.user_agent_build_version.version.major_number = 1
    node.user_agent_build_version.version.minor_number = 40
    node.metadata.update(
        {"meltemi": {"bind": "vip", "ports": {"a:1": 2}, "services": ["*", None, True]}}
    )
    extension = node.extensions.add(name="envoy.filters.network.redis_proxy")
    extension.category = "envoy.filters.network"
    extension.type_urls.append("envoy.extensions.filters.network.redis_proxy.v3.RedisProxy")
    node.extensions.add(name="envoy.redis_proxy", category="envoy.filters.network")
    node.client_features.append("envoy.lb.does_not_support_overprovisioning")
    return message


def test_a_sotw_request_is_read_as_official_protobuf_writes_it() -> None:
    message = request(
        version_info="v1", resource_names=["a", "b"], type_url=CLUSTER, response_nonce="7"
    )
    message.node.id = "n"
    decoded = wire.decode_sotw(message.SerializeToString())
    assert decoded == wire.SotwRequest(CLUSTER, "v1", Names(frozenset({"a", "b"})), "7", None, "n")
    assert decoded.resumes


def test_a_delta_request_is_read_as_official_protobuf_writes_it() -> None:
    message = official.DeltaDiscoveryRequest(
        type_url=ENDPOINT,
        resource_names_subscribe=["a"],
        resource_names_unsubscribe=["b"],
        initial_resource_versions={"c": "1"},
        response_nonce="7",
    )
    decoded = wire.decode_delta(message.SerializeToString())
    assert decoded == wire.DeltaRequest(ENDPOINT, ("a",), ("b",), {"c": "1"}, "7", None, "")
    assert decoded.resumes


def test_a_first_request_without_history_does_not_resume() -> None:
    assert not wire.decode_sotw(request(type_url=CLUSTER).SerializeToString()).resumes
    assert not wire.decode_delta(official.DeltaDiscoveryRequest().SerializeToString()).resumes


def test_a_nack_is_known_by_its_error_even_if_the_text_is_empty() -> None:
    message = request(type_url=CLUSTER)
    message.error_detail.code = 13
    assert wire.decode_sotw(message.SerializeToString()).error == ""


def test_a_refusal_is_cut_and_may_be_broken_inside_a_character() -> None:
    text = b"caf\xc3" + b"x" * 5000
    raw = b"\x22\x01t" + b"\x32" + b"\x8f\x27" + b"\x12\x8c\x27" + text
    error = wire.decode_sotw(raw).error
    assert error is not None
    assert error.startswith("caf\N{REPLACEMENT CHARACTER}x")
    assert len(error) == wire.MESSAGE_LIMIT


@pytest.mark.parametrize(
    "raw", [b"\xff\xff\xff", b"\x0a\x05ab", b"\x0a", b"\x0a\xff" + b"\xff" * 600]
)
def test_bytes_that_are_no_request_break_the_protocol(raw: bytes) -> None:
    with pytest.raises(ProtocolError, match="not a DiscoveryRequest"):
        wire.decode_sotw(raw)
    with pytest.raises(ProtocolError, match="not a DeltaDiscoveryRequest"):
        wire.decode_delta(raw)
    with pytest.raises(ProtocolError, match="not a DiscoveryRequest"):
        wire.sotw_node(raw)


def test_fields_that_we_do_not_know_are_ignored() -> None:
    message = request(type_url=CLUSTER, resource_names=["a"])
    message.resource_locators.add(name="b")
    assert wire.decode_sotw(message.SerializeToString()).names.values == {"a"}


def test_repeated_names_are_recognised_without_being_read_again() -> None:
    first = wire.decode_sotw(request(type_url=ENDPOINT, resource_names=MANY).SerializeToString())
    again = request(version_info="v", type_url=ENDPOINT, resource_names=MANY, response_nonce="2")
    again.node.id = "n"
    decoded = wire.decode_sotw(again.SerializeToString(), [Names(), first.names])
    assert decoded.names is first.names
    assert (decoded.version, decoded.nonce, decoded.node_id) == ("v", "2", "n")


def test_names_that_another_stream_sent_lately_are_recognised_too() -> None:
    raw = request(type_url=ENDPOINT, resource_names=MANY).SerializeToString()
    assert wire.decode_sotw(raw).names is wire.decode_sotw(raw).names


@pytest.mark.parametrize("names", [[*MANY, "one-more"], MANY[:-1], MANY[1:], [*MANY[1:], MANY[0]]])
def test_other_names_are_read_in_full(names: tuple[str, ...]) -> None:
    first = wire.decode_sotw(request(type_url=ENDPOINT, resource_names=MANY).SerializeToString())
    other = request(type_url=ENDPOINT, resource_names=names).SerializeToString()
    assert wire.decode_sotw(other, [first.names]).names.values == frozenset(names)


def test_a_long_request_without_names_has_none() -> None:
    message = request(type_url=ENDPOINT)
    message.node.id = "n" * 1000
    few = Names(frozenset({"a"}))
    assert wire.decode_sotw(message.SerializeToString(), [few]).names.values == frozenset()


def test_an_unusual_order_of_fields_is_read_and_not_remembered() -> None:
    names = request(resource_names=MANY).SerializeToString()
    raw = request(type_url=ENDPOINT).SerializeToString() + names
    decoded = wire.decode_sotw(raw)
    assert decoded.names == Names(frozenset(MANY))
    assert decoded.type_url == ENDPOINT


def test_equal_names_are_one_set_in_the_process() -> None:
    raw = request(type_url=ENDPOINT, resource_names=MANY).SerializeToString()
    reverse = request(type_url=ENDPOINT, resource_names=MANY[::-1]).SerializeToString()
    first, second = wire.decode_sotw(raw), wire.decode_sotw(reverse)
    assert first.names.values is second.names.values


def test_a_node_is_read_with_plain_metadata() -> None:
    node = wire.sotw_node(a_node().SerializeToString())
    assert (node.id, node.cluster, node.version) == ("gateway-1", "gateways", (1, 40))
    assert node.locality == Locality("eu", "eu-1", "rack-7")
    assert node.metadata == {
        "meltemi": {"bind": "vip", "ports": {"a:1": 2.0}, "services": ["*", None, True]}
    }
    url = "envoy.extensions.filters.network.redis_proxy.v3.RedisProxy"
    assert node.extensions == {Extension("envoy.filters.network", url)}
    assert node.type_urls == {url}
    assert node.client_features == {"envoy.lb.does_not_support_overprovisioning"}


def test_a_delta_request_has_the_same_node() -> None:
    message = official.DeltaDiscoveryRequest(node=a_node().node)
    assert wire.delta_node(message.SerializeToString()) == wire.sotw_node(
        a_node().SerializeToString()
    )


def test_a_value_without_a_kind_in_the_metadata_is_none() -> None:
    message = a_node()
    message.node.metadata.fields["empty"].SetInParent()
    assert wire.sotw_node(message.SerializeToString()).metadata["empty"] is None


def test_proxies_of_one_build_share_their_extensions() -> None:
    other = a_node()
    other.node.id = "gateway-2"
    first, second = (wire.sotw_node(each.SerializeToString()) for each in (a_node(), other))
    assert first.extensions is second.extensions


def test_a_node_without_id_breaks_the_protocol() -> None:
    with pytest.raises(ProtocolError, match=r"node\.id"):
        wire.sotw_node(request(type_url=CLUSTER).SerializeToString())


@pytest.mark.parametrize("size", [0, 1, 127, 128, 70_000])
def test_official_protobuf_reads_our_responses(size: int) -> None:
    resources = [
        Resource(LISTENER, f"listener-{number}", f"v{number}", bytes([number]) * size)
        for number in range(2)
    ]
    header = Header(LISTENER, "version", "17", "meltemi-0")
    sotw = official.DiscoveryResponse.FromString(
        wire.encode_sotw(header, wire.sotw_body(resources))
    )
    delta = official.DeltaDiscoveryResponse.FromString(
        wire.encode_delta(header, wire.delta_body(resources, ["gone", "lost"]))
    )
    anys = [any_pb2.Any(type_url=LISTENER, value=resource.body) for resource in resources]
    expected = official.DiscoveryResponse(
        version_info="version", type_url=LISTENER, nonce="17", resources=anys
    )
    expected.control_plane.identifier = "meltemi-0"
    incremental = official.DeltaDiscoveryResponse(
        system_version_info="version",
        type_url=LISTENER,
        nonce="17",
        removed_resources=["gone", "lost"],
        resources=[
            official.Resource(name=resource.name, version=resource.version, resource=any_)
            for resource, any_ in zip(resources, anys, strict=True)
        ],
    )
    incremental.control_plane.identifier = "meltemi-0"
    assert sotw == expected
    assert delta == incremental


def test_what_stands_before_a_body_is_encoded_once() -> None:
    resource = Resource(LISTENER, "a", "1", b"body")
    wire.sotw_body([resource])
    made = list(resource.memo)
    wire.delta_body([resource], [])
    assert [id(part) for part in resource.memo] == [id(part) for part in made]


@pytest.mark.parametrize("tag", [b"\x0a", b"\x12"])
def test_a_length_without_an_end_is_not_followed(tag: bytes) -> None:
    with pytest.raises(ProtocolError, match="a length has more than ten bytes"):
        wire.decode_sotw(tag + b"\xff" * 1024)


def test_fields_that_are_written_again_and_again_are_read_as_protobuf_does() -> None:
    names = request(resource_names=MANY).SerializeToString()
    again = b"".join(request(version_info=text).SerializeToString() for text in "abc")
    for _ in range(2):
        decoded = wire.decode_sotw(again + names)
        assert (decoded.version, decoded.names.values) == ("c", frozenset(MANY))


def test_a_node_of_megabytes_is_refused_before_it_is_read() -> None:
    message = a_node()
    message.node.metadata["much"] = "x" * wire.NODE_LIMIT
    with pytest.raises(ProtocolError, match="write at most 524288, with less metadata"):
        wire.sotw_node(message.SerializeToString())
    message.node.metadata["much"] = "x" * (wire.NODE_LIMIT - 1000)
    assert wire.sotw_node(message.SerializeToString()).id == "gateway-1"
