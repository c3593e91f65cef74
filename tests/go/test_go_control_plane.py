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
from envoy_data_plane.envoy.config.listener.v3 import Listener

from meltemi.protocols.foreign import KAFKA_BROKER
from meltemi.xds.resource import LISTENER
from tests.golden.cases import Case
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


def filters(case: Case) -> list[bytes]:
    """The kafka_broker of each listener of a golden case."""
    _, group = case.compile()
    chains = [
        chain
        for resource in group.snapshot.of_type(LISTENER).values()
        for chain in Listener.parse(resource.body).filter_chains
    ]
    found = (each.typed_config for chain in chains for each in chain.filters)
    return [any_.value for any_ in found if any_ and any_.type_url.endswith(KAFKA_BROKER)]


def test_go_finds_nothing_wrong_with_the_filters_of_a_golden_case(reader: Path) -> None:
    ran = [read(reader, body) for body in filters(Case("kafka/api-keys"))]
    assert [each.stderr for each in ran] == ["", "", ""]
    told = [json.loads(each.stdout) for each in ran]
    assert {each["statPrefix"] for each in told} == {
        "outbound|9092||kafka.example",
        "outbound|19091||broker-1.kafka.example",
        "outbound|19092||broker-2.kafka.example",
    }
    assert {str(each["apiKeysDenied"]) for each in told} == {"[19, 20]"}


def test_go_refuses_what_envoy_would(reader: Path) -> None:
    ran = read(reader, BYTES[30:])
    assert ran.returncode == 1
    assert "StatPrefix: value length must be at least 1" in ran.stderr


def test_go_notices_a_field_of_a_wrong_number(reader: Path) -> None:
    assert "unknown fields" in read(reader, BYTES + b"\x30\x01").stderr
