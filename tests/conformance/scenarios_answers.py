"""Rules 16 to 20 and 38 to 40: what an ACK and a NACK mean. Most hold for both dialects."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from meltemi.testing.resources import cluster, endpoint, listener
from meltemi.xds import session, wire
from meltemi.xds.release import Release
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER
from meltemi.xds.session import ANSWER_TIMEOUT, Acked, Nacked, Session
from meltemi.xds.status import TypeStatus
from tests.conformance.client import contents
from tests.conformance.scenario import ADS, SOTW, mutate, scenario
from tests.conformance.world import START

if TYPE_CHECKING:
    import pytest

    from meltemi.xds.dialect import TypeState
    from meltemi.xds.resource import TypeUrl
    from meltemi.xds.session import Event
    from tests.conformance.client import Stream
    from tests.conformance.scenario import Method
    from tests.conformance.world import World


def answers(world: World, type_url: TypeUrl) -> list[Acked | Nacked]:
    """What the server made of a type's answers."""
    return [
        event
        for event in world.status.events
        if isinstance(event, Acked | Nacked) and event.type_url == type_url
    ]


def last_refusal(world: World, type_url: TypeUrl) -> Nacked:
    last = answers(world, type_url)[-1]
    assert isinstance(last, Nacked), last
    return last


def suspected(refusal: Nacked) -> list[str]:
    return sorted(resource.name for resource in refusal.suspects)


# 16: an ACK


def an_ack_is_taken_for_a_wish(patch: pytest.MonkeyPatch) -> None:
    def subscribe(original: Method, self: Any, state: TypeState, *args: Any, **how: Any) -> Any:
        state.whole = True
        return original(self, state, *args, **how)

    mutate(patch, Session, "_subscribe", subscribe)


@scenario(16, kills=(an_ack_is_taken_for_a_wish,))
async def an_ack_is_met_with_silence(world: World) -> None:
    world.publish(cluster("a"), cluster("b"))
    stream = await world.open(CLUSTER)
    await stream.get(CLUSTER)
    await stream.silence()
    world.advance(ANSWER_TIMEOUT)
    await stream.silence()


