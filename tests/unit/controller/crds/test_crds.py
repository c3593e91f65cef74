"""CustomResourceDefinitions from the types that decode the objects."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import msgspec
import pytest
import yaml

from meltemi.controller.crds.definitions import DEFINITIONS, Definition
from meltemi.controller.crds.schema import Checks, Rule, documentation, schema_of
from meltemi.controller.crds.status import Status
from meltemi.controller.decode.schema import Spec, as_mapping
from meltemi.controller.kube.kinds import WATCHED
from meltemi.controller.manifests.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COPY = Path(__file__).parents[4] / "docker" / "crds" / "crds.yaml"

DECODED = [each for each in DEFINITIONS if each.decoded is not None]
JUNCTORS = {"allOf", "anyOf", "oneOf", "not"}

# Name of the definition: kind, scope, short names. As in github.com/aeraki-mesh/api v1.4.1.
AERAKI: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "applicationprotocols.metaprotocol.aeraki.io": ("ApplicationProtocol", "Cluster", ()),
    "dubboauthorizationpolicies.dubbo.aeraki.io": (
        "DubboAuthorizationPolicy",
        "Namespaced",
        ("dap",),
    ),
    "metarouters.metaprotocol.aeraki.io": ("MetaRouter", "Namespaced", ()),
    "redisdestinations.redis.aeraki.io": ("RedisDestination", "Namespaced", ("rd",)),
    "redisservices.redis.aeraki.io": ("RedisService", "Namespaced", ("rsvc",)),
}


class Leaf(Spec, frozen=True):
    """A leaf of ``that`` tree,
    on two lines.
    """

    number: int = 0


class Twig(Leaf, frozen=True):
    """Inherits."""

    either: tuple[Leaf, ...] | Leaf | None = None
    word: int | str = 0


def schema_in(definition: Definition) -> Any:
    spec: Any = definition.to_dict()["spec"]
    return spec["versions"][0]["schema"]["openAPIV3Schema"]


def nodes(schema: Any) -> Iterator[dict[str, Any]]:
    """The schema and all schemas in it, but for those that only say what a value must not be."""
    yield schema
    for each in (as_mapping(schema.get("properties")) or {}).values():
        yield from nodes(each)
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            yield from nodes(schema[keyword])


def structs(hint: object) -> Iterator[type[Spec]]:
    """All that can be reached, by the annotations themselves."""
    if isinstance(hint, type) and issubclass(hint, Spec):
        yield hint
        for each in get_type_hints(hint, include_extras=True).values():
            yield from structs(each)
    for each in get_args(hint):
        yield from structs(each)


def reached(definition: Definition) -> set[type[Spec]]:
    later = definition.checks.stands_for.values()
    return {each for root in (definition.decoded, *later) for each in structs(root)}


@pytest.mark.parametrize("definition", DECODED, ids=lambda each: each.kind)
def test_every_field_of_every_struct_appears_under_the_name_that_users_write(
    definition: Definition,
) -> None:
    found = [set(node.get("properties") or ()) for node in nodes(schema_in(definition))]
    for struct in reached(definition):
        wanted = {each.encode_name for each in msgspec.structs.fields(struct)} | struct.UNSUPPORTED
        assert any(wanted <= names for names in found), struct


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda each: each.kind)
def test_schemas_are_structural_prune_nothing_and_default_nothing(definition: Definition) -> None:
    for node in nodes(schema_in(definition)):
        preserves = node.get("x-kubernetes-preserve-unknown-fields")
        assert "type" in node or preserves or node.get("x-kubernetes-int-or-string"), node
        assert node.get("type") != "array" or "items" in node, node
        fields = node.get("type") == "object" and "additionalProperties" not in node
        metadata = node == {"type": "object"}
        assert not fields or preserves or metadata, node
        assert "default" not in node
        assert set(node.get("required", ())) <= set(node.get("properties", ())), node
        for junctor in chain.from_iterable(node.get(name, ()) for name in JUNCTORS):
            assert not {"type", "description", "nullable"} & set(junctor), node


@pytest.mark.parametrize("definition", DECODED, ids=lambda each: each.kind)
def test_what_the_types_do_not_say_is_said_of_fields_that_exist(definition: Definition) -> None:
    checks, known = definition.checks, reached(definition)
    said = chain(checks.fields, checks.stands_for, checks.lenient, checks.nullable, checks.required)
    for struct, name in said:
        assert any(issubclass(each, struct) for each in known), struct
        assert name in {each.name for each in msgspec.structs.fields(struct)}, (struct, name)
    assert all(any(issubclass(each, struct) for each in known) for struct in checks.rules)


def test_kinds_replace_aerakis_in_place() -> None:
    found: dict[str, Any] = {each.name: each.to_dict()["spec"] for each in DEFINITIONS}
    for name, (kind, scope, short) in AERAKI.items():
        spec = found[name]
        assert (spec["names"]["kind"], spec["scope"]) == (kind, scope)
        assert set(short) <= set(spec["names"].get("shortNames", ()))
        (version,) = spec["versions"]
        assert (version["name"], version["served"], version["storage"]) == ("v1alpha1", True, True)
        assert version["subresources"] == {"status": {}}
    assert found.keys() - AERAKI.keys() == {"kafkaclusters.meltemi.io"}


def test_every_kind_that_is_watched_and_not_somebody_elses_is_defined() -> None:
    defined = {(each.group, each.kind): each for each in DEFINITIONS}
    ours = [each for each in WATCHED if each.group.endswith(("aeraki.io", "meltemi.io"))]
    assert len(ours) == len(DECODED)
    for kind in ours:
        definition = defined[kind.group, kind.kind]
        assert (definition.plural, definition.namespaced) == (kind.plural, kind.namespaced)


@pytest.mark.parametrize("definition", DECODED, ids=lambda each: each.kind)
def test_status_has_conditions_by_type_and_numbers_of_proxies(definition: Definition) -> None:
    status = schema_in(definition)["properties"]["status"]
    assert status["properties"].keys() == {"observedGeneration", "conditions", "rollout"}
    assert status["description"] == documentation(Status)
    conditions = status["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert conditions["items"]["required"] == ["type", "status"]
    rollout = status["properties"]["rollout"]["properties"]
    assert [*rollout] == ["proxies", "acked", "nacked", "pending", "unsupported"]


def test_columns_are_what_one_looks_for() -> None:
    for definition in DECODED:
        spec: Any = definition.to_dict()["spec"]
        columns = [each["name"] for each in spec["versions"][0]["additionalPrinterColumns"]]
        assert columns[-3:] == ["Accepted", "Programmed", "Age"]
        assert len(columns) > 3


def test_a_password_is_described_although_it_is_decoded_later() -> None:
    service = next(each for each in DECODED if each.kind == "RedisService")
    settings = schema_in(service)["properties"]["spec"]["properties"]["settings"]
    auth = settings["properties"]["auth"]
    assert auth["properties"].keys() == {"secret", "plain"}
    assert auth["nullable"]  # a null that is dropped would open what it locks


def test_the_repositorys_copy_is_what_is_generated(request: pytest.FixtureRequest) -> None:
    """``--update-golden`` writes it."""
    generated = "".join(Manifest(each.to_dict()).to_yaml() for each in DEFINITIONS)
    if request.config.getoption("--update-golden"):
        COPY.write_text(generated)
    assert COPY.read_text() == generated


def test_yaml_means_the_same_and_refers_to_nothing() -> None:
    for definition in DEFINITIONS:
        text = Manifest(definition.to_dict()).to_yaml()
        assert yaml.safe_load(text) == definition.to_dict()
        assert "&id" not in text


def test_a_check_of_a_field_is_one_of_all_heirs_of_its_struct() -> None:
    rule = Rule("self.number > 0", "too small", ".number")
    checks = Checks(rules={Leaf: (rule,)}, fields={(Leaf, "number"): {"maximum": 9}})
    schema: Any = schema_of(Twig, checks)
    assert schema["properties"]["number"]["maximum"] == 9
    assert schema["x-kubernetes-validations"] == [
        {"rule": "self.number > 0", "message": "too small", "fieldPath": ".number"}
    ]


def test_values_of_several_types_are_described_without_a_type() -> None:
    properties: Any = schema_of(Twig, Checks())["properties"]
    either = properties["either"]
    assert "type" not in either
    assert either["items"]["properties"].keys() == either["properties"].keys() == {"number"}
    assert properties["word"] == {"x-kubernetes-int-or-string": True}


def test_docstrings_become_descriptions_of_one_line() -> None:
    assert schema_of(Leaf, Checks())["description"] == "A leaf of `that` tree, on two lines."


def test_a_type_without_a_schema_is_our_mistake_and_named() -> None:
    class Odd(Spec, frozen=True):
        odd: bytes

    with pytest.raises(TypeError, match="BytesType"):
        schema_of(Odd, Checks())
