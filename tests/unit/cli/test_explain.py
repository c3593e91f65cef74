"""``meltemi explain``: the answer's shape, and what it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from tests import make

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command import Run

SHAPE = {
    "host",
    "port",
    "protocol",
    "engine",
    "rule",
    "destinations",
    "mirrors",
    "timeout",
    "outcome",
    "considered",
    "findings",
}
ORDERS = ("--host", "orders.example", "--port", "20880")


def test_the_answer_says_rule_destinations_and_every_route_that_was_considered(
    run: Run, examples: Path
) -> None:
    result = run("explain", examples / "dubbo", *ORDERS, "method=hello", "-o", "json")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert answer.keys() == SHAPE
    assert (answer["host"], answer["port"]) == ("orders.example", 20880)
    assert (answer["protocol"], answer["engine"]) == ("dubbo", "generic_proxy")
    assert answer["outcome"] == "route"
    assert answer["rule"] == {
        "kind": "MetaRouter",
        "namespace": "default",
        "name": "orders",
        "route": "canary",
    }
    first, second = answer["destinations"]
    assert first.keys() == {"host", "port", "subset", "weight", "endpoints"}
    assert (first["subset"], second["subset"]) == ("v1", "v2")
    assert first["endpoints"] == ["127.0.0.1:20881"]
    assert [step["matched"] for step in answer["considered"]] == [False, True]
    assert answer["considered"][0]["reason"] == "method is 'hello', not 'refund'"


def test_the_proxys_version_says_how_a_regex_reads_letters(run: Run, examples: Path) -> None:
    text = "".join(f"---\n{file.read_text()}" for file in make.rule_files(examples / "dubbo"))
    assert "{exact: refund}" in text
    text = text.replace("{exact: refund}", "{regex: r.fund}")
    for preset, matched in (("envoy-1.36", True), ("envoy-1.40", False)):
        args = (*ORDERS, "method=r\u00e9fund", "--preset", preset, "-o", "json")
        answer = json.loads(run("explain", "-", *args, stdin=text).stdout)
        assert answer["considered"][0]["matched"] is matched


def test_hosts_are_compared_without_case(run: Run, examples: Path) -> None:
    def shouted(file: Path) -> str:
        return file.read_text().replace("orders.example", "Orders.EXAMPLE")

    text = "".join(f"---\n{shouted(file)}" for file in make.rule_files(examples / "dubbo"))
    args = ("--host", "ORDERS.example", "--port", "20880", "method=refund", "-o", "json")
    answers = [
        run("explain", "-", *args, stdin=text),
        run("explain", examples / "dubbo", *args),
    ]
    assert [answer.exit_code for answer in answers] == [0, 0]
    assert answers[0].stdout == answers[1].stdout
    assert json.loads(answers[0].stdout)["host"] == "orders.example"


def test_yaml_is_the_same_data(run: Run, examples: Path) -> None:
    args = ("explain", examples / "dubbo", *ORDERS, "method=refund")
    as_json = json.loads(run(*args, "-o", "json").stdout)
    assert yaml.safe_load(run(*args, "-o", "yaml").stdout) == as_json


def test_people_get_the_decision_and_the_reasons(run: Run, examples: Path) -> None:
    table = run("explain", examples / "dubbo", *ORDERS, "method=refund").stdout
    assert "decided by MetaRouter default/orders, route refunds" in table
    assert "method is 'refund'" in table
    assert "timeout: 2 s" in table


def test_a_value_may_be_empty_or_contain_an_equals_sign(run: Run, examples: Path) -> None:
    for attribute, shown in (("method=", "''"), ("method=a=b", "'a=b'")):
        answer = run("explain", examples / "dubbo", *ORDERS, attribute).stdout
        assert f"method is {shown}, not 'refund'" in answer


def test_a_short_host_is_a_service_of_the_clients_namespace(run: Run) -> None:
    service = (
        "apiVersion: v1\nkind: Service\nmetadata: {name: shop, namespace: west}\n"
        "spec: {ports: [{name: tcp-dubbo, port: 20880}]}\n"
    )
    args = ("explain", "-", "--host", "shop", "--port", "20880", "-o", "json")
    found = run(*args, "--namespace", "west", stdin=service)
    answer = json.loads(found.stdout)
    assert answer["host"] == "shop.west.svc.cluster.local"
    assert answer["rule"] is None
    assert answer["outcome"] == "default"
    missing = run(*args, stdin=service)
    assert missing.exit_code == 1
    assert "shop.default.svc.cluster.local" in missing.stderr


def test_a_mirror_is_part_of_the_answer(run: Run, examples: Path) -> None:
    args = ("--host", "sessions.example", "--port", "6379", "key=a")
    answer = json.loads(run("explain", examples / "redis", *args, "-o", "json").stdout)
    (mirror,) = answer["mirrors"]
    assert mirror["host"] == "sessions-next.example"
    assert "mirrored: " in run("explain", examples / "redis", *args).stdout


def test_another_proxy_may_give_another_answer(run: Run, examples: Path, tmp_path: Path) -> None:
    (tmp_path / "node.json").write_text('{"id": "bare"}')
    args = ("explain", examples / "dubbo", *ORDERS, "method=refund", "-o", "json")
    answer = json.loads(run(*args, "--node", tmp_path / "node.json").stdout)
    assert answer["engine"] == "tcp_proxy"
    assert answer["considered"][0]["matched"] is False


def test_errors_in_the_input_are_pointed_to(run: Run, examples: Path) -> None:
    text = "".join(f"---\n{file.read_text()}" for file in make.rule_files(examples / "dubbo"))
    broken = run("explain", "-", *ORDERS, "method=x", stdin=f"{text}---\na: [\n")
    assert broken.exit_code == 0
    assert broken.stderr == "1 error: see `meltemi validate -`\n"


@pytest.mark.parametrize(
    ("flawed", "reason"),
    [
        ("matches: {attributes: {method: {exact: refund}}}", "is no known field"),
        ("route: [{destination: {host: orders.example}, weight: 101}]", "a weight is 101"),
    ],
)
def test_routes_that_are_left_out_are_listed_with_the_reason_and_serve_nothing(
    run: Run, examples: Path, flawed: str, reason: str
) -> None:
    service = (examples / "dubbo" / "service.yaml").read_text()
    route = yaml.safe_load(f"{{name: flawed, {flawed}}}")
    route.setdefault("route", [{"destination": {"host": "orders.example", "subset": "v2"}}])
    rule = {
        "apiVersion": "metaprotocol.aeraki.io/v1alpha1",
        "kind": "MetaRouter",
        "metadata": {"name": "orders"},
        "spec": {"hosts": ["orders.example"], "routes": [route]},
    }
    text = f"{service}---\n{yaml.safe_dump(rule)}"
    result = run("explain", "-", *ORDERS, "method=refund", "-o", "json", stdin=text)
    answer = json.loads(result.stdout)
    assert answer["outcome"] == "default"
    (step,) = answer["considered"]
    assert not step["matched"]
    assert reason in step["reason"]
    found = json.loads(run("validate", "-", "-o", "json", stdin=text).stdout)
    assert "MEL0315" in {finding["code"] for finding in found}


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("method",), "attribute 'method': write key=value"),
        (("=x",), "attribute '=x': write key=value"),
        (("method=a", "method=b"), "attribute 'method' is given twice"),
    ],
)
def test_an_attribute_that_is_none_is_wrong_usage(
    run: Run, examples: Path, args: tuple[str, ...], complaint: str
) -> None:
    result = run("explain", examples / "dubbo", *ORDERS, *args)
    assert (result.exit_code, result.stderr) == (2, f"meltemi: {complaint}\n")


def test_a_port_that_is_none_is_wrong_usage(run: Run, examples: Path) -> None:
    for port in ("0", "65536", "x"):
        args = ("--host", "orders.example", "--port", port)
        assert run("explain", examples / "dubbo", *args).exit_code == 2


def test_a_host_or_port_that_is_not_there_is_answered_with_what_there_is(
    run: Run, examples: Path
) -> None:
    result = run("explain", examples / "dubbo", "--host", "order.example", "--port", "20880")
    assert result.exit_code == 1
    assert result.stderr.startswith("meltemi: no service 'order.example' is visible")
    assert "orders.example" in result.stderr
    result = run("explain", examples / "dubbo", "--host", "orders.example", "--port", "1")
    assert (result.exit_code, result.stderr) == (
        1,
        "meltemi: 'orders.example' has no port 1; it has: 20880\n",
    )