@scenario(16, kills=(an_ack_is_taken_for_a_wish,))
async def an_ack_with_names_is_met_with_silence(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.open(ENDPOINT)
    await stream.get(ENDPOINT, "a", "b")
    await stream.silence()


# 17: how a NACK is told


def the_version_tells_a_nack(patch: pytest.MonkeyPatch) -> None:
    def answered(original: Method, self: Any, state: TypeState, request: Any, now: float) -> Any:
        sent = state.unanswered.get(request.nonce)
        if sent is not None:
            error = None if request.version == sent.version else "an old version"
            request = request._replace(error=error)
        return original(self, state, request, now)

    mutate(patch, Session, "_answered", answered)


@scenario(17, variants=SOTW, kills=(the_version_tells_a_nack,))
async def a_refusal_that_names_the_accepted_version_is_a_refusal(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.sotw(ENDPOINT)
    first = await stream.get(ENDPOINT, "a")
    await stream.ask(ENDPOINT, "a", "b")
    second = await stream.hear()
    assert second.version == first.version  # nothing changed, only the names did
    await stream.answer(second, "b is bad")
    assert last_refusal(world, ENDPOINT).message == "b is bad"
    assert suspected(last_refusal(world, ENDPOINT)) == ["b"]
    await stream.silence()


@scenario(17, variants=SOTW, kills=(the_version_tells_a_nack,))
async def a_request_with_an_old_version_and_no_error_is_no_refusal(world: World) -> None:
    world.publish(endpoint("a"))
    stream = await world.sotw(ENDPOINT)
    first = await stream.get(ENDPOINT, "a")
    world.publish(endpoint("a", "2"))
    second = await stream.hear()
    assert second.version != first.version
    await stream.request(ENDPOINT, ["a"], version=first.version, nonce=second.nonce)
    assert [type(each) for each in answers(world, ENDPOINT)] == [Acked, Acked]
    await stream.silence()


# 18 and 19: after a NACK


def what_was_refused_is_repeated(patch: pytest.MonkeyPatch) -> None:
    def nacked(original: Method, self: Any, state: TypeState, *args: Any) -> Any:
        state.whole = True
        return original(self, state, *args)

    mutate(patch, Session, "_nacked", nacked)


def what_was_refused_is_repeated_after_a_while(patch: pytest.MonkeyPatch) -> None:
    def first_due(original: Method, self: Any, now: float) -> Any:
        for state in self._states.values():
            if state.refused and now > START:
                state.whole = True
        return original(self, now)

    mutate(patch, Session, "_first_due", first_due)


def a_refusal_is_the_end(patch: pytest.MonkeyPatch) -> None:
    def blocked(original: Method, self: Any, state: TypeState) -> Any:
        return state.refused or original(self, state)

    mutate(patch, Session, "_blocked", blocked)


REPEATED = (what_was_refused_is_repeated, what_was_refused_is_repeated_after_a_while)


@scenario(18, kills=(*REPEATED, a_refusal_is_the_end))
async def what_was_refused_is_not_repeated_and_the_next_change_is_sent(world: World) -> None:
    world.publish(endpoint("a"))
    stream = await world.open(ENDPOINT)
    await stream.get(ENDPOINT, "a")
    world.publish(endpoint("a", "bad"))
    await stream.answer(await stream.hear(), "bad endpoints")
    world.advance(5)
    await stream.silence()
    world.publish(endpoint("a", "good"))
    assert contents(await stream.take()) == {"a": "good"}
    await stream.silence()


def a_request_without_version_is_initial(patch: pytest.MonkeyPatch) -> None:
    def subscribe(original: Method, self: Any, *args: Any, first: bool) -> Any:
        _, request, _ = args
        return original(self, *args, first=first or not getattr(request, "version", "delta"))

    mutate(patch, Session, "_subscribe", subscribe)


@scenario(19, kills=REPEATED)
async def a_refused_first_response_is_not_repeated(world: World) -> None:
    world.publish(cluster("a"))
    stream = await world.open(CLUSTER)
    await stream.ask(CLUSTER)
    await stream.answer(await stream.hear(), "bad")
    await stream.silence()
    world.advance(5)
    await stream.silence()
    world.publish(cluster("a", "2"))
    assert contents(await stream.take()) == {"a": "2"}


@scenario(19, variants=SOTW, kills=(a_request_without_version_is_initial,))
async def a_refusal_without_any_version_is_no_initial_request(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.sotw(ENDPOINT)
    await stream.ask(ENDPOINT, "a")
    await stream.answer(await stream.hear(), "bad")
    await stream.ask(ENDPOINT, "a", "b")
    assert contents(await stream.take()) == {"b": "1"}


# 20: names in a NACK


def a_refusal_is_only_a_refusal(patch: pytest.MonkeyPatch) -> None:
    def subscribe(original: Method, self: Any, *args: Any, **how: Any) -> Any:
        _, request, _ = args
        return () if request.error is not None else original(self, *args, **how)

    mutate(patch, Session, "_subscribe", subscribe)


@scenario(20, kills=(a_refusal_is_only_a_refusal,))
async def the_names_in_a_refusal_count(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.open(ENDPOINT)
    await stream.ask(ENDPOINT, "a")
    await stream.reply(ENDPOINT, (await stream.hear()).nonce, "bad", adds="b")
    assert contents(await stream.take()) == {"b": "1"}
    assert [type(each) for each in answers(world, ENDPOINT)] == [Nacked, Acked]


# 38: late answers


def an_answer_covers_one_response(patch: pytest.MonkeyPatch) -> None:
    def take(unanswered: dict[str, Any], nonce: str) -> list[Any]:
        return [unanswered.pop(nonce)]

    patch.setattr(session, "_take_until", take)


async def push_unanswered(world: World, stream: Stream, *names: str) -> list[str]:
    """New clusters, each in a response of its own that nobody answers; gives the nonces."""
    nonces: list[str] = []
    for name in names:
        world.publish(cluster(name))
        nonces.append((await stream.hear()).nonce)
        world.advance(ANSWER_TIMEOUT)
    return nonces


@scenario(38, kills=(an_answer_covers_one_response,))
async def a_late_refusal_may_be_about_any_response_that_it_covers(world: World) -> None:
    world.publish(cluster("a"))
    stream = await world.open(CLUSTER)
    await stream.get(CLUSTER)
    nonces = await push_unanswered(world, stream, "b", "c", "d")
    await stream.reply(CLUSTER, nonces[-1], "out of memory")
    assert suspected(last_refusal(world, CLUSTER)) == ["b", "c", "d"]
    assert last_refusal(world, CLUSTER).nonce == nonces[-1]


def all_that_is_unanswered_is_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(session, "_UNANSWERED_LIMIT", 1_000)


def only_the_last_response_is_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(session, "_UNANSWERED_LIMIT", 1)


@scenario(38, kills=(all_that_is_unanswered_is_kept, only_the_last_response_is_kept))
async def what_is_kept_of_unanswered_responses_is_bounded(world: World) -> None:
    world.publish(cluster("a"))
    stream = await world.open(CLUSTER)
    await stream.get(CLUSTER)
    names = [f"cluster-{number:02}" for number in range(30)]
    nonces = await push_unanswered(world, stream, *names)
    before = answers(world, CLUSTER)
    await stream.reply(CLUSTER, nonces[0], "much too late")
    assert answers(world, CLUSTER) == before
    await stream.reply(CLUSTER, nonces[-1], "out of memory")
    suspects = suspected(last_refusal(world, CLUSTER))
    assert 2 < len(suspects) < 20
    assert suspects == names[-len(suspects) :]


def a_type_waits_for_the_answers_of_others(patch: pytest.MonkeyPatch) -> None:
    def blocked(_: Method, self: Any, __: TypeState) -> bool:
        return any(state.release_at is not None for state in self._states.values())

    mutate(patch, Session, "_blocked", blocked)


@scenario(38, variants=ADS, kills=(a_type_waits_for_the_answers_of_others,))
async def endpoints_do_not_wait_for_the_answer_about_clusters(world: World) -> None:
    world.publish(cluster("a"), endpoint("a"))
    stream = await world.open(CLUSTER)
    await stream.get(CLUSTER)
    await stream.get(ENDPOINT, "a")
    world.publish(cluster("b"), endpoint("b"))
    warming = await stream.hear()
    assert contents(await stream.get(ENDPOINT, "a", "b")) == {"b": "1"}
    await stream.answer(warming)
    await stream.silence()


# 39: a NACK does not mean that nothing is in force


def a_refusal_undoes_the_response(patch: pytest.MonkeyPatch) -> None:
    def nacked(original: Method, self: Any, state: TypeState, *args: Any) -> Any:
        event: Nacked = original(self, state, *args)
        state.dirty.update(resource.name for resource in event.suspects)
        return event

    mutate(patch, Session, "_nacked", nacked)


def a_refused_version_counts_as_accepted(patch: pytest.MonkeyPatch) -> None:
    def fold(original: Method, self: TypeStatus, event: Event, now: float) -> None:
        original(self, event, now)
        if isinstance(event, Nacked):
            self.version = event.version

    mutate(patch, TypeStatus, "fold", fold)


@scenario(39, kills=(a_refusal_undoes_the_response, a_refused_version_counts_as_accepted))
async def what_was_good_in_a_refused_response_is_not_sent_again(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.open(ENDPOINT)
    first = await stream.get(ENDPOINT, "a", "b")
    world.publish(endpoint("a", "good"), endpoint("b", "bad"))
    await stream.answer(await stream.hear(), "[resource index 1: b: bad]")
    await stream.silence()
    [known] = world.status.streams()
    assert known.types[ENDPOINT].refusals
    assert stream.only or known.types[ENDPOINT].version == first.version
    world.publish(endpoint("b", "mended"))
    assert contents(await stream.take()) == {"b": "mended"}


def a_refusal_settles_all_clusters(patch: pytest.MonkeyPatch) -> None:
    def answered(original: Method, self: Any, number: int, _: Any) -> Any:
        return original(self, number, ())

    mutate(patch, Release, "answered", answered)


def a_refusal_settles_no_cluster(patch: pytest.MonkeyPatch) -> None:
    def answered(original: Method, self: Any, number: int, refused: Any) -> Any:
        return original(self, number, refused and frozenset(self._fresh))

    mutate(patch, Release, "answered", answered)


@scenario(39, variants=ADS, kills=(a_refusal_settles_all_clusters, a_refusal_settles_no_cluster))
async def only_what_names_the_refused_cluster_waits(world: World) -> None:
    stream = await world.open(CLUSTER)
    await stream.get(CLUSTER)
    await stream.get(LISTENER)
    world.publish(cluster("good"), cluster("bad"), listener("l", "good"), listener("m", "bad"))
    await stream.answer(await stream.hear(), "Error adding/updating cluster(s) bad: why not")
    assert contents(await stream.take()) == {"l": "1"}
    await stream.silence()
    world.publish(cluster("bad", "mended"))
    await stream.take()
    assert contents(await stream.take())["m"] == "1"


# 40: the text of a NACK


def the_text_is_not_read(patch: pytest.MonkeyPatch) -> None:
    def named_in(*_: object) -> tuple[str, ...]:
        return ()

    patch.setattr(session, "named_in", named_in)


ENVOY = "Error adding/updating cluster(s) b:1: no such extension: x, c: bad duration"
GRPC = (
    "xDS response validation errors: [resource index 1: b:1: INVALID_ARGUMENT: no such "
    "extension: x; resource index 3: c: INVALID_ARGUMENT: bad duration]"
)


@scenario(40, kills=(the_text_is_not_read,))
async def the_resources_that_the_text_names_are_at_fault(world: World) -> None:
    world.publish(*(cluster(name) for name in ("a", "b:1", "c", "x")))
    for text in (ENVOY, GRPC):
        stream = await world.open(CLUSTER)
        await stream.ask(CLUSTER)
        await stream.answer(await stream.hear(), text)
        refusal = last_refusal(world, CLUSTER)
        assert (refusal.message, refusal.certain, suspected(refusal)) == (text, True, ["b:1", "c"])


def a_text_without_names_accuses_nobody(patch: pytest.MonkeyPatch) -> None:
    def nacked(original: Method, *args: Any) -> Any:
        event: Nacked = original(*args)
        return event if event.certain else replace(event, suspects=())

    mutate(patch, Session, "_nacked", nacked)


def a_text_has_no_bound(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(wire, "MESSAGE_LIMIT", None)


@scenario(40, kills=(a_text_without_names_accuses_nobody, a_text_has_no_bound))
async def a_text_without_names_accuses_all_that_was_new_and_is_cut(world: World) -> None:
    world.publish(cluster("a"))
    stream = await world.open(CLUSTER)
    await stream.get(CLUSTER)
    world.publish(cluster("b"), cluster("c"))
    await stream.answer(await stream.hear(), "something is wrong " * 1_000)
    refusal = last_refusal(world, CLUSTER)
    assert refusal.message.startswith("something is wrong something")
    assert len(refusal.message) == 4096
    assert (refusal.certain, suspected(refusal)) == (False, ["b", "c"])
