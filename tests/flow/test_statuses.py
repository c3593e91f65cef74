"""What the status of an object says while proxies come, accept, refuse, wait and go."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import yaml

from meltemi.controller.settings import Settings
from meltemi.controller.store.objects import Identity
from meltemi.controller.tuning import Tuning
from meltemi.testing.standalone import embedded_meltemi
from meltemi.xds.resource import CLUSTER, LISTENER
from tests.simulated import PEER, Proxy, node

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from meltemi.controller.crds.status import Condition, Status
    from meltemi.testing.standalone import EmbeddedMeltemi

PATIENCE = 20.0
ORDERS = Identity("metaprotocol.aeraki.io", "MetaRouter", "default", "orders")
SERVICE: dict[str, Any] = {
    "apiVersion": "networking.istio.io/v1",
    "kind": "ServiceEntry",
    "metadata": {"name": "orders"},
    "spec": {
        "hosts": ["orders.example"],
        "resolution": "STATIC",
        "ports": [{"number": 20880, "name": "tcp-dubbo"}],
        "endpoints": [{"address": "127.0.0.1", "labels": {"version": "v1"}}],
    },
}
WORDS = "Error adding/updating listener(s) orders.example_20880: no such thing"


def rule(generation: int, host: str = "orders.example", method: str = "") -> dict[str, Any]:
    """The MetaRouter ``orders``; its routes lead to the service whatever the host is."""
    to = {"destination": {"host": "orders.example"}}
    match = {"attributes": {"method": {"exact": method or f"m{generation}"}}}
    return {
        "apiVersion": "metaprotocol.aeraki.io/v1alpha1",
        "kind": "MetaRouter",
        "metadata": {"name": "orders", "generation": generation},
        "spec": {"hosts": [host], "routes": [{"match": match, "route": [to]}]},
    }


class Scene:
    """A control plane with proxies that do what they are told."""

    def __init__(self, meltemi: EmbeddedMeltemi, folder: Path) -> None:
        self.plane = meltemi.plane
        self._folder = folder
        self._numbers = count(1000)
        self._watch = self.plane.statuses.watch()

    def write(self, *documents: dict[str, Any]) -> None:
        """These are the rules now."""
        (self._folder / "rules.yaml").write_text(yaml.safe_dump_all(documents))

    async def proxy(self, name: str = "edge", *, capable: bool = True, **metadata: object) -> Proxy:
        """A stream of a proxy that asks for everything."""
        described = node(name, metadata, capable=capable)
        group = await self.plane.join(described, PEER)
        proxy = Proxy(self.plane, next(self._numbers), described, group)
        proxy.begin()
        return proxy

    def status(self, identity: Identity = ORDERS) -> Status:
        found = self.plane.statuses.current(identity)
        assert found is not None
        return found

    @property
    def read_generation(self) -> int:
        """The last that the source delivered."""
        state = self.plane.store.state(ORDERS)
        return 0 if state is None else state.generation

    def condition(self, type: str = "Programmed", identity: Identity = ORDERS) -> Condition:
        return next(each for each in self.status(identity).conditions if each.type == type)

    async def until_generation(self, generation: int) -> Status:
        """Until this is what the status is about; only what ``watch`` tells of is looked at."""
        async with asyncio.timeout(PATIENCE):
            while True:
                await self._watch.wait()
                if ORDERS not in self._watch.take():
                    continue
                found = self.plane.statuses.current(ORDERS)
                if found is not None and found.observed_generation == generation:
                    return found


@asynccontextmanager
async def scene(
    folder: Path, *documents: dict[str, Any], settings: Settings | None = None
) -> AsyncGenerator[Scene]:
    (folder / "rules.yaml").write_text(yaml.safe_dump_all(documents or (SERVICE, rule(1))))
    async with embedded_meltemi(folder, settings=settings) as meltemi:
        yield Scene(meltemi, folder)


def rollout(status: Status) -> dict[str, int]:
    """The numbers that are not 0."""
    found = status.rollout
    numbers = {name: getattr(found, name) for name in ("acked", "nacked", "pending", "unsupported")}
    assert found.proxies == sum(numbers.values())
    return {name: number for name, number in numbers.items() if number}


def said(condition: Condition) -> tuple[str, str]:
    return condition.status, condition.reason


async def test_without_proxies_nothing_is_programmed(tmp_path: Path) -> None:
    async with scene(tmp_path) as told:
        assert said(told.condition()) == ("False", "NoProxies")
        assert said(told.condition("Accepted")) == ("True", "Accepted")
        assert said(told.condition("Effective")) == ("True", "Effective")
        assert rollout(told.status()) == {}


async def test_a_rule_is_programmed_when_the_last_proxy_has_accepted_the_last_of_it(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as told:
        first, second = await told.proxy("a"), await told.proxy("b")
        assert said(told.condition()) == ("False", "Pending")
        first.live()
        assert rollout(told.status()) == {"acked": 1, "pending": 1}
        while second.heard or second.listen():
            assert said(told.condition()) == ("False", "Pending")
            second.accept(second.heard[0])
        assert said(told.condition()) == ("True", "Programmed")
        assert rollout(told.status()) == {"acked": 2}


async def test_a_changed_rule_is_pending_until_it_is_accepted(tmp_path: Path) -> None:
    async with scene(tmp_path) as told:
        proxy = await told.proxy()
        proxy.live()
        since = told.condition().last_transition_time
        told.write(SERVICE, rule(2))
        assert rollout(await told.until_generation(2)) == {"pending": 1}
        (response,) = proxy.listen()
        assert said(told.condition()) == ("False", "Pending")
        proxy.accept(response)
        assert said(told.condition()) == ("True", "Programmed")
        assert told.condition().observed_generation == 2
        assert since


async def test_what_is_held_off_is_not_looked_at_yet(tmp_path: Path) -> None:
    slow = Settings(tuning=Tuning(hold_off=60, hold_off_longest=60))
    async with scene(tmp_path, settings=slow) as told:
        proxy = await told.proxy()
        proxy.live()
        told.write(SERVICE, rule(2))
        async with asyncio.timeout(PATIENCE):
            while told.read_generation != 2:  # noqa: ASYNC110  # there is no event to wait for
                await asyncio.sleep(0.001)
        assert said(told.condition()) == ("True", "Programmed")
        assert told.status().observed_generation == 1


async def test_equal_bytes_of_a_newer_generation_are_live_at_once(tmp_path: Path) -> None:
    async with scene(tmp_path) as told:
        proxy = await told.proxy()
        proxy.live()
        told.write(SERVICE, rule(2, method="m1"))
        status = await told.until_generation(2)
        assert rollout(status) == {"acked": 1}
        assert said(told.condition()) == ("True", "Programmed")
        assert proxy.listen() == []


async def test_a_refusal_is_told_in_the_proxys_words_until_it_is_mended(tmp_path: Path) -> None:
    async with scene(tmp_path) as told:
        proxies = [await told.proxy(name) for name in ("b", "a")]
        for proxy in proxies:
            proxy.live()
        told.write(SERVICE, rule(2))
        await told.until_generation(2)
        for proxy, words in zip(proxies, ("first", "second"), strict=True):
            (response,) = proxy.listen()
            if proxy is proxies[0]:
                proxy.refuse(response, words)
                assert rollout(told.status()) == {"nacked": 1, "pending": 1}
                assert said(told.condition()) == ("False", "PartiallyRejected")
                assert "b says: first" in told.condition().message
            else:
                proxy.refuse(response, words)
        assert said(told.condition()) == ("False", "ProxyRejected")
        assert "a says: second" in told.condition().message
        told.write(SERVICE, rule(3))
        assert rollout(await told.until_generation(3)) == {"nacked": 2}
        for proxy in proxies:
            proxy.live()
        assert said(told.condition()) == ("True", "Programmed")


async def test_who_refuses_a_listener_has_not_the_rule_of_its_routes_either(tmp_path: Path) -> None:
    async with scene(tmp_path) as told:
        proxy = await told.proxy()
        while proxy.heard or proxy.listen():
            response = proxy.heard[0]
            if response.type_url == LISTENER:
                proxy.refuse(response, "cannot bind: Address already in use")
            else:
                proxy.accept(response)
        assert rollout(told.status()) == {"nacked": 1}
        assert "Address already in use; free the port" in told.condition().message
        told.write(SERVICE, rule(2))
        assert rollout(await told.until_generation(2)) == {"nacked": 1}


async def test_a_proxy_that_goes_while_it_is_waited_for_is_waited_for_no_more(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as told:
        quick, slow = await told.proxy("quick"), await told.proxy("slow")
        quick.live()
        slow.listen()
        assert said(told.condition()) == ("False", "Pending")
        slow.close()
        assert said(told.condition()) == ("True", "Programmed")
        quick.close()
        assert said(told.condition()) == ("False", "NoProxies")


async def test_a_proxy_that_goes_takes_its_refusal_along(tmp_path: Path) -> None:
    async with scene(tmp_path) as told:
        proxy = await told.proxy()
        proxy.live()
        told.write(SERVICE, rule(2))
        await told.until_generation(2)
        (response,) = proxy.listen()
        proxy.refuse(response, "no")
        assert said(told.condition()) == ("False", "ProxyRejected")
        proxy.close()
        assert said(told.condition()) == ("False", "NoProxies")


async def test_a_proxy_with_two_streams_counts_once_and_is_as_late_as_the_later(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as told:
        first, second = await told.proxy("edge"), await told.proxy("edge")
        first.live()
        assert rollout(told.status()) == {"pending": 1}
        second.live()
        assert rollout(told.status()) == {"acked": 1}
        second.close()
        assert rollout(told.status()) == {"acked": 1}


async def test_proxies_of_two_kinds_add_up_and_one_without_the_filter_is_told(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as told:
        (await told.proxy("able")).live()
        (await told.proxy("bare", capable=False)).live()
        assert rollout(told.status()) == {"acked": 1, "unsupported": 1}
        assert said(told.condition()) == ("False", "FilterUnsupported")


async def test_proxies_that_do_not_see_the_service_do_not_count(tmp_path: Path) -> None:
    hidden = {**SERVICE, "spec": {**SERVICE["spec"], "exportTo": ["."]}}
    async with scene(tmp_path, hidden, rule(1)) as told:
        (await told.proxy("inside")).live()
        (await told.proxy("outside", namespace="elsewhere")).live()
        assert rollout(told.status()) == {"acked": 1}


async def test_a_rule_of_a_host_that_does_not_exist_is_not_effective(tmp_path: Path) -> None:
    async with scene(tmp_path, SERVICE, rule(1, host="nobody.example")) as told:
        (await told.proxy()).live()
        assert said(told.condition("Effective")) == ("False", "HostNotFound")
        assert said(told.condition()) == ("False", "NotInForce")
        told.write(SERVICE, rule(2))
        await told.until_generation(2)
        assert said(told.condition("Effective")) == ("True", "Effective")


async def test_a_rule_that_loses_its_host_to_another_is_told_on_itself(tmp_path: Path) -> None:
    other = rule(1)
    other["metadata"] = {"name": "zz-late", "generation": 1}
    async with scene(tmp_path, SERVICE, rule(1), other) as told:
        (await told.proxy()).live()
        loser = ORDERS._replace(name="zz-late")
        assert said(told.condition("Conflicted", loser)) == ("True", "Overruled")
        assert said(told.condition("Effective", loser)) == ("False", "Overruled")
        assert said(told.condition("Conflicted")) == ("False", "NoConflict")
        assert said(told.condition()) == ("True", "Programmed")


async def test_an_unreadable_rule_says_which_generation_stays_in_force(tmp_path: Path) -> None:
    async with scene(tmp_path) as told:
        proxy = await told.proxy()
        proxy.live()
        broken = rule(2)
        broken["spec"]["routes"] = "none"
        told.write(SERVICE, broken)
        await told.until_generation(2)
        accepted = told.condition("Accepted")
        assert said(accepted) == ("False", "Invalid")
        assert "generation 1 stays in force" in accepted.message
        assert said(told.condition()) == ("False", "NotAccepted")
        assert proxy.listen() == []


async def test_a_missing_destination_is_a_reference_that_is_not_resolved(tmp_path: Path) -> None:
    lost = rule(1)
    lost["spec"]["routes"][0]["route"][0]["destination"]["subset"] = "v9"
    async with scene(tmp_path, SERVICE, lost) as told:
        condition = told.condition("ResolvedRefs")
        assert said(condition) == ("False", "DestinationNotFound")
        assert "v9" in condition.message
        assert said(told.condition("Effective")) == ("False", "NoRouteLeft")


async def test_an_object_that_is_gone_has_no_status(tmp_path: Path) -> None:
    async with scene(tmp_path) as told:
        watch = told.plane.statuses.watch()
        watch.take()
        told.write(SERVICE)
        async with asyncio.timeout(PATIENCE):
            await watch.wait()
            while ORDERS not in watch.take():
                await watch.wait()
        assert told.plane.statuses.current(ORDERS) is None
        assert ORDERS not in told.plane.statuses


async def test_what_does_not_change_is_not_told_again(tmp_path: Path) -> None:
    other = rule(1, host="other.example")
    other["metadata"]["name"] = "other"
    service = {**SERVICE, "metadata": {"name": "other"}}
    service["spec"] = {**SERVICE["spec"], "hosts": ["other.example"]}
    service["spec"]["ports"] = [{"number": 20881, "name": "tcp-dubbo"}]
    async with scene(tmp_path, SERVICE, rule(1), service, other) as told:
        proxy = await told.proxy()
        proxy.live()
        watch = told.plane.statuses.watch()
        assert watch.take() == {ORDERS, ORDERS._replace(name="other")}
        told.write(SERVICE, rule(2), service, other)
        await told.until_generation(2)
        assert watch.take() == {ORDERS}
        proxy.live()
        assert watch.take() == {ORDERS}
        assert watch.take() == frozenset()


async def test_a_route_that_waits_for_its_cluster_is_pending_and_another_rule_is_not(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as told:
        proxy = await told.proxy()
        proxy.live()
        new = {**SERVICE, "metadata": {"name": "new"}}
        new["spec"] = {**SERVICE["spec"], "hosts": ["new.example"], "ports": []}
        new["spec"]["ports"] = [{"number": 20882, "name": "tcp-dubbo"}]
        ruled = rule(1, host="new.example")
        ruled["metadata"] = {"name": "new", "generation": 1}
        ruled["spec"]["routes"][0]["route"][0]["destination"]["host"] = "new.example"
        told.write(SERVICE, rule(1), new, ruled)
        watch, fresh = told.plane.statuses.watch(), ORDERS._replace(name="new")
        async with asyncio.timeout(PATIENCE):
            while fresh not in watch.take():
                await watch.wait()
        while proxy.heard or proxy.listen():
            assert said(told.condition(identity=fresh)) == ("False", "Pending")
            assert said(told.condition()) == ("True", "Programmed")
            proxy.accept(proxy.heard[0])
        assert said(told.condition(identity=fresh)) == ("True", "Programmed")


async def test_a_proxy_that_comes_again_with_everything_has_accepted_it(tmp_path: Path) -> None:
    async with scene(tmp_path) as told:
        proxy = await told.proxy()
        proxy.live()
        proxy.close()
        again = await told.proxy()
        assert said(told.condition()) == ("False", "Pending")
        again.live()
        assert {LISTENER, CLUSTER} <= set(again.session.types)
        assert said(told.condition()) == ("True", "Programmed")
