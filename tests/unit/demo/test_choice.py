"""In which cluster the demo may play."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from meltemi.demo.choice import Cluster, UsageError, Wanted, choose, require_permission
from meltemi.testing.fetching import UnavailableError
from meltemi.testing.kube_binaries import ASSETS, NAMES
from meltemi.testing.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: here
clusters: [{{name: here, cluster: {{server: "{url}"}}}}]
users: [{{name: me, user: {{token: sesame}}}}]
contexts: [{{name: here, context: {{cluster: here, user: me}}}}]
"""


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No pod, no kubeconfig, and programs to start an API server from."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(
        "kubernetes.aio.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none")
    )
    for name in NAMES:
        (tmp_path / name).touch()
    monkeypatch.setenv(ASSETS, str(tmp_path))


def kubeconfig(folder: Path, url: str) -> str:
    path = folder / "kubeconfig"
    path.write_text(KUBECONFIG.format(url=url))
    return str(path)


@pytest.mark.parametrize("url", ["https://127.0.0.1:6443", "https://localhost", "https://[::1]:1"])
def test_a_cluster_on_this_machine_needs_no_permission(url: str) -> None:
    require_permission(url, yes=False)


@pytest.mark.parametrize("url", ["https://10.0.0.1:6443", "https://localhost.example", ""])
def test_any_other_needs_it(url: str) -> None:
    with pytest.raises(UsageError, match=r"--yes.*--local"):
        require_permission(url, yes=False)
    require_permission(url, yes=True)


async def test_the_cluster_of_a_kubeconfig_is_looked_at_before_it_is_asked(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, "https://cluster.example")
    with pytest.raises(UsageError, match=r"https://cluster\.example is not on this machine"):
        await choose(Wanted(path))


async def test_without_any_there_is_one_of_the_demos_own(tmp_path: Path) -> None:
    choice = await choose(Wanted())
    assert choice.where == tmp_path
    assert "There is no kubeconfig" in choice.said


async def test_local_looks_at_no_kubeconfig(tmp_path: Path) -> None:
    assert (await choose(Wanted(local=True))).where == tmp_path


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (Wanted("absent"), "--kubeconfig absent: there is no such file"),
        (Wanted(context="absent"), "the kubeconfig cannot be used: "),
    ],
)
async def test_what_was_named_and_is_not_there_is_no_reason_for_another(
    wanted: Wanted, told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        await choose(wanted)


async def test_a_file_that_is_something_else_is_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("just a text")
    with pytest.raises(UsageError, match="text is no kubeconfig: "):
        await choose(Wanted(str(tmp_path / "text")))


async def test_a_context_that_is_not_in_the_kubeconfig_is_told(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, "https://127.0.0.1")
    with pytest.raises(UsageError, match="absent"):
        await choose(Wanted(path, "absent"))


async def test_an_api_server_that_does_not_answer_is_told(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UnavailableError, match=r"does not answer: .*; start it, or write --local"):
        await choose(Wanted(path))


async def test_credentials_that_are_refused_are_told_as_check_tells_them(tmp_path: Path) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        writer.close()

    port = free_port()
    async with await asyncio.start_server(refuse, "127.0.0.1", port):
        path = kubeconfig(tmp_path, f"http://127.0.0.1:{port}")
        with pytest.raises(UsageError, match=r"does not know who asks: 401 no; log in again"):
            await choose(Wanted(path))


def test_others_are_told_which_cluster_it_is() -> None:
    assert Cluster("file", "here").options == ("--kubeconfig", "file", "--context", "here")
    assert Cluster("").options == ()
