"""``meltemi proxies`` against a running control plane."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING

import yaml

from meltemi.controller.admin.security import AdminSecurity
from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.xds_client import sotw_request
from meltemi.xds.resource import CLUSTER, ENDPOINT
from tests.flow.operated import Operated, introduce, operated

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from typer.testing import Result

    from tests.command import Run
    from tests.flow.xds_rig import Client

TOKEN = "root-token-0123456789"
RULES = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cart}
spec:
  hosts: [cart.example]
  resolution: STATIC
  ports: [{number: 20880, name: tcp-dubbo}]
  endpoints: [{address: 10.9.8.7}]
"""


def rules(folder: Path) -> Path:
    path = folder / "rules"
    path.mkdir()
    (path / "rules.yaml").write_text(RULES)
    return path


async def ask(run: Run, meltemi: Operated, *args: object) -> Result:
    """The command has no event loop: it asks from a thread, as another process would."""
    server = f"http://127.0.0.1:{meltemi.admin}"
    return await asyncio.to_thread(run, "proxies", *args, "--server", server)


async def connect(client: Client, error: str | None = None) -> None:
    """A proxy that answers its clusters and has had its answer read."""
    await client.say(introduce(sotw_request(CLUSTER), "edge", capable=False))
    response = await client.hear()
    version = "" if error else response.version
    await client.say(sotw_request(CLUSTER, version=version, nonce=response.nonce, error=error))
    await client.say(sotw_request(ENDPOINT, ["nobody"]))
    await client.hear()


async def test_each_type_of_each_stream_is_a_row(run: Run, tmp_path: Path) -> None:
    async with operated(rules(tmp_path)) as meltemi, meltemi.client() as client:
        await connect(client)
        result = await ask(run, meltemi, "-o", "json")
        assert result.exit_code == 0
        found = {row["type"]: row for row in json.loads(result.stdout)}
        assert {name: row["state"] for name, row in found.items()} == {
            "Cluster": "ACKED",
            "ClusterLoadAssignment": "PENDING",
            "Listener": "NOT SUBSCRIBED",
            "dubbo": "UNSUPPORTED",
        }
        assert found["Cluster"]["version"]
        assert all(row["age"] >= 0 for row in found.values())
        assert found["dubbo"]["origins"] == ["ServiceEntry default/cart spec.ports[0]"]
        assert {row["proxy"] for row in found.values()} == {"edge"}


async def test_every_output_has_the_same_exit_code_and_the_same_rows(
    run: Run, tmp_path: Path
) -> None:
    async with operated(rules(tmp_path)) as meltemi, meltemi.client() as client:
        await connect(client, "because")
        results = [await ask(run, meltemi, "-o", form) for form in ("table", "json", "yaml")]
        assert [result.exit_code for result in results] == [1, 1, 1]
        table, as_json, as_yaml = (result.stdout for result in results)
        assert "NACKED" in table
        assert "because" in table
        for row, same in zip(json.loads(as_json), yaml.safe_load(as_yaml), strict=True):
            assert {**row, "age": 0} == {**same, "age": 0}


async def test_one_proxy_may_be_asked_for(run: Run, tmp_path: Path) -> None:
    async with operated(rules(tmp_path)) as meltemi, meltemi.client() as client:
        await connect(client)
        assert (await ask(run, meltemi, "edge")).exit_code == 0
        unknown = await ask(run, meltemi, "nobody")
        assert unknown.exit_code == 1
        assert unknown.stderr == "meltemi: no proxy 'nobody' is connected\n"


async def test_without_proxies_it_says_so(run: Run, tmp_path: Path) -> None:
    async with operated(rules(tmp_path)) as meltemi:
        result = await ask(run, meltemi)
        assert (result.exit_code, result.stdout) == (0, "no proxy is connected\n")


async def test_a_token_is_presented_and_a_wrong_one_is_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, wrong = tmp_path / "tokens", tmp_path / "wrong"
    tokens.write_text(f"{TOKEN} *\n")
    wrong.write_text("wrong-token-0123456789")
    async with operated(rules(tmp_path), AdminSecurity(tokens)) as meltemi:
        assert (await ask(run, meltemi, "--token-file", tokens)).exit_code == 0
        for refused in (await ask(run, meltemi), await ask(run, meltemi, "--token-file", wrong)):
            assert refused.exit_code == 2
            assert "a token is needed" in refused.stderr
            assert "--token-file" in refused.stderr
        monkeypatch.setenv("MELTEMI_TOKEN_FILE", str(tokens))
        assert (await ask(run, meltemi)).exit_code == 0


async def test_of_several_replicas_those_that_answer_are_shown(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gone = f"http://127.0.0.1:{taken.getsockname()[1]}"
    async with operated(rules(tmp_path)) as meltemi, meltemi.client() as client:
        await connect(client)
        result = await ask(run, meltemi, "--server", gone)
        assert result.exit_code == 3
        assert f"{gone} cannot be asked" in result.stderr
        assert "ACKED" in result.stdout
        assert f"http://127.0.0.1:{meltemi.admin}" in result.stdout


async def test_what_is_not_meltemi_is_told(run: Run, tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        result = await asyncio.to_thread(run, "proxies", "--server", f"http://127.0.0.1:{port}")
    assert result.exit_code == 3
    assert "does not answer as Meltemi does" in result.stderr


async def test_a_server_takes_its_tokens_from_the_environment(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{TOKEN} *\n")
    monkeypatch.setenv("MELTEMI_ADMIN_TOKEN_FILE", str(tokens))
    async with MeltemiProcess(rules(tmp_path)) as meltemi:
        server = ("--server", f"http://{meltemi.admin}")
        assert (await asyncio.to_thread(run, "proxies", *server)).exit_code == 2
        known = await asyncio.to_thread(run, "proxies", *server, "--token-file", tokens)
        assert (known.exit_code, known.stdout) == (0, "no proxy is connected\n")
