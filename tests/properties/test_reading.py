"""Whatever stands in a file: reading it is an answer, never an exception."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from meltemi.controller.decode import Unnamed, decode
from meltemi.controller.sources.documents import Document, read_documents
from meltemi.controller.sources.folder import Folder
from meltemi.controller.store.objects import Delete, Invalid, Upsert
from meltemi.controller.store.store import Store
from meltemi.protocols.model import Mesh
from meltemi.protocols.problem import CODES

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

KINDS = st.sampled_from(
    [
        ("v1", "Service"),
        ("v1", "Pod"),
        ("v1", "Secret"),
        ("discovery.k8s.io/v1", "EndpointSlice"),
        ("networking.istio.io/v1", "ServiceEntry"),
        ("networking.istio.io/v1", "DestinationRule"),
        ("metaprotocol.aeraki.io/v1alpha1", "MetaRouter"),
        ("redis.aeraki.io/v1alpha1", "RedisService"),
        ("redis.aeraki.io/v1alpha1", "RedisDestination"),
    ]
)
WORDS = st.sampled_from(
    [
        "hosts",
        "host",
        "routes",
        "route",
        "match",
        "attributes",
        "exact",
        "prefix",
        "regex",
        "range",
        "start",
        "end",
        "mirror",
        "mirrors",
        "percentage",
        "value",
        "destination",
        "weight",
        "port",
        "ports",
        "number",
        "name",
        "labels",
        "subsets",
        "trafficPolicy",
        "loadBalancer",
        "simple",
        "connectionPool",
        "tcp",
        "redis",
        "settings",
        "auth",
        "plain",
        "secret",
        "password",
        "endpoints",
        "addresses",
        "address",
        "resolution",
        "STATIC",
        "data",
        "stringData",
        "status",
        "podIP",
        "10.0.0.1",
        "1s",
        "a.b",
        "*",
        "x",
    ]
)
LEAVES: SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS | st.text()
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5)
)
BODIES = st.dictionaries(st.sampled_from(["spec", "data", "endpoints", "ports", "status"]), VALUES)
LINES = st.lists(
    st.sampled_from(
        ["a: 1", "- b", "---", "...", "a: &x [1]", "b: *x", "<<: {a: 1}", "{", "}", '"', "  c: |"]
    )
    | st.text(max_size=8)
)


@given(KINDS, BODIES)
def test_every_object_is_answered_with_codes_of_the_catalogue(
    kind: tuple[str, str], body: dict[str, object]
) -> None:
    version, name = kind
    outcome = decode({**body, "apiVersion": version, "kind": name, "metadata": {"name": "x"}})
    match outcome:
        case Upsert(decoded):
            problems = decoded.problems
        case Invalid(_, problems) | Unnamed(problems):
            assert problems
    assert {problem.code for problem in problems} <= CODES.keys()


@given(KINDS, BODIES)
def test_a_decoded_object_can_come_and_go(kind: tuple[str, str], body: dict[str, object]) -> None:
    version, name = kind
    outcome = decode({**body, "apiVersion": version, "kind": name, "metadata": {"name": "x"}})
    if isinstance(outcome, Upsert):
        store = Store()
        store.apply([outcome])
        store.apply([Delete(outcome.decoded.identity)])
        assert store.mesh == Mesh()


@given(LINES.map("\n".join).map(str.encode) | st.binary())
def test_every_text_is_documents_or_mistakes_on_lines_of_it(content: bytes) -> None:
    lines = content.count(b"\n") + 1
    for entry in read_documents("f.yaml", content):
        line = entry.line() if isinstance(entry, Document) else entry.line
        assert 1 <= line <= lines


@given(st.lists(LINES.map("\n".join).map(str.encode), max_size=3), st.booleans())
def test_a_folder_takes_every_text(contents: list[bytes], final: bool) -> None:
    folder = Folder()
    store = Store()
    for content in contents:
        store.apply(folder.update({"f.yaml": content}, final=final))
    store.apply(folder.update({"f.yaml": None}))
    assert (store.count, dict(store.problems), folder.paths) == (0, {}, frozenset())
