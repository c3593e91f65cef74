"""The definitions of our kinds on a real API server: what it takes, refuses and gives back."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import yaml

from meltemi.controller.crds.definitions import DEFINITIONS
from meltemi.controller.crds.schema import PRESERVE
from meltemi.controller.decode import Unnamed, decode
from meltemi.controller.decode.notes import MISSING, WRONG
from meltemi.controller.decode.schema import as_list, as_mapping
from meltemi.controller.kube.kinds import Kind
from meltemi.controller.store.objects import Invalid
from tests.cluster.apiserver import ApiServer
from tests.cluster.conftest import administrator
from tests.cluster.definitions import (
    DEFINED_S,
    DRY_RUN,
    as_applied,
    collection,
    create,
    define,
    definition_of,
    of_ours,
    send,
)
from tests.cluster.mutations import mutated, tolerated
from tests.cluster.objects import definition as permissive
from tests.cluster.specimens import MISTAKES, all_objects, changed, named, of_aeraki

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from kubernetes.aio.client import ApiClient

    from meltemi.controller.crds.definitions import Definition
    from meltemi.protocols.problem import Problem
from tests.cluster.specimens import Object

pytestmark = [pytest.mark.cluster, pytest.mark.asyncio(loop_scope="module")]

ROOT = Path(__file__).parents[2]
FILES = [*ROOT.glob("tests/golden/*/*.in.yaml"), *ROOT.glob("examples/*/*.yaml")]
DECODED = [each for each in DEFINITIONS if each.decoded is not None]
MERGE = {"Content-Type": "application/merge-patch+json"}
MUTANTS = 250
"""Of each kind."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def defined(
    assets: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[ApiServer]:
    """A server of its own: others define the same kinds in their way."""
    async with ApiServer(assets, tmp_path_factory.mktemp("crds")) as server:
        async with administrator(server) as api:
            await define(api, [each.to_dict() for each in DEFINITIONS])
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(defined: ApiServer) -> AsyncGenerator[ApiClient]:
    async with administrator(defined) as api:
        yield api


async def comes_back(api: ApiClient, body: Object) -> bool:
    """Whether an object that is created is read again as it was written."""
    made = await create(api, body)
    assert made.status == 201, made.said["message"]
    name = made.said["metadata"]["name"]
    found = await send(api, "GET", f"{collection(definition_of(body))}/{name}")
    return as_applied(found.said) == as_applied(body)


async def test_all_definitions_are_established_under_the_names_they_ask_for(api: ApiClient) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for item in (await send(api, "GET", path)).said["items"]:
        found = {each["type"]: each["status"] for each in item["status"]["conditions"]}
        # A NonStructuralSchema or a name that is taken would be one more.
        assert found == {"NamesAccepted": "True", "Established": "True"}
        assert item["status"]["acceptedNames"] == item["spec"]["names"]


