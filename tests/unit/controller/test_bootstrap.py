"""The bootstrap: what it says, and that a real Envoy takes it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from meltemi.controller.bootstrap import Bootstrap, Wish, bootstrap
from meltemi.controller.client_tls import ClientTls
from meltemi.controller.nodes import NodeError
from meltemi.testing.envoy import Envoy, validate
from meltemi.testing.envoy_binary import ENVOY_VERSIONS
from tests.certificates import Authority, files

if TYPE_CHECKING:
    from meltemi.controller.proto_json import Json

HOSTS = ("redis.default.svc.cluster.local", "shop.example.com", "version.redis.thrift.io")


def document(host: str = "127.0.0.1", **wish: Any) -> dict[str, Any]:
    """A bootstrap for the proxy ``edge`` of a control plane on loopback."""
    return bootstrap(Wish(host, 18000, "edge", **wish)).document


def test_the_proxy_says_its_name_and_that_it_has_our_runtime_layer() -> None:
    made = document(metadata={"bind": "vip"})
    assert made["node"]["id"] == "edge"
    assert made["node"]["metadata"] == {"meltemi": {"bind": "vip", "rtds": True}}
    layers = made["layered_runtime"]["layers"]
    assert [layer["name"] for layer in layers] == ["static", "meltemi", "admin"]
    assert [layer["rtds_layer"]["name"] for layer in layers if "rtds_layer" in layer] == ["meltemi"]


def test_a_proxy_may_say_that_it_wants_no_runtime_layer() -> None:
    made = document(metadata={"rtds": False})
    assert made["node"]["metadata"] == {"meltemi": {"rtds": False}}


def test_streams_are_delta_unless_state_of_the_world_is_asked_for() -> None:
    ads = document()["dynamic_resources"]["ads_config"]
    assert ads["api_type"] == "DELTA_GRPC"
    assert ads["set_node_on_first_message_only"] is True
    assert document(sotw=True)["dynamic_resources"]["ads_config"]["api_type"] == "GRPC"


@pytest.mark.parametrize(
    ("host", "kind"), [("127.0.0.1", "STATIC"), ("::1", "STATIC"), ("meltemi.local", "STRICT_DNS")]
)
def test_a_control_plane_is_found_by_address_or_by_name(host: str, kind: str) -> None:
    (cluster,) = document(host=host)["static_resources"]["clusters"]
    assert cluster["type"] == kind


def test_the_admin_listens_on_loopback_only() -> None:
    socket = document(admin_port=9901)["admin"]["address"]["socket_address"]
    assert socket == {"address": "127.0.0.1", "port_value": 9901}


def test_envoy_must_drain_as_long_as_the_metadata_says() -> None:
    wish = Wish("127.0.0.1", 1, "edge", {"drainSeconds": 2.5})
    assert bootstrap(wish).drain == 3
    assert bootstrap(Wish("127.0.0.1", 1, "edge")).drain == 600


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        ({"bind": "everywhere"}, "bind is 'everywhere'"),
        ({"bnid": "vip"}, "unknown field `bnid`"),
        ({"ports": {"shop:1": 70000}}, "70000|65535"),
        ({"services": ["shop"]}, "'namespace/host'"),
    ],
)
def test_metadata_that_the_server_would_refuse_is_refused_here(
    metadata: dict[str, Json], complaint: str
) -> None:
    with pytest.raises(NodeError, match=complaint):
        document(metadata=metadata)


@pytest.mark.envoy
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
@pytest.mark.parametrize("sotw", [False, True])
async def test_a_real_envoy_takes_it(host: str, sotw: bool) -> None:
    made = document(host=host, sotw=sotw, metadata={"bind": "vip", "ports": {"shop:1": 2}})
    assert await validate(made) is None


@pytest.mark.envoy
async def test_a_real_envoy_refuses_one_that_is_broken() -> None:
    made = document()
    del made["dynamic_resources"]["ads_config"]["grpc_services"]
    assert await validate(made) is not None


@pytest.mark.envoy
async def test_the_host_of_a_cluster_is_a_label_of_its_metrics_and_no_part_of_their_names() -> None:
    made = document()
    # Nobody serves here: a start must not wait for what is not static.
    del made["dynamic_resources"], made["layered_runtime"]
    names = [f"outbound|20880|v1|{host}" for host in HOSTS]
    made["static_resources"]["clusters"] += [_checked(name) for name in names]
    async with Envoy(made) as envoy:
        lines = (await envoy.admin_get("/stats/prometheus")).decode().splitlines()
    metrics = [line for line in lines if line.startswith("envoy_cluster_")]
    for name, host in zip(names, HOSTS, strict=True):
        label = f'envoy_cluster_name="{name}"'
        assert any(line.startswith("envoy_cluster_upstream_cx_total{" + label) for line in metrics)
        assert not [line for line in metrics if host.replace(".", "_") in line.partition("{")[0]]


def _checked(name: str) -> dict[str, Any]:
    """A cluster with the statistics that ours have."""
    check = {"timeout": "1s", "interval": "60s", "unhealthy_threshold": 1, "healthy_threshold": 1}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "health_checks": [{**check, "tcp_health_check": {}}],
        "outlier_detection": {},
        "circuit_breakers": {"thresholds": [{"max_connections": 1, "track_remaining": True}]},
    }


TLS = ClientTls("/tls/tls.crt", "/tls/tls.key", "/tls/ca.crt", "meltemi.example")


def tls_context(tls: ClientTls) -> dict[str, Any]:
    (cluster,) = document(tls=tls)["static_resources"]["clusters"]
    context: dict[str, Any] = cluster["transport_socket"]["typed_config"]
    return context


@pytest.mark.parametrize(
    ("name", "kind", "sni"),
    [
        ("meltemi.example", "DNS", "meltemi.example"),
        ("10.0.0.1", "IP_ADDRESS", None),
        ("spiffe://cluster.local/ns/meltemi-system/sa/meltemi", "URI", None),
    ],
)
@pytest.mark.parametrize("secrets", ["", "/run/envoy"])
def test_only_the_named_server_is_taken_for_the_control_plane(
    name: str, kind: str, sni: str | None, secrets: str
) -> None:
    context = tls_context(replace(TLS, server_name=name, secrets=secrets))
    common = context["common_tls_context"]
    combined = common.get("combined_validation_context")
    validation = combined["default_validation_context"] if secrets else common["validation_context"]
    wanted = [{"san_type": kind, "matcher": {"exact": name}}]
    assert validation["match_typed_subject_alt_names"] == wanted
    assert (context.get("sni"), common["alpn_protocols"]) == (sni, ["h2"])


def test_without_tls_there_is_no_transport_socket_and_nothing_to_write() -> None:
    made = bootstrap(Wish("127.0.0.1", 18000, "edge"))
    (cluster,) = document()["static_resources"]["clusters"]
    assert "transport_socket" not in cluster
    assert (made.files, bootstrap(Wish("127.0.0.1", 18000, "edge", tls=TLS)).files) == ({}, {})


def test_files_of_secrets_name_the_certificates_and_are_named_by_the_bootstrap() -> None:
    tls = replace(TLS, secrets="/run/envoy/")
    made = bootstrap(Wish("127.0.0.1", 18000, "edge", tls=tls)).files
    assert sorted(made) == ["/run/envoy/authority.json", "/run/envoy/certificate.json"]
    text = json.dumps(tls_context(tls))
    assert all(path in text for path in made)
    assert "/tls/" not in text
    assert "/tls/tls.key" in json.dumps(made["/run/envoy/certificate.json"])


@pytest.mark.envoy
@pytest.mark.parametrize("version", ENVOY_VERSIONS)
@pytest.mark.parametrize("secrets", [False, True])
async def test_a_real_envoy_takes_mutual_tls(tmp_path: Path, secrets: bool, version: str) -> None:
    authority = Authority()
    written = files(tmp_path, authority.proxy("shop"), authority)
    tls = ClientTls(
        str(written.certificate),
        str(written.key),
        str(written.authority),
        server_name="meltemi",
        secrets=str(tmp_path) if secrets else "",
    )
    made = bootstrap(Wish("127.0.0.1", 18000, "edge", tls=tls))
    write(made)
    assert await validate(made.document, version=version) is None


def write(made: Bootstrap) -> None:
    for path, content in made.files.items():
        Path(path).write_text(json.dumps(content))
