"""How things are is told in as many series whatever users and proxies are called."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from meltemi.controller.findings import findings
from meltemi.controller.gauges import Present, Share, readings
from meltemi.controller.kube.state import State
from meltemi.controller.sources import Followed
from meltemi.controller.store.objects import Identity
from meltemi.protocols.model import Ref
from meltemi.protocols.problem import CODES, Problem
from meltemi.testing.resources import RULES
from meltemi.xds.dialect import Delta, Sotw
from meltemi.xds.peer import Identity as Spiffe
from meltemi.xds.peer import Peer
from meltemi.xds.session import Session
from meltemi.xds.snapshot import Snapshot
from meltemi.xds.status import Status
from meltemi.xds.wire import Node

EMPTY = Present(
    ready=False,
    synced=False,
    heard=None,
    held=0,
    groups=0,
    sessions=(),
    status=Status(),
    identities=(),
    findings=(),
)


def read(now: Present) -> dict[str, dict[tuple[str, ...], float]]:
    return {spec.name: dict(values) for spec, values in readings(now)}


def session(dialect: Delta | Sotw) -> Session[Any]:
    return Session(dialect, RULES, Snapshot(), node_id="edge", identifier="", drain=1.0)


def test_streams_are_counted_by_dialect_and_transport() -> None:
    status = Status()
    mutual = Peer("ipv4:10.0.0.1:1", Spiffe("cluster.local", "/ns/a/sa/b"))
    token = replace(mutual, by_token=True)
    for number, peer in enumerate((Peer("ipv4:127.0.0.1:1"), mutual, mutual, token)):
        status.opened(number, Node("edge", "", {}), peer, 1.0)
    sessions = [(0, session(Sotw())), *((number, session(Delta())) for number in (1, 2, 3))]
    assert read(replace(EMPTY, status=status, sessions=sessions))["meltemi_xds_streams"] == {
        ("delta", "mtls"): 2,
        ("delta", "plaintext"): 0,
        ("delta", "token"): 1,
        ("sotw", "mtls"): 0,
        ("sotw", "plaintext"): 1,
        ("sotw", "token"): 0,
    }


def test_objects_of_kinds_that_nobody_knows_are_counted_together() -> None:
    identities = [
        Identity("", "Service", "default", "a"),
        Identity("", "Service", "default", "b"),
        Identity("evil.example", "Service", "default", "c"),
        *(Identity("evil.example", f"Kind{number}", "default", "d") for number in range(100)),
    ]
    assert read(replace(EMPTY, identities=identities))["meltemi_objects"] == {
        ("Service",): 2,
        ("other",): 101,
    }


def test_every_finding_of_the_catalogue_has_its_series_from_the_beginning() -> None:
    (found,) = findings([Problem("MEL0302", Ref("MetaRouter", "default", "a"), "cause", "next")])
    values = read(replace(EMPTY, findings=[found]))["meltemi_findings"]
    assert [code for code, _ in values] == sorted(CODES)
    assert {labels: value for labels, value in values.items() if value} == {("MEL0302", "error"): 1}


def test_following_a_kind_is_told_by_kind_however_many_namespaces_there_are() -> None:
    followed = [
        Followed("Service", "following", events=3, relists=1, age=2.0),
        Followed("Service", "denied", events=4, relists=0, age=9.0),
        Followed("Pod", "starting", events=0, relists=0, age=None),
    ]
    now = read(replace(EMPTY, followed=followed))
    states = now["meltemi_source_kind_state"]
    assert {labels for labels, value in states.items() if value} == {
        ("Service", "following"),
        ("Service", "denied"),
        ("Pod", "starting"),
    }
    assert len(states) == 2 * len(State)
    assert now["meltemi_source_kind_events_total"] == {("Service",): 7, ("Pod",): 0}
    assert now["meltemi_source_kind_relists_total"] == {("Service",): 1, ("Pod",): 0}
    assert now["meltemi_source_kind_last_event_age_seconds"] == {("Service",): 9.0}


def test_a_source_that_never_delivered_anything_has_no_age() -> None:
    assert "meltemi_source_last_success_age_seconds" not in read(EMPTY)
    heard = read(replace(EMPTY, heard=2.5))
    assert heard["meltemi_source_last_success_age_seconds"] == {(): 2.5}


def test_a_replicas_share_is_told_in_a_cluster_and_nowhere_else() -> None:
    names = ("meltemi_leader", "meltemi_status_waiting", "meltemi_replica_reports")
    share = Share(leads=True, writes={"written": 3, "failed": 0}, waiting=2, reports=1)
    told = read(replace(EMPTY, share=share))
    assert [told[name] for name in names] == [{(): 1.0}, {(): 2.0}, {(): 1.0}]
    assert told["meltemi_status_writes_total"] == {("written",): 3.0, ("failed",): 0.0}
    assert not any(read(EMPTY)[name] for name in (*names, "meltemi_status_writes_total"))
