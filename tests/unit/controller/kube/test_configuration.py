"""Files that should be kubeconfigs, and are not: the library takes for granted that they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from kubernetes.aio.config import ConfigException

from meltemi.controller.kube.api import configuration

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def outside_of_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


@pytest.mark.parametrize(
    "content",
    [b"text", b"[1, 2]", b"a: b: c", b"\xff\xfe\xfa", b"clusters: 1", b"users: [1]", b"{}"],
)
async def test_a_file_of_any_other_content_is_told_to_be_none(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ConfigException, match=r"is no kubeconfig|Invalid kube-config"):
        await configuration(str(path))


def _written(folder: Path, user: str) -> str:
    path = folder / "file"
    path.write_text(f"""\
apiVersion: v1
current-context: here
clusters: [{{name: here, cluster: {{server: "https://127.0.0.1"}}}}]
users: [{{name: me, user: {user}}}]
contexts: [{{name: here, context: {{cluster: here, user: me}}}}]
""")
    return str(path)


def _command(shell: str) -> str:
    what = {"apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}
    return json.dumps({"exec": {**what, "command": "sh", "args": ["-c", shell]}})


@pytest.mark.parametrize("shell", ["exit 1", "echo nonsense", "echo '{}'"])
async def test_who_has_a_command_for_credentials_is_nobody_without_them(
    tmp_path: Path, shell: str
) -> None:
    with pytest.raises(ConfigException, match="no credentials that can be used: its command"):
        await configuration(_written(tmp_path, _command(shell)))


async def test_credentials_of_a_command_are_used(tmp_path: Path) -> None:
    kind = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    given = json.dumps({**kind, "status": {"token": "sesame"}})
    found = await configuration(_written(tmp_path, _command(f"echo '{given}'")))
    assert found.api_key == {"BearerToken": "Bearer sesame"}


async def test_who_names_no_credentials_asks_without_any(tmp_path: Path) -> None:
    found = await configuration(_written(tmp_path, "{}"))
    assert not found.api_key


async def test_data_that_is_no_base64_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("""\
apiVersion: v1
current-context: here
clusters: [{name: here, cluster: {server: "https://127.0.0.1", certificate-authority-data: "a"}}]
users: [{name: me, user: {token: sesame}}]
contexts: [{name: here, context: {cluster: here, user: me}}]
""")
    with pytest.raises(ConfigException, match="is no kubeconfig"):
        await configuration(str(path))


async def test_a_file_that_is_absent_or_empty_is_told_as_that(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(ConfigException, match=f"--kubeconfig {path}: there is no such file"):
        await configuration(str(path))
    path.touch()
    with pytest.raises(ConfigException, match=f"--kubeconfig {path}: the file is empty"):
        await configuration(str(path))


async def test_a_context_that_is_none_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    path = _written(tmp_path, "{token: sesame}")
    with pytest.raises(ConfigException, match="there is no context 'there', but here"):
        await configuration(path, "there")
    assert (await configuration(path, "here")).host == "https://127.0.0.1"
