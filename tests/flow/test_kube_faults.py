"""A reflector against an API server that misbehaves in the ways that were seen in real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meltemi.controller.kube.state import State
from tests.flow.kube_world import CUSTOM, event, page, single, status, thing, watch, world

if TYPE_CHECKING:
    from tests.flow.kube_world import Answer


async def test_a_watch_goes_on_where_the_last_one_ended() -> None:
    async with world(
        page(10, thing("a", 5)),
        watch(event("ADDED", thing("b", 11)), event("BOOKMARK", thing("", 20))),
        watch(event("MODIFIED", thing("a", 21))),
    ) as server:
        await server.finished()
        assert server.told == ["+a", "+b", "+a"]
        assert [query.get("resourceVersion") for query in server.queries] == ["0", "10", "20", "21"]


async def test_a_line_that_breaks_off_is_not_taken_and_nothing_is_lost() -> None:
    cut = event("ADDED", thing("b", 11))[:-9]
    async with world(
        page(10),
        watch(event("ADDED", thing("a", 11)), cut),
        watch(event("ADDED", thing("b", 12))),
    ) as server:
        await server.finished()
        assert server.told == ["+a", "+b"]
        assert server.queries[2]["resourceVersion"] == "11"


async def test_watches_that_end_at_once_are_asked_for_less_and_less_often() -> None:
    async with world(page(10), *[watch()] * 12) as server:
        await server.finished()
        assert len(server.waits) == 12
        assert min(server.waits[8:]) > 10 * max(server.waits[:2])


async def test_a_forgotten_position_lists_again_and_tells_the_difference() -> None:
    gone = {"code": 410, "reason": "Expired", "message": "too old resource version"}
    for expired in (watch(event("ERROR", gone)), status(410)):
        async with world(
            page(10, thing("kept", 1), thing("gone", 2)),
            expired,
            page(30, thing("kept", 1), thing("new", 29)),
        ) as server:
            await server.finished()
            assert server.told == ["+kept", "+gone", "+new", "-gone"]
            assert "resourceVersion" not in server.queries[2], "may not go back in time"
            assert len(server.waits) == 1


async def test_a_list_that_expires_between_two_pages_begins_anew() -> None:
    async with world(
        page(10, thing("a", 1), more="token"),
        status(410),
        page(12, thing("a", 1), thing("b", 2)),
    ) as server:
        await server.finished()
        assert server.told == ["+a", "+b"]


async def test_a_server_that_asks_for_patience_gets_it() -> None:
    busy = status(429, "storage is (re)initializing", **{"Retry-After": "7"})
    async with world(busy, page(10, thing("a", 1))) as server:
        await server.finished()
        assert server.told == ["+a"]
        assert server.waits[0] >= 7.0
        assert server.states[0] is State.FAILING


async def test_errors_delete_nothing() -> None:
    failures = [status(500), status(503), status(401), status(403), status(404), watch(b"<html>\n")]
    for failure in failures:
        async with world(page(10, thing("a", 1)), failure, page(11, thing("a", 1))) as server:
            await server.until(lambda server=server: len(server.queries) > 2)  # type: ignore[misc]
            assert server.told == ["+a"]


async def test_what_is_no_list_deletes_nothing_and_is_asked_for_again() -> None:
    bodies: list[dict[str, Any]] = [
        {},
        {"metadata": {"resourceVersion": "9"}},
        {"items": []},
        {"items": [{}]},
    ]
    nonsense = [status(200, ""), status(200, "[]"), *map(single, bodies)]
    async with world(
        page(10, thing("a", 1)), status(410), *nonsense, page(12, thing("a", 1), thing("b", 2))
    ) as server:
        await server.finished()
        assert server.told == ["+a", "+b"]
    async with world(*map(single, ({}, {"kind": "Status"}, thing("one", 3))), name="one") as server:
        await server.finished()
        assert server.told == ["+one"]


async def test_old_news_and_repeated_news_are_no_news() -> None:
    async with world(
        page(10, thing("a", 5)),
        watch(
            event("ADDED", thing("a", 5)),
            event("MODIFIED", thing("a", 12)),
            event("MODIFIED", thing("a", 11)),
            event("DELETED", thing("a", 4)),
            event("MODIFIED", thing("a", 12)),
        ),
    ) as server:
        await server.finished()
        assert server.told == ["+a", "+a"]
        assert server.queries[-1]["resourceVersion"] == "12"


async def test_what_is_no_event_fails_the_watch_and_not_the_reflector() -> None:
    nonsense = [b"null\n", b"[]\n", b'{"type": "ADDED"}\n', b'{"type": "ADDED", "object": 7}\n']
    answers: list[Answer] = [watch(line) for line in nonsense]
    async with world(page(10), *answers, watch(event("ADDED", thing("a", 11)))) as server:
        await server.finished()
        assert server.told == ["+a"]
        assert len(server.waits) == len(nonsense)


async def test_410_again_and_again_is_asked_for_less_and_less_often() -> None:
    async with world(*[page(10, thing("a", 1)), status(410)] * 10) as server:
        await server.finished()
        assert server.told == ["+a"]
        assert min(server.waits[7:]) > 10 * max(server.waits[:2])


async def test_a_server_that_is_back_and_has_forgotten_where_we_were_is_not_left_alone() -> None:
    gone = {"code": 410, "reason": "Expired", "message": "too old resource version"}
    away, starting = [status(503)] * 8, status(429, **{"Retry-After": "1"})
    back = (starting, watch(event("ERROR", gone)), page(30, thing("a", 29)))
    async with world(page(10), *away, *back) as server:
        await server.finished()
        assert server.told == ["+a"]
        assert len(server.waits) == 10
        assert min(server.waits[6:8]) > 5, "while it was away"
        assert max(server.waits[8:]) <= 2


async def test_what_goes_while_a_streamed_list_breaks_off_is_told() -> None:
    end = {
        "metadata": {"resourceVersion": "9", "annotations": {"k8s.io/initial-events-end": "true"}}
    }
    async with world(
        watch(event("ADDED", thing("a", 1)), event("ADDED", thing("b", 2))),
        page(8, thing("a", 1)),
        watch(),
        streams=True,
    ) as server:
        await server.finished()
        assert server.told == ["+a", "+b", "-b"]
    async with world(
        watch(event("ADDED", thing("a", 1)), event("BOOKMARK", end)), streams=True
    ) as server:
        await server.finished()
        assert server.told == ["+a"]
        assert server.queries[1]["resourceVersion"] == "9"


async def test_silence_ends_a_watch_and_is_no_failure() -> None:
    async with world(page(10, thing("a", 1)), watch(stay=True), idle=1.0) as server:
        await server.finished()
        assert server.states == [State.FOLLOWING]
        assert server.waits == []


async def test_refused_credentials_are_read_again_at_once() -> None:
    added = watch(event("ADDED", thing("b", 11)))
    async with world(page(10), status(401), added, tokens=["old", "new"]) as server:
        await server.finished()
        assert server.tokens == ["Bearer old", "Bearer old", "Bearer new", "Bearer new"]
        assert State.FAILING not in server.states


async def test_credentials_that_are_refused_still_are_no_denied_kind() -> None:
    """Nobody may be served with half of the rules because a token is late."""
    async with world(*[status(401)] * 3, page(10, thing("a", 1)), kind=CUSTOM) as server:
        await server.finished()
        assert server.states == [State.FAILING, State.FOLLOWING]


async def test_a_kind_is_denied_once_it_is_refused_for_a_while() -> None:
    """A server that has just started refuses everybody: nobody may be served without the rules."""
    async with world(*[status(403)] * 3, page(10, thing("a", 1)), kind=CUSTOM) as server:
        await server.finished()
        assert server.states == [State.FAILING, State.FOLLOWING]
    async with world(*[status(403)] * 99, kind=CUSTOM) as server:
        await server.until(lambda: State.DENIED in server.states)
        assert sum(server.waits) > 3
        assert server.states == [State.FAILING, State.DENIED]


async def test_minutes_without_a_server_delete_nothing_and_then_only_differences_are_told() -> None:
    async with world(page(10, thing("kept", 1), thing("gone", 2)), watch(stay=True)) as server:
        await server.until(lambda: len(server.queries) == 2)
        await server.stop()
        await server.until(lambda: sum(server.waits) > 600)
        assert server.states == [State.FOLLOWING, State.FAILING, State.STALE]
        assert max(server.waits) <= 30
        server.answers = [status(410), page(30, thing("kept", 1), thing("new", 29))]
        await server.start()
        await server.finished()
        assert server.told == ["+kept", "+gone", "+new", "-gone"]
        assert server.states[-1] is State.FOLLOWING


async def test_who_knows_no_kind_at_all_is_not_believed_that_one_is_gone() -> None:
    """A balancer without a server behind it says 404 to everybody."""
    async with world(page(10, thing("a", 1)), *[status(404)] * 99, kind=CUSTOM) as server:
        await server.until(lambda: len(server.queries) == 2)
        server.groups = None
        await server.until(lambda: sum(server.waits) > 300)
        assert server.states[-1] is State.ABSENT
        assert server.told == ["+a"]


async def test_objects_go_with_their_kind_but_not_at_once() -> None:
    for groups in ([], [{"name": CUSTOM.group, "versions": [{"version": "v1"}]}]):
        async with world(page(10, thing("a", 1)), *[status(404)] * 99, kind=CUSTOM) as server:
            await server.until(lambda server=server: len(server.queries) == 2)  # type: ignore[misc]
            server.groups, server.resources = [*groups, {"name": "other.io"}], []
            await server.until(lambda server=server: "-a" in server.told)  # type: ignore[misc]
            assert sum(server.waits) > 30
            assert server.told == ["+a", "-a"]


async def test_a_kind_whose_group_still_has_it_is_not_gone() -> None:
    async with world(page(10, thing("a", 1)), *[status(404)] * 99, kind=CUSTOM) as server:
        await server.until(lambda: sum(server.waits) > 300)
        assert server.told == ["+a"]


async def test_one_object_is_followed_without_a_list() -> None:
    async with world(
        status(404),
        watch(event("ADDED", thing("one", 11))),
        watch(event("DELETED", thing("one", 12))),
        status(410),
        single(thing("one", 20)),
        name="one",
    ) as server:
        await server.finished()
        assert server.told == ["+one", "-one", "+one"]
        asked = [
            (path, query.get("watch"))
            for path, query in zip(server.paths, server.queries, strict=True)
        ]
        one, all_of_them = "/api/v1/namespaces/n/services/one", "/api/v1/namespaces/n/services"
        watched = (all_of_them, "true")
        assert asked == [(one, None), watched, watched, watched, (one, None), watched]
        watches = [query for query in server.queries if "watch" in query]
        assert {query["fieldSelector"] for query in watches} == {"metadata.name=one"}
        assert [query["resourceVersion"] for query in watches] == ["0", "11", "12", "20"]


async def test_a_selector_is_asked_for_by_lists_and_watches() -> None:
    async with world(page(10, more="x"), page(10), watch(), selector="team=a") as server:
        await server.finished()
        assert [query["labelSelector"] for query in server.queries] == ["team=a"] * 4
