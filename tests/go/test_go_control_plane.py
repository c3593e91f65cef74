"""Envoy's own Go types read our bytes of messages that no Python package has.

The Go module is fetched by Go itself, once; where that is impossible the tests are left out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.kafka_broker import BYTES, MEANING

SOURCE = Path(__file__).parent / "kafka_broker"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that prints a KafkaBroker, or fails on what Envoy would refuse."""
    if (go := shutil.which("go")) is None:
        pytest.skip("Go's reading of kafka_broker was left out: there is no Go on this machine")
    fetched = run_go(go, "mod", "download")
    if fetched.returncode != 0:
        words = "".join(fetched.stderr.strip().splitlines()[-1:])
        pytest.skip(f"Go's reading of kafka_broker was left out: {words}")
    program = tmp_path_factory.mktemp("go") / "kafka_broker"
    built = run_go(go, "build", "-o", str(program), ".")
    assert built.returncode == 0, built.stderr
    return program


def run_go(go: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [go, *arguments],
        cwd=SOURCE,
        env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"},
        capture_output=True,
        text=True,
        check=False,
    )


def read(reader: Path, body: bytes) -> subprocess.CompletedProcess[str]:
    return subprocess.run([reader], input=body.hex(), capture_output=True, text=True, check=False)


def test_go_reads_our_kafka_broker(reader: Path) -> None:
    ran = read(reader, BYTES)
    assert ran.stderr == ""
    assert json.loads(ran.stdout) == MEANING


def test_go_refuses_what_envoy_would(reader: Path) -> None:
    ran = read(reader, BYTES[30:])
    assert ran.returncode == 1
    assert "StatPrefix: value length must be at least 1" in ran.stderr


def test_go_notices_a_field_of_a_wrong_number(reader: Path) -> None:
    assert "unknown fields" in read(reader, BYTES + b"\x30\x01").stderr
