"""``meltemi serve`` off loopback: what must be said before anybody is let in."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from meltemi.testing.control_plane import MeltemiProcess
from tests.certificates import Authority, files

if TYPE_CHECKING:
    from pathlib import Path

ELSEWHERE = "192.0.2.1:18000"
"""An address off loopback that this machine does not have: nothing is ever served there."""


def serve(folder: Path, *flags: str, **environment: str) -> tuple[int, str]:
    """The exit code and the complaint of a Meltemi that cannot serve."""
    rules = folder / "rules"
    rules.mkdir(exist_ok=True)
    argv: list[str | Path] = [sys.executable, "-m", "meltemi", "serve", rules, *flags]
    argv += ["--admin", "127.0.0.1:0"]
    ran = subprocess.run(
        argv, capture_output=True, check=False, timeout=60, text=True, env=environment
    )
    return ran.returncode, ran.stderr


def tls(folder: Path) -> list[str]:
    """The flags of mutual TLS."""
    authority = Authority()
    written = files(folder / "tls", authority.server(), authority)
    flags = ["--tls-cert", written.certificate, "--tls-key", written.key]
    return [*map(str, flags), "--client-ca", str(written.authority)]


def test_plaintext_off_loopback_is_refused(tmp_path: Path) -> None:
    code, complaint = serve(tmp_path, "--xds", ELSEWHERE)
    assert (code, "without TLS only a loopback address" in complaint) == (2, True)


def test_plaintext_off_loopback_is_tried_when_asked_for(tmp_path: Path) -> None:
    for asked in (["--plaintext"], []):
        environment = {} if asked else {"MELTEMI_PLAINTEXT": "1"}
        code, complaint = serve(tmp_path, "--xds", ELSEWHERE, *asked, **environment)
        assert code == 3, complaint
        assert f"cannot listen on {ELSEWHERE}" in complaint


def test_mutual_tls_needs_no_further_word_for_another_address(tmp_path: Path) -> None:
    code, complaint = serve(tmp_path, "--xds", ELSEWHERE, *tls(tmp_path))
    assert code == 3, complaint
    assert f"cannot listen on {ELSEWHERE}" in complaint


def test_settings_that_do_not_go_together_are_told(tmp_path: Path) -> None:
    code, complaint = serve(tmp_path, "--plaintext", *tls(tmp_path)[2:])
    assert (code, "MELTEMI_TLS_CERT not set" in complaint) == (2, True)


def test_files_of_tls_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    flags = tls(tmp_path)
    (tmp_path / "tls" / "tls.key").write_text("no key")
    code, complaint = serve(tmp_path, *flags)
    assert (code, "tls.key cannot be used" in complaint) == (2, True)
    assert "Traceback" not in complaint


async def test_an_exposed_port_is_warned_of(tmp_path: Path) -> None:
    async with MeltemiProcess(tmp_path, extra_args=["--plaintext"]) as meltemi:
        log = meltemi.process.log_tail()
    assert "[warning  ] server.exposed" in log
    assert "everybody who reaches this address" in log


async def test_a_port_of_this_machine_is_not_warned_of(tmp_path: Path) -> None:
    async with MeltemiProcess(tmp_path) as meltemi:
        assert "server.exposed" not in meltemi.process.log_tail()


async def test_an_ipv6_address_may_be_served(tmp_path: Path) -> None:
    # The last --xds counts.
    async with MeltemiProcess(tmp_path, extra_args=["--xds", "[::1]:0"]) as meltemi:
        assert "xds=[::1]:0" in meltemi.process.log_tail()


def test_a_port_for_tokens_is_refused_where_nobody_can_verify_them(tmp_path: Path) -> None:
    flags = ["--xds", "127.0.0.1:0", "--token-xds", ELSEWHERE]
    code, complaint = serve(tmp_path, *flags, *tls(tmp_path)[:4])
    assert (code, "--token-xds (MELTEMI_TOKEN_XDS) goes with --kube" in complaint) == (2, True)


def test_a_port_for_tokens_is_refused_without_tls(tmp_path: Path) -> None:
    code, complaint = serve(tmp_path, "--xds", "127.0.0.1:0", "--token-xds", ELSEWHERE)
    assert (code, "(MELTEMI_TOKEN_XDS) needs TLS" in complaint) == (2, True)
