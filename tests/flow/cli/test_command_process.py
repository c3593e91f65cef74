"""``python -m meltemi`` as a process: what it imports, its streams, and where it runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from meltemi import __main__
from meltemi.demo import Wanted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.command import Run

HEAVY = ("envoy_data_plane", "google.protobuf", "grpc", "kubernetes", "pydantic", "rich", "yaml")


def meltemi(
    *args: str | bytes | Path, stdin: bytes = b"", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """A run of its own."""
    return subprocess.run(
        [sys.executable, "-m", "meltemi", *args],
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, **(env or {})},
    )


def test_help_comes_without_what_only_commands_need() -> None:
    program = (
        "import sys, runpy\n"
        "sys.argv = ['meltemi', '--help']\n"
        "try: runpy.run_module('meltemi', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    lines = ran.stdout.decode().splitlines()
    assert lines[-1] == "[]", ran.stderr
    for command in ("serve", "demo", "validate", "compile", "explain", "bootstrap", "plugins"):
        assert any(line.split()[:1] == [command] for line in lines)


def test_the_version_is_that_of_the_distribution(run: Run) -> None:
    from importlib.metadata import version

    assert run("--version").stdout == f"meltemi {version('meltemi')}\n"


def test_a_word_that_is_no_command_is_wrong_usage() -> None:
    ran = meltemi("valdate")
    assert ran.returncode == 2
    assert b"No such command 'valdate'" in ran.stderr
    assert b"Traceback" not in ran.stderr


def test_standard_input_may_be_any_bytes() -> None:
    ran = meltemi("validate", "-", stdin=bytes(range(256)) * 100)
    assert ran.returncode == 1
    assert b"MEL01" in ran.stdout
    assert not ran.stderr


def test_a_file_name_need_not_be_text_nor_the_terminal_more_than_ascii(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    with open(folder + b"/caf\xe9.yaml", "wb") as file:
        file.write(b"a: [")
    ran = meltemi("validate", folder, env={"PYTHONIOENCODING": "ascii"})
    assert ran.returncode == 1
    assert b"MEL0101" in ran.stdout
    assert not ran.stderr


def test_a_reader_may_leave_before_the_end(examples: Path) -> None:
    program = f"{sys.executable} -m meltemi compile '{examples}' --fail-on never | head -c 1"
    ran = subprocess.run(["/bin/sh", "-c", program], capture_output=True, check=False)
    assert ran.stdout == b"{"
    assert b"Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("args", "redirection", "told"),
    [
        ("validate -", ">/dev/full", True),
        ("plugins", ">/dev/full", True),
        ("--version", ">/dev/full", True),
        ("bootstrap --xds 127.0.0.1:1 --id x", ">/dev/full", True),
        ("validate nothing", "2>/dev/full", False),
        ("plugins", ">/dev/full 2>&1", False),
    ],
)
def test_output_that_finds_no_room_is_a_sentence(args: str, redirection: str, told: bool) -> None:
    program = f"{sys.executable} -m meltemi {args} {redirection}"
    ran = subprocess.run(
        ["/bin/sh", "-c", program], input=b"a: [", capture_output=True, check=False
    )
    assert ran.returncode == 3
    sentence = b"meltemi: the output cannot be written: No space left on device\n"
    assert ran.stderr == (sentence if told else b"")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("a: b")
    secret.chmod(0)
    ran = meltemi("validate", tmp_path)
    assert ran.returncode == 1
    assert b"secret.yaml" in ran.stdout


@pytest.mark.parametrize("option", ["--xds", "--admin"])
def test_serving_at_what_is_no_address_is_a_sentence(run: Run, examples: Path, option: str) -> None:
    result = run("serve", examples, option, "127.0.0.1:x")
    assert result.exit_code == 2
    assert result.stderr == (
        f"meltemi: {option} '127.0.0.1:x': write HOST:PORT, such as 127.0.0.1:18000\n"
    )


def test_serving_nothing_is_a_sentence_before_anything_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        at = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = meltemi("serve", tmp_path / "nothing", "--xds", at, "--admin", at)
    assert ran.returncode == 2
    expected = f"meltemi: {tmp_path / 'nothing'}: there is no such file or folder\n"
    assert ran.stderr.decode() == expected


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "meltemi.example"])
def test_serving_proxies_off_loopback_is_refused(examples: Path, host: str) -> None:
    ran = meltemi("serve", examples, "--xds", f"{host}:0", "--admin", "127.0.0.1:0")
    assert ran.returncode == 2
    assert b"meltemi: cannot listen on" in ran.stderr
    assert b"loopback" in ran.stderr
    assert b"Traceback" not in ran.stderr


def test_serving_on_a_taken_port_cannot_reach_its_goal(examples: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = meltemi("serve", examples, "--xds", f"127.0.0.1:{port}", "--admin", "127.0.0.1:0")
    assert ran.returncode == 3
    assert str(port).encode() in ran.stderr
    assert b"Traceback" not in ran.stderr


def test_serving_a_cluster_that_cannot_be_found_is_wrong_usage(tmp_path: Path) -> None:
    ports = ("--xds", "127.0.0.1:0", "--admin", "127.0.0.1:0")
    text = tmp_path / "text"
    text.write_text("something else")
    for options in ((), ("--kubeconfig", text)):
        ran = meltemi("serve", "--kube", *ports, *options, env={"HOME": str(tmp_path)})
        assert ran.returncode == 2
        assert b"\nmeltemi: no API server is configured: " in ran.stderr
        assert b"Traceback" not in ran.stderr


def fake_demo(monkeypatch: pytest.MonkeyPatch, main: Callable[[bool], int]) -> list[Wanted | None]:
    """``meltemi.demo`` with another ``main``; which clusters it was asked for."""
    module = ModuleType("meltemi.demo")
    asked: list[Wanted | None] = []

    def call(*, stay: bool, kube: Wanted | None) -> int:
        asked.append(kube)
        return main(stay)

    monkeypatch.setattr(module, "main", call, raising=False)
    monkeypatch.setattr(module, "Wanted", Wanted, raising=False)
    monkeypatch.setitem(sys.modules, "meltemi.demo", module)
    return asked


def test_a_demo_without_its_extra_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(_: bool) -> int:
        raise ModuleNotFoundError("No module named 'thrift'", name="thrift")

    fake_demo(monkeypatch, absent)
    result = run("demo")
    assert result.exit_code == 2
    assert result.stderr == (
        "meltemi: the demo needs thrift, which is not installed: pip install 'meltemi[demo]'\n"
    )


def test_the_demo_decides_the_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_demo(monkeypatch, lambda stay: 1 if stay else 0)
    assert run("demo").exit_code == 0
    assert run("demo", "--stay").exit_code == 1


def test_the_demo_is_told_which_cluster_is_wanted(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = fake_demo(monkeypatch, lambda _: 0)
    there = ("--kubeconfig", "file", "--context", "kind", "--namespace", "play", "--yes")
    for options in ((), ("--kube",), ("--kube", "--local"), ("--kube", *there)):
        assert run("demo", *options).exit_code == 0
    assert asked == [
        None,
        Wanted(),
        Wanted(local=True),
        Wanted("file", "kind", "play", yes=True),
    ]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--local",), "go with --kube"),
        (("--namespace", "play"), "go with --kube"),
        (("--kube", "--local", "--context", "kind"), "--local is a cluster of the demo's own"),
    ],
)
def test_options_of_the_demo_that_make_no_sense_are_refused(
    run: Run, options: tuple[str, ...], told: str
) -> None:
    result = run("demo", *options)
    assert result.exit_code == 2
    assert told in result.stderr


def test_machines_that_it_was_not_made_for_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert __main__.foreign_platform() is None
    monkeypatch.setattr(sys, "platform", "darwin")
    assert __main__.foreign_platform() == "this is darwin"


def test_a_linux_without_glibc_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(name: str) -> str:
        raise ValueError(name)

    monkeypatch.setattr(os, "confstr", unknown)
    assert __main__.foreign_platform() == "this Linux has another C library"
