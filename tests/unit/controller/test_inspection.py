"""Who is told what proxies hold."""

from __future__ import annotations

import grpc
import pytest

from meltemi.controller.inspection import Inspection, is_local
from meltemi.controller.proxies import Member
from meltemi.controller.redaction import Redactor
from meltemi.testing.resources import RULES, cluster, plain
from meltemi.xds.dialect import Delta
from meltemi.xds.peer import Identity, Peer
from meltemi.xds.resource import SECRET
from meltemi.xds.server import Refused
from meltemi.xds.session import Session
from meltemi.xds.snapshot import Snapshot
from meltemi.xds.status import Status
from meltemi.xds.wire import Node
from tests import make

LOCAL, REMOTE = Peer("ipv4:127.0.0.1:1"), Peer("ipv4:10.0.0.1:1")


def workload(namespace: str) -> Peer:
    return Peer("ipv4:10.0.0.1:1", Identity("cluster.local", f"/ns/{namespace}/sa/edge"))


def inspection(*, exposed: bool = False) -> Inspection:
    status = Status()
    members: dict[int, Member] = {}
    for number, namespace in enumerate(("shop", "bank"), 1):
        status.opened(number, Node(f"edge-{namespace}", "", {}), LOCAL, 0.0)
        session = Session(Delta(), RULES, Snapshot(), node_id="", identifier="", drain=1.0)
        members[number] = Member(make.group(namespace=namespace), session, Snapshot(), lambda _: ())
    redactor = Redactor()
    redactor.learn(["open sesame"])
    return Inspection(status, lambda: members, redactor, exposed=exposed)


def told(peer: Peer, *, exposed: bool = False) -> list[str]:
    return [client.status.node.id for client in inspection(exposed=exposed).clients(peer)]


def test_on_loopback_everybody_is_told_of() -> None:
    assert told(LOCAL) == ["edge-shop", "edge-bank"]


def test_a_workload_is_told_of_its_own_namespace_only() -> None:
    assert told(workload("shop")) == ["edge-shop"]
    assert told(workload("elsewhere")) == []


@pytest.mark.parametrize(
    ("peer", "exposed"),
    [
        (REMOTE, False),
        (LOCAL, True),
        (REMOTE, True),
        (Peer("ipv4:10.0.0.1:1", Identity("cluster.local", "/nobody")), False),
    ],
)
def test_whom_nobody_knows_is_told_nothing(peer: Peer, exposed: bool) -> None:
    with pytest.raises(Refused) as refused:
        inspection(exposed=exposed).clients(peer)
    assert refused.value.code is grpc.StatusCode.PERMISSION_DENIED


def test_what_holds_a_secret_is_not_shown() -> None:
    shown = inspection()
    assert shown.contents(cluster("a")) == b"a=1"
    assert shown.contents(cluster("a", content="open sesame")) is None
    assert shown.contents(plain(SECRET, "certificate")) is None


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("ipv4:127.0.0.1:40000", True),
        ("ipv6:%5B::1%5D:40000", True),
        ("ipv6:[::1]:40000", True),
        ("ipv6:%5B::ffff:127.0.0.1%5D:40000", True),
        ("unix:/run/socket", True),
        ("ipv4:10.0.0.1:40000", False),
        ("ipv6:%5B::ffff:10.0.0.1%5D:1", False),
        ("ipv4:127.0.0.1.evil.example:1", False),
        ("", False),
    ],
)
def test_an_address_is_of_this_machine_or_not(address: str, local: bool) -> None:
    assert is_local(address) is local
