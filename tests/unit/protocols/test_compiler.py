"""A change costs what it touches, and a plugin that fails costs its own service only."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from meltemi.protocols.model import RedisSettings, Ref, Secret, SecretRef
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER
from tests import make

if TYPE_CHECKING:
    from meltemi.protocols.compiler import Compiler
    from meltemi.protocols.group import GroupKey
    from meltemi.xds.snapshot import Snapshot


APART = make.group(
    ports=(
        (f"{make.host('cart')}:{make.PORT}", 20881),
        (f"{make.host('cache')}:{make.PORT}", 20882),
    )
)
"""Proxies on which our services do not get into each other's way."""


def shop_and_cart() -> make.Draft:
    draft = make.Draft()
    for name in ("shop", "cart"):
        made = make.service(name, "fake")
        draft.put(made)
        draft.place(made, make.endpoint(1))
    return draft


def names(snapshot: Snapshot, type_url: str) -> set[str]:
    return {name.partition("_")[0] for name in snapshot.of_type(type_url)}


def traced(plugin: make.FakePlugin) -> list[str]:
    """The hosts that were compiled, in order; forgets them."""
    hosts = [scope.service.host for scope in plugin.scopes]
    plugin.scopes.clear()
    return hosts


# -- what is compiled -----------------------------------------------------------------------------


@pytest.fixture
def plugin() -> make.FakePlugin:
    return make.FakePlugin()


def compiler(draft: make.Draft, plugin: make.FakePlugin, *groups: GroupKey) -> Compiler:
    made = make.compiler(draft.mesh, *(groups or (APART,)), plugins=make.plugins(plugin))
    for group in made.groups():
        group.take_changed()
    return made


def test_a_change_compiles_its_own_host_only(plugin: make.FakePlugin) -> None:
    draft = shop_and_cart()
    made = compiler(draft, plugin)
    assert sorted(traced(plugin)) == [make.host("cart"), make.host("shop")]
    make.run(made.update(draft.put(make.rule(make.route(0, make.to())))))
    assert traced(plugin) == [make.host("shop")]


def test_a_changed_subset_compiles_the_services_whose_routes_lead_there(
    plugin: make.FakePlugin,
) -> None:
    draft = shop_and_cart()
    draft.put(make.rule(make.route(0, make.to("v1", name="cart"))))
    made = compiler(draft, plugin)
    assert made.problems()[0].code == "MEL0302"
    traced(plugin)
    make.run(made.update(draft.put(make.policy("cart"))))
    assert sorted(traced(plugin)) == [make.host("cart"), make.host("shop")]
    assert [problem.code for problem in made.problems()] == ["MEL0401"]


def test_changed_endpoints_call_no_plugin(plugin: make.FakePlugin) -> None:
    draft = shop_and_cart()
    made = compiler(draft, plugin)
    traced(plugin)
    make.run(made.update(draft.place(make.service("shop", "fake"), make.endpoint(9))))
    assert traced(plugin) == []
    changed = made.group(APART).take_changed()
    assert [(key.type_url, key.name) for key in changed] == [(ENDPOINT, make.OWN)]


def test_groups_that_see_and_listen_alike_share_a_piece(plugin: make.FakePlugin) -> None:
    groups = make.group(), make.group(namespace="other"), make.group(services=["default/*"])
    compiler(shop_and_cart(), plugin, *groups)
    assert len(traced(plugin)) == 2


def test_a_group_that_does_not_see_the_service_hears_nothing(plugin: make.FakePlugin) -> None:
    draft = shop_and_cart()
    narrow = make.group(services=[make.host("cart")])
    made = compiler(draft, plugin, narrow, APART)
    make.run(made.update(draft.put(make.policy("shop"))))
    assert made.group(APART).take_changed()
    assert not made.group(narrow).take_changed()


def test_a_new_generation_of_equal_content_sends_nothing(plugin: make.FakePlugin) -> None:
    draft = shop_and_cart()
    draft.put(make.policy())
    made = compiler(draft, plugin)
    again = make.policy()
    newer = replace(again, ref=replace(again.ref, generation=2))
    make.run(made.update(draft.put(newer)))
    group = made.group(APART)
    assert not group.take_changed()
    assert newer.ref in group.snapshot.of_type(CLUSTER)[make.OWN].origins


def test_a_changed_secret_compiles_those_who_read_it(plugin: make.FakePlugin) -> None:
    draft, redis = shop_and_cart(), make.FakePlugin("redis")
    draft.put(make.service("cache", "redis"))
    ref = Ref("RedisService", "default", "cache")
    auth = SecretRef("default", "redis", ref)
    draft.put(RedisSettings(ref, (make.host("cache"),), auth))
    made = make.compiler(draft.mesh, APART, plugins=make.plugins(plugin, redis))
    traced(plugin)
    traced(redis)
    secret = Secret(Ref("Secret", "default", "redis"), {"password": "a"})
    make.run(made.update(draft.put(secret)))
    assert (traced(plugin), traced(redis)) == ([], [make.host("cache")])
    assert made.problems() == ()


