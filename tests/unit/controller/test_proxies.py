"""What proxies refuse is told on the objects that it came from, without secrets."""

from __future__ import annotations

from meltemi.controller.proxies import describe, refusal_problems
from meltemi.protocols.model import Ref
from meltemi.xds.peer import Peer
from meltemi.xds.resource import LISTENER, Resource
from meltemi.xds.session import Nacked
from meltemi.xds.status import Status
from meltemi.xds.wire import Node

ORIGIN = Ref("ServiceEntry", "default", "cache", 0, "spec.ports[0]")


def refused(message: str) -> Status:
    status = Status()
    status.opened(
        1,
        Node("edge", "", {"meltemi": {"bind": "vip"}}, version=(1, 40)),
        Peer("ipv4:127.0.0.1:40000"),
        10.0,
    )
    listener = Resource(LISTENER, "cache_6379", "v1", b"", origins=(ORIGIN,))
    status.said(1, Nacked(LISTENER, "v1", "1", message, (listener,), named=True), 11.0)
    return status


def test_a_refusal_is_a_finding_on_the_object_with_the_proxys_words() -> None:
    (problem,) = refusal_problems(refused("why"), ())
    assert (problem.code, problem.about) == ("MEL0503", ORIGIN)
    assert problem.cause == "proxy edge refused Listener cache_6379: why"


def test_an_address_in_use_is_the_machines_fault_and_not_the_authors() -> None:
    (problem,) = refusal_problems(refused("cannot bind: Address already in use"), ())
    assert problem.next_step.startswith("free the port")


def test_no_secret_is_shown_however_short() -> None:
    status = refused('downstream_auth_passwords { inline_string: "pw" }')
    (problem,) = refusal_problems(status, ["", "pw"])
    assert "pw" not in problem.cause
    assert '"pw"' not in str(describe(status, ["pw"], 12.0))


def test_a_proxy_is_described_with_what_it_refuses() -> None:
    (proxy,) = describe(refused("why"), (), 12.0)
    assert (proxy["id"], proxy["version"], proxy["metadata"]) == ("edge", "1.40", {"bind": "vip"})
    assert proxy["types"] == {
        LISTENER: {
            "subscribed": True,
            "version": "",
            "refusals": [
                {
                    "message": "why",
                    "names": ["cache_6379"],
                    "certain": True,
                    "origins": [str(ORIGIN)],
                    "since": 1.0,
                }
            ],
        }
    }
