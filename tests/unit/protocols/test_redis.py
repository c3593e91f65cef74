"""Redis: which prefixes are served, what locks, what guards, what a proxy must be able to do."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from envoy_data_plane.envoy.config.listener.v3 import Listener
from envoy_data_plane.envoy.extensions.filters.network.redis_proxy.v3 import (
    RedisProxy,
    RedisProxyConnPoolSettingsReadPolicy,
    RedisProxyRedisFaultRedisFaultType,
)

from meltemi.protocols._pb import redis_proxy_pb2
from meltemi.protocols.model import (
    Mirror,
    PlainCredentials,
    RedisFault,
    RedisSettings,
    RedisUpstream,
    Ref,
    Route,
    SecretRef,
)
from meltemi.xds.resource import LISTENER
from tests import make

if TYPE_CHECKING:
    from meltemi.protocols.group import GroupKey
    from meltemi.protocols.model import Mesh

REF = Ref("RedisService", "default", "shop")
SETTINGS = RedisSettings(REF, (make.host(),))
ERROR = RedisProxyRedisFaultRedisFaultType.ERROR


def packed(mesh: Mesh, group: GroupKey | None = None) -> bytes:
    """The configuration of the one redis_proxy."""
    (resource,) = make.snapshot(mesh, group).of_type(LISTENER).values()
    (filter_,) = Listener.parse(resource.body).filter_chains[0].filters
    assert filter_.typed_config is not None
    return filter_.typed_config.value


def proxy(*things: make.Thing, group: GroupKey | None = None, resp: int = 2) -> RedisProxy:
    service = make.service(protocol="redis", resp=resp)
    mesh = make.mesh(service, make.policy(), *things)
    return RedisProxy.parse(packed(mesh, group))


def told(*things: make.Thing, group: GroupKey | None = None, resp: int = 2) -> list[str]:
    endpoints = [make.endpoint(1, "v1"), make.endpoint(2, "v2")]
    service = make.service(protocol="redis", resp=resp)
    mesh = make.mesh(service, make.policy(), *things, endpoints=endpoints)
    return make.codes(mesh, *([group] if group else []))


def to_prefix(index: int, prefix: str) -> Route:
    return make.route(index, make.to("v1"), key=make.prefix(prefix))


def prefixes(*routes: Route, settings: RedisSettings = SETTINGS) -> tuple[list[str], bool]:
    """The prefixes that are served, and whether there is a catch-all."""
    found = proxy(make.rule(*routes), settings).prefix_routes
    assert found is not None
    return [route.prefix for route in found.routes], found.catch_all_route is not None


# -- routes ---------------------------------------------------------------------------------------


def test_without_a_rule_there_is_a_catch_all() -> None:
    assert prefixes() == ([], True)


def test_without_a_catch_all_other_keys_have_no_route() -> None:
    assert prefixes(to_prefix(0, "a:"), to_prefix(1, "b:")) == (["a:", "b:"], False)


def test_a_longer_prefix_above_a_shorter_one_is_served() -> None:
    assert prefixes(to_prefix(0, "a:b:"), to_prefix(1, "a:")) == (["a:b:", "a:"], False)


def test_a_longer_prefix_below_a_shorter_one_is_left_out_for_envoy_would_prefer_it() -> None:
    routes = to_prefix(0, "a:"), to_prefix(1, "a:b:")
    assert prefixes(*routes) == (["a:"], False)
    assert told(make.rule(*routes)) == ["MEL0310"]


@pytest.mark.parametrize(
    ("prefix", "served"), [("A:", ["a:"]), ("Ä:", ["a:", "Ä:"]), ("b:", ["a:", "b:"])]
)
def test_prefixes_that_differ_in_ascii_case_only_are_one_where_case_is_folded(
    prefix: str, served: list[str]
) -> None:
    routes = to_prefix(0, "a:"), to_prefix(1, prefix)
    assert prefixes(*routes, settings=replace(SETTINGS, case_insensitive=True))[0] == served


def test_a_prefix_is_removed_where_the_route_says_so() -> None:
    found = proxy(make.rule(replace(to_prefix(0, "a:"), remove_prefix=True))).prefix_routes
    assert found is not None
    assert found.routes[0].remove_prefix


@pytest.mark.parametrize("policy", [entry.name for entry in RedisProxyConnPoolSettingsReadPolicy])
def test_every_read_policy_has_its_name(policy: str | None) -> None:
    assert policy is not None
    found = proxy(replace(SETTINGS, read_policy=policy)).settings
    assert found is not None
    assert found.read_policy.name == policy


# -- credentials ----------------------------------------------------------------------------------


def test_clients_present_what_the_settings_say() -> None:
    found = proxy(replace(SETTINGS, auth=PlainCredentials(REF, "hunter2", "bob")))
    assert [password.inline_string for password in found.downstream_auth_passwords] == ["hunter2"]
    assert found.downstream_auth_username is not None
    assert found.downstream_auth_username.inline_string == "bob"
    assert not found.faults


def test_a_missing_secret_asks_for_a_password_and_fails_every_command() -> None:
    found = proxy(replace(SETTINGS, auth=SecretRef("default", "nowhere", REF)))
    assert found.downstream_auth_passwords
    (lock,) = found.faults
    assert (lock.fault_type, lock.commands) == (ERROR, [])
    assert lock.fault_enabled is not None
    assert lock.fault_enabled.runtime_key == ""
    assert lock.fault_enabled.default_value is not None
    assert lock.fault_enabled.default_value.numerator == 100


def test_a_missing_secret_of_the_servers_sends_no_password() -> None:
    upstream = RedisUpstream(
        Ref("RedisDestination", "default", "d"), make.host(), SecretRef("default", "nowhere", REF)
    )
    assert not proxy(upstream).downstream_auth_passwords
    assert told(upstream) == ["MEL0403"]


# -- mirrors and faults ---------------------------------------------------------------------------

MIRRORED = replace(make.route(0, make.to("v1")), mirrors=(Mirror(make.to("v2"), 12.5, True),))
FAULTY = replace(SETTINGS, faults=(RedisFault("ERROR", 12.5, commands=("GET",)),))
NO_RTDS = make.group(rtds=False)


def test_a_mirror_comes_with_the_guard() -> None:
    (guard,) = proxy(make.rule(MIRRORED)).faults
    assert (guard.fault_type, guard.commands) == (ERROR, ["multi"])
    assert guard.fault_enabled is not None
    assert guard.fault_enabled.runtime_key == ""
    assert told(make.rule(MIRRORED)) == ["MEL0405"]


def test_without_a_mirror_there_is_no_guard() -> None:
    assert not proxy(make.rule(make.route(0, make.to("v1")))).faults


def numerators(found: RedisProxy) -> list[tuple[int, str]]:
    """The mirror's and the fault's fractions of a million, with their runtime keys."""
    routes = found.prefix_routes
    assert routes is not None
    mirrors = routes.catch_all_route.request_mirror_policy if routes.catch_all_route else []
    fractions = [mirror.runtime_fraction for mirror in mirrors]
    fractions += [fault.fault_enabled for fault in found.faults if "multi" not in fault.commands]
    return [
        (each.default_value.numerator, each.runtime_key)
        for each in fractions
        if each is not None and each.default_value is not None
    ]


def test_percentages_are_not_in_the_listener_of_a_proxy_with_a_runtime_layer() -> None:
    (mirror, mirror_key), (fault, fault_key) = numerators(proxy(make.rule(MIRRORED), FAULTY))
    assert (mirror, fault) == (0, 0)
    assert mirror_key.endswith(".mirror.0")
    assert fault_key.endswith(".fault.0")


def test_percentages_are_in_the_listener_of_a_proxy_without_one_and_that_is_told() -> None:
    things = make.rule(MIRRORED), FAULTY
    assert numerators(proxy(*things, group=NO_RTDS)) == [(125_000, ""), (125_000, "")]
    assert told(*things, group=NO_RTDS) == ["MEL0405", "MEL0406"]


def test_the_commands_of_a_fault_are_lower_case() -> None:
    assert proxy(FAULTY).faults[0].commands == ["get"]


# -- RESP -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resp", "version", "served", "problems"),
    [
        (2, (1, 40), 0, []),
        (3, (1, 40), 1, []),
        (3, (1, 39), 0, ["MEL0407", "MEL0505"]),
        (3, (0, 0), 0, ["MEL0407"]),
    ],
)
def test_resp3_is_served_where_envoy_has_it(
    resp: int, version: tuple[int, int], served: int, problems: list[str]
) -> None:
    group = make.group(proxy=make.capability(version=version))
    mesh = make.mesh(make.service(protocol="redis", resp=resp))
    message = redis_proxy_pb2.RedisProxy.FromString(packed(mesh, group))
    assert message.protocol_version == served
    assert told(group=group, resp=resp) == problems


# -- commands -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "refused"),
    [((1, 39), "CLIENT"), ((1, 37), "BITFIELD_RO, CLIENT, HEXPIRE, HEXPIREAT, HEXPIRETIME")],
)
def test_an_old_envoy_is_said_to_refuse_commands(version: tuple[int, int], refused: str) -> None:
    mesh = make.mesh(make.service(protocol="redis"))
    group = make.group(proxy=make.capability(version=version))
    (problem,) = make.problems(mesh, group)
    assert problem.code == "MEL0505"
    envoy = ".".join(map(str, version))
    assert problem.cause.startswith(f"Envoy {envoy} answers `unknown command` to {refused}")
