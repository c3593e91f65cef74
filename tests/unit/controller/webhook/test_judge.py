"""What is refused, what is warned of, and what always passes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from structlog.testing import capture_logs

from meltemi.controller.webhook.judge import NOTHING_WRONG, UNJUDGED, Judge, Verdict
from meltemi.controller.webhook.review import Request
from meltemi.protocols.model import Ref
from meltemi.protocols.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Literal

    from meltemi.controller.store.objects import Decoded
    from meltemi.controller.webhook.judge import Trying

SPEC: dict[str, Any] = {
    "hosts": ["shop.example"],
    "routes": [{"route": [{"destination": {"host": "shop.example"}}]}],
}
BAD_REGEX = {
    **SPEC,
    "routes": [{**SPEC["routes"][0], "match": {"attributes": {"m": {"regex": "(?=a)"}}}}],
}
NO_ROUTES = {"hosts": ["shop.example"]}


def router(spec: object = SPEC, **metadata: object) -> dict[str, object]:
    return {
        "apiVersion": "metaprotocol.aeraki.io/v1alpha1",
        "kind": "MetaRouter",
        "metadata": {"name": "shop", "namespace": "default", **metadata},
        "spec": spec,
    }


def nothing(_: Decoded) -> Trying:
    yield
    return ()


async def judged(
    written: dict[str, object] | None,
    stored: dict[str, object] | None = None,
    *,
    operation: Literal["CREATE", "UPDATE", "DELETE", "CONNECT"] | None = None,
    sub_resource: str = "",
    judge: Judge | None = None,
) -> Verdict:
    usual: Literal["CREATE", "UPDATE"] = "CREATE" if stored is None else "UPDATE"
    request = Request("u", operation or usual, sub_resource, "shop", written, stored)
    return await (judge or Judge(nothing)).judge(request)


async def refused(*states: dict[str, object]) -> list[str]:
    return [each.code for each in (await judged(*states)).errors]


async def test_an_object_without_flaw_passes() -> None:
    assert await judged(router()) == NOTHING_WRONG


async def test_what_is_of_no_use_to_anybody_is_refused_with_all_its_errors() -> None:
    assert await refused(router(BAD_REGEX)) == ["MEL0305"]
    assert await refused(router(NO_ROUTES)) == ["MEL0109"]
    assert await refused(router({**SPEC, "hosts": 1})) == ["MEL0102"]
    several: dict[str, object] = {"hosts": ["a.example", "b.example"], "routes": [{"route": []}]}
    assert await refused(router(several)) == ["MEL0102", "MEL0109"]
    weights = [{"weight": w, "destination": {"host": "shop.example"}} for w in (60, 60)]
    assert await refused(router({**SPEC, "routes": [{"route": weights}]})) == ["MEL0304"]
    misspelt: dict[str, object] = {**SPEC["routes"][0], "mach": {}}
    assert await refused(router({**SPEC, "routes": [misspelt]})) == ["MEL0316"]


async def test_what_has_no_effect_is_a_warning() -> None:
    verdict = await judged(router({**SPEC, "gateways": ["istio-system/entrance"]}))
    assert verdict.errors == ()
    (warning,) = verdict.warnings
    assert warning.startswith("MEL0110 spec.gateways: ")


async def test_what_is_wrong_between_objects_is_a_warning_whatever_its_severity() -> None:
    missing = Problem("MEL0302", Ref("MetaRouter", "default", "shop"), "no v9", "define it")
    unused = Problem("MEL0308", Ref("MetaRouter", "default", "shop"), "no host", "create it")

    def trial(_: Decoded) -> Generator[None, None, tuple[Problem, ...]]:
        yield
        return unused, missing

    verdict = await judged(router(), judge=Judge(trial))
    assert verdict == Verdict((), ("MEL0302: no v9; define it", "MEL0308: no host; create it"))


async def test_before_the_cluster_is_known_objects_are_judged_by_themselves() -> None:
    judge = Judge(lambda _: None)
    assert await judged(router(), judge=judge) == NOTHING_WRONG
    assert (await judged(router(BAD_REGEX), judge=judge)).errors != ()


async def test_a_deletion_a_status_and_the_end_of_a_finalizer_always_pass() -> None:
    bad = router(BAD_REGEX)
    assert await judged(None, bad, operation="DELETE") == NOTHING_WRONG
    assert await judged(bad, router(), sub_resource="status") == NOTHING_WRONG
    leaving = router(BAD_REGEX, deletionTimestamp="2026-01-01T00:00:00Z")
    assert await judged(leaving, router()) == NOTHING_WRONG


async def test_an_object_that_was_wrong_before_may_be_labelled_and_is_warned_of() -> None:
    labelled = router(BAD_REGEX, labels={"team": "a"}, generation=2)
    verdict = await judged(labelled, router(BAD_REGEX))
    assert verdict.errors == ()
    assert [each[:7] for each in verdict.warnings] == ["MEL0305"]


async def test_an_object_that_was_wrong_before_may_be_mended_in_part_but_not_made_worse() -> None:
    worse = {**BAD_REGEX, "routes": [*BAD_REGEX["routes"], *BAD_REGEX["routes"]]}
    assert await refused(router(BAD_REGEX), router(worse)) == []
    assert await refused(router(worse), router(BAD_REGEX)) == ["MEL0305", "MEL0305"]
    assert await refused(router(NO_ROUTES), router(BAD_REGEX)) == ["MEL0109"]


async def test_an_object_whose_name_the_server_makes_up_is_judged() -> None:
    made = router(SPEC, generateName="shop-")
    assert await refused(made) == []


async def test_a_failure_of_ours_lets_pass_with_a_warning_and_a_log() -> None:
    def failing(_: Decoded) -> Trying:
        yield
        raise RuntimeError("a plugin")

    with capture_logs() as logs:
        verdict = await judged(router(), judge=Judge(failing))
    assert verdict == Verdict((), (UNJUDGED,), failed=True)
    assert [(each["event"], each["object"]) for each in logs] == [("webhook.failed", "shop")]


async def test_what_takes_too_long_lets_pass_with_a_warning_and_others_work_meanwhile() -> None:
    turns = 0

    def endless(_: Decoded) -> Trying:
        while True:
            yield

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(others())
        with capture_logs():
            verdict = await judged(router(), judge=Judge(endless, deadline=0.05))
        working.cancel()
    assert verdict.failed
    assert turns > 1


async def test_what_is_wrong_with_the_object_itself_is_refused_even_when_we_fail() -> None:
    def failing(_: Decoded) -> Trying:
        yield
        raise RuntimeError

    assert (await judged(router(BAD_REGEX), judge=Judge(failing))).errors != ()
