"""``meltemi plugins``: what is installed, and a plugin that is broken."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import pytest

from meltemi.protocols import registry

if TYPE_CHECKING:
    from tests.command import Run


def test_every_installed_protocol_is_listed_with_what_it_asks_of_a_proxy(run: Run) -> None:
    found = {each["name"]: each for each in json.loads(run("plugins", "-o", "json").stdout)}
    assert {"dubbo", "redis", "tcp", "thrift"} <= found.keys()
    dubbo = found["dubbo"]
    assert dubbo["distribution"] == "meltemi"
    assert dubbo["version"]
    assert {"interface", "method"} <= dubbo["attributes"].keys()
    engine = dubbo["engines"][0]
    assert engine["name"] == "generic_proxy"
    assert any("DubboCodecConfig" in url for url in engine["requires"])


def test_people_get_a_table(run: Run) -> None:
    table = run("plugins").stdout
    assert "thrift_proxy" in table
    assert "redis" in table


@pytest.mark.parametrize("command", [("plugins",), ("validate", "-"), ("compile", "-")])
def test_a_plugin_that_cannot_be_loaded_is_a_sentence(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    broken = EntryPoint("mqtt", "meltemi_mqtt_that_is_not_there:Mqtt", registry.GROUP)

    def entry_points(*, group: str) -> list[EntryPoint]:
        assert group == registry.GROUP
        return [broken]

    monkeypatch.setattr(registry, "entry_points", entry_points)
    result = run(*command)
    assert result.exit_code == 2
    assert result.stderr.startswith("meltemi: plugin 'mqtt' (meltemi_mqtt_that_is_not_there:Mqtt)")
