"""Meltemi under exactly the rights of its manifests: it is denied nothing, and needs all of them.

The API server's audit log is the witness.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from meltemi.controller.manifests.rbac import rbac
from meltemi.controller.manifests.wish import NAME, Wish
from meltemi.testing.dubbo import DubboClient, DubboServer
from meltemi.testing.ports import LOOPBACK, Address, free_port
from tests.cluster.audit import Right, rights
from tests.cluster.definitions import send
from tests.cluster.installed import NAMESPACES, PROTOCOL, installed, rules
from tests.cluster.objects import apply, entry, router, subsets
from tests.cluster.replicas import until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.cluster.installed import Installation

pytestmark = [pytest.mark.cluster, pytest.mark.envoy]

SECRETS = tuple((namespace, "redis") for namespace in NAMESPACES)
WHOLE = Wish("meltemi:1", tokens=True, secrets=SECRETS)
TENANT = Wish("meltemi:1", namespace="tenant", watched=NAMESPACES, webhook=False, secrets=SECRETS)

CONFLICT = "somebody else changed the object while its status was written"
RARE: Mapping[tuple[str, str], str] = {
    ("get", "metarouters"): CONFLICT,
    ("get", "redisservices"): CONFLICT,
    ("get", "redisdestinations"): CONFLICT,
    ("get", "kafkaclusters"): CONFLICT,
    ("get", "applicationprotocols"): CONFLICT,
    ("patch", "events"): "what was told happened once more",
}
"""Rights for what a quiet run does not see, with the reason."""


def granted(wish: Wish) -> set[Right]:
    found: set[Right] = set()
    for manifest in rbac(wish):
        metadata: Any = manifest.body["metadata"]
        for rule in manifest.rules:
            found |= {*rights(rule.to_dict(), metadata.get("namespace", ""))}
    return found


def unused(installation: Installation, *, listed: bool) -> list[str]:
    """Rights of which no use was made so far, but for those of rare events. A server that streams
    what there is need not be ``listed``.
    """
    used = installation.audit.allowed(installation.wish.namespace, NAME)
    used |= {replace(each, namespace="") for each in used}
    return sorted(
        str(right)
        for right in granted(installation.wish) - used
        if (right.verb, right.resource) not in RARE and (listed or right.verb != "list")
    )


def forbidden(installation: Installation) -> set[Right]:
    return installation.audit.forbidden(installation.wish.namespace, NAME)


def denied(installation: Installation) -> list[str]:
    return sorted(map(str, forbidden(installation)))


async def write(installation: Installation, *bodies: Mapping[str, Any]) -> None:
    for body in bodies:
        await apply(installation.admin, body)


async def answered_by(client: DubboClient, version: str) -> None:
    """Sooner or later a call is answered by that version, and none fails meanwhile."""
    async with asyncio.timeout(60):
        while (await client.call("demo.Greeter", "hello")).value != version:
            pass


async def prepare(installation: Installation, port: int, versions: dict[str, int]) -> None:
    """A Dubbo service with a rule, and one of every other kind in each namespace."""
    await write(
        installation,
        entry("shop", "shop", port, versions),
        subsets("shop", "shop", *versions),
        router("shop", "shop", "v1"),
        router("bank", "bank"),
        PROTOCOL,
        *(rule for namespace in NAMESPACES for rule in rules(namespace)),
    )
    password = {"data": {"password": b64encode(b"open-sesame").decode()}}
    for namespace in NAMESPACES:
        body = {"metadata": {"name": "redis"}, **password}
        path = f"/api/v1/namespaces/{namespace}/secrets"
        assert (await send(installation.admin, "POST", path, body)).status == 201


@pytest.mark.parametrize(
    ("wish", "flags"),
    [(WHOLE, ()), (TENANT, ("--feature-gates=WatchList=false",))],
    ids=["cluster", "namespaces"],
)
async def test_nothing_is_denied_and_every_right_is_used(
    assets: Path,
    tmp_path: Path,
    wish: Wish,
    flags: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert RARE.keys() <= {(right.verb, right.resource) for right in granted(wish)}
    monkeypatch.setenv("MELTEMI_POD_NAMESPACE", wish.namespace)
    monkeypatch.setenv("MELTEMI_WEBHOOK_SANS", LOOPBACK)
    port = free_port()
    async with (
        installed(assets, tmp_path, wish, flags) as installation,
        DubboServer("v1") as v1,
        DubboServer("v2") as v2,
    ):
        await prepare(installation, port, {"v1": v1.address.port, "v2": v2.address.port})
        token = await installation.token(tmp_path / "token") if wish.tokens else None
        async with (
            installation.replica("first") as first,
            installation.replica("second") as second,
            second.envoy(token) as envoy,
        ):
            await envoy.wait_ready()
            async with await DubboClient.open(Address(LOOPBACK, port)) as client:
                await answered_by(client, "v1")
                await write(installation, router("shop", "shop", "v2"))
                await answered_by(client, "v2")
                await first.meltemi.terminate()
                await write(installation, router("shop", "shop", "v1"))
                await answered_by(client, "v1")

            async def all_used() -> bool:
                return unused(installation, listed=bool(flags)) == []

            await until(all_used, lambda: f"unused: {unused(installation, listed=bool(flags))}")
        assert denied(installation) == []


async def test_a_right_that_is_taken_away_is_missed(
    assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the test above can fail; and what can be served without it is served."""
    monkeypatch.setenv("MELTEMI_POD_NAMESPACE", TENANT.namespace)
    async with installed(assets, tmp_path, TENANT) as installation:
        without = '[{"op": "remove", "path": "/rules/0"}]'
        await installation.kubectl.run(
            "patch", "role", "meltemi", "-n", TENANT.namespace, "--type=json", "-p", without
        )
        async with installation.replica("alone"):
            await until(lambda: is_denied(installation), lambda: "nothing is denied")
        assert denied(installation) == ["get leases.coordination.k8s.io in tenant"]


async def test_without_the_cluster_role_all_but_protocols_is_read_in_namespaces(
    assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELTEMI_POD_NAMESPACE", TENANT.namespace)
    async with installed(assets, tmp_path, TENANT) as installation:
        binding = f"{NAME}:{TENANT.namespace}"
        await installation.kubectl.run("delete", "clusterrolebinding", binding)
        async with installation.replica("alone") as replica:
            found = json.loads((await replica.meltemi.get("/findings")).body)
        lacking = [each for each in found if each["code"] == "MEL0601"]
        assert [each["name"] for each in lacking] == ["applicationprotocols.metaprotocol.aeraki.io"]
        assert {each.resource for each in forbidden(installation)} == {"applicationprotocols"}


async def is_denied(installation: Installation) -> bool:
    return denied(installation) != []
