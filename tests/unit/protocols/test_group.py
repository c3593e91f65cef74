"""What a group of proxies sees, where it listens, and what it has of other services."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.service.runtime.v3 import Runtime

from meltemi.protocols.model import Dirty, Mirror, RedisFault, RedisSettings, Ref
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, RUNTIME
from tests import make

if TYPE_CHECKING:
    from meltemi.protocols.group import GroupKey
    from meltemi.protocols.model import Mesh
    from meltemi.xds.snapshot import Snapshot

NAME = f"{make.host()}_{make.PORT}"


def listening(snapshot: Snapshot) -> dict[str, str]:
    """Where each listener listens."""
    found: dict[str, str] = {}
    for name, resource in snapshot.of_type(LISTENER).items():
        address = Listener.parse(resource.body).address
        assert address is not None
        assert address.socket_address is not None
        found[name] = f"{address.socket_address.address}:{address.socket_address.port_value}"
    return found


def listeners(mesh: Mesh, group: GroupKey) -> dict[str, str]:
    return listening(make.snapshot(mesh, group))


# -- what is selected -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "selected"),
    [
        ("*", True),
        ("*/*", True),
        ("default/*", True),
        ("./*", True),
        (f"default/{make.host()}", True),
        (f"*/{make.host()}", True),
        (make.host(), True),
        ("other/*", False),
        (f"other/{make.host()}", False),
        (make.host("cart"), False),
        ("shop", False),
    ],
)
def test_a_pattern_selects_by_namespace_and_host(pattern: str, *, selected: bool) -> None:
    assert make.group(services=[pattern]).selects(make.service()) is selected


def test_a_group_that_selects_nothing_holds_nothing_but_its_runtime() -> None:
    snapshot = make.snapshot(make.mesh(make.service()), make.group(services=[]))
    assert [key.type_url for key in make.resources(snapshot)] == [RUNTIME]


def test_a_service_of_another_namespace_is_held_where_it_is_exported() -> None:
    mesh = make.mesh(make.service(export_to=("other",)))
    assert listeners(mesh, make.group()) == {}
    assert listeners(mesh, make.group(namespace="other")).keys() == {NAME}


def test_routes_to_a_service_that_is_not_selected_bring_its_clusters_only() -> None:
    mesh = make.mesh(
        make.service(),
        make.service("cart"),
        make.policy("cart"),
        make.rule(make.route(0, make.to("v1", name="cart"))),
    )
    snapshot = make.snapshot(mesh, make.group(services=[make.host()]))
    cart = {f"outbound|{make.PORT}|{s}|{make.host('cart')}" for s in ("", *make.VERSIONS)}
    assert listening(snapshot).keys() == {NAME}
    assert snapshot.of_type(CLUSTER).keys() == {make.OWN, *cart}
    assert snapshot.of_type(ENDPOINT).keys() == {make.OWN, *cart}


def test_what_a_route_no_longer_leads_to_is_gone() -> None:
    draft = make.Draft()
    for thing in (make.service(), make.service("cart")):
        draft.put(thing)
    draft.put(make.rule(make.route(0, make.to(name="cart"))))
    group = make.group(services=[make.host()])
    compiler = make.compiler(draft.mesh, group)
    make.run(compiler.update(draft.put(make.rule(make.route(0, make.to())))))
    assert compiler.group(group).snapshot.of_type(CLUSTER).keys() == {make.OWN}


# -- where it listens -----------------------------------------------------------------------------


def test_a_proxy_listens_on_its_bind_address() -> None:
    mesh = make.mesh(make.service(addresses=("10.96.0.1",)))
    assert listeners(mesh, make.group(bind="127.0.0.2")) == {NAME: f"127.0.0.2:{make.PORT}"}


def test_a_mapped_port_moves_the_listener_and_not_its_name() -> None:
    group = make.group(ports=((f"{make.host()}:{make.PORT}", 15000),))
    assert listeners(make.mesh(make.service()), group) == {NAME: "127.0.0.1:15000"}


def test_a_virtual_ip_is_listened_on() -> None:
    mesh = make.mesh(make.service(addresses=("10.96.0.1",)))
    assert listeners(mesh, make.group(bind="vip")) == {NAME: f"10.96.0.1:{make.PORT}"}


def test_several_virtual_ips_have_a_listener_each() -> None:
    mesh = make.mesh(make.service(addresses=("10.96.0.1", "fd00::1")))
    assert listeners(mesh, make.group(bind="vip")) == {
        f"{NAME}@10.96.0.1": f"10.96.0.1:{make.PORT}",
        f"{NAME}@fd00::1": f"fd00::1:{make.PORT}",
    }


def test_a_service_without_a_virtual_ip_has_no_listener_and_is_told() -> None:
    mesh = make.mesh(make.service())
    assert listeners(mesh, make.group(bind="vip")) == {}
    assert make.codes(mesh, make.group(bind="vip")) == ["MEL0205"]
    assert make.codes(mesh, make.group()) == []


@pytest.mark.parametrize(("bind", "code"), [("127.0.0.1", "MEL0208"), ("vip", "MEL0204")])
def test_of_two_services_that_want_one_address_the_first_by_host_has_it(
    bind: str, code: str
) -> None:
    shop, cart = (make.service(name, addresses=("10.96.0.1",)) for name in ("shop", "cart"))
    group = make.group(bind=bind)
    mesh = make.mesh(shop, cart)
    assert listeners(mesh, group).keys() == {f"{cart.host}_{make.PORT}"}
    (problem,) = make.problems(mesh, group)
    assert (problem.code, problem.about) == (code, shop.ref)


def test_an_address_that_becomes_free_goes_to_the_other_service() -> None:
    draft, cart = make.Draft(), make.service("cart")
    draft.put(make.service())
    draft.put(cart)
    compiler = make.compiler(draft.mesh)
    make.run(compiler.update(draft.drop(cart)))
    assert listening(compiler.group(make.group()).snapshot).keys() == {NAME}


def test_a_service_that_is_added_never_takes_over_a_live_listener() -> None:
    draft, cart = make.Draft(), make.service("cart")
    draft.put(make.service())
    compiler = make.compiler(draft.mesh)
    make.run(compiler.update(draft.put(cart)))
    assert listening(compiler.group(make.group()).snapshot).keys() == {NAME}
    assert [problem.code for problem in compiler.problems()] == ["MEL0208"]


def test_a_service_keeps_its_listener_when_another_rule_decides_for_it() -> None:
    draft, cart = make.Draft(), make.service("cart")
    draft.put(make.service())
    compiler = make.compiler(draft.mesh)
    make.run(compiler.update(draft.put(cart)))
    make.run(compiler.update(draft.put(make.rule())))
    assert listening(compiler.group(make.group()).snapshot).keys() == {NAME}


def test_after_a_restart_the_first_in_order_has_the_address() -> None:
    draft, cart = make.Draft(), make.service("cart")
    draft.put(make.service())
    draft.put(cart)
    compiler = make.compiler(draft.mesh)
    assert listening(compiler.group(make.group()).snapshot).keys() == {f"{cart.host}_{make.PORT}"}


def test_the_loser_of_an_address_keeps_its_clusters() -> None:
    snapshot = make.snapshot(make.mesh(make.service(), make.service("cart")))
    assert make.OWN in snapshot.of_type(CLUSTER)


# -- the runtime layer ----------------------------------------------------------------------------

MIRRORED = replace(
    make.route(0, make.to("v1"), key=make.prefix("a:")),
    name="a",
    mirrors=(Mirror(make.to("v2"), 12.5),),
)
REDIS = (make.service(protocol="redis"), make.policy())


def runtime(mesh: Mesh, group: GroupKey) -> dict[str, object] | None:
    resource = make.snapshot(mesh, group).of_type(RUNTIME).get("meltemi")
    if resource is None:
        return None
    layer = Runtime.parse(resource.body).layer
    assert layer is not None
    return layer.to_dict()


def test_a_proxy_with_a_runtime_layer_always_has_one() -> None:
    assert runtime(make.mesh(), make.group()) == {}
    assert runtime(make.mesh(), make.group(rtds=False)) is None


def test_percentages_are_in_the_one_layer() -> None:
    settings = RedisSettings(
        Ref("RedisService", "default", "r"), (make.host(),), faults=(RedisFault("ERROR", 33.6),)
    )
    mesh = make.mesh(*REDIS, make.rule(MIRRORED), settings)
    assert runtime(mesh, make.group()) == {
        f"meltemi.redis.{NAME}.a.mirror.0": 12.5,
        f"meltemi.redis.{NAME}.fault.0": 34.0,
    }


def test_the_layers_origins_are_those_of_its_listeners() -> None:
    mesh = make.mesh(*REDIS, make.rule(MIRRORED))
    resource = make.snapshot(mesh).of_type(RUNTIME)["meltemi"]
    assert MIRRORED.ref in resource.origins


def test_the_layers_origins_follow_their_objects() -> None:
    draft = make.Draft()
    for thing in REDIS:
        draft.put(thing)
    draft.put(make.rule(MIRRORED))
    compiler = make.compiler(draft.mesh)
    newer = replace(MIRRORED, ref=replace(MIRRORED.ref, generation=2))
    make.run(compiler.update(draft.put(make.rule(newer))))
    group = compiler.group(make.group())
    assert newer.ref in group.snapshot.of_type(RUNTIME)["meltemi"].origins
    assert not group.take_changed()


def test_a_changed_percentage_changes_the_layer_and_nothing_else() -> None:
    draft = make.Draft()
    for thing in REDIS:
        draft.put(thing)
    draft.put(make.rule(MIRRORED))
    compiler = make.compiler(draft.mesh)
    group = compiler.group(make.group())
    group.take_changed()
    more = replace(MIRRORED, mirrors=(Mirror(make.to("v2"), 50.0),))
    make.run(compiler.update(draft.put(make.rule(more))))
    assert [key.type_url for key in group.take_changed()] == [RUNTIME]


def test_changes_are_told_once() -> None:
    draft = make.Draft()
    compiler = make.compiler(draft.mesh)
    make.run(compiler.update(draft.put(make.service())))
    group = compiler.group(make.group())
    assert group.take_changed()
    assert not group.take_changed()
    make.run(compiler.update(Dirty()))
    assert not group.take_changed()
