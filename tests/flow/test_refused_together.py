"""What statuses and proxies' records say while rules that were refused together are told apart."""

from __future__ import annotations

import json
from copy import deepcopy
from time import monotonic
from typing import TYPE_CHECKING, Any

from meltemi.controller.proxies import describe
from meltemi.controller.store.objects import Identity
from tests.flow.test_statuses import ORDERS, SERVICE, Scene, rollout, rule, said, scene

if TYPE_CHECKING:
    from pathlib import Path

PAYMENTS = Identity(ORDERS.group, ORDERS.kind, ORDERS.namespace, "payments")


def twin(document: dict[str, Any]) -> dict[str, Any]:
    """The same of the service ``payments``, at a port of its own."""
    text = json.dumps(document).replace("orders", "payments").replace("20880", "20881")
    found: dict[str, Any] = json.loads(text)
    return found


def rules(generation: int) -> list[dict[str, Any]]:
    own = deepcopy(rule(generation))
    return [SERVICE, twin(SERVICE), own, twin(own)]


def refusals(told: Scene) -> list[tuple[bool, list[str]]]:
    """Whether each is certain, and the resources that it is about."""
    plane = told.plane
    [proxy] = describe(plane.status, plane.members(), monotonic())
    found = [each for record in proxy["types"].values() for each in record["refusals"]]
    return [(each["certain"], each["names"]) for each in found]


async def test_of_rules_that_were_refused_together_only_the_bad_one_stays_refused(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, *rules(1)) as told:
        proxy = await told.proxy()
        proxy.live()
        told.write(*rules(2))
        await told.until_generation(2)
        [together] = proxy.listen()
        orders, payments = together.names
        proxy.refuse(together, "missing ]")
        assert refusals(told) == [(False, [orders, payments])]
        for identity in (ORDERS, PAYMENTS):
            assert said(told.condition(identity=identity)) == ("False", "ProxyRejected")

        [alone] = proxy.listen()
        assert alone.names == (orders,)
        proxy.accept(alone)
        assert refusals(told) == [(False, [payments])]
        assert said(told.condition()) == ("False", "Pending")  # until all have their answer

        [alone] = proxy.listen()
        assert alone.names == (payments,)
        assert not proxy.session.settled
        proxy.refuse(alone, "missing ]")
        assert refusals(told) == [(True, [payments])]
        assert proxy.session.settled
        assert proxy.listen() == []
        assert said(told.condition()) == ("True", "Programmed")
        assert rollout(told.status(PAYMENTS)) == {"nacked": 1}
        assert {each.problem.about.object.name for each in told.plane.findings} == {"payments"}
