"""``meltemi serve --webhook``: what is told to whoever starts it in a way that cannot work."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from meltemi.controller.webhook.certificates import Action, carry_out
from meltemi.testing.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from pathlib import Path


def serve(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """The exit code and the complaint of one that cannot serve. Nobody is at its API server."""
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(f"""apiVersion: v1
kind: Config
current-context: test
clusters: [{{name: test, cluster: {{server: "http://{LOOPBACK}:{free_port()}"}}}}]
users: [{{name: admin, user: {{}}}}]
contexts: [{{name: test, context: {{cluster: test, user: admin}}}}]
""")
    where = ("--xds", f"{LOOPBACK}:0", "--admin", f"{LOOPBACK}:0")
    ran = subprocess.run(
        [sys.executable, "-m", "meltemi", "serve", *arguments, *where],
        capture_output=True,
        check=False,
        timeout=60,
        text=True,
        env={**os.environ, "KUBECONFIG": str(kubeconfig), **environment},
    )
    return ran.returncode, ran.stderr


def files(folder: Path) -> dict[str, str]:
    """Settings with a certificate of somebody else's."""
    made = carry_out(Action.ROTATE, None, frozenset({LOOPBACK}), datetime.now(UTC))
    (folder / "c.pem").write_bytes(made.certificate)
    (folder / "k.pem").write_bytes(made.key)
    return {
        "MELTEMI_WEBHOOK_CERT": str(folder / "c.pem"),
        "MELTEMI_WEBHOOK_KEY": str(folder / "k.pem"),
    }


def test_without_a_cluster_nobody_asks(tmp_path: Path) -> None:
    code, complaint = serve(tmp_path, str(tmp_path), "--webhook", f"{LOOPBACK}:9443")
    assert (code, "--webhook go with --kube" in complaint) == (2, True)


def test_an_address_is_a_host_and_a_port(tmp_path: Path) -> None:
    code, complaint = serve(tmp_path, "--kube", "--webhook", "9443")
    assert (code, "--webhook" in complaint) == (2, True)


@pytest.mark.parametrize("wrong", ["absent", "nonsense"])
def test_a_certificate_that_cannot_be_used_is_told_at_once(tmp_path: Path, wrong: str) -> None:
    given = files(tmp_path)
    if wrong == "absent":
        (tmp_path / "k.pem").unlink()
    else:
        (tmp_path / "k.pem").write_text("nonsense")
    code, complaint = serve(tmp_path, "--kube", "--webhook", f"{LOOPBACK}:0", **given)
    assert code == 2, complaint
    assert f"the webhook's certificate {tmp_path / 'c.pem'}" in complaint
    assert "write a PEM chain" in complaint


def test_a_port_that_is_taken_ends_it(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        where = f"{LOOPBACK}:{taken.getsockname()[1]}"
        code, complaint = serve(tmp_path, "--kube", "--webhook", where, **files(tmp_path))
    assert code == 3, complaint
    assert "Address already in use" in complaint


def test_without_any_api_server_it_is_told_how_to_name_one(tmp_path: Path) -> None:
    code, complaint = serve(
        tmp_path, "--kube", "--webhook", f"{LOOPBACK}:0", KUBECONFIG=str(tmp_path / "none")
    )
    assert (code, "no API server is configured" in complaint) == (2, True)
