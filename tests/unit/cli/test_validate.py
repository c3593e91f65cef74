"""``meltemi validate``: findings, formats, exit codes, and input of any kind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from tests import make

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command import Run

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  clusterIP: 10.0.0.1
  ports: [{name: tcp-dubbo, port: 20880}]
"""
NO_SUBSET = """\
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: shop}
spec:
  hosts: [shop]
  routes:
    - name: all
      route:
        - destination: {host: shop, subset: v9}
"""
WARNING = SERVICE.replace("clusterIP:", "clusterIpp: x\n  clusterIP:")
FOREIGN = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\n"


@pytest.mark.parametrize("protocol", ["dubbo", "tcp", "thrift"])
def test_a_sound_folder_is_ok_with_the_number_of_its_objects(
    run: Run, examples: Path, protocol: str
) -> None:
    result = run("validate", examples / protocol)
    assert result.exit_code == 0
    objects = sum(
        len(list(yaml.safe_load_all(file.read_text())))
        for file in make.rule_files(examples / protocol)
    )
    assert result.stdout == f"OK, 0 findings in {objects} objects\n"


def test_a_finding_names_file_line_object_field_cause_and_next_step(
    run: Run, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(f"{SERVICE}---\n{NO_SUBSET}")
    result = run("validate", tmp_path, "-o", "json")
    assert result.exit_code == 1
    found = {finding["code"]: finding for finding in json.loads(result.stdout)}
    missing = found["MEL0302"]
    assert missing["file"] == str(rules)
    lines = rules.read_text().splitlines()
    assert missing["line"] - 1 in range(lines.index("  routes:"), len(lines))
    assert (missing["kind"], missing["namespace"], missing["name"]) == (
        "MetaRouter",
        "default",
        "shop",
    )
    assert missing["field"].startswith("spec.routes[0]")
    assert missing["severity"] == "error"
    assert missing["cause"]
    assert missing["next_step"]


def test_the_table_says_the_same_to_people(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(f"{SERVICE}---\n{NO_SUBSET}")
    result = run("validate", tmp_path)
    assert result.exit_code == 1
    assert "MEL0302" in result.stdout
    assert "MetaRouter default/shop spec.routes[0]" in result.stdout
    assert "error" in result.stdout.splitlines()[-1]
    assert " in 2 objects: " in result.stdout.splitlines()[-1]


def test_json_and_yaml_are_the_same_data(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(f"{SERVICE}---\n{NO_SUBSET}")
    as_json = json.loads(run("validate", tmp_path, "-o", "json").stdout)
    assert yaml.safe_load(run("validate", tmp_path, "-o", "yaml").stdout) == as_json
    assert as_json


def test_nobody_gets_colours_through_a_pipe(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(NO_SUBSET)
    assert "\x1b" not in run("validate", tmp_path).stdout


@pytest.mark.parametrize(
    ("text", "fail_on", "code"),
    [
        (NO_SUBSET, None, 0),
        (f"{SERVICE}---\n{NO_SUBSET}", None, 1),
        (f"{SERVICE}---\n{NO_SUBSET}", "never", 0),
        (WARNING, None, 0),
        (WARNING, "warning", 1),
        (FOREIGN, "warning", 0),
        (FOREIGN, "info", 1),
        (SERVICE, "info", 0),
    ],
)
def test_the_exit_code_follows_the_worst_finding(
    run: Run, text: str, fail_on: str | None, code: int
) -> None:
    options = () if fail_on is None else ("--fail-on", fail_on)
    assert run("validate", "-", *options, stdin=text).exit_code == code


def test_standard_input_is_read_as_a_file(run: Run) -> None:
    result = run("validate", "-", stdin=SERVICE)
    assert result.stdout == "OK, 0 findings in 1 object\n"


def test_services_that_share_an_address_are_told(run: Run) -> None:
    other = SERVICE.replace("shop", "cart")
    result = run("validate", "-", "-o", "json", stdin=f"{SERVICE}---\n{other}")
    assert "MEL0204" in {finding["code"] for finding in json.loads(result.stdout)}


def test_services_that_share_only_a_port_number_are_fine(run: Run) -> None:
    other = SERVICE.replace("shop", "cart").replace("10.0.0.1", "10.0.0.2")
    assert run("validate", "-", stdin=f"{SERVICE}---\n{other}").stdout.startswith("OK")


def test_services_without_addresses_that_share_a_port_number_are_told(run: Run) -> None:
    shop = SERVICE.replace("clusterIP: 10.0.0.1", "clusterIP: None")
    cart = shop.replace("shop", "cart")
    result = run("validate", "-", "-o", "json", stdin=f"{shop}---\n{cart}")
    (found,) = json.loads(result.stdout)
    assert (found["code"], found["severity"], found["name"]) == ("MEL0208", "warning", "shop")
    assert result.exit_code == 0
    apart = cart.replace("20880", "20881")
    assert run("validate", "-", stdin=f"{shop}---\n{apart}").stdout.startswith("OK")


def test_a_service_with_an_address_may_share_its_port_number_with_one_without(run: Run) -> None:
    cart = SERVICE.replace("shop", "cart").replace("clusterIP: 10.0.0.1", "clusterIP: None")
    assert run("validate", "-", stdin=f"{SERVICE}---\n{cart}").stdout.startswith("OK")


def test_a_rule_is_judged_in_the_namespaces_that_see_it(run: Run) -> None:
    text = f"{SERVICE}---\n{NO_SUBSET}".replace(
        "{name: shop}", "{name: shop, namespace: elsewhere}"
    )
    found = json.loads(run("validate", "-", "-o", "json", stdin=text).stdout)
    assert [each["code"] for each in found if each["severity"] == "error"] == ["MEL0302"]


def test_a_route_that_is_left_out_for_its_flaw_is_told_once(run: Run) -> None:
    text = """\
apiVersion: v1
kind: Service
metadata: {name: cache}
spec: {ports: [{name: tcp-redis, port: 6379}]}
---
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {name: cache}
spec:
  host: [cache]
  redis:
    - route: {host: cache}
    - route: {host: cache}
"""
    found = json.loads(run("validate", "-", "-o", "json", stdin=text).stdout)
    assert [(each["code"], each["field"]) for each in found] == [("MEL0310", "spec.redis[1]")]


def test_an_empty_folder_has_no_findings(run: Run, tmp_path: Path) -> None:
    result = run("validate", tmp_path)
    assert (result.exit_code, result.stdout) == (0, "OK, 0 findings in 0 objects\n")


def test_a_path_that_is_not_there_is_a_sentence(run: Run, tmp_path: Path) -> None:
    result = run("validate", tmp_path / "nothing")
    assert result.exit_code == 2
    assert result.stderr == f"meltemi: {tmp_path / 'nothing'}: there is no such file or folder\n"
    assert not result.stdout


@pytest.mark.parametrize(
    "args", [(), ("x", "-o", "xml"), ("x", "--fail-on", "often"), ("x", "--nonsense")]
)
def test_wrong_usage_is_a_sentence(run: Run, args: tuple[str, ...]) -> None:
    result = run("validate", *args)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("Error: ")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\xff\xfe garbage", "MEL0108"),
        (b"a: [", "MEL0101"),
        (b"a: &a [*a]", "MEL0101"),
        (b"- just\n- a list\n", "MEL0102"),
        (b"[" * 100_000, "MEL0101"),
        (b"x: " + b"y" * (3 * 1024 * 1024), "MEL0107"),
    ],
)
def test_garbage_is_a_finding(run: Run, content: bytes, code: str) -> None:
    result = run("validate", "-", "-o", "json", stdin=content)
    assert result.exit_code == 1
    assert code in [finding["code"] for finding in json.loads(result.stdout)]


def test_a_setting_that_cannot_be_used_is_a_sentence(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MELTEMI_HEALTH_CHECK_INTERVAL", "often")
    result = run("validate", "-", stdin=SERVICE)
    assert result.exit_code == 2
    assert result.stderr.startswith("meltemi: MELTEMI_HEALTH_CHECK_INTERVAL is 'often'")
