"""Plugins come through one door, and whoever is to blame is named."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from meltemi.protocols.registry import GROUP, PluginError, Registered, Registry, load
from tests import make


class Nothing:
    """Not a plugin."""

    name = "nothing"


def point(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


def test_our_own_plugins_come_through_the_same_door() -> None:
    registry = load()
    assert {entry.plugin.name for entry in registry} == {
        "dubbo",
        "kafka",
        "metaprotocol",
        "redis",
        "tcp",
        "thrift",
    }
    assert {entry.distribution for entry in registry} == {"meltemi"}


def test_a_plugin_is_found_with_its_engines() -> None:
    registry = make.registry()
    engine = registry.engine("thrift", "thrift_proxy")
    assert engine is not None
    assert engine.route_type in registry.route_types
    assert engine.requires <= registry.extensions


def test_what_nobody_brought_is_not_found() -> None:
    registry = make.registry()
    assert registry.get("gopher") is None
    assert registry.engine("gopher", "gopher_proxy") is None
    assert registry.engine("thrift", "gopher_proxy") is None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("fake", "meltemi.nowhere:Fake", "cannot be loaded: ModuleNotFoundError"),
        ("fake", "meltemi.protocols.dubbo:Nowhere", "cannot be loaded: AttributeError"),
        ("nothing", f"{__name__}:Nothing", "is no plugin: it has no 'attributes'"),
        ("dubo", "meltemi.protocols.dubbo:Dubbo", "calls itself 'dubbo'"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_blamed_by_name(
    name: str, value: str, message: str
) -> None:
    with pytest.raises(PluginError, match=message) as caught:
        load([point(name, value)])
    assert f"plugin {name!r} ({value})" in str(caught.value)


def test_two_plugins_of_one_name_are_refused_with_both_distributions() -> None:
    one, other = (Registered(make.FakePlugin(), name, "1") for name in ("here", "there"))
    with pytest.raises(PluginError, match="there and here both bring a plugin 'fake'"):
        Registry([one, other])


def test_plugins_are_listed_by_name() -> None:
    registry = make.plugins(make.FakePlugin("zoo"), make.FakePlugin("ant"))
    assert [entry.plugin.name for entry in registry] == ["ant", "tcp", "zoo"]
