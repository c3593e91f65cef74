"""Names are a contract: what is written can be read back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meltemi.protocols import naming
from tests import make

if TYPE_CHECKING:
    from meltemi.protocols.model import Matcher, Route

HOSTS = st.from_regex(r"[a-z0-9_]([-a-z0-9_]*[a-z0-9])?(\.[a-z0-9]+){0,3}", fullmatch=True)
LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", fullmatch=True)
PORTS = st.integers(1, 65535)
ADDRESSES = st.ip_addresses().map(str)
ROUTE_NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="|"))


@given(HOSTS, PORTS, LABELS | st.just(""))
def test_a_clusters_name_reads_back(host: str, port: int, subset: str) -> None:
    name = naming.ClusterName(host, port, subset)
    assert naming.parse_cluster(str(name)) == name


@given(HOSTS, PORTS, LABELS, LABELS, ROUTE_NAMES)
def test_a_splits_name_reads_back(
    host: str, port: int, namespace: str, rule: str, route: str
) -> None:
    name = naming.SplitName(host, port, namespace, rule, route)
    assert naming.parse_cluster(str(name)) == name


@given(HOSTS, PORTS, ADDRESSES | st.just(""))
def test_a_listeners_name_reads_back(host: str, port: int, address: str) -> None:
    assert naming.parse_listener(naming.listener(host, port, address)) == (host, port, address)


@pytest.mark.parametrize("name", ["", "xds", "inbound|80||a", "outbound|80|a", "outbound|x||a"])
def test_a_foreign_clusters_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        naming.parse_cluster(name)


def named(name: str) -> Route:
    return replace(make.route(0, method=make.exact("get")), name=name)


def test_a_route_goes_by_its_own_name() -> None:
    assert naming.route_label(named("canary")) == "canary"


@pytest.mark.parametrize("name", ["", "taken", "a|b"])
def test_a_route_without_a_usable_name_goes_by_its_match(name: str) -> None:
    label = naming.route_label(named(name), {"taken"})
    assert label == naming.route_label(named(""))
    assert label not in {"", name}


def test_the_label_of_an_unnamed_route_does_not_depend_on_its_place() -> None:
    first = make.route(0, user=make.exact("bob"), method=make.exact("get"))
    second = make.route(7, method=make.exact("get"), user=make.exact("bob"))
    assert naming.route_label(first) == naming.route_label(second)


def test_unnamed_routes_with_different_matches_have_different_labels() -> None:
    matches: list[dict[str, Matcher]] = [
        {},
        {"method": make.exact("get")},
        {"method": make.prefix("get")},
        {"user": make.exact("get")},
    ]
    assert len({naming.route_label(make.route(0, **match)) for match in matches}) == len(matches)
