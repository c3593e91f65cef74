"""What a replica reads, and how its proxies fare."""

from __future__ import annotations

import pytest

from meltemi.controller.health.result import State
from meltemi.controller.health.serving import Connected, proxy_results, source_results
from meltemi.controller.sources import Followed


def followed(kind: str, state: str = "following") -> Followed:
    return Followed(kind, state, 1, 0, 0.0)


def test_a_source_that_follows_everything_is_fine() -> None:
    (found,) = source_results([followed("Service"), followed("Pod")], ready=True)
    assert (found.state, found.text) == (State.FINE, "2 kinds are read, and followed")
    (files,) = source_results([], ready=True)
    assert (files.state, files.text) == (State.FINE, "all files are read, and followed")


@pytest.mark.parametrize(
    ("kind", "state", "told"),
    [
        ("Service", "denied", State.ERROR),
        ("MetaRouter", "stale", State.ERROR),
        ("Pod", "failing", State.WARNING),
        ("MetaRouter", "absent", State.WARNING),
        ("KafkaCluster", "absent", State.WARNING),
    ],
)
def test_a_kind_that_is_not_followed_has_its_line(kind: str, state: str, told: State) -> None:
    (found,) = source_results([followed("Service"), followed(kind, state)], ready=True)
    assert (found.state, found.about) == (told, kind)


def test_istio_may_be_absent() -> None:
    (found,) = source_results([followed("DestinationRule", "absent")], ready=True)
    assert found.state is State.FINE


def test_a_kind_of_several_namespaces_is_told_once() -> None:
    denied = [followed("MetaRouter", "denied"), followed("MetaRouter", "denied")]
    assert len([*source_results([*denied, followed("MetaRouter")], ready=True)]) == 1


def test_nothing_is_fine_before_everything_was_read_once() -> None:
    (found,) = source_results([followed("Service", "starting")], ready=False)
    assert (found.check, found.state) == ("source", State.ERROR)


NEW, OLD = (1, 40), (1, 35)


def test_proxies_that_accept_everything_are_fine() -> None:
    (found,) = proxy_results([Connected("a", NEW, refused=False), Connected("b", (1, 36), False)])
    assert (found.state, found.text) == (State.FINE, "2 connected, and none refuses anything")


def test_no_proxy_is_a_warning() -> None:
    (found,) = proxy_results([])
    assert found.state is State.WARNING


def test_refusals_are_an_error_and_age_and_lacks_are_warnings() -> None:
    refused, old, lacking = proxy_results(
        [
            Connected("a", NEW, refused=True),
            Connected("b", OLD, refused=False, lacking=("redis", "dubbo")),
            Connected("c", NEW, refused=False, lacking=("dubbo",)),
        ]
    )
    assert (refused.state, refused.text) == (State.ERROR, "1 of 3 refuse something: a")
    assert (old.state, old.text) == (State.WARNING, "1 of 3 are older than Envoy 1.36: b")
    assert lacking.state is State.WARNING
    assert lacking.text.endswith("that they should serve: dubbo, redis")
