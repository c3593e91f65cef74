"""The objects of an installation fit each other, and what they run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from meltemi.cli.app import app
from meltemi.controller.admin.guard import OPEN
from meltemi.controller.kube.instance import Instance
from meltemi.controller.manifests.parts import PARTS
from meltemi.controller.manifests.wish import NAME, Wish
from meltemi.controller.manifests.workload import GRACE_S, KILLED_S, arguments
from meltemi.controller.settings import read

COPIES = Path(__file__).parents[4] / "docker" / "kubernetes"
FULL = Wish(
    "registry.example/meltemi:1",
    replicas=3,
    watched=("bank", "shop"),
    tokens=True,
    admin_tokens="admin",
    secrets=(("shop", "redis"), ("shop", "cache"), ("bank", "redis")),
)
of_each_wish = pytest.mark.parametrize("wish", [Wish("meltemi:1"), FULL])


def objects(wish: Wish) -> list[dict[str, Any]]:
    return [manifest.to_dict() for part in PARTS.values() for manifest in part(wish)]


def only(wish: Wish, kind: str) -> dict[str, Any]:
    (found,) = (each for each in objects(wish) if each["kind"] == kind)
    return found


def pod(wish: Wish) -> Any:
    return only(wish, "Deployment")["spec"]["template"]


@of_each_wish
def test_yaml_means_what_is_built_and_refers_to_nothing(wish: Wish) -> None:
    manifests = [manifest for part in PARTS.values() for manifest in part(wish)]
    text = "".join(each.to_yaml() for each in manifests)
    assert list(yaml.safe_load_all(text)) == objects(wish)
    assert "&id" not in text


@of_each_wish
def test_no_object_is_there_twice(wish: Wish) -> None:
    found = [
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for each in objects(wish)
    ]
    assert len(set(found)) == len(found)


@of_each_wish
def test_each_binding_gives_a_role_that_is_there_to_the_service_account(wish: Wish) -> None:
    found = objects(wish)
    roles = {
        (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for each in found
        if each["kind"].endswith("Role")
    }
    bound: set[tuple[str, str | None, str]] = set()
    for each in found:
        if each["kind"].endswith("RoleBinding"):
            (subject,) = each["subjects"]
            assert subject == {"kind": "ServiceAccount", "name": NAME, "namespace": wish.namespace}
            role = each["roleRef"]
            bound.add((role["kind"], each["metadata"].get("namespace"), role["name"]))
    assert bound == roles
    assert (
        pod(wish)["spec"]["serviceAccountName"] == only(wish, "ServiceAccount")["metadata"]["name"]
    )


@of_each_wish
def test_everything_that_selects_pods_selects_those_of_the_deployment(wish: Wish) -> None:
    labels: dict[str, str] = pod(wish)["metadata"]["labels"]
    selectors = [
        only(wish, "Deployment")["spec"]["selector"]["matchLabels"],
        only(wish, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        only(wish, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        only(wish, "Service")["spec"]["selector"],
        *(
            each["labelSelector"]["matchLabels"]
            for each in pod(wish)["spec"]["topologySpreadConstraints"]
        ),
    ]
    for selector in selectors:
        assert selector
        assert selector.items() <= labels.items()


@of_each_wish
def test_every_port_is_served_exposed_and_let_through(wish: Wish) -> None:
    (container,) = pod(wish)["spec"]["containers"]
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    served = {
        option.partition("=")[0].removeprefix("--"): int(option.rpartition(":")[2])
        for option in container["args"]
        if option.rpartition(":")[2].isdecimal()
    }
    assert named == served
    exposed = only(wish, "Service")["spec"]["ports"]
    assert {port["targetPort"] for port in exposed} == {*named}
    ingress = only(wish, "NetworkPolicy")["spec"]["ingress"]
    assert {port["port"] for rule in ingress for port in rule["ports"]} == {*named}
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] in named
        assert container[probe]["httpGet"]["path"] in OPEN


@of_each_wish
def test_the_arguments_are_options_of_serve(wish: Wish) -> None:
    command = typer.main.get_group(app).commands["serve"]
    with command.make_context("serve", arguments(wish)[1:]) as context:
        assert context.params["kube"]
        assert tuple(context.params["namespace"] or ()) == wish.watched


@of_each_wish
def test_the_environment_is_one_that_settings_read(wish: Wish) -> None:
    (container,) = pod(wish)["spec"]["containers"]
    given = {each["name"]: each.get("value", "from-the-pod") for each in container["env"]}
    settings = read({}, given)
    assert settings.instance == Instance("from-the-pod", "from-the-pod")
    assert settings.tuning.limits.grace == GRACE_S < KILLED_S
    assert pod(wish)["spec"]["terminationGracePeriodSeconds"] == KILLED_S
    tokens = settings.admin.tokens
    mounted = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert (tokens is not None) == bool(wish.admin_tokens)
    assert tokens is None or str(tokens.parent) in mounted


@of_each_wish
def test_files_of_tls_are_where_the_secret_is_mounted(wish: Wish) -> None:
    spec = pod(wish)["spec"]
    (container,) = spec["containers"]
    secrets = {volume["name"]: volume["secret"]["secretName"] for volume in spec["volumes"]}
    folders = {mount["mountPath"]: secrets[mount["name"]] for mount in container["volumeMounts"]}
    files = [option.partition("=")[2] for option in container["args"] if "/" in option]
    assert [folders[str(Path(file).parent)] for file in files] == [wish.tls] * 3


def test_the_webhook_is_left_out_where_it_is_not_wanted() -> None:
    without = Wish("i", webhook=False)
    assert [*PARTS["webhook"](without)] == []
    assert all("webhook" not in option for option in arguments(without))


def test_in_namespaces_the_webhook_is_asked_about_these_only() -> None:
    (asked,) = only(FULL, "ValidatingWebhookConfiguration")["webhooks"]
    (expression,) = asked["namespaceSelector"]["matchExpressions"]
    assert expression["values"] == ["bank", "shop"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"namespace": "Meltemi"}, "'Meltemi' is not the name of a namespace"),
        ({"watched": ("a b",)}, "'a b' is not the name of a namespace"),
        ({"secrets": (("shop", "_"),)}, "'_' is not the name of a Secret"),
        ({"secrets": (("shop", "x"),), "watched": ("bank",)}, "the Secret shop/x is read: add"),
        ({"tls": ""}, "'' is not the name of a Secret"),
        ({"admin_tokens": "a/b"}, "'a/b' is not the name of a Secret"),
        ({"image": "a b"}, "'a b' is no image"),
        ({"replicas": 0}, "0 replicas serve nobody"),
    ],
)
def test_what_no_cluster_takes_is_refused_in_a_sentence(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(FULL, **wrong)


@pytest.mark.parametrize("part", ["rbac", "webhook", "deployment"])
def test_the_repositorys_copies_are_what_is_generated(
    part: str, request: pytest.FixtureRequest
) -> None:
    """``--update-golden`` writes them."""
    wish = Wish("meltemi:latest")
    generated = "".join(manifest.to_yaml() for manifest in PARTS[part](wish))
    copy = COPIES / f"{part}.yaml"
    if request.config.getoption("--update-golden"):
        copy.write_text(generated)
    assert copy.read_text() == generated
