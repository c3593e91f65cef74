"""Which objects decide for a host depends on who looks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meltemi.protocols.model import Layer, Mesh, RedisSettings, RedisUpstream, Ref
from meltemi.protocols.sight import look
from tests import make

HOST = make.host()


def owner(mesh: Mesh, part: str, client: str = "default") -> str | None:
    """The namespace of the object that decides, as the client sees it."""
    sight = look(mesh, HOST, client)
    assert sight is not None
    found = getattr(sight, part)
    return None if found is None else found.ref.namespace


@pytest.mark.parametrize(
    ("export_to", "client", "sees"),
    [
        (("*",), "other", True),
        (("other",), "other", True),
        (("third",), "other", False),
        ((".",), "other", False),
        ((".",), "default", True),
        (("~",), "default", False),
    ],
)
def test_a_service_is_seen_by_those_that_it_is_exported_to(
    export_to: tuple[str, ...], client: str, sees: bool
) -> None:
    mesh = make.mesh(make.service(export_to=export_to))
    assert (look(mesh, HOST, client) is not None) is sees


def test_a_host_without_a_service_is_not_seen() -> None:
    assert look(make.mesh(make.rule()), HOST, "default") is None


def test_a_client_prefers_the_service_of_its_own_namespace() -> None:
    default = make.service()
    other = replace(default, namespace="other", ref=Ref("ServiceEntry", "other", "shop"))
    mesh = make.mesh(default, other)
    assert owner(mesh, "service", "other") == "other"
    assert owner(mesh, "service", "third") == "default"


def test_a_virtualservice_comes_last() -> None:
    virtual = make.rule(kind="VirtualService", name="v")
    mesh = make.mesh(make.service(), virtual, make.rule(kind="RedisService", namespace="third"))
    assert owner(mesh, "rule") == "third"


def test_a_rule_that_is_about_none_of_the_ports_decides_nothing() -> None:
    route = replace(make.route(0, make.to()), layer=Layer.CONNECTIONS)
    virtual = make.rule(route, kind="VirtualService")
    assert owner(make.mesh(make.service(), virtual), "rule") is None
    assert owner(make.mesh(make.service(protocol="tcp"), virtual), "rule") == "default"


def test_a_metarouter_comes_before_a_redisservice_even_of_the_clients_namespace() -> None:
    mesh = make.mesh(
        make.service(), make.rule(namespace="third"), make.rule(kind="RedisService", name="r")
    )
    assert owner(mesh, "rule") == "third"


@pytest.mark.parametrize(
    ("namespaces", "winner"),
    [
        (["client", "default", "third"], "client"),
        (["third", "default"], "default"),
        (["zoo", "third"], "third"),
    ],
)
def test_a_rule_of_the_clients_then_of_the_services_namespace_wins(
    namespaces: list[str], winner: str
) -> None:
    rules = [make.rule(namespace=namespace) for namespace in namespaces]
    assert owner(make.mesh(make.service(), *rules), "rule", "client") == winner


def test_a_rule_that_is_not_exported_to_the_client_does_not_decide() -> None:
    mesh = make.mesh(make.service(), make.rule(namespace="other", export_to=(".",)))
    assert owner(mesh, "rule") is None
    assert owner(mesh, "rule", "other") == "other"


@pytest.mark.parametrize(
    ("namespaces", "winner"),
    [(["client", "default"], "client"), (["default", "third"], "default"), (["third"], None)],
)
def test_a_policy_of_a_third_namespace_never_decides(
    namespaces: list[str], winner: str | None
) -> None:
    policies = [make.policy(namespace=namespace) for namespace in namespaces]
    assert owner(make.mesh(make.service(), *policies), "policy", "client") == winner


@pytest.mark.parametrize("namespace", ["default", "other"])
def test_redis_settings_count_only_in_the_services_own_namespace(namespace: str) -> None:
    mesh = make.mesh(
        make.service(protocol="redis"),
        RedisSettings(Ref("RedisService", namespace, "r"), (HOST,)),
        RedisUpstream(Ref("RedisDestination", namespace, "d"), HOST),
    )
    expected = "default" if namespace == "default" else None
    assert owner(mesh, "redis", "other") == expected
    assert owner(mesh, "upstream", "other") == expected


def test_clients_that_see_the_same_objects_share_a_choice() -> None:
    mesh = make.mesh(make.service(), make.rule(), make.policy())
    one, other = look(mesh, HOST, "default"), look(mesh, HOST, "third")
    assert one is not None
    assert other is not None
    assert one.chosen() == other.chosen()
