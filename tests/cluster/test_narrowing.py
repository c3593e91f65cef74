"""What is watched is what was asked for: the API server's own audit log is the witness."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.cluster.accounts import NAME, Account, rule
from tests.cluster.apiserver import ApiServer
from tests.cluster.conftest import administrator
from tests.cluster.following import following
from tests.cluster.objects import KINDS, apply, definition, router, send, service

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.cluster

POLICY = '{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}'
VERBS = ["get", "list", "watch"]


def audited(folder: Path) -> list[str]:
    """The flags."""
    (folder / "audit.yaml").write_text(POLICY)
    return [
        f"--audit-policy-file={folder / 'audit.yaml'}",
        f"--audit-log-path={folder / 'audit.log'}",
    ]


def asked(folder: Path, namespace: str) -> set[tuple[str, str]]:
    """Each path that the account has asked for, and with which label selector."""
    found: set[tuple[str, str]] = set()
    for line in (folder / "audit.log").read_text().splitlines():
        entry: dict[str, Any] = json.loads(line)
        if entry["user"]["username"] == f"system:serviceaccount:{namespace}:{NAME}":
            url = urlsplit(str(entry["requestURI"]))
            found.add((url.path, ",".join(parse_qs(url.query).get("labelSelector", ()))))
    return found


async def test_namespaces_and_selectors_restrict_what_the_api_server_is_asked(
    assets: Path, tmp_path: Path
) -> None:
    kinds = [KINDS["Service"], KINDS["Node"], KINDS["MetaRouter"]]
    async with (
        ApiServer(assets, tmp_path, audited(tmp_path)) as server,
        administrator(server) as admin,
    ):
        await apply(admin, definition(KINDS["MetaRouter"]))
        for namespace in ("here", "elsewhere"):
            body = {"kind": "Namespace", "metadata": {"name": namespace}}
            await send(admin, "POST", "/api/v1/namespaces", body)
            await apply(admin, service(namespace, f"service-{namespace}"))
            for name, labels in (("ours", {"team": "a"}), ("theirs", {"team": "b"})):
                rules = router(namespace, f"{name}-{namespace}")
                rules["metadata"]["labels"] = labels
                await apply(admin, rules)
        account = Account(server, "here", tmp_path)
        await account.grant("services", rule("", "services", VERBS))
        await account.grant("rules", rule("metaprotocol.aeraki.io", "metarouters", VERBS))
        async with following(
            account.connect, kinds=kinds, namespaces=["here"], selector="team=a"
        ) as source:
            await source.until(lambda source: source.synced)
            assert sorted(source.told) == ["MetaRouter/ours-here", "Service/service-here"]
            theirs = router("here", "theirs-here")
            theirs["metadata"]["labels"] = {"team": "a"}
            await apply(admin, theirs)
            await source.hears("MetaRouter/theirs-here")
            theirs["metadata"]["labels"] = {"team": "b"}
            await apply(admin, theirs)
            await source.until(lambda source: source.deleted == ["MetaRouter/theirs-here"])
        root = "/apis/metaprotocol.aeraki.io"
        assert asked(tmp_path, "here") == {
            ("/api/v1/namespaces/here/services", ""),
            (root, ""),
            (f"{root}/v1alpha1/namespaces/here/metarouters", "team=a"),
        }
