"""Rules 12 to 14: what a request may name, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.unknown_fields import UnknownFieldSet

from meltemi.testing.resources import cluster, endpoint, plain, route
from meltemi.testing.xds_client import delta_request, sotw_request
from meltemi.xds import wire
from meltemi.xds._pb import discovery_pb2 as pb
from meltemi.xds.resource import CLUSTER, ENDPOINT, SECRET
from meltemi.xds.subscription import WILDCARD, Subscription
from meltemi.xds.wire import ProtocolError
from tests.conformance.client import contents
from tests.conformance.scenario import ADS, SOTW, Dialect, mutate, scenario

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from tests.conformance.scenario import Method
    from tests.conformance.world import World


def unknown_fields_are_refused(patch: pytest.MonkeyPatch) -> None:
    def decode(original: Method, raw: bytes, *args: Any) -> Any:
        message = pb.DiscoveryRequest if args else pb.DeltaDiscoveryRequest
        if len(UnknownFieldSet(message.FromString(raw))):
            raise ProtocolError("what is that field?")
        return original(raw, *args)

    for dialect in ("decode_sotw", "decode_delta"):
        mutate(patch, wire, dialect, decode)


LOCATOR = b"\x0a\x01z\x12\x06\x0a\x01k\x12\x01v"  # name z with the parameter k = v


@scenario(12, kills=(unknown_fields_are_refused,))
async def locators_and_unknown_fields_are_ignored_beside_names(world: World) -> None:
    world.publish(endpoint("a"), endpoint("z"))
    stream = await world.open(ENDPOINT)
    request = sotw_request if stream.dialect is Dialect.SOTW else delta_request
    raw = request(ENDPOINT, ["a"], node=stream.node())
    locators = b"\x3a" if stream.dialect is Dialect.SOTW else b"\x42"
    await stream.say(locators + bytes([len(LOCATOR)]) + LOCATOR + raw + b"\xfa\x3e\x01x")
    assert contents(await stream.hear()) == {"a": "1"}


def only_one_name_counts(patch: pytest.MonkeyPatch) -> None:
    def change(original: Method, self: Any, names: Iterable[str], *args: Any, **how: Any) -> Any:
        return original(self, frozenset(sorted(names)[:1]), *args, **how)

    for method in ("replaced", "amended"):
        mutate(patch, Subscription, method, change)


@scenario(13, kills=(only_one_name_counts,))
async def a_request_names_several(world: World) -> None:
    world.publish(*(endpoint(name) for name in "abc"), plain(SECRET, "s"), plain(SECRET, "t"))
    for type_url, names in ((ENDPOINT, "abc"), (SECRET, "st")):
        stream = await world.open(type_url)
        assert contents(await stream.get(type_url, *names)) == dict.fromkeys(names, "1")


@scenario(13, variants=ADS, kills=(only_one_name_counts,))
async def a_request_names_several_route_tables(world: World) -> None:
    first, second = route("r"), route("s")
    world.publish(first, second)
    stream = await world.open(CLUSTER)
    assert contents(await stream.get(first.type_url, "r", "s")) == {"r": "1", "s": "1"}


def known_names_are_all_names(patch: pytest.MonkeyPatch) -> None:
    def recognise(original: Method, raw: bytes, known: Any) -> Any:
        start = getattr(wire, "_names_offset")(raw)  # noqa: B009 (private)
        for names in known:
            if names.begin(raw, start):
                message = pb.DiscoveryRequest.FromString(raw[:start] + raw[start + names.size :])
                return message, names
        return original(raw, known)

    mutate(patch, wire, "_recognise", recognise)


@scenario(13, variants=SOTW, kills=(known_names_are_all_names,))
async def a_long_list_that_grows_at_its_end_is_read_to_its_end(world: World) -> None:
    names = [f"outbound|20880|v1|service-{number:03}.shop" for number in range(100)]
    world.publish(*(endpoint(name) for name in [*names, "z"]))
    stream = await world.open(ENDPOINT)
    assert len((await stream.get(ENDPOINT, *names)).bodies) == len(names)
    assert contents(await stream.get(ENDPOINT, *names, "z")) == {"z": "1"}


def an_empty_name_is_a_name(patch: pytest.MonkeyPatch) -> None:
    def replaced(self: Subscription, names: frozenset[str], *, legacy: bool) -> Subscription:
        return Subscription(names - {WILDCARD}, WILDCARD in names, named=True)

    patch.setattr(Subscription, "replaced", replaced)


def an_empty_name_is_the_wildcard(patch: pytest.MonkeyPatch) -> None:
    def change(original: Method, self: Subscription, names: Any, *args: Any, **kwargs: Any) -> Any:
        meant = frozenset(name or WILDCARD for name in names)
        return original(self, meant, *args, **kwargs)

    for method in ("replaced", "amended"):
        mutate(patch, Subscription, method, change)


@scenario(14, kills=(an_empty_name_is_a_name, an_empty_name_is_the_wildcard))
async def empty_and_repeated_names_do_no_harm(world: World) -> None:
    world.publish(endpoint("a"), endpoint("b"))
    stream = await world.open(ENDPOINT)
    await stream.ask(ENDPOINT, "a", "", "a")
    response = await stream.take()
    assert (response.bodies, response.removed) == ((b"a=1",), ())
    await stream.silence()


@scenario(14, variants=SOTW, kills=(an_empty_name_is_the_wildcard,))
async def a_list_of_the_empty_name_is_an_end_of_all_names(world: World) -> None:
    world.publish(cluster("a"))
    stream = await world.sotw(CLUSTER)
    await stream.get(CLUSTER, "a")
    await stream.request(CLUSTER, [""])
    stream.talk(CLUSTER).names = ()
    await stream.silence()
    world.publish(cluster("a", "2"))
    if not stream.only:
        await stream.silence()
