from __future__ import annotations

import pytest

from meltemi.testing.dubbo_wire import (
    HEADER,
    DubboCallError,
    DubboWireError,
    Heartbeat,
    Message,
    Request,
    Response,
    Status,
    body_length,
    from_bytes,
    to_bytes,
)
from meltemi.testing.hessian2 import Thing


def again(data: bytes) -> Message:
    header, body = data[: HEADER.size], data[HEADER.size :]
    assert body_length(header) == len(body)
    return from_bytes(header, body)


@pytest.mark.parametrize(
    "message",
    [
        Request(1, "demo.Greeter", "hello", "1.0", "Ljava/lang/String;", ("x",), {"user": "bob"}),
        Request(2, "demo.Greeter", "hello", two_way=False),
        Response(3, value="v1", attachments={"a": "b"}),
        Response(4),
        Response(5, Status.SERVER_ERROR, "no"),
        Heartbeat(6),
        Heartbeat(7, answer=True),
    ],
)
def test_a_message_survives_the_wire(message: Message) -> None:
    assert again(to_bytes(message)) == message


def test_the_exception_of_a_service_is_a_value_that_is_no_result() -> None:
    response = again(to_bytes(Response(1, value=Thing("demo.NotFound"), raised=True)))
    assert isinstance(response, Response)
    with pytest.raises(DubboCallError, match=r"status 20: demo\.NotFound"):
        response.result()


def test_the_reason_that_envoy_attaches_to_its_own_error_is_found() -> None:
    # As Envoy 1.40 writes it: status 80, an empty text, then the attachments.
    body = b"\x00H\x06reason\x0froute_not_foundZ"
    response = from_bytes(HEADER.pack(0xDABB, 0x02, 80, 9, len(body)), body)
    assert isinstance(response, Response)
    assert (response.status, response.reason) == (80, "route_not_found")
    with pytest.raises(DubboCallError, match="route_not_found") as caught:
        response.result()
    assert caught.value.reason == "route_not_found"


def test_a_response_without_attachments_is_read() -> None:
    body = b"\x91\x02v1"
    response = from_bytes(HEADER.pack(0xDABB, 0x02, 20, 9, len(body)), body)
    assert response == Response(9, value="v1")


def test_another_protocol_is_refused_at_the_header() -> None:
    with pytest.raises(DubboWireError, match="0x4854"):
        body_length(b"HTTP/1.1 400 Bad"[: HEADER.size])


@pytest.mark.parametrize("body", [b"\x99", b"\x91", b""])
def test_a_body_that_cannot_be_read_is_a_lost_connection(body: bytes) -> None:
    with pytest.raises(DubboWireError, match="frame 9"):
        from_bytes(HEADER.pack(0xDABB, 0x02, 20, 9, len(body)), body)
