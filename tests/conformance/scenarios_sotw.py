"""Rules 16 to 40: versions, nonces, ACK and NACK. Many hold for both dialects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meltemi.testing.resources import cluster, endpoint
from meltemi.xds.resource import CLUSTER, ENDPOINT
from meltemi.xds.session import Session
from tests.conformance.scenario import mutate, scenario
from tests.conformance.world import contents

if TYPE_CHECKING:
    import pytest

    from tests.conformance.scenario import Method
    from tests.conformance.world import World


def an_ack_is_taken_for_a_wish(patch: pytest.MonkeyPatch) -> None:
    def subscribe(original: Method, self: Any, state: Any, *args: Any, **kwargs: Any) -> Any:
        state.whole = True
        return original(self, state, *args, **kwargs)

    mutate(patch, Session, "_subscribe", subscribe)


@scenario(16, kills=(an_ack_is_taken_for_a_wish,))
async def an_ack_is_met_with_silence(world: World) -> None:
    world.publish(cluster("a"), cluster("b"))
    stream = await world.open(CLUSTER)
    await stream.get(CLUSTER)
    await stream.silence()


@scenario(16, kills=(an_ack_is_taken_for_a_wish,))
async def an_ack_with_names_is_met_with_silence(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.open(ENDPOINT)
    await stream.get(ENDPOINT, "a", "b")
    await stream.silence()


def a_refused_response_is_repeated(patch: pytest.MonkeyPatch) -> None:
    def nacked(original: Method, self: Any, state: Any, *args: Any, **kwargs: Any) -> Any:
        state.whole = True
        return original(self, state, *args, **kwargs)

    mutate(patch, Session, "_nacked", nacked)


@scenario(18, kills=(a_refused_response_is_repeated,))
async def a_refused_response_is_not_repeated_and_the_next_change_is_sent(world: World) -> None:
    world.publish(endpoint("a"))
    stream = await world.open(ENDPOINT)
    await stream.get(ENDPOINT, "a")
    world.publish(endpoint("a", "bad"))
    await stream.answer(await stream.hear(), "bad endpoints")
    await stream.silence()
    world.publish(endpoint("a", "good"))
    assert contents(await stream.take()) == {"a": "good"}
