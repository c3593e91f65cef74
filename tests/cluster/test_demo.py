"""``meltemi demo --kube`` in a real cluster: what it claims it has seen, and it leaves nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from meltemi.controller.crds.definitions import DEFINITIONS
from meltemi.demo import Wanted, brokers, main, watch
from meltemi.demo.cluster import ClusterRules
from meltemi.demo.show import NOT_SEEN, SEEN
from meltemi.testing.kube_binaries import ASSETS
from tests.cluster.apiserver import ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from meltemi.demo.story import Edit

pytestmark = [pytest.mark.cluster, pytest.mark.envoy]

CLAIMS, CLAIMS_OF_KAFKA = 12, 3
PATIENCE_S = 300.0
ENDED_S = 60.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    assets: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[ApiServer]:
    """Of these tests alone: others define the same kinds otherwise."""
    async with ApiServer(assets, tmp_path_factory.mktemp("demo")) as server:
        yield server


@pytest.fixture
def environment(assets: Path, tmp_path: Path) -> dict[str, str]:
    """All temporary files below a folder that the commands of its processes name."""
    return {**os.environ, "TMPDIR": str(tmp_path), ASSETS: str(assets)}


def command(*options: object) -> list[str]:
    return [sys.executable, "-u", "-m", "meltemi", "demo", "--kube", *map(str, options)]


def marks(told: str) -> str:
    """The verdicts of the summary, in order."""
    *_, summary = told.partition("\n\n")
    return "".join(line[0] for line in summary.splitlines() if line[:1] in {SEEN, NOT_SEEN})


def namespace_of(told: str) -> str:
    found = re.search(r"objects of the namespace (\S+)", told)
    assert found is not None, told
    return found[1]


def kubectl(server: ApiServer, *args: str) -> str:
    argv = [str(server.kubectl), "--kubeconfig", str(server.kubeconfig), *args]
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout


def objects_in(server: ApiServer, namespace: str) -> list[str]:
    """Everything that is in a namespace, of all kinds that there are."""
    kinds = kubectl(server, "api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    return kubectl(server, "get", ",".join(kinds), "-n", namespace, "-o", "name").split()


def is_being_deleted(server: ApiServer, namespace: str) -> bool:
    """Nobody finishes that here."""
    asked = ("get", "namespace", namespace, "-o", "jsonpath={.metadata.deletionTimestamp}")
    return kubectl(server, *asked) != ""


def processes(folder: Path) -> list[str]:
    """Those whose command names the folder."""
    found: list[str] = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = each.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended
        found += [text] if str(folder) in text else []
    return found


def test_the_whole_story_is_observed_in_a_cluster_and_nothing_stays(
    server: ApiServer, environment: dict[str, str], tmp_path: Path
) -> None:
    ran = subprocess.run(
        command("--kubeconfig", server.kubeconfig),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
        env=environment,
    )
    told = ran.stdout
    assert ran.returncode == 0, told + ran.stderr
    first, *_ = told.splitlines()
    assert re.fullmatch(rf"Kubernetes v1\.\d+\.\d+ at {server.url}", first)
    left_out = "Kafka is left out" in told
    assert marks(told) == SEEN * (CLAIMS if left_out else CLAIMS + CLAIMS_OF_KAFKA)
    mistake = "metarouter/orders ResolvedRefs=False (DestinationNotFound) at spec.routes[0].route"
    assert f"{mistake}: MEL0302" in told
    assert re.search(r"every object says Programmed=True: [67] objects", told)
    namespace = namespace_of(told)
    assert objects_in(server, namespace) == []
    assert is_being_deleted(server, namespace)
    assert processes(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
    assert "metarouters.metaprotocol.aeraki.io" in kubectl(server, "get", "crd", "-o", "name")


def no_kafka(_: Callable[[str], None]) -> bool:
    """Its steps would wait for an edit that never comes."""
    return False


def test_a_cluster_that_never_hears_of_the_edits_is_no_success(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def forget(_: ClusterRules, edit: Edit) -> None:
        """As if nobody had applied it."""

    monkeypatch.setattr(ClusterRules, "save", forget)
    monkeypatch.setattr(brokers, "kafka_at_hand", no_kafka)
    monkeypatch.setattr(watch, "WINDOW_S", 0.2)
    monkeypatch.setattr(watch, "PATIENCE_S", 0.3)
    code = main(stay=False, kube=Wanted(str(server.kubeconfig)))
    told = capsys.readouterr().out
    assert code == 1
    assert marks(told).count(NOT_SEEN) >= 9, told
    assert "Meltemi's log ends with:" in told
    assert objects_in(server, namespace_of(told)) == []


def until(told: Iterator[str], begins: str) -> str:
    """What is said until a line that begins so."""
    heard: list[str] = []
    for line in told:
        heard.append(line)
        if line.startswith(begins):
            return "".join(heard)
    pytest.fail("".join(heard))


@pytest.mark.parametrize("moment", ["Starting Meltemi", "Thrift: weights"])
def test_ctrl_c_leaves_no_objects_and_no_processes(
    server: ApiServer, environment: dict[str, str], tmp_path: Path, moment: str
) -> None:
    options = command("--kubeconfig", server.kubeconfig)
    with subprocess.Popen(options, stdout=subprocess.PIPE, text=True, env=environment) as demo:
        assert demo.stdout is not None
        namespace = namespace_of(until(demo.stdout, moment))
        assert objects_in(server, namespace)
        demo.send_signal(signal.SIGINT)
        demo.stdout.read()
        assert demo.wait(ENDED_S) == 130
    assert objects_in(server, namespace) == []
    assert is_being_deleted(server, namespace)
    assert processes(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moment", ["Starting kube-apiserver", "Calling on"])
def test_an_api_server_of_the_demos_own_ends_with_it(
    environment: dict[str, str], tmp_path: Path, moment: str
) -> None:
    options = command("--local")
    with subprocess.Popen(options, stdout=subprocess.PIPE, text=True, env=environment) as demo:
        assert demo.stdout is not None
        until(demo.stdout, moment)
        demo.send_signal(signal.SIGTERM)
        demo.stdout.read()
        assert demo.wait(ENDED_S) == 130
    assert processes(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_namespace_that_is_there_already_is_left_alone(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(brokers, "kafka_at_hand", no_kafka)
    assert main(stay=False, kube=Wanted(str(server.kubeconfig), namespace="default")) == 1
    assert "the namespace default exists already" in capsys.readouterr().out
    assert not is_being_deleted(server, "default")


def test_a_definition_of_somebody_else_is_left_alone(
    server: ApiServer, environment: dict[str, str], tmp_path: Path
) -> None:
    """A column of theirs, as whoever installed it wanted it."""
    name = "redisservices.redis.aeraki.io"
    kubectl(server, "apply", "--server-side", "--force-conflicts", "-f", theirs(tmp_path))
    before = kubectl(server, "get", "crd", name, "-o", "jsonpath={.metadata.generation}")
    options = command("--kubeconfig", server.kubeconfig)
    with subprocess.Popen(options, stdout=subprocess.PIPE, text=True, env=environment) as demo:
        assert demo.stdout is not None
        told = until(demo.stdout, "Starting Meltemi")
        demo.send_signal(signal.SIGINT)
        demo.stdout.read()
    assert f"{name} is somebody else's here" in told
    assert kubectl(server, "get", "crd", name, "-o", "jsonpath={.metadata.generation}") == before


def theirs(folder: Path) -> str:
    """A file with the definition that it is about."""
    (definition,) = (each for each in DEFINITIONS if each.kind == "RedisService")
    document: Any = definition.to_dict()
    document["spec"]["versions"][0]["additionalPrinterColumns"] = []
    path = folder.with_suffix(".json")
    path.write_text(json.dumps(document))
    return str(path)
