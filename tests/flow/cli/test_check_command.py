"""``meltemi check`` on this machine, and against running servers."""

from __future__ import annotations

import asyncio
import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.ports import LOOPBACK, Address, free_port
from tests.certificates import DAY, SERVER_ID, Authority, Files, files

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from typer.testing import Result

    from tests.command import Run

PATIENCE_S = 60.0
RULES = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cart}
spec: {hosts: [cart.example], resolution: STATIC, ports: [{number: 20880, name: tcp-dubbo}]}
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules"
    path.mkdir()
    (path / "rules.yaml").write_text(RULES)
    return path


@pytest.fixture
def keys(tmp_path: Path) -> Files:
    """Of a server, for a hundred days; its clients' authority for one more day."""
    authority = Authority()
    certificate = authority.issue(uris=[SERVER_ID], hosts=["localhost"], ends=100 * DAY)
    return files(tmp_path / "tls", certificate, authority)


def of(keys: Files) -> list[str]:
    return [
        *("--tls-cert", str(keys.certificate), "--tls-key", str(keys.key)),
        *("--client-ca", str(keys.authority)),
    ]


async def check(run: Run, *args: object) -> Result:
    """The command has no event loop: it asks from a thread, as another process would."""
    return await asyncio.to_thread(run, "check", *args)


def states(result: Result) -> dict[str, str]:
    """By check and what it is about."""
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return {f"{row['check']} {row['about']}".strip(): row["state"] for row in rows}


async def test_a_server_of_files_tells_how_it_is(run: Run, rules: Path) -> None:
    async with MeltemiProcess(rules) as meltemi:
        url = f"http://{meltemi.admin}"
        result = await check(run, "--server", url, "-o", "json")
        assert (result.exit_code, states(result)) == (
            0,
            {
                "source": "fine",
                f"ports --xds {meltemi.xds}": "fine",
                "certificates": "fine",
                "proxies": "warning",  # nobody is there yet
            },
        )
        rows: list[dict[str, Any]] = json.loads(result.stdout)
        assert {row["server"] for row in rows} == {url}
        page = json.loads((await meltemi.get("/check")).body)
        told = [{name: row[name] for name in row if name != "server"} for row in rows]
        assert page["results"] == told
        assert set(page) == {"version", "replica", "results"}


async def test_a_server_under_mutual_tls_tells_of_its_port_and_files(
    run: Run, rules: Path, keys: Files
) -> None:
    async with MeltemiProcess(rules, extra_args=of(keys)) as meltemi:
        result = await check(run, "--server", f"http://{meltemi.admin}", "-o", "json")
        found = states(result)
        assert found[f"ports --xds {meltemi.xds}"] == "fine"
        assert found["certificates --xds's clients"] == "warning"
        # What the port shows is still good: what replaces it would not be.
        keys.key.write_text("no key")
        async with asyncio.timeout(PATIENCE_S):
            # An answer is given again for some seconds.
            while result.exit_code == 0:
                await asyncio.sleep(0.5)
                result = await check(run, "--server", f"http://{meltemi.admin}", "-o", "json")
        assert (result.exit_code, states(result)["certificates --xds"]) == (1, "error")


async def test_several_servers_are_told_apart_and_compared(run: Run, rules: Path) -> None:
    async with MeltemiProcess(rules) as one, MeltemiProcess(rules) as two:
        urls = [f"http://{each.admin}" for each in (one, two)]
        result = await check(run, "--server", urls[0], "--server", urls[1])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.partition(" (")[0] for line in lines if line.startswith("http")] == urls
    assert lines[-3].startswith("√ replicas      all 2 run version ")
    assert lines[-1] == "0 errors, 2 warnings"


async def test_a_server_that_is_away_is_a_line_and_the_others_are_told(
    run: Run, rules: Path
) -> None:
    away = f"http://{LOOPBACK}:{free_port()}"
    async with MeltemiProcess(rules) as meltemi:
        result = await check(run, "--server", away, "--server", f"http://{meltemi.admin}")
    assert result.exit_code == 3
    assert f"× server        {away} cannot be asked: Connection refused" in result.stdout  # noqa: RUF001
    assert "√ source " in result.stdout


