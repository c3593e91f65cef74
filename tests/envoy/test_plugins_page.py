"""The plugin of docs/plugins.md, as the page has it: installed, asked, and judged by Envoy."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from meltemi.testing.ports import LOOPBACK, Address, free_ports
from meltemi.testing.standalone import embedded_meltemi, standalone_envoy
from tests.envoy.rig import until_stat
from tests.pages import blocks, elsewhere, files

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.envoy

BLOCKS = blocks("plugins.md")
SHELL = [line for block in BLOCKS if block.language == "sh" for line in block.text.splitlines()]
LISTENER, SERVER = "2181", "12181"


@pytest.fixture
def ports() -> dict[str, int]:
    """Free ones in place of the page's."""
    return dict(zip((LISTENER, SERVER), free_ports(2), strict=True))


@pytest.fixture
def folder(tmp_path: Path, ports: dict[str, int]) -> Path:
    """What the page has its reader save, and the plugin installed in ``site``."""
    for name, text in files(BLOCKS).items():
        (tmp_path / name).write_text(elsewhere(text, ports))
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    # Into a folder of its own: this environment is not changed for one test.
    run(tmp_path, *pip, "--no-deps", "--no-build-isolation", "--target", "site", ".")
    return tmp_path


def run(folder: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder / "site")}
    ran = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def meltemi(folder: Path, line: str) -> str:
    """A line of the page's shell."""
    program, *arguments = line.split()
    assert program == "meltemi"
    return run(folder, sys.executable, "-m", "meltemi", *arguments)


def test_the_installed_plugin_is_listed_and_compiles_its_service(folder: Path) -> None:
    install, plugins, compile_ = SHELL
    assert install == "pip install --editable ."
    assert "meltemi-zookeeper 1.0" in meltemi(folder, plugins)
    listeners = json.loads(meltemi(folder, compile_))[
        "type.googleapis.com/envoy.config.listener.v3.Listener"
    ]
    (listener,) = listeners
    (chain,) = listener["resource"]["filterChains"]
    assert [each["name"] for each in chain["filters"]] == [
        "envoy.filters.network.zookeeper_proxy",
        "envoy.filters.network.tcp_proxy",
    ]


def test_the_tests_that_the_page_recommends_pass(folder: Path) -> None:
    quiet = ("-q", "-p", "no:warnings", "-p", "no:cacheprovider", "-p", "no:asyncio")
    ran = run(folder, sys.executable, "-m", "pytest", *quiet, "test_contract.py", "test_envoy.py")
    assert "2 passed" in ran


def connect_request() -> bytes:
    """The first message of ZooKeeper's protocol: a new session of 10 s."""
    body = struct.pack(">iqiqi16s", 0, 0, 10_000, 0, 16, b"")
    return struct.pack(">i", len(body)) + body


async def test_envoy_counts_the_requests_and_moves_the_bytes(
    folder: Path, ports: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(folder / "site"), *sys.path])
    arrived: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def ensemble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if got := await reader.read(1024):  # the health check says nothing
            arrived.set_result(got)
        writer.close()

    async with (
        await asyncio.start_server(ensemble, LOOPBACK, ports[SERVER]),
        embedded_meltemi(folder / "zoo.yaml") as control,
        standalone_envoy(control.xds) as envoy,
    ):
        await envoy.wait_ready()
        listener = f"zoo.example_{ports[LISTENER]}"
        assert await envoy.listeners() == {listener: Address(LOOPBACK, ports[LISTENER])}
        _, writer = await asyncio.open_connection(LOOPBACK, ports[LISTENER])
        writer.write(connect_request())
        async with asyncio.timeout(30):
            assert await arrived == connect_request()
        counted = f"outbound|{ports[LISTENER]}||zoo.example.zookeeper.connect_rq"
        await until_stat(envoy, counted, lambda now: now == 1)
        writer.close()
