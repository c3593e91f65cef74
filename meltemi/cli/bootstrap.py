"""``meltemi bootstrap``: the file that a standalone Envoy starts with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from meltemi.cli.inputs import host_and_port, pairs
from meltemi.cli.output import Document, fail, note, print_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meltemi.controller.client_tls import ClientTls
    from meltemi.controller.client_token import ClientToken
    from meltemi.controller.proto_json import Json

TEXTS = frozenset({"bind", "namespace"})
"""Fields that are text even when they look like a number."""

LISTS = frozenset({"services"})
"""Fields that may be given once for each item."""


def bootstrap(
    xds: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where Meltemi serves xDS.")],
    id: Annotated[str, typer.Option(metavar="ID", help="The proxy's name: node.id.")],
    metadata: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="node.metadata.meltemi, such as bind=vip."),
    ] = None,
    sotw: Annotated[bool, typer.Option("--sotw", help="State of the world, not delta.")] = False,
    admin_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Envoy's admin port on loopback; 0: a free one.")
    ] = 0,
    tls_cert: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Envoy's certificate with its chain: mutual TLS."),
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key.")] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Envoy's service account token, instead of a certificate; read for each stream.",
        ),
    ] = None,
    server_ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The authorities that sign Meltemi's certificate."),
    ] = None,
    server_name: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What Meltemi's certificate must be for: a host, or a URI.  [host of --xds]",
        ),
    ] = "",
    secrets: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Write files there by which Envoy follows replaced certificates."
        ),
    ] = None,
    output: Annotated[
        Document, typer.Option("--output", "-o", help="The format of the bootstrap.")
    ] = "json",
) -> None:
    """Print the file that an Envoy starts with.

    It names Meltemi as the source of everything. How to start Envoy is told on standard error.
    """
    host, port = host_and_port("--xds", xds, lowest=1)
    if not id:
        fail("--id is empty: give the proxy a name")
    described = parse_metadata(metadata or [])
    tls = token = None
    if token_file is None:
        tls = _tls([tls_cert, tls_key, server_ca], server_name or host, secrets)
    elif tls_cert or tls_key or secrets:
        fail("--token-file goes without --tls-cert, --tls-key and --secrets: choose one way")
    else:
        token = _token(token_file, server_ca, server_name or host)
    from meltemi.controller import bootstrap as document
    from meltemi.controller.nodes import NodeError

    try:
        made = document.bootstrap(
            document.Wish(
                host, port, id, described, sotw=sotw, admin_port=admin_port, tls=tls, token=token
            )
        )
    except NodeError as error:
        fail(str(error))
    _write(made.files)
    print_data(made.document, output)
    note(
        f"start it with: envoy --config-path bootstrap.{output} --drain-time-s {made.drain}"
        + ("" if admin_port else " --admin-address-path admin-address.txt")
    )


def _tls(files: list[Path | None], server_name: str, secrets: Path | None) -> ClientTls | None:
    """What the bootstrap says of TLS. Paths are made absolute: Envoy may start elsewhere."""
    from meltemi.controller.client_tls import ClientTls

    given = [str(path.absolute()) for path in files if path is not None]
    if not given and secrets is None:
        return None
    if len(given) != len(files):
        fail("mutual TLS needs all of --tls-cert, --tls-key and --server-ca")
    certificate, key, server_ca = given
    folder = str(secrets.absolute()) if secrets else ""
    return ClientTls(certificate, key, server_ca, server_name, folder)


def _token(path: Path, server_ca: Path | None, server_name: str) -> ClientToken:
    from meltemi.controller.client_token import ClientToken

    if server_ca is None:
        fail("--token-file needs --server-ca: nobody but Meltemi may be shown a token")
    if "://" in server_name:
        fail(
            f"--server-name {server_name!r} is a URI: with --token-file write a host or an address"
        )
    return ClientToken(str(path.absolute()), str(server_ca.absolute()), server_name)


def _write(files: Mapping[str, Json]) -> None:
    for path, content in files.items():
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            fail(f"--secrets: {path} cannot be written: {error.strerror or error}")
        note(f"wrote {path}")


def parse_metadata(texts: list[str]) -> dict[str, Json]:
    """``key=value``, the value as JSON if it is some; ``key.inner=value`` sets one entry of a
    mapping, whose own key may have dots; ``services`` may be repeated.
    """
    found: dict[str, Json] = {}
    for key, text in pairs("--metadata", texts):
        name, dot, inner = key.partition(".")
        value = _value(name, text)
        before = found.get(name)
        if dot:
            mapping = found.setdefault(name, {})
            if not isinstance(mapping, dict) or inner in mapping:
                fail(f"--metadata {key!r} is given twice")
            mapping[inner] = value
        elif name in LISTS:
            items = value if isinstance(value, list) else [value]
            found[name] = [*cast("list[Json]", before or []), *items]
        elif name in found:
            fail(f"--metadata {key!r} is given twice")
        else:
            found[name] = value
    return found


def _value(name: str, text: str) -> Json:
    try:
        value: Json = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text
    return text if name in TEXTS and not isinstance(value, str) else value


def _no_constant(name: str) -> Json:
    raise ValueError(f"{name} is no JSON")
