"""``meltemi wait`` without a server: what is waited for, and what counts as reached."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meltemi.cli.wait import Wanted, is_reached, judge

if TYPE_CHECKING:
    from meltemi.controller.admin.pages import ObjectRecord
    from tests.command import Run

WANTED = Wanted("MetaRouter", "default", "orders", "Programmed")
URL = "http://a"


def record(
    generation: int = 2, observed: int = 2, status: str = "True", reason: str = "Programmed"
) -> ObjectRecord:
    condition = {"type": "Programmed", "status": status, "reason": reason, "message": "why"}
    return {
        "kind": "MetaRouter",
        "namespace": "default",
        "name": "orders",
        "generation": generation,
        "status": {"observedGeneration": observed, "conditions": [condition]},
    }


def test_a_condition_that_holds_is_reached() -> None:
    row = judge(WANTED, URL, [record()])
    assert (row.reached, row.object, row.reason) == (
        True,
        "MetaRouter default/orders",
        "Programmed",
    )


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ([record(status="False", reason="Pending")], "Pending"),
        ([record(generation=3)], "NotObserved"),
        ([], "NotFound"),
    ],
)
def test_anything_else_is_not_and_says_why(found: list[ObjectRecord], reason: str) -> None:
    row = judge(WANTED, URL, found)
    assert (row.reached, row.reason) == (False, reason)


def test_an_earlier_generation_than_the_wanted_does_not_count() -> None:
    assert judge(replace(WANTED, generation=2), URL, [record()]).reached
    row = judge(replace(WANTED, generation=3), URL, [record()])
    assert (row.reached, row.reason) == (False, "NotObserved")


def test_a_condition_may_be_waited_for_that_does_not_hold() -> None:
    refused = [record(status="False", reason="ProxyRejected")]
    assert judge(replace(WANTED, status="False"), URL, refused).reached


def test_an_object_is_deleted_when_no_server_has_it() -> None:
    gone = replace(WANTED, type="")
    assert judge(gone, URL, []).reached
    assert not judge(gone, URL, [record()]).reached


def test_of_several_servers_all_must_say_so_but_those_without_proxies() -> None:
    yes = judge(WANTED, URL, [record()])
    no = judge(WANTED, URL, [record(status="False", reason="Pending")])
    nobody = judge(WANTED, URL, [record(status="False", reason="NoProxies")])
    assert is_reached(WANTED, [yes, yes])
    assert not is_reached(WANTED, [yes, no])
    assert is_reached(WANTED, [yes, nobody])
    assert not is_reached(WANTED, [nobody, nobody])
    unprogrammed = replace(WANTED, status="False")
    assert is_reached(unprogrammed, [judge(unprogrammed, URL, [record(status="False")])])


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["service/orders"], "have no status"),
        (["metarouter"], "names no object"),
        (["metarouter/"], "names no object"),
        (["mr/x", "--for", "condition=Ready"], "Programmed"),
        (["mr/x", "--for", "Programmed"], "condition=TYPE"),
        (["mr/x", "--for", "condition=Programmed=maybe"], "STATUS"),
        (["mr/x", "--timeout", "30"], "such as 30s"),
        (["mr/x", "--server", "localhost"], "write a URL"),
    ],
)
def test_what_cannot_be_waited_for_is_told_with_what_can(
    run: Run, args: list[str], said: str
) -> None:
    result = run("wait", *args)
    assert (result.exit_code, said in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "kind",
    [
        "MetaRouter",
        "metarouters",
        "mr",
        "metarouters.metaprotocol.aeraki.io",
        "metarouter.metaprotocol.aeraki.io",
    ],
)
def test_whoever_cannot_be_reached_is_told_with_the_code_for_it(run: Run, kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gone = f"http://127.0.0.1:{taken.getsockname()[1]}"
    result = run("wait", f"{kind}/x", "--server", gone, "--timeout", "0s")
    assert result.exit_code == 3
    assert f"{gone} cannot be asked" in result.stderr
