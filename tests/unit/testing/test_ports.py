from __future__ import annotations

import socket

import pytest

from meltemi.testing.ports import Address, free_ports, unanswered_address


def test_free_ports_differ_and_can_be_bound() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    for port in ports:
        with socket.socket() as server:
            server.bind(("127.0.0.1", port))


def test_an_address_prints_as_host_and_port() -> None:
    assert str(Address("127.0.0.1", 80)) == "127.0.0.1:80"


def test_nobody_ever_connects_to_an_unanswered_address() -> None:
    with unanswered_address() as address, socket.socket() as client:
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.connect((address.host, address.port))
