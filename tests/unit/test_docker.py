"""docker/: what can be said of images and containers where no container engine runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from meltemi.controller.bootstrap import Wish, bootstrap
from meltemi.testing.envoy_binary import ENVOY_VERSION
from tests.wheel.building import SOURCES

DOCKER = Path(__file__).parents[2] / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = [line.split() for line in (DOCKER / "Dockerfile").read_text().splitlines() if line]

of_each_service = pytest.mark.parametrize("name", SERVICES)


def test_the_compose_file_is_one_by_the_compose_specification() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    ran = subprocess.run(
        [*check, DOCKER / "compose.yaml"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout


@of_each_service
def test_a_container_has_no_rights_and_cannot_write(name: str) -> None:
    service = SERVICES[name]
    assert (service["user"], service["read_only"], service["cap_drop"]) == (
        "65532:65532",
        True,
        ["ALL"],
    )
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(volume.endswith(":ro") for volume in service.get("volumes", ()))


@of_each_service
def test_a_container_is_checked_before_others_count_on_it(name: str) -> None:
    for other, wanted in SERVICES[name].get("depends_on", {}).items():
        healthy = wanted["condition"] == "service_healthy"
        assert "healthcheck" in SERVICES[other] or not healthy


def test_nobody_beyond_the_machine_reaches_the_containers() -> None:
    own = {name for name, each in SERVICES.items() if "network_mode" not in each}
    assert own == {"meltemi"}
    assert {each["network_mode"] for name, each in SERVICES.items() if name not in own} == {
        "service:meltemi"
    }
    ports = SERVICES["meltemi"]["ports"]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


@of_each_service
def test_what_is_mounted_is_there(name: str) -> None:
    mounted = [volume.partition(":")[0] for volume in SERVICES[name].get("volumes", ())]
    assert [path for path in mounted if not (DOCKER / path).exists()] == []


def test_envoy_is_the_one_that_the_tests_drive() -> None:
    assert SERVICES["envoy"]["image"] == f"envoyproxy/envoy:v{ENVOY_VERSION}"


def test_envoy_starts_with_what_bootstrap_prints(request: pytest.FixtureRequest) -> None:
    wanted = bootstrap(Wish("127.0.0.1", 18000, "demo", {"bind": "0.0.0.0"}, admin_port=9901))
    text, golden = f"{json.dumps(wanted.document, indent=2)}\n", DOCKER / "envoy.json"
    if request.config.getoption("--update-golden"):
        golden.write_text(text)
    assert text == golden.read_text()
    command: list[str] = SERVICES["envoy"]["command"]
    assert command[command.index("--drain-time-s") + 1] == str(wanted.drain)


def test_the_image_is_built_from_the_sources_of_the_wheel() -> None:
    copied = {name for word, *names in DOCKERFILE if word == "COPY" for name in names[:-1]}
    assert copied - {"--from=build", "/meltemi"} == {*SOURCES}


def test_the_image_runs_as_a_number_that_is_not_root() -> None:
    (user,) = (words[0] for word, *words in DOCKERFILE if word == "USER")
    assert 0 not in map(int, user.split(":"))
