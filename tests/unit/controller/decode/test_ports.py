"""Which protocol a port's name or appProtocol states."""

from __future__ import annotations

import pytest

from meltemi.protocols.model import Service
from tests.written import told, value


def service(port: str) -> str:
    return f"""\
        apiVersion: v1
        kind: Service
        metadata: {{name: shop}}
        spec:
          ports: [{port}]
        """


@pytest.mark.parametrize(
    ("port", "protocol", "application"),
    [
        ("{port: 1, name: tcp-dubbo}", "dubbo", ""),
        ("{port: 1, name: tcp-thrift-hello-server}", "thrift", ""),
        ("{port: 1, name: TCP-Redis}", "redis", ""),
        ("{port: 1, name: tcp-metaprotocol-dubbo}", "dubbo", "dubbo"),
        ("{port: 1, name: tcp-metaprotocol-Thrift-9090}", "thrift", "thrift"),
        ("{port: 1, name: tcp-metaprotocol-trpc}", "trpc", "trpc"),
        ("{port: 1, name: tcp}", "tcp", ""),
        ("{port: 1, name: tcp-nobody-knows}", "nobody", ""),
        ("{port: 1, name: rpc, appProtocol: dubbo}", "dubbo", ""),
        ("{port: 1, name: tcp, appProtocol: Thrift}", "thrift", ""),
        ("{port: 1, appProtocol: redis}", "redis", ""),
        ("{port: 1, name: tcp-metaprotocol, appProtocol: dubbo}", "dubbo", ""),
        ("{port: 1, name: tcp-redis, appProtocol: dubbo}", "redis", ""),
        ("{port: 1, name: tcp, appProtocol: http}", "tcp", ""),
    ],
)
def test_the_first_clear_statement_wins(port: str, protocol: str, application: str) -> None:
    (found,) = value(service(port), Service).ports
    assert (found.protocol, found.application) == (protocol, application)
    assert told(service(port)) == []


@pytest.mark.parametrize("name", ["tcp-metaprotocol", "tcp-"])
def test_a_name_that_promises_a_protocol_without_one_costs_only_its_port(name: str) -> None:
    ports = f"{{port: 1, name: {name}}}, {{port: 2, name: tcp-dubbo}}"
    assert told(service(ports)) == [("MEL0201", "spec.ports[0]")]
    assert [port.number for port in value(service(ports), Service).ports] == [2]


@pytest.mark.parametrize(
    "port",
    [
        "{port: 80, name: http}",
        "{port: 80, name: grpc-web}",
        "{port: 80, name: web, appProtocol: kubernetes.io/h2c}",
        "{port: 80}",
        # Aeraki takes this one for native Dubbo and sends a filter that proxies refuse.
        "{port: 80, name: metaprotocol-dubbo}",
    ],
)
def test_a_port_of_others_is_skipped_with_a_word(port: str) -> None:
    assert value(service(port), Service).ports == ()
    assert told(service(port)) == [("MEL0206", "spec.ports[0]")]


def test_a_udp_port_is_nobodys_business() -> None:
    ports = "{port: 53, name: dns, protocol: UDP}, {port: 53, name: tcp-dns}"
    assert [port.name for port in value(service(ports), Service).ports] == ["tcp-dns"]
    assert told(service(ports)) == []


def test_a_port_knows_the_field_that_it_was_written_in() -> None:
    ports = "{port: 80, name: http}, {port: 1, name: tcp-dubbo}"
    (port,) = value(service(ports), Service).ports
    assert str(port.ref) == "Service default/shop spec.ports[1]"
