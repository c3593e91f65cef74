"""``meltemi bootstrap``: flags to metadata, formats, and what it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from meltemi.testing.envoy import validate
from tests.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command import Run

BASE = ("bootstrap", "--xds", "127.0.0.1:18000", "--id", "edge-1")


def metadata(run: Run, *pairs: str) -> dict[str, object]:
    """``node.metadata.meltemi`` as these flags make it."""
    flags = [flag for pair in pairs for flag in ("--metadata", pair)]
    result = run(*BASE, *flags)
    assert result.exit_code == 0, result.stderr
    made: dict[str, object] = json.loads(result.stdout)["node"]["metadata"]["meltemi"]
    return made


def test_standard_output_is_the_bootstrap_and_standard_error_how_to_start_it(run: Run) -> None:
    result = run(*BASE, "--metadata", "drainSeconds=5")
    assert json.loads(result.stdout)["node"]["id"] == "edge-1"
    assert result.stderr == (
        "start it with: envoy --config-path bootstrap.json --drain-time-s 5 "
        "--admin-address-path admin-address.txt\n"
    )


def test_yaml_is_the_same_document(run: Run) -> None:
    as_yaml = run(*BASE, "-o", "yaml")
    assert yaml.safe_load(as_yaml.stdout) == json.loads(run(*BASE).stdout)
    assert "bootstrap.yaml" in as_yaml.stderr


def test_metadata_is_text_or_json_whichever_it_is(run: Run) -> None:
    assert metadata(run, "bind=vip", "drainSeconds=30") == {
        "bind": "vip",
        "drainSeconds": 30,
        "rtds": True,
    }
    assert metadata(run, 'services=["a/b"]', 'ports={"h:1": 2}') == {
        "services": ["a/b"],
        "ports": {"h:1": 2},
        "rtds": True,
    }


def test_a_namespace_that_looks_like_a_number_is_still_a_name(run: Run) -> None:
    assert metadata(run, "namespace=007")["namespace"] == "007"
    assert metadata(run, 'namespace="7"')["namespace"] == "7"


def test_services_may_be_repeated_and_ports_given_one_by_one(run: Run) -> None:
    made = metadata(run, "services=a/b", "services=c/d", "ports.x.example:1=2", "ports.y:3=4")
    assert made["services"] == ["a/b", "c/d"]
    assert made["ports"] == {"x.example:1": 2, "y:3": 4}


def test_an_admin_port_is_named_where_one_is_wanted(run: Run) -> None:
    result = run(*BASE, "--admin-port", "9901")
    socket = json.loads(result.stdout)["admin"]["address"]["socket_address"]
    assert socket == {"address": "127.0.0.1", "port_value": 9901}
    assert "--admin-address-path" not in result.stderr


def test_an_address_of_version_six_is_written_in_brackets(run: Run) -> None:
    result = run("bootstrap", "--xds", "[::1]:18000", "--id", "x")
    assert '"address": "::1"' in result.stdout


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("--xds", "nowhere", "--id", "x"), "--xds 'nowhere': write HOST:PORT"),
        (("--xds", "h:0", "--id", "x"), "--xds 'h:0': write HOST:PORT"),
        (("--xds", "h:65536", "--id", "x"), "write HOST:PORT"),
        (("--xds", "h:\u0663", "--id", "x"), "write HOST:PORT"),
        (("--xds", ":1", "--id", "x"), "write HOST:PORT"),
        (("--xds", "::1:18000", "--id", "x"), "write HOST:PORT"),
        (("--xds", "h:1", "--id", ""), "--id is empty"),
        (("--xds", "h:1", "--id", "x", "--metadata", "bind"), "write key=value"),
        (("--xds", "h:1", "--id", "x", "--metadata", "bind=here"), "bind is 'here'"),
        (("--xds", "h:1", "--id", "x", "--metadata", "bnid=vip"), "bnid"),
        (("--xds", "h:1", "--id", "x", "--metadata", "services=shop"), "namespace/host"),
        (("--xds", "h:1", "--id", "x", "--metadata", "drainSeconds=NaN"), "drainSeconds"),
        (
            ("--xds", "h:1", "--id", "x", "--metadata", "bind=vip", "--metadata", "bind=vip"),
            "'bind' is given twice",
        ),
        (
            ("--xds", "h:1", "--id", "x", "--metadata", "ports.a=1", "--metadata", "ports.a=1"),
            "'ports.a' is given twice",
        ),
        (
            ("--xds", "h:1", "--id", "x", "--metadata", "bind=vip", "--metadata", "bind.a=1"),
            "'bind.a' is given twice",
        ),
    ],
)
def test_what_cannot_work_is_a_sentence(run: Run, args: tuple[str, ...], complaint: str) -> None:
    result = run("bootstrap", *args)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert result.stderr.startswith("meltemi: ")
    assert not result.stdout


TLS = ("--tls-cert", "/tls/tls.crt", "--tls-key", "/tls/tls.key", "--server-ca", "/tls/ca.crt")


@pytest.mark.parametrize("flags", [TLS[2:], TLS[:4], ("--secrets", "here")])
def test_files_of_tls_are_given_all_together(run: Run, flags: tuple[str, ...]) -> None:
    result = run(*BASE, *flags)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "needs all of --tls-cert, --tls-key and --server-ca" in result.stderr


def test_the_server_must_have_the_name_by_which_it_is_called_or_another_that_is_given(
    run: Run,
) -> None:
    assert '"exact": "127.0.0.1"' in run(*BASE, *TLS).stdout
    name = "spiffe://cluster.local/ns/meltemi-system/sa/meltemi"
    assert f'"exact": "{name}"' in run(*BASE, *TLS, "--server-name", name).stdout


def test_files_of_secrets_are_written_where_the_bootstrap_says(run: Run, tmp_path: Path) -> None:
    result = run(*BASE, *TLS, "--secrets", tmp_path / "secrets")
    assert result.exit_code == 0, result.stderr
    for name, content in (("certificate", "/tls/tls.key"), ("authority", "/tls/ca.crt")):
        path = tmp_path / "secrets" / f"{name}.json"
        assert str(path) in result.stdout
        assert content in path.read_text()
        assert f"wrote {path}" in result.stderr


def test_a_folder_of_secrets_that_cannot_be_written_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run(*BASE, *TLS, "--secrets", tmp_path / "file")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


@pytest.mark.envoy
@pytest.mark.parametrize("form", ["json", "yaml"])
async def test_a_real_envoy_takes_what_is_printed(run: Run, form: str) -> None:
    assert await validate(run(*BASE, "--metadata", "bind=vip", "-o", form).stdout) is None


TOKEN = ("--token-file", "token", "--server-ca", "ca.crt")


@pytest.mark.envoy
async def test_a_token_stands_in_a_file_that_a_real_envoy_finds_from_anywhere(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text("one")
    (tmp_path / "ca.crt").write_bytes(Authority().pem)
    made = run(*BASE, *TOKEN, "--server-name", "meltemi.example").stdout
    for text in (str(tmp_path / "token"), str(tmp_path / "ca.crt"), '"meltemi.example"'):
        assert text in made
    assert await validate(json.loads(made), version="1.36.4") is None
    assert "meltemi.example" not in run(*BASE, *TOKEN).stdout


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ((*TOKEN, *TLS[:4]), "choose one way"),
        ((*TOKEN, "--secrets", "here"), "choose one way"),
        (TOKEN[:2], "--token-file needs --server-ca"),
        ((*TOKEN, "--server-name", "spiffe://cluster.local/x"), "is a URI"),
    ],
)
def test_a_token_is_one_way_of_two_and_shown_to_meltemi_only(
    run: Run, flags: tuple[str, ...], complaint: str
) -> None:
    result = run(*BASE, *flags)
    assert (result.exit_code, result.stdout) == (2, "")
    assert complaint in result.stderr
