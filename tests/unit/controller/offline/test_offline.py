"""Reading and compiling without a server, whatever is read."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from meltemi.controller.dump import dump, secrets_of
from meltemi.controller.nodes import profile
from meltemi.controller.offline.offline import (
    NodeFileError,
    Offline,
    compile_everything,
    namespaces,
    parse_node,
    read_path,
    read_text,
)
from meltemi.controller.offline.presets import preset
from meltemi.controller.settings import Settings
from meltemi.controller.sources import SourceError
from meltemi.xds.resource import CLUSTER
from tests import make

if TYPE_CHECKING:
    from meltemi.protocols.group import GroupKey

EXAMPLES = Path(__file__).parents[4] / "examples"


def read(text: str) -> Offline:
    """What documents say, with the installed plugins."""
    return read_text(text.encode(), make.registry(), Settings())


def stock() -> GroupKey:
    """What a stock proxy gets."""
    return profile(preset(), make.registry()).group


PROTOCOLS = sorted({file.parent.name for file in EXAMPLES.glob("*/*.yaml")})


@lru_cache
def documents(protocol: str) -> tuple[object, ...]:
    """The example of a protocol."""
    files = make.rule_files(EXAMPLES / protocol)
    return tuple(doc for file in files for doc in yaml.safe_load_all(file.read_text()))


def test_a_folder_and_its_text_on_standard_input_give_the_same() -> None:
    folder = EXAMPLES / "dubbo"
    text = "".join(f"---\n{file.read_text()}" for file in make.rule_files(folder))
    found = [read_path(folder, make.registry(), Settings()), read(text)]
    assert found[0].store.count == found[1].store.count > 0
    one, other = (dump(offline.group(stock()).snapshot) for offline in found)
    assert one == other


def test_nothing_to_read_is_an_error_of_the_source(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        read_path(tmp_path / "nothing", make.registry(), Settings())


def test_the_interval_of_health_checks_is_the_configured_one() -> None:
    text = (EXAMPLES / "dubbo" / "service.yaml").read_text()
    offline = read_text(text.encode(), make.registry(), Settings(health_check_interval=7.0))
    (cluster, *_) = dump(offline.group(stock()).snapshot)[CLUSTER]
    resource = cast("dict[str, Any]", cluster["resource"])
    assert resource["healthChecks"][0]["interval"] == "7s"


def test_every_namespace_that_something_is_in_counts_and_the_default_one() -> None:
    mesh = make.mesh(
        make.service(namespace="a"), make.rule(make.route(0, make.to()), namespace="b")
    )
    assert namespaces(mesh) == {"a", "b", "default"}


def test_a_finding_is_told_once_however_many_namespaces_see_it() -> None:
    text = (EXAMPLES / "dubbo" / "routes.yaml").read_text()
    service = (EXAMPLES / "dubbo" / "service.yaml").read_text().split("---")[0]
    elsewhere = service.replace("name: orders\n", "name: o, namespace: x\n").replace(
        "orders.example", "o.example"
    )
    offline = read(f"{text}---\n{service}---\n{elsewhere}")
    compile_everything(offline)
    found = offline.findings()
    assert len(set(found)) == len(found) > 0


def test_what_is_wrong_with_one_object_only_is_known_before_anything_is_compiled() -> None:
    codes = [finding.problem.code for finding in read("a: [").findings()]
    assert codes == ["MEL0101"]


def test_a_node_without_a_name_is_called_by_where_it_came_from() -> None:
    assert parse_node('{"cluster": "edge"}').id == "file"


def test_a_node_is_read_with_its_version_extensions_and_metadata() -> None:
    described = {
        "id": "edge",
        "userAgentName": "envoy",
        "userAgentBuildVersion": {"version": {"majorNumber": 1, "minorNumber": 40}},
        "extensions": [{"name": "x", "category": "c", "typeUrls": ["a.B"]}],
        "metadata": {"meltemi": {"bind": "vip"}},
        "listeningAddresses": [],
    }
    node = parse_node(json.dumps(described))
    assert (node.id, node.version) == ("edge", (1, 40))
    assert node.type_urls == {"a.B"}
    assert node.metadata == {"meltemi": {"bind": "vip"}}


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"node": {}}', "[" * 99_999, "\ud800"])
def test_what_is_no_node_is_told(text: str) -> None:
    with pytest.raises(NodeFileError, match=r"no JSON of a core\.v3\.Node"):
        parse_node(text)


Where = tuple[str | int, ...]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def entries(value: object) -> list[tuple[str | int, object]]:
    """What a mapping or a list holds."""
    if isinstance(value, dict):
        return list(cast("dict[str | int, object]", value).items())
    return list(enumerate(cast("list[object]", value))) if isinstance(value, list) else []


def places(value: object, path: Where = ()) -> list[Where]:
    """The paths of everything inside."""
    found = [path] if path else []
    for key, inner in entries(value):
        found += places(inner, (*path, key))
    return found


def replaced(value: object, path: Where, new: object) -> object:
    """The value with something else at the path."""
    if not path:
        return new
    inside = {
        key: replaced(inner, path[1:], new) if key == path[0] else inner
        for key, inner in entries(value)
    }
    return list(inside.values()) if isinstance(value, list) else inside


@settings(max_examples=25)
@given(st.data())
def test_a_wrong_value_anywhere_is_a_finding_or_nothing_but_never_an_exception(
    data: st.DataObject,
) -> None:
    wrong = [*documents(data.draw(st.sampled_from(PROTOCOLS)))]
    index = data.draw(st.integers(0, len(wrong) - 1))
    path = data.draw(st.sampled_from(places(wrong[index])))
    wrong[index] = replaced(wrong[index], path, data.draw(JSON))
    offline = read(json.dumps({"kind": "List", "apiVersion": "v1", "items": wrong}))
    compile_everything(offline)
    assert not offline.compiler.failures
    for finding in offline.findings():
        json.dumps(finding.to_dict())
    dump(offline.group(stock()).snapshot, secrets_of(offline.mesh))
