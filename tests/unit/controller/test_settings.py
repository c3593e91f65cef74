"""What the environment sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from meltemi.controller.admin.security import AdminSecurity
from meltemi.controller.identity import Security, TokenPort
from meltemi.controller.kube.instance import Instance
from meltemi.controller.settings import ALONE, ConfigError, Settings, read
from meltemi.xds.credentials import TlsFiles

TLS = {"MELTEMI_TLS_CERT": "/c", "MELTEMI_TLS_KEY": "/k", "MELTEMI_CLIENT_CA": "/a"}


def test_nothing_needs_to_be_set() -> None:
    assert read({"MELTEMI_POD_NAME": ALONE.name}) == Settings()
    assert Settings().allowed == frozenset()


def test_everything_that_can_be_set() -> None:
    found = read(
        {
            "MELTEMI_HEALTH_CHECK_INTERVAL": "2.5",
            "MELTEMI_ALLOW_DUBBO_PROXY": "1",
            "MELTEMI_LOG_FORMAT": "json",
            "MELTEMI_EVENT_LOOP": "uvloop",
            "MELTEMI_POD_NAME": "meltemi-7c9f",
            "MELTEMI_POD_NAMESPACE": "mesh",
            **TLS,
            "MELTEMI_TRUST_DOMAIN": "mesh.example",
            "MELTEMI_WRITE_STATUS": "0",
        }
    )
    security = Security(TlsFiles(Path("/c"), Path("/k"), Path("/a")), "mesh.example")
    assert found == Settings(
        2.5,
        allow_dubbo_proxy=True,
        log_format="json",
        security=security,
        event_loop="uvloop",
        instance=Instance("meltemi-7c9f", "mesh"),
        write_status=False,
    )
    assert found.allowed == {"dubbo_proxy"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MELTEMI_HEALTH_CHECK_INTERVAL", "often"),
        ("MELTEMI_HEALTH_CHECK_INTERVAL", "0"),
        ("MELTEMI_ALLOW_DUBBO_PROXY", "yes"),
        ("MELTEMI_WRITE_STATUS", "no"),
        ("MELTEMI_LOG_FORMAT", "xml"),
        ("MELTEMI_EVENT_LOOP", "trio"),
        ("MELTEMI_POD_NAMESPACE", "Mesh"),
        ("MELTEMI_PLAINTEXT", "yes"),
        ("MELTEMI_TRUST_DOMAIN", "spiffe://cluster.local"),
        ("MELTEMI_TRUST_DOMAIN", ""),
    ],
)
def test_what_cannot_be_used_is_told_with_its_name(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=name):
        read({name: text})


def test_what_is_given_comes_before_the_environment() -> None:
    environment = {"MELTEMI_LOG_FORMAT": "json", "MELTEMI_TRUST_DOMAIN": "one.example"}
    found = read(environment, {"MELTEMI_TRUST_DOMAIN": "two.example"})
    assert (found.log_format, found.security.trust_domain) == ("json", "two.example")


@pytest.mark.parametrize("lacking", sorted(TLS))
def test_files_of_tls_come_all_together(lacking: str) -> None:
    with pytest.raises(ConfigError, match=f"^{lacking} not set"):
        read({name: path for name, path in TLS.items() if name != lacking})


def test_a_port_is_exposed_only_if_that_is_asked_for_and_never_with_tls() -> None:
    assert not read({}).security.exposed
    assert read({"MELTEMI_PLAINTEXT": "1"}).security == Security(exposed=True)
    with pytest.raises(ConfigError, match="exclude each other"):
        read({**TLS, "MELTEMI_PLAINTEXT": "1"})


def test_a_port_for_tokens_has_the_certificate_of_the_other_one_and_needs_no_client_authority() -> (
    None
):
    tokens = {"MELTEMI_TOKEN_XDS": "0.0.0.0:18001"}
    port = TokenPort("0.0.0.0:18001", TlsFiles(Path("/c"), Path("/k")))
    server_only = {name: path for name, path in TLS.items() if name != "MELTEMI_CLIENT_CA"}
    assert read({**server_only, **tokens}).security == Security(tokens=port)
    mutual = TlsFiles(Path("/c"), Path("/k"), Path("/a"))
    assert read({**TLS, **tokens}).security == Security(mutual, tokens=port)
    named = read({**TLS, **tokens, "MELTEMI_TOKEN_AUDIENCE": "mesh"}).security.tokens
    assert named == TokenPort(port.address, port.tls, "mesh")


@pytest.mark.parametrize("lacking", ["MELTEMI_TLS_CERT", "MELTEMI_TLS_KEY"])
def test_a_port_for_tokens_needs_tls(lacking: str) -> None:
    given = {name: path for name, path in TLS.items() if name != lacking}
    with pytest.raises(ConfigError, match=r"--token-xds \(MELTEMI_TOKEN_XDS\) needs TLS"):
        read({**given, "MELTEMI_TOKEN_XDS": "[::1]:18001"})


@pytest.mark.parametrize(
    "address", ["18001", "localhost", "::1:18001", "[::1]", "a b:1", ":1", "a:65536"]
)
def test_a_port_for_tokens_is_a_host_and_a_port(address: str) -> None:
    with pytest.raises(ConfigError, match="write HOST:PORT"):
        read({**TLS, "MELTEMI_TOKEN_XDS": address})


def test_tokens_are_for_somebody() -> None:
    with pytest.raises(ConfigError, match="MELTEMI_TOKEN_AUDIENCE is empty"):
        read({**TLS, "MELTEMI_TOKEN_XDS": "[::1]:18001", "MELTEMI_TOKEN_AUDIENCE": ""})


def test_the_admin_port_is_secured_by_files() -> None:
    found = read({"MELTEMI_ADMIN_TOKEN_FILE": "/t"}).admin
    assert found == AdminSecurity(Path("/t"))
    with pytest.raises(ConfigError, match="MELTEMI_ADMIN_TLS_KEY is not set"):
        read({"MELTEMI_ADMIN_TLS_CERT": "/c"})
