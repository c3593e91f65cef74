"""New hosts go in before old ones go out."""

from __future__ import annotations

from meltemi.controller.store.turnover import Turnover
from meltemi.protocols.model import Endpoint

KEY: tuple[str, str] = ("default", "a.example")


def endpoint(number: int, *, ready: bool = True) -> Endpoint:
    return Endpoint(f"10.0.0.{number}", {80: 8080}, ready=ready)


def addresses(turnover: Turnover) -> list[str]:
    return [entry.address for entry in turnover.get(KEY, ())]


def started(*numbers: int) -> tuple[dict[tuple[str, str], tuple[Endpoint, ...]], Turnover]:
    endpoints: dict[tuple[str, str], tuple[Endpoint, ...]] = {
        KEY: tuple(endpoint(number) for number in numbers)
    }
    turnover = Turnover(endpoints, hold=1.5)
    turnover.update([KEY], now=0.0)
    return endpoints, turnover


def test_hosts_that_leave_while_others_come_stay_until_the_hold_is_over() -> None:
    endpoints, turnover = started(1)
    endpoints[KEY] = (endpoint(2),)
    turnover.update([KEY], now=10.0)
    assert addresses(turnover) == ["10.0.0.2", "10.0.0.1"]
    assert turnover.deadline() == 11.5
    assert turnover.expire(11.4) == frozenset()
    assert turnover.expire(11.5) == {"a.example"}
    assert addresses(turnover) == ["10.0.0.2"]
    assert turnover.deadline() is None


def test_a_host_that_leaves_while_nobody_comes_goes_at_once() -> None:
    endpoints, turnover = started(1, 2)
    endpoints[KEY] = (endpoint(2),)
    turnover.update([KEY], now=10.0)
    assert addresses(turnover) == ["10.0.0.2"]


def test_the_last_hosts_of_a_service_go_at_once() -> None:
    endpoints, turnover = started(1)
    del endpoints[KEY]
    turnover.update([KEY], now=10.0)
    assert KEY not in turnover
    assert turnover.deadline() is None


def test_a_host_that_comes_back_is_there_once() -> None:
    endpoints, turnover = started(1)
    endpoints[KEY] = (endpoint(2),)
    turnover.update([KEY], now=10.0)
    endpoints[KEY] = (endpoint(1), endpoint(2))
    turnover.update([KEY], now=10.1)
    assert addresses(turnover) == ["10.0.0.1", "10.0.0.2"]
    assert turnover.deadline() is None


def test_a_second_change_does_not_prolong_the_stay_of_the_first() -> None:
    endpoints, turnover = started(1)
    endpoints[KEY] = (endpoint(2),)
    turnover.update([KEY], now=10.0)
    endpoints[KEY] = (endpoint(3),)
    turnover.update([KEY], now=11.0)
    assert sorted(addresses(turnover)) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert turnover.deadline() == 11.5


def test_a_host_that_moves_to_another_port_stays_on_the_old_one_for_the_hold() -> None:
    endpoints, turnover = started(1)
    endpoints[KEY] = (Endpoint("10.0.0.1", {80: 9090}),)
    turnover.update([KEY], now=10.0)
    assert [entry.ports[80] for entry in turnover[KEY]] == [9090, 8080]


def test_a_host_that_was_not_ready_does_not_stay() -> None:
    endpoints, turnover = started()
    endpoints[KEY] = (endpoint(1, ready=False),)
    turnover.update([KEY], now=0.0)
    endpoints[KEY] = (endpoint(2),)
    turnover.update([KEY], now=1.0)
    assert addresses(turnover) == ["10.0.0.2"]