class Old(BaseHTTPRequestHandler):
    """A Meltemi that has no such page, and something else that has one."""

    def do_GET(self) -> None:
        known = self.path.startswith("/other")
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(b'{"version": 7}' if known else b"Not Found")

    def log_message(self, format: str, *args: object) -> None:
        """Quietly."""


@pytest.fixture
def old() -> Generator[str]:
    with HTTPServer((LOOPBACK, 0), Old) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://{LOOPBACK}:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_server_of_another_version_is_a_line(run: Run, old: str) -> None:
    result = run("check", "--server", old)
    assert result.exit_code == 3
    assert f"{old} cannot be asked: 404 Not Found" in result.stdout
    assert "let it run this version" in result.stdout
    result = run("check", "--server", f"{old}/other")
    assert result.exit_code == 1
    assert "does not answer as this version of Meltemi" in result.stdout


async def test_the_ports_of_this_machine_may_be_free_ours_or_somebody_elses(
    run: Run, rules: Path, tmp_path: Path
) -> None:
    free = Address(LOOPBACK, free_port())
    result = await check(run, "--xds", free, "--admin", f"{LOOPBACK}:{free_port()}")
    assert result.exit_code == 0
    assert f"√ ports         --xds {free}: is free" in result.stdout
    async with MeltemiProcess(rules) as meltemi:
        ours = await check(run, "--xds", meltemi.xds, "--admin", meltemi.admin)
        swapped = await check(run, "--admin", meltemi.xds, "-o", "json")
        with_tls = await check(run, "--xds", meltemi.xds, *of(certificates(tmp_path)))
    assert ours.exit_code == 0
    assert ours.stdout.count("Meltemi answers without TLS") == 2
    assert (swapped.exit_code, states(swapped)[f"ports --admin {meltemi.xds}"]) == (1, "error")
    assert "what listens there is not Meltemi with TLS: no TLS" in with_tls.stdout


def certificates(tmp_path: Path) -> Files:
    authority = Authority()
    return files(tmp_path / "other", authority.issue(hosts=["a"], ends=100 * DAY), authority)


def test_files_of_this_machine_are_looked_at(run: Run, tmp_path: Path) -> None:
    authority = Authority()
    old = authority.issue(hosts=["a"], begins=-2 * DAY, ends=-DAY)
    keys = files(tmp_path / "tls", old, authority)
    result = run("check", *of(keys), "-o", "yaml")
    rows = yaml.safe_load(result.stdout)
    assert result.exit_code == 1
    assert [(row["about"], row["state"]) for row in rows] == [
        ("--xds", "error"),
        ("--xds's clients", "warning"),
    ]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--xds", "nowhere"], "--xds"),
        (["--tls-cert", "a.pem"], "MELTEMI_TLS_KEY"),
        (["--server", "nowhere"], "write a URL"),
        (["--kube", "--namespace", "No_Namespace"], "is not the name of a namespace"),
        (["--kubeconfig", "/nowhere/at/all"], "no API server is configured"),
    ],
)
def test_what_cannot_be_used_is_wrong_usage(run: Run, args: list[str], said: str) -> None:
    result = run("check", *args)
    assert (result.exit_code, said in result.stderr) == (2, True), result.stderr
    assert result.stdout == ""


def test_a_cluster_that_is_away_is_told_by_the_exit_code(run: Run, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        f"""apiVersion: v1
kind: Config
current-context: a
clusters: [{{name: a, cluster: {{server: "http://{LOOPBACK}:{free_port()}"}}}}]
users: [{{name: a, user: {{}}}}]
contexts: [{{name: a, context: {{cluster: a, user: a}}}}]
"""
    )
    result = run("check", "--kubeconfig", kubeconfig)
    assert result.exit_code == 3
    assert result.stdout.startswith("× api           the API server cannot be reached")  # noqa: RUF001
    assert "docs/check.md#api" in result.stdout