def test_nothing_is_visible_before_the_update_has_ended(plugin: make.FakePlugin) -> None:
    draft = shop_and_cart()
    made = compiler(draft, plugin)
    before = made.group(APART).snapshot
    steps = made.update(draft.put(make.policy()))
    next(steps)
    assert made.group(APART).snapshot is before
    make.run(steps)
    assert made.group(APART).snapshot is not before


def test_a_group_that_is_closed_and_opened_again_is_compiled_anew(plugin: make.FakePlugin) -> None:
    draft = shop_and_cart()
    made = compiler(draft, plugin)
    before = made.group(APART).snapshot
    made.close(APART)
    assert not [*made.groups()]
    traced(plugin)
    make.run(made.open(APART))
    assert make.resources(made.group(APART).snapshot) == make.resources(before)
    assert len(traced(plugin)) == 2


def test_opening_an_open_group_does_nothing(plugin: make.FakePlugin) -> None:
    made = compiler(shop_and_cart(), plugin)
    group = made.group(APART)
    make.run(made.open(APART))
    assert made.group(APART) is group


def test_problems_of_contradicting_objects_come_and_go(plugin: make.FakePlugin) -> None:
    draft = shop_and_cart()
    made = compiler(draft, plugin)
    lost = make.rule(of="nowhere")
    make.run(made.update(draft.put(lost)))
    assert [problem.code for problem in made.problems()] == ["MEL0308"]
    make.run(made.update(draft.drop(lost)))
    assert made.problems() == ()


# -- a plugin that fails --------------------------------------------------------------------------


def test_a_plugin_that_fails_is_blamed_on_its_service(plugin: make.FakePlugin) -> None:
    plugin.fails = "division by cucumber"
    made = compiler(shop_and_cart(), plugin)
    problem = made.problems()[0]
    assert (problem.code, str(problem.about)) == ("MEL0502", "Service default/cart")
    assert "meltemi-fake 7 raised RuntimeError('division by cucumber')" in problem.cause
    assert all("division by cucumber" in trace for trace in made.failures.values())


def test_a_plugin_that_fails_from_the_start_leaves_the_others_alone(
    plugin: make.FakePlugin,
) -> None:
    plugin.fails = "x"
    draft = shop_and_cart()
    draft.put(make.service("stock", "tcp"))
    snapshot = compiler(draft, plugin).group(APART).snapshot
    assert names(snapshot, LISTENER) == {make.host("stock")}


def test_a_service_whose_plugin_fails_keeps_its_last_good_pieces(plugin: make.FakePlugin) -> None:
    draft = shop_and_cart()
    made = compiler(draft, plugin)
    group = made.group(APART)
    before = make.resources(group.snapshot)
    plugin.fails = "x"
    make.run(made.update(draft.put(make.policy())))
    assert make.resources(group.snapshot) == before
    (problem,) = made.problems()
    assert (problem.code, problem.about) == ("MEL0502", make.service().ref)
    assert "its last good configuration stays" in problem.cause


def test_last_good_pieces_have_todays_endpoints(plugin: make.FakePlugin) -> None:
    draft, shop = shop_and_cart(), make.service("shop", "fake")
    made = compiler(draft, plugin)
    make.run(made.update(draft.place(shop, make.endpoint(7))))
    today = made.group(APART).snapshot.of_type(ENDPOINT)[make.OWN]
    plugin.fails = "x"
    make.run(made.update(draft.put(make.policy())))
    assert made.group(APART).snapshot.of_type(ENDPOINT)[make.OWN] == today
    make.run(made.update(draft.place(shop, make.endpoint(8))))
    assert made.group(APART).snapshot.of_type(ENDPOINT)[make.OWN] != today


def test_a_plugin_that_recovers_is_forgiven(plugin: make.FakePlugin) -> None:
    draft = shop_and_cart()
    plugin.fails = "x"
    made = compiler(draft, plugin)
    plugin.fails = ""
    make.run(made.update(draft.put(make.service("shop", "fake"))))
    assert make.OWN in made.group(APART).snapshot.of_type(CLUSTER)
    assert [str(problem.about) for problem in made.problems()] == ["Service default/cart"]
    assert {key.host for key in made.failures} == {make.host("cart")}


def test_last_good_pieces_of_a_deleted_service_do_not_come_back(plugin: make.FakePlugin) -> None:
    draft, shop = shop_and_cart(), make.service("shop", "fake")
    made = compiler(draft, plugin)
    make.run(made.update(draft.drop(shop)))
    plugin.fails = "x"
    make.run(made.update(draft.put(shop)))
    assert make.OWN not in made.group(APART).snapshot.of_type(CLUSTER)


def test_a_plugin_that_fails_takes_no_address_from_others(plugin: make.FakePlugin) -> None:
    plugin.fails = "x"
    draft = shop_and_cart()
    draft.put(make.service("zoo", "tcp"))
    made = compiler(draft, plugin, make.group())
    assert names(made.group(make.group()).snapshot, LISTENER) == {make.host("zoo")}
    assert "MEL0208" not in [problem.code for problem in made.problems()]