async def test_a_rule_that_cannot_be_evaluated_would_be_noticed(api: ApiClient) -> None:
    body = deepcopy(DEFINITIONS[-1].to_dict())
    spec: Any = body["spec"]
    schema = spec["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    schema["x-kubernetes-validations"] = [{"rule": "has(self.nothing)", "message": "never"}]
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    refused = await send(api, "POST", path, body)
    assert refused.status == 422
    assert "undefined field 'nothing'" in refused.said["message"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.name}")
async def test_examples_and_goldens_come_back_as_they_were_applied(
    api: ApiClient, file: Path
) -> None:
    for body in documents(file):
        assert await comes_back(api, body)


@pytest.mark.parametrize("body", of_aeraki(), ids=lambda body: body["metadata"]["name"])
async def test_objects_of_aerakis_users_come_back_as_they_were_applied(
    api: ApiClient, body: Object
) -> None:
    assert await comes_back(api, body)


@pytest.mark.parametrize("body", all_objects(), ids=lambda body: body["metadata"]["name"])
async def test_no_field_is_pruned_wherever_somebody_misspells_it(
    api: ApiClient, body: Object
) -> None:
    for mapping in [*mappings(body)]:
        mapping["misspelt"] = {"or": ["of", {"another": "reader"}]}
    assert await comes_back(api, body)


async def test_a_definition_that_prunes_would_be_noticed(api: ApiClient) -> None:
    group, body = "pruning.example", changed("routes", {"spec.misspelt": 1})
    definition = replace(definition_of(body), group=group)
    await define(api, [without_preserving(definition.to_dict())])
    pruned = body | {"apiVersion": f"{group}/v1alpha1"}
    made = await send(api, "POST", collection(definition), pruned)
    assert made.status == 201, made.said["message"]
    assert as_applied(made.said) == as_applied(
        named("routes") | {"apiVersion": pruned["apiVersion"]}
    )


@pytest.mark.parametrize(
    ("name", "change", "field", "words"),
    MISTAKES,
    ids=[f"{each[0]}-{each[2]}" for each in MISTAKES],
)
async def test_a_wrong_object_is_refused_with_its_field_and_a_sentence(
    api: ApiClient, name: str, change: Object, field: str, words: str
) -> None:
    assert (await create(api, named(name), dry_run=True)).status == 201
    refused = await create(api, changed(name, change), dry_run=True)
    assert refused.status == 422
    causes = {each.get("field"): each["message"] for each in refused.said["details"]["causes"]}
    said = [message for at, message in causes.items() if at and at.startswith(as_written(field))]
    assert any(words in message for message in said), causes


@pytest.mark.parametrize("definition", DECODED, ids=lambda each: each.kind)
async def test_what_the_server_takes_the_decoder_takes_and_what_it_refuses_the_decoder_tells(
    api: ApiClient, definition: Definition
) -> None:
    """On objects that went wrong at random, but for what is left to the decoder."""
    chance = random.Random(definition.kind)
    seeds = [each for each in all_objects() if definition_of(each) is definition]
    outcomes: Counter[bool] = Counter()
    for _ in range(MUTANTS):
        mutant = mutated(chance.choice(seeds), chance)
        answer = await create(api, mutant, dry_run=True)
        taken = answer.status == 201
        outcomes[taken] += 1
        if taken:
            left = [
                each for each in rejections(answer.said) if not tolerated(definition.kind, each)
            ]
            assert not left, (mutant["spec"], left)
        else:
            assert problems(mutant), (mutant["spec"], answer.said["message"])
    assert min(outcomes[True], outcomes[False]) > MUTANTS / 10


async def test_status_is_written_apart_and_conditions_by_type(api: ApiClient) -> None:
    made = (await create(api, named("routes"))).said
    path = f"{collection(definition_of(made))}/{made['metadata']['name']}/status"
    for kind in ("Accepted", "Programmed"):
        answer = await send(
            api,
            "PATCH",
            path,
            {
                "apiVersion": made["apiVersion"],
                "kind": made["kind"],
                "spec": {"hosts": ["other"]},
                "status": {"observedGeneration": 1, "conditions": [condition(kind)]},
            },
            [("fieldManager", kind)],
            headers={"Content-Type": "application/apply-patch+yaml"},
        )
        assert answer.status == 200, answer.said["message"]
    found = answer.said
    assert found["spec"] == made["spec"]
    assert found["metadata"]["generation"] == 1
    assert [each["type"] for each in found["status"]["conditions"]] == ["Accepted", "Programmed"]
    twice = {"status": {"conditions": [condition("Accepted"), condition("Accepted")]}}
    assert (await send(api, "PATCH", path, twice, headers=MERGE)).status == 422


async def test_an_object_from_before_that_would_be_refused_now_can_still_be_labelled_and_reported(
    api: ApiClient,
) -> None:
    group, body = "older.example", changed("aeraki-routes", {"spec.routes.0.route.0.weight": 70})
    definition = replace(definition_of(body), group=group)
    body["apiVersion"] = f"{group}/v1alpha1"
    older = Kind(group, definition.kind, definition.plural)
    await define(api, [permissive(older)])
    path = collection(definition)
    assert (await send(api, "POST", path, body)).status == 201
    await define(api, [definition.to_dict()])
    new = body | {"metadata": {"name": "new"}}
    async with asyncio.timeout(DEFINED_S):
        # A changed definition is in force a little later.
        while (await send(api, "POST", path, new, DRY_RUN)).status != 422:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.02)
    path = f"{path}/{body['metadata']['name']}"
    labels, status = {"metadata": {"labels": {"a": "b"}}}, {"conditions": [condition("Accepted")]}
    assert (await send(api, "PATCH", path, labels, headers=MERGE)).status == 200
    reported = await send(api, "PATCH", f"{path}/status", {"status": status}, headers=MERGE)
    assert reported.status == 200, reported.said["message"]
    assert reported.said["spec"] == body["spec"]


