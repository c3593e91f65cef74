from __future__ import annotations

from urllib.parse import parse_qs

import pytest

from meltemi.testing.dubbo_orders import Call, JavaCallError, Outcome, order_line, read_line

URL = "dubbo://greeter.test:20880?timeout=1000&retries=0"


def test_an_order_is_one_line_whatever_its_values_contain() -> None:
    call = Call("sayHello", "a&b=c\nå", {"user": "bob+ann", "@": "%"}, "gray", "2.0.0")
    line = order_line("7", URL, call, times=100, threads=8)
    assert line.index(b"\n") == len(line) - 1
    assert parse_qs(line.decode().strip(), keep_blank_values=True) == {
        "id": ["7"],
        "url": [URL],
        "method": ["sayHello"],
        "argument": ["a&b=c\nå"],
        "group": ["gray"],
        "version": ["2.0.0"],
        "count": ["100"],
        "threads": ["8"],
        "@user": ["bob+ann"],
        "@@": ["%"],
    }


def test_an_order_without_group_and_version_says_so() -> None:
    assert b"group=&version=&" in order_line("1", URL, Call("sayHello"))


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        (b"ms=1500.0&answer=v1%3A+hello+%C3%A5&id=7\n", Outcome(1.5, answer="v1: hello å")),
        (b"id=7&ms=2&answer=\n", Outcome(0.002, answer="")),
        (
            b"id=7&ms=2&error=Refusal&text=v1%3A+no\n",
            Outcome(0.002, error="Refusal", text="v1: no"),
        ),
        (
            b"id=7&ms=2&error=RpcException&text=&code=2\n",
            Outcome(0.002, error="RpcException", code=2),
        ),
        (
            b"id=7&ms=2&error=RpcException&text=&code=0\n",
            Outcome(0.002, error="RpcException", code=0),
        ),
        (b"id=7\n", None),
    ],
    ids=["answer", "empty answer", "exception", "dubbo's exception", "code 0", "end"],
)
def test_a_line_tells_what_became_of_a_call(line: bytes, outcome: Outcome | None) -> None:
    assert read_line(line) == ("7", outcome)


def test_a_failed_call_has_no_result() -> None:
    assert Outcome(0.1, answer="v1").result() == "v1"
    with pytest.raises(JavaCallError, match="RpcException 2: too late"):
        Outcome(0.1, error="RpcException", text="too late", code=2).result()
