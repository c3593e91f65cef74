"""Kinds that we define, on a real API server: defined, written, refused."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import TYPE_CHECKING, Any, NamedTuple

from meltemi.controller.crds.definitions import DEFINITIONS, VERSION
from tests.cluster.objects import apply

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kubernetes.aio.client import ApiClient

    from meltemi.controller.crds.definitions import Definition
    from tests.cluster.specimens import Object

DEFINED_S = 30.0
DRY_RUN = (("dryRun", "All"),)
NAMESPACE = "default"
_ADDED = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")
_numbers = itertools.count(1)

BY_KIND = {(f"{each.group}/{VERSION}", each.kind): each for each in DEFINITIONS}


class Answer(NamedTuple):
    """``said`` is the object, or why there is none."""

    status: int
    said: Object


async def define(api: ApiClient, definitions: Iterable[Object]) -> None:
    """Apply definitions, and return when their kinds can be listed: a little after they are
    established.
    """
    for body in definitions:
        await apply(api, body)
    async with asyncio.timeout(DEFINED_S):
        for body in definitions:
            spec = body["spec"]
            path = f"/apis/{spec['group']}/{VERSION}/{spec['names']['plural']}"
            while (await send(api, "GET", path)).status != 200:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.02)


def of_ours(body: Object) -> bool:
    """Whether it is of a kind that we define."""
    return (body.get("apiVersion"), body.get("kind")) in BY_KIND


def definition_of(body: Object) -> Definition:
    return BY_KIND[body["apiVersion"], body["kind"]]


def collection(definition: Definition) -> str:
    inside = f"/namespaces/{NAMESPACE}" if definition.namespaced else ""
    return f"/apis/{definition.group}/{VERSION}{inside}/{definition.plural}"


async def create(api: ApiClient, body: Object, *, dry_run: bool = False) -> Answer:
    """Under a name of its own, in the one namespace."""
    definition = definition_of(body)
    metadata = {**body["metadata"], "name": f"o-{next(_numbers)}"}
    metadata.pop("namespace", None)
    query = DRY_RUN if dry_run else ()
    return await send(api, "POST", collection(definition), body | {"metadata": metadata}, query)


def as_applied(said: Object) -> Object:
    """The object without what the server adds to it."""
    kept = {name: each for name, each in said["metadata"].items() if name not in _ADDED}
    return {**said, "metadata": {**kept, "namespace": None, "name": None}}


async def send(
    api: Any,
    method: str,
    path: str,
    body: Object | None = None,
    query: Iterable[tuple[str, str]] = (),
    *,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Any request; an answer that is a refusal is an answer."""
    request = await api.param_serialize(
        method,
        path,
        query_params=[*query],
        header_params={"Content-Type": "application/json", **(headers or {})},
        body=body,
        auth_settings=["BearerToken"],
    )
    answer = await api.call_api(*request)
    said = await answer.read()
    # A path that nobody serves is told in plain text.
    return Answer(answer.status, json.loads(said) if answer.status != 404 else {})
