"""How a standalone Envoy proves who it is to Meltemi, and knows that it talks to Meltemi."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from meltemi.controller.store.hosts import canonical_ip

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meltemi.controller.proto_json import Json

_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_CERTIFICATE, _AUTHORITY = "certificate", "authority"


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Paths on Envoy's machine: its certificate with its chain, its key, and the authorities that
    sign the server's certificate.

    ``server_name``: the name that the server's certificate must have, since that of any other
    proxy is signed by the same authorities. It is a host name, an address, or a URI such as a
    SPIFFE ID. ``secrets``: a folder for files that let Envoy follow replaced certificates; without
    it Envoy reads the files once.
    """

    certificate: str
    key: str
    server_ca: str
    server_name: str
    secrets: str = ""


def transport_socket(tls: ClientTls) -> dict[str, Json]:
    """The ``transport_socket`` of the control plane's cluster."""
    common: dict[str, Json] = {
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_2",
            "tls_maximum_protocol_version": "TLSv1_3",  # else a client of Envoy's stops at 1.2
        },
        "alpn_protocols": ["h2"],
    }
    names: Json = [{"san_type": _san_type(tls), "matcher": {"exact": tls.server_name}}]
    if tls.secrets:
        common["tls_certificate_sds_secret_configs"] = [_watched(tls, _CERTIFICATE)]
        common["combined_validation_context"] = {
            "default_validation_context": {"match_typed_subject_alt_names": names},
            "validation_context_sds_secret_config": _watched(tls, _AUTHORITY),
        }
    else:
        common["tls_certificates"] = [_certificate(tls)]
        common["validation_context"] = {
            **_authority(tls),
            "match_typed_subject_alt_names": names,
        }
    context: dict[str, Json] = {"@type": f"{_TLS}.UpstreamTlsContext", "common_tls_context": common}
    if _san_type(tls) == "DNS":
        context["sni"] = tls.server_name
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def secret_files(tls: ClientTls | None) -> Mapping[str, Json]:
    """What must be in the folder of secrets, by path: ``DiscoveryResponse`` as Envoy reads it."""
    if tls is None or not tls.secrets:
        return {}
    secrets: dict[str, Json] = {
        _CERTIFICATE: {"tls_certificate": _certificate(tls)},
        _AUTHORITY: {"validation_context": _authority(tls)},
    }
    return {_path(tls, name): _response(name, secret) for name, secret in secrets.items()}


def _response(name: str, secret: Json) -> Json:
    assert isinstance(secret, dict)
    return {"resources": [{"@type": f"{_TLS}.Secret", "name": name, **secret}]}


def _certificate(tls: ClientTls) -> dict[str, Json]:
    return {
        "certificate_chain": {"filename": tls.certificate},
        "private_key": {"filename": tls.key},
    }


def _authority(tls: ClientTls) -> dict[str, Json]:
    return {"trusted_ca": {"filename": tls.server_ca}}


def _watched(tls: ClientTls, name: str) -> dict[str, Json]:
    source: Json = {"path": _path(tls, name)}
    return {
        "name": name,
        "sds_config": {"path_config_source": source, "resource_api_version": "V3"},
    }


def _path(tls: ClientTls, name: str) -> str:
    return f"{tls.secrets.rstrip('/')}/{name}.json"


def _san_type(tls: ClientTls) -> str:
    if "://" in tls.server_name:
        return "URI"
    return "DNS" if canonical_ip(tls.server_name) is None else "IP_ADDRESS"
