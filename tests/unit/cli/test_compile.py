"""``meltemi compile``: what a proxy gets, for whichever proxy, and no secret."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from meltemi.xds.resource import CLUSTER, LISTENER, RUNTIME

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command import Run

PLAIN = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cache}
spec:
  hosts: [cache.example]
  resolution: STATIC
  ports: [{number: 6379, name: tcp-redis}]
  endpoints: [{address: 127.0.0.1}]
---
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {name: cache}
spec:
  host: [cache.example]
  settings:
    auth: {plain: {password: open-sesame-42}}
"""


def listeners(stdout: str) -> dict[str, tuple[str, int]]:
    """Name → address and port."""
    entries = json.loads(stdout).get(LISTENER, [])
    sockets = {e["name"]: e["resource"]["address"]["socketAddress"] for e in entries}
    return {name: (at["address"], at["portValue"]) for name, at in sockets.items()}


def test_resources_come_by_type_with_name_version_origins_and_content(
    run: Run, examples: Path
) -> None:
    result = run("compile", examples / "dubbo")
    assert result.exit_code == 0
    compiled = json.loads(result.stdout)
    assert {LISTENER, CLUSTER, RUNTIME} <= compiled.keys()
    for entries in compiled.values():
        for entry in entries:
            assert entry.keys() == {"name", "version", "origins", "resource"}
    (split,) = (e for e in compiled[CLUSTER] if e["name"].startswith("split|"))
    assert {"MetaRouter", "ServiceEntry"} & {origin["kind"] for origin in split["origins"]}
    assert all(origin["name"] == "orders" for origin in split["origins"])


def test_yaml_is_the_same_data(run: Run, examples: Path) -> None:
    as_json = json.loads(run("compile", examples / "thrift").stdout)
    assert yaml.safe_load(run("compile", examples / "thrift", "-o", "yaml").stdout) == as_json


def test_a_table_names_every_resource(run: Run, examples: Path) -> None:
    table = run("compile", examples / "dubbo", "-o", "table").stdout
    compiled = json.loads(run("compile", examples / "dubbo").stdout)
    assert all(e["name"] in table for entries in compiled.values() for e in entries)


def test_the_default_proxy_is_the_preset(run: Run, examples: Path) -> None:
    default = run("compile", examples / "redis").stdout
    assert run("compile", examples / "redis", "--preset", "envoy-1.40").stdout == default


def test_secrets_are_redacted(run: Run, examples: Path) -> None:
    secret = next(
        doc
        for doc in yaml.safe_load_all((examples / "redis" / "secret.yaml").read_text())
        if doc["kind"] == "Secret"
    )
    result = run("compile", examples / "redis")
    assert "<redacted>" in result.stdout
    for value in secret["stringData"].values():
        assert json.dumps(value) not in result.stdout
        assert value not in result.stderr


def test_a_plain_password_is_redacted_wherever_findings_and_resources_tell_of_it(run: Run) -> None:
    result = run("compile", "-", stdin=PLAIN)
    assert "downstreamAuthPasswords" in result.stdout
    assert "<redacted>" in result.stdout
    assert "MEL0404" in result.stderr
    assert "open-sesame" not in result.output


def test_findings_go_to_standard_error_and_what_compiles_to_standard_output(run: Run) -> None:
    text = PLAIN.replace("spec:\n  host:", "spec:\n  hots: 1\n  host:")
    result = run("compile", "-", stdin=text)
    assert json.loads(result.stdout)[LISTENER]
    assert "<stdin>:14: warning MEL0103 RedisService default/cache spec.hots" in result.stderr


def test_the_exit_code_follows_the_findings(run: Run) -> None:
    assert run("compile", "-", stdin=PLAIN).exit_code == 0
    assert run("compile", "-", "--fail-on", "warning", stdin=PLAIN).exit_code == 1


def test_a_node_file_says_where_the_proxy_listens_and_what_it_can(
    run: Run, examples: Path, tmp_path: Path
) -> None:
    node = tmp_path / "node.json"
    described = {"bind": "127.0.0.9", "ports": {"orders.example:20880": 30880}}
    node.write_text(json.dumps({"id": "edge", "metadata": {"meltemi": described}}))
    result = run("compile", examples / "dubbo", "--node", node)
    assert listeners(result.stdout) == {"orders.example_20880": ("127.0.0.9", 30880)}
    assert "MEL0501" in result.stderr
    assert "tcp_proxy" in result.stdout


@pytest.mark.parametrize("name", ["userAgentBuildVersion", "user_agent_build_version"])
def test_a_node_file_may_be_in_either_case(
    run: Run, examples: Path, tmp_path: Path, name: str
) -> None:
    from meltemi.controller.offline.presets import type_urls

    urls = "typeUrls" if name[4] == "A" else "type_urls"
    major, minor = (
        ("majorNumber", "minorNumber")
        if urls == "typeUrls"
        else (
            "major_number",
            "minor_number",
        )
    )
    node = {
        "id": "edge",
        name: {"version": {major: 1, minor: 40}, "metadata": {"build.type": "RELEASE"}},
        "extensions": [{"name": url, urls: [url]} for url in sorted(type_urls("envoy-1.40"))],
        "metadata": {"meltemi": {"rtds": True}},
    }
    (tmp_path / "node.json").write_text(json.dumps(node))
    result = run("compile", examples / "dubbo", "--node", tmp_path / "node.json")
    assert result.stdout == run("compile", examples / "dubbo").stdout


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"{", "no JSON of a core.v3.Node"),
        (b"[]", "it is no mapping"),
        (b"{}", "it has no field of one"),
        (b'{"configs": []}', "it has no field of one"),
        (b'{"id": 5}', "id"),
        (b"\xff", "utf-8"),
        (b"[" * 100_000, "recursion"),
        (b'{"id": "x", "metadata": {"meltemi": {"bind": "here"}}}', "bind is 'here'"),
        (b'{"id": "x", "metadata": {"meltemi": {"bnid": "vip"}}}', "bnid"),
    ],
)
def test_a_node_file_that_is_none_is_a_sentence(
    run: Run, examples: Path, tmp_path: Path, content: bytes, complaint: str
) -> None:
    node = tmp_path / "node.json"
    node.write_bytes(content)
    result = run("compile", examples / "dubbo", "--node", node)
    assert result.exit_code == 2
    assert result.stderr.startswith("meltemi: ")
    assert result.stderr.count("\n") == 1
    assert complaint in result.stderr


def test_a_node_file_that_cannot_be_read_is_a_sentence(
    run: Run, examples: Path, tmp_path: Path
) -> None:
    for node in (tmp_path, tmp_path / "nothing"):
        result = run("compile", examples / "dubbo", "--node", node)
        assert result.exit_code == 2
        assert f"--node {node} cannot be read" in result.stderr


def test_an_unknown_preset_is_answered_with_those_that_there_are(run: Run, examples: Path) -> None:
    result = run("compile", examples / "dubbo", "--preset", "envoy-9")
    assert result.exit_code == 2
    known = "envoy-1.36, envoy-1.40"
    assert result.stderr == f"meltemi: there is no preset 'envoy-9'; there are: {known}\n"


def test_a_node_and_a_preset_exclude_each_other(run: Run, examples: Path, tmp_path: Path) -> None:
    result = run("compile", examples, "--preset", "envoy-1.40", "--node", tmp_path)
    assert result.exit_code == 2
    assert "exclude each other" in result.stderr
