"""Files that should be kubeconfigs, and are not: the library takes for granted that they are."""

from __future__ import annotations

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
    [b"", b"text", b"[1, 2]", b"a: b: c", b"\xff\xfe\xfa", b"clusters: 1", b"users: [1]", b"{}"],
)
async def test_a_file_of_any_other_content_is_told_to_be_none(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ConfigException, match=r"is no kubeconfig|Invalid kube-config"):
        await configuration(str(path))


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
