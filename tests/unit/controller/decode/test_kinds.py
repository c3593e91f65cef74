"""Which objects are read, and what is said of those that are not."""

from __future__ import annotations

import pytest

from meltemi.controller.decode import KINDS
from meltemi.controller.kube.kinds import SECRETS, WATCHED
from meltemi.controller.store.objects import Identity, Invalid, Upsert, identity_of
from tests.written import decoded, outcomes, problems, rejected, told

ROUTER = """\
    apiVersion: metaprotocol.aeraki.io/v1alpha1
    kind: MetaRouter
    metadata: {name: shop, namespace: demo, generation: 3, creationTimestamp: 2024-01-01T00:00:00Z}
    spec:
      hosts: [shop]
      routes:
      - route: [{destination: {host: shop}}]
    """


def written(version: str, kind: str, name: str = "x") -> str:
    return f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\n"


def test_an_object_is_known_by_group_kind_namespace_and_name() -> None:
    found = decoded(ROUTER)
    assert found.identity == Identity("metaprotocol.aeraki.io", "MetaRouter", "demo", "shop")
    assert (found.generation, found.created) == (3, "2024-01-01T00:00:00Z")


def test_the_namespace_is_default_unless_it_is_written() -> None:
    assert decoded(written("v1", "Pod")).identity.namespace == "default"


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("metaprotocol.aeraki.io/v1alpha1", "MetaRoute"),
        ("redis.aeraki.io/v1alpha1", "Redis"),
        ("networking.istio.io/v1", "DestinationRules"),
        ("discovery.k8s.io/v1", "Endpoints"),
        ("meltemi.io/v1alpha1", "Anything"),
    ],
)
def test_an_unknown_kind_of_a_group_that_is_read_is_an_error(version: str, kind: str) -> None:
    assert rejected(written(version, kind)) == [("MEL0104", "kind")]


def test_an_unknown_kind_comes_with_what_was_probably_meant() -> None:
    (problem,) = problems(written("networking.istio.io/v1", "DestinationRules"))
    assert problem.next_step == "did you mean DestinationRule?"


@pytest.mark.parametrize("version", ["v1beta1", "v2"])
def test_an_unknown_version_of_a_kind_is_an_error(version: str) -> None:
    assert rejected(written(f"discovery.k8s.io/{version}", "EndpointSlice")) == [
        ("MEL0104", "apiVersion")
    ]


@pytest.mark.parametrize("version", ["v1alpha3", "v1beta1", "v1"])
def test_all_versions_of_istio_are_read(version: str) -> None:
    text = written(f"networking.istio.io/{version}", "DestinationRule") + "spec: {host: x}\n"
    assert told(text) == []


@pytest.mark.parametrize(
    ("version", "kind", "name"),
    [
        ("apps/v1", "Deployment", "x"),
        ("v1", "ConfigMap", "x"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole", "'system:node'"),
        ("networking.istio.io/v1", "Sidecar", "x"),
        ("dubbo.aeraki.io/v1alpha1", "DubboAuthorizationPolicy", "x"),
    ],
)
def test_a_foreign_kind_is_told_and_means_nothing(version: str, kind: str, name: str) -> None:
    text = written(version, kind, name)
    assert told(text) == [("MEL0105", "kind")]
    assert decoded(text).values == ()


def test_a_namespace_is_nothing_to_talk_about() -> None:
    found = decoded(written("v1", "Namespace", "demo"))
    assert found.identity == Identity("", "Namespace", "", "demo")
    assert found.problems == ()


@pytest.mark.parametrize(
    "text", ["- 1\n", "hello\n", "kind: Service\n", "apiVersion: v1\nkind: 3\n"]
)
def test_what_does_not_say_which_kind_it_is_is_no_object(text: str) -> None:
    assert rejected(text) == [("MEL0102", "")]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ("{}", ("MEL0109", "metadata.name")),
        ("{name: 3}", ("MEL0102", "metadata.name")),
        ("{name: a|b}", ("MEL0102", "metadata.name")),
        ("{name: a, namespace: A_B}", ("MEL0102", "metadata.namespace")),
        ("[]", ("MEL0109", "metadata.name")),
    ],
)
def test_an_object_needs_a_name(metadata: str, expected: tuple[str, str]) -> None:
    assert rejected(f"apiVersion: v1\nkind: Pod\nmetadata: {metadata}\n") == [expected]


def test_an_object_with_bad_metadata_is_still_that_object() -> None:
    (outcome,) = outcomes("apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: 7}\n")
    assert isinstance(outcome, Invalid)
    assert outcome.identity == Identity("", "Pod", "default", "a")
    assert [problem.about.field for problem in outcome.problems] == ["metadata.labels"]


def test_an_unknown_field_is_a_warning_with_what_was_probably_meant() -> None:
    (problem,) = problems(ROUTER.replace("hosts: [", "exportsTo: 1\n      hosts: ["))
    assert (problem.code, problem.about.field) == ("MEL0103", "spec.exportsTo")
    assert problem.next_step == "did you mean exportTo?"


@pytest.mark.parametrize(
    ("old", "new", "field", "cause"),
    [
        ("hosts: [shop]", "hosts: shop", "spec.hosts", "expected a list, got a string"),
        ("{host: shop}", "{host: 7}", "spec.routes[0].route[0].destination.host", "a string"),
        ("route: [", "match: {attributes: {user: {exact: 1}}}\n        route: [",
         "spec.routes[0].match.attributes[user].exact", "expected a string, got an integer"),
        ("route: [", "match: {attributes: {a: {exact: x}, b: []}}\n        route: [",
         "spec.routes[0].match.attributes[b]", "got a list"),
    ],
)  # fmt: skip
def test_a_wrong_type_rejects_the_object_and_names_the_field(
    old: str, new: str, field: str, cause: str
) -> None:
    text = ROUTER.replace(old, new)
    assert rejected(text) == [("MEL0102", field)]
    assert cause in problems(text)[0].cause


def test_a_missing_field_rejects_the_object_and_names_the_field() -> None:
    assert rejected(ROUTER.replace("hosts: [shop]", "exportTo: []")) == [("MEL0109", "spec.hosts")]


def test_null_is_an_absent_field() -> None:
    assert told(ROUTER.replace("hosts: [shop]", "hosts: [shop]\n      exportTo: null")) == []
    assert rejected(ROUTER.replace("hosts: [shop]", "hosts: null")) == [("MEL0109", "spec.hosts")]


def test_the_same_object_written_twice_reads_the_same() -> None:
    first, second = outcomes(f"{ROUTER}\n---\n{ROUTER}".replace("    ---", "---"))
    assert isinstance(first, Upsert)
    assert first == second


def test_a_cluster_is_watched_for_exactly_what_is_read() -> None:
    watched = {(kind.group, kind.kind): kind for kind in (*WATCHED, SECRETS)}
    assert {*watched} == {(group, kind) for group, kind in KINDS}
    for (group, kind), versions in KINDS.items():
        assert frozenset(watched[group, kind].versions) == versions


def test_what_is_of_the_cluster_here_is_so_there() -> None:
    for kind in WATCHED:
        text = written(f"{kind.group}/{kind.versions[0]}".lstrip("/"), kind.kind)
        (outcome,) = outcomes(text)
        assert isinstance(outcome, Invalid | Upsert)
        assert bool(identity_of(outcome).namespace) is kind.namespaced
