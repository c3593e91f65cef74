"""Rules 18 and 68: where we differ, after a NACK of several resources that names none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meltemi.testing.resources import cluster, endpoint
from meltemi.xds.dialect import Delta, Sotw, TypeState
from meltemi.xds.resource import CLUSTER, ENDPOINT
from meltemi.xds.session import Session
from tests.conformance.client import contents
from tests.conformance.scenario import ADS, DELTA, SOTW, mutate, scenario
from tests.conformance.scenarios_answers import last_refusal, suspected

if TYPE_CHECKING:
    import pytest

    from meltemi.xds.session import Nacked
    from tests.conformance.scenario import Method
    from tests.conformance.world import World


def the_good_neighbours_are_forgotten(patch: pytest.MonkeyPatch) -> None:
    def accuse(original: Method, self: Any, state: TypeState, event: Nacked) -> Any:
        refused = original(self, state, event)
        state.suspects.clear()
        return refused

    mutate(patch, Session, "_accuse", accuse)


def what_was_refused_together_is_repeated_together(patch: pytest.MonkeyPatch) -> None:
    def isolate(_: Method, state: TypeState) -> None:
        state.dirty.update(state.suspects)

    mutate(patch, TypeState, "isolate", isolate)


def what_is_refused_alone_is_repeated_for_ever(patch: pytest.MonkeyPatch) -> None:
    def accuse(original: Method, self: Any, state: TypeState, event: Nacked) -> Any:
        refused = original(self, state, event)
        state.suspects |= {resource.name: resource.version for resource in event.suspects}
        return refused

    mutate(patch, Session, "_accuse", accuse)


@scenario(
    18,
    kills=(
        the_good_neighbours_are_forgotten,
        what_was_refused_together_is_repeated_together,
        what_is_refused_alone_is_repeated_for_ever,
    ),
)
async def what_was_refused_together_is_repeated_once_each_alone(world: World) -> None:
    names = ("a", "b", "c")
    world.publish(*(endpoint(name) for name in names))
    stream = await world.open(ENDPOINT)
    await stream.get(ENDPOINT, *names)
    world.publish(endpoint("a", "good"), endpoint("b", "bad"), endpoint("c", "good"))
    await stream.answer(await stream.hear(), "malformed IP address")
    assert contents(await stream.take()) == {"a": "good"}
    alone = await stream.hear()
    assert contents(alone) == {"b": "bad"}
    await stream.answer(alone, "malformed IP address")
    refusal = last_refusal(world, ENDPOINT)
    assert (suspected(refusal), refusal.certain) == (["b"], True)
    assert contents(await stream.take()) == {"c": "good"}
    await stream.silence()
    world.advance(5)
    await stream.silence()
    [known] = world.status.streams()
    assert [each.names for each in known.types[ENDPOINT].refusals] == [("b",)]
    world.publish(endpoint("b", "mended"))
    assert contents(await stream.take()) == {"b": "mended"}


def what_is_sent_alone_waits_for_no_answer(patch: pytest.MonkeyPatch) -> None:
    def blocked(original: Method, self: Any, state: TypeState) -> Any:
        return not state.refused and original(self, state)

    mutate(patch, Session, "_blocked", blocked)


@scenario(18, variants=ADS, kills=(what_is_sent_alone_waits_for_no_answer,))
async def what_is_sent_alone_waits_for_the_answer_to_what_was_before(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.open(ENDPOINT)
    await stream.ask(ENDPOINT, "a", "b")
    await stream.answer(await stream.hear(), "malformed IP address")
    alone = await stream.hear()
    assert contents(alone) == {"a": "1"}
    await stream.silence()
    await stream.answer(alone)
    assert contents(await stream.take()) == {"b": "1"}
    await stream.silence()


def full_state_is_isolated_too(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Sotw, "partial", Delta.partial)


@scenario(18, variants=SOTW, kills=(full_state_is_isolated_too,))
async def full_state_that_was_refused_is_not_repeated(world: World) -> None:
    world.publish(cluster("a"), cluster("b"))
    stream = await world.open(CLUSTER)
    await stream.get(CLUSTER)
    world.publish(cluster("a", "good"), cluster("b", "bad"))
    await stream.answer(await stream.hear(), "Unable to unpack")
    await stream.silence()


def clusters_are_full_state_in_delta_too(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Delta, "partial", Sotw.partial)


@scenario(68, variants=DELTA, kills=(clusters_are_full_state_in_delta_too,))
async def clusters_that_were_refused_together_are_repeated_once_each_alone(world: World) -> None:
    world.publish(cluster("a"), cluster("b"))
    stream = await world.delta(CLUSTER)
    await stream.get(CLUSTER)
    world.publish(cluster("a", "bad"), cluster("b", "good"))
    await stream.answer(await stream.hear(), "Unable to unpack")
    await stream.answer(await stream.hear(), "Unable to unpack")
    assert contents(await stream.take()) == {"b": "good"}
    await stream.silence()
