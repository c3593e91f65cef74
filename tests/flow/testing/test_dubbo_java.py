"""The Dubbo tools around programs that stand in for Java."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import pytest

from meltemi.testing import dubbo_java
from meltemi.testing.dubbo_java import NEWEST_JAVA, DubboJava, JavaConsumer, JavaProvider
from meltemi.testing.dubbo_orders import Call
from meltemi.testing.fetching import UnavailableError
from meltemi.testing.java import JavaRuntime
from meltemi.testing.load import Load
from meltemi.testing.ports import LOOPBACK, Address
from meltemi.testing.process import ServerProcessError

if TYPE_CHECKING:
    from pathlib import Path

AT = Address(LOOPBACK, 20880)

PROVIDES = """
import socket, sys
at = sys.argv.index("org.demo.Provider") + 3
with socket.create_server(("127.0.0.1", int(sys.argv[at]))) as listening:
    print("arguments", sys.argv[at - 2 :], flush=True)
    while True:
        listening.accept()[0].close()
"""

# Answers each order with its method; "fail" fails, "never" has no end, and "end" ends the program.
CONSUMES = """
import socket, sys
from urllib.parse import parse_qsl, urlencode
with socket.create_connection(("127.0.0.1", int(sys.argv[-1]))) as link:
    for line in link.makefile():
        order = dict(parse_qsl(line.strip(), keep_blank_values=True))
        name, method = order["id"], order["method"]
        if method == "end":
            sys.exit()
        told = {"error": "Refusal", "text": "no"} if method == "fail" else {"answer": method}
        lines = [urlencode({"id": name, "ms": 1} | told)] * int(order["count"])
        if method != "never":
            lines.append(f"id={name}")
        link.sendall("".join(f"{line}\\n" for line in lines).encode())
"""


def stand_in(
    monkeypatch: pytest.MonkeyPatch, folder: Path, code: str, java_version: str = "17.0.1"
) -> set[str]:
    """Have Python run this in place of Java; returns what is recorded of it as a real server."""
    program = folder / "java"
    program.write_text(f"#!{sys.executable}\n{code}")
    program.chmod(0o755)
    dubbo = DubboJava("3.3", JavaRuntime(program, java_version), (folder,))

    def fetched(_: str) -> DubboJava:
        return dubbo

    recorded: set[str] = set()
    monkeypatch.setattr(dubbo_java, "dubbo_java", fetched)
    monkeypatch.setattr(dubbo_java, "record", recorded.add)
    return recorded


async def test_a_provider_is_told_its_label_its_port_and_what_it_exports(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path, PROVIDES)
    exports = [("", ""), ("gray", "2.0.0")]
    async with JavaProvider("v1", services=exports, folder=tmp_path) as provider:
        port = provider.address.port
    log = (tmp_path / "provider-v1.log").read_text()
    assert f"arguments ['v1', 'greeter.test', '{port}', '', '', 'gray', '2.0.0']" in log
    assert provider.process.returncode is not None


async def test_a_killed_provider_comes_back_at_the_same_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path, PROVIDES)
    async with JavaProvider("v1", folder=tmp_path) as provider:
        await provider.kill()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(LOOPBACK, provider.address.port)
        await provider.start()
        _, writer = await asyncio.open_connection(LOOPBACK, provider.address.port)
        writer.close()


async def test_both_sides_are_recorded_with_their_versions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for code, program in ((PROVIDES, JavaProvider("v1")), (CONSUMES, JavaConsumer())):
        servers = stand_in(monkeypatch, tmp_path, code)
        async with program:
            pass
        assert servers == {"Apache Dubbo 3.3", "Java 17.0.1"}


@pytest.mark.parametrize("side", [JavaProvider("v1"), JavaConsumer()], ids=["provider", "consumer"])
async def test_a_program_that_ends_at_once_is_reported_with_its_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, side: JavaProvider | JavaConsumer
) -> None:
    stand_in(monkeypatch, tmp_path, "print('no such class'); exit(1)")
    with pytest.raises(ServerProcessError, match=r"(?s)ended with code 1.*no such class"):
        async with side:
            pass


async def test_a_java_that_is_newer_than_what_was_tried_counts_as_none_if_dubbo_does_not_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path, "exit(1)", f"{NEWEST_JAVA + 1}.0.1")
    with pytest.raises(UnavailableError, match=r"3\.3 does not start on Java .*by JAVA_HOME\.$"):
        async with JavaConsumer():
            pass


async def test_a_consumer_tells_what_became_of_every_call(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path, CONSUMES)
    async with JavaConsumer() as consumer:
        many = asyncio.create_task(consumer.calls(AT, Call("many"), times=1000))
        one = await consumer.call(AT, "one")
        assert [outcome.answer for outcome in await many] == ["many"] * 1000
        assert one.result() == "one"
        assert (await consumer.call(AT, "fail")).error == "Refusal"


async def test_an_order_that_nobody_waits_for_any_more_disturbs_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path, CONSUMES)
    async with JavaConsumer() as consumer:
        hanging = asyncio.create_task(consumer.calls(AT, Call("never")))
        await consumer.call(AT, "one")
        hanging.cancel()
        assert (await consumer.call(AT, "two")).result() == "two"


async def test_a_consumer_that_is_gone_fails_calls_under_way_and_all_after(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path, CONSUMES)
    async with JavaConsumer() as consumer:
        with pytest.raises(ConnectionResetError, match="consumer is gone"):
            await consumer.call(AT, "end")
        with pytest.raises(ConnectionResetError, match="consumer is gone"):
            await consumer.call(AT, "one")


async def test_load_counts_answers_and_failures_of_a_consumer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand_in(monkeypatch, tmp_path, CONSUMES)
    async with JavaConsumer() as consumer:
        async with Load(consumer.caller(AT, Call("one"))) as load:
            await load.more(50)
        assert set(load.report().answers) == {"one"}
        async with Load(consumer.caller(AT, Call("fail"))) as load:
            await load.more(10)
        assert set(load.report().errors) == {"JavaCallError: Refusal None: no"}
