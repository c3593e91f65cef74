"""``meltemi proxies`` without a server: rows, ages, and what it says when nobody answers."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from meltemi.cli.proxies import age, rows, short

if TYPE_CHECKING:
    from pathlib import Path

    from meltemi.controller.proxies import RefusalRecord, StreamRecord, TypeRecord
    from tests.command import Run

CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"


def refusal(message: str, *origins: str) -> RefusalRecord:
    return {
        "message": message,
        "names": ["a"],
        "certain": True,
        "origins": [*origins],
        "since": 1.0,
    }


def found(state: str, *refusals: RefusalRecord, unanswered: int = 0) -> TypeRecord:
    return {
        "state": state,
        "since": 1.5,
        "subscribed": True,
        "version": "v1",
        "unanswered": unanswered,
        "refusals": [*refusals],
    }


def stream(number: int, types: dict[str, TypeRecord]) -> StreamRecord:
    return {
        "stream": number,
        "id": "edge",
        "cluster": "",
        "namespace": "shop",
        "version": "1.40",
        "dialect": "delta",
        "address": "ipv4:127.0.0.1:1",
        "identity": "",
        "metadata": {},
        "connected": 60.0,
        "types": types,
        "unsupported": [],
    }


def test_a_row_per_stream_and_type_is_never_merged() -> None:
    types = {CLUSTER: found("ACKED"), LISTENER: found("ACKED")}
    made = [*rows("http://a", [stream(1, types), stream(2, types)])]
    assert [(row.proxy, row.stream, row.type) for row in made] == [
        ("edge", 1, "Cluster"),
        ("edge", 1, "Listener"),
        ("edge", 2, "Cluster"),
        ("edge", 2, "Listener"),
    ]


def test_a_refusal_has_the_proxys_words_and_each_object_once() -> None:
    refusals = (refusal("why", "MetaRouter a", "Service b"), refusal("and why", "Service b"))
    (row,) = rows("http://a", [stream(1, {LISTENER: found("NACKED", *refusals)})])
    assert (row.state, row.age, row.reason) == ("NACKED", 1.5, "why\nand why")
    assert row.origins == ("MetaRouter a", "Service b")


@pytest.mark.parametrize(
    ("state", "unanswered", "reason"),
    [
        ("PENDING", 1, "sent, without an answer"),
        ("PENDING", 3, "3 responses without an answer"),
        ("ACKED", 0, ""),
        ("NOT SUBSCRIBED", 0, "the proxy does not ask for it"),
    ],
)
def test_a_state_says_why(state: str, unanswered: int, reason: str) -> None:
    (row,) = rows("", [stream(1, {CLUSTER: found(state, unanswered=unanswered)})])
    assert row.reason == reason


def test_a_protocol_without_an_engine_is_a_row_of_its_own() -> None:
    bare = stream(1, {})
    bare["unsupported"].append({"protocol": "dubbo", "reason": "why", "origins": ["Service a"]})
    (row,) = rows("", [bare])
    assert (row.type, row.state, row.reason) == ("dubbo", "UNSUPPORTED", "why")
    assert (row.age, row.origins) == (60.0, ("Service a",))


@pytest.mark.parametrize(
    ("type_url", "name"),
    [
        (CLUSTER, "Cluster"),
        (
            "type.googleapis.com/envoy.extensions.filters.network.thrift_proxy.v3.RouteConfiguration",
            "thrift_proxy RouteConfiguration",
        ),
        (
            "type.googleapis.com/envoy.extensions.filters.network.dubbo_proxy.v3."
            "MultipleRouteConfiguration",
            "dubbo_proxy MultipleRouteConfiguration",
        ),
    ],
)
def test_a_type_is_called_by_as_little_as_tells_it_apart(type_url: str, name: str) -> None:
    assert short(type_url) == name


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0ms"),
        (0.85, "850ms"),
        (12.4, "12s"),
        (119.0, "119s"),
        (120.0, "2m"),
        (7200.0, "2h"),
        (172_800.0, "2d"),
    ],
)
def test_an_age_has_one_unit(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_a_server_that_is_not_there_cannot_be_reached(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    result = run("proxies", "--server", f"http://127.0.0.1:{port}")
    assert result.exit_code == 3
    assert result.stderr == (
        f"meltemi: http://127.0.0.1:{port} cannot be asked: Connection refused\n"
    )


@pytest.mark.parametrize("server", ["127.0.0.1:18080", "ftp://a", "http://", "http://[", "x"])
def test_what_is_no_url_of_a_server_is_wrong_usage(run: Run, server: str) -> None:
    result = run("proxies", "--server", server)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"meltemi: --server {server!r}: write a URL such as http")


def test_a_token_that_cannot_be_read_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    result = run("proxies", "--token-file", tmp_path / "nothing")
    assert result.exit_code == 2
    assert "cannot be read" in result.stderr
    empty = tmp_path / "empty"
    empty.write_text("\n")
    result = run("proxies", "--token-file", empty)
    assert result.exit_code == 2
    assert "is empty" in result.stderr


def test_an_authority_that_cannot_be_used_is_wrong_usage(run: Run, tmp_path: Path) -> None:
    result = run("proxies", "--ca", tmp_path / "nothing")
    assert result.exit_code == 2
    assert "--ca" in result.stderr