async def test_kubectl_shows_hosts_and_conditions_and_waits_for_them(
    api: ApiClient, defined: ApiServer
) -> None:
    made = (await create(api, named("routes"))).said
    name = made["metadata"]["name"]
    path = f"{collection(definition_of(made))}/{name}/status"
    status = {"status": {"conditions": [condition("Accepted"), condition("Programmed")]}}
    assert (await send(api, "PATCH", path, status, headers=MERGE)).status == 200
    shown = await kubectl(defined, "get", "mr", name)
    headline, row = (line.split() for line in shown.splitlines())
    assert headline == ["NAME", "HOSTS", "ACCEPTED", "PROGRAMMED", "AGE"]
    assert row[:4] == [name, '["orders"]', "True", "True"]
    waited = await kubectl(defined, "wait", "--for=condition=Programmed", f"metarouter/{name}")
    assert waited == f"metarouter.metaprotocol.aeraki.io/{name} condition met\n"
    everything = await kubectl(defined, "get", "meltemi", "-o", "name")
    assert f"metarouter.metaprotocol.aeraki.io/{name}" in everything.splitlines()
    explained = await kubectl(defined, "explain", "metarouter.spec.routes.match.attributes")
    assert "none of them means that" in explained


def documents(file: Path) -> list[Object]:
    """Those of our kinds."""
    found = map(as_mapping, yaml.safe_load_all(file.read_text()))
    return [body for body in found if body is not None and of_ours(body)]


def problems(body: Object) -> tuple[Problem, ...]:
    outcome = decode(body)
    assert not isinstance(outcome, Unnamed)
    return outcome.problems if isinstance(outcome, Invalid) else outcome.decoded.problems


def rejections(body: Object) -> list[str]:
    """The fields for which the decoder rejects the whole object."""
    found = problems(body) if isinstance(decode(body), Invalid) else ()
    return [each.about.field for each in found if each.code in (WRONG, MISSING)]


def condition(kind: str) -> Object:
    return {
        "type": kind,
        "status": "True",
        "reason": kind,
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


async def kubectl(server: ApiServer, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        server.kubectl,
        f"--kubeconfig={server.kubeconfig}",
        f"--cache-dir={server.folder / 'kubectl'}",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err
    return out.decode()


def as_written(path: str) -> str:
    """``spec.routes[0].name`` of ``spec.routes.0.name``."""
    return "".join(f"[{step}]" if step.isdecimal() else f".{step}" for step in path.split("."))[1:]


def mappings(value: object) -> Iterator[Object]:
    """All whose keys are names of fields: those of ``attributes`` are users'."""
    for item in as_list(value) or []:
        yield from mappings(item)
    if (own := as_mapping(value)) is None:
        return
    yield own
    for name, each in own.items():
        if name == "attributes":
            yield from mappings([*(as_mapping(each) or {}).values()])
        elif name != "metadata":
            yield from mappings(each)


def without_preserving(value: Any) -> Any:
    if (items := as_list(value)) is not None:
        return [without_preserving(each) for each in items]
    if (mapping := as_mapping(value)) is None:
        return value
    return {
        name: without_preserving(each)
        for name, each in mapping.items()
        if name not in PRESERVE or "type" not in mapping
    }
