"""What commands are given: paths, standard input, addresses, proxies, ``key=value``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meltemi.cli.output import fail

if TYPE_CHECKING:
    from collections.abc import Iterable

    from meltemi.controller.offline.offline import Offline
    from meltemi.protocols.group import GroupKey
    from meltemi.xds.wire import Node

STDIN = "-"

PathArgument = Annotated[
    str, typer.Argument(metavar="PATH", help="A file or folder of YAML; - is standard input.")
]
NodeOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Compile for this proxy: JSON of a core.v3.Node."),
]
PresetOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Compile for a stock proxy: envoy-1.36, envoy-1.40."),
]


def read(path: str) -> Offline:
    """Everything in PATH; the command ends here if there is nothing to read."""
    from meltemi.cli.plugins import registry
    from meltemi.controller import settings
    from meltemi.controller.offline import offline
    from meltemi.controller.sources import SourceError
    from meltemi.controller.sources.documents import MAX_FILE

    installed = registry()
    try:
        configured = settings.read()
        if path == STDIN:
            # One byte too many is enough to be told that it is too much.
            text = sys.stdin.buffer.read(MAX_FILE + 1)
            return offline.read_text(text, installed, configured)
        return offline.read_path(Path(path), installed, configured)
    except (SourceError, settings.ConfigError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror or error}")


def group_key(offline: Offline, node_file: Path | None, preset: str | None) -> GroupKey:
    """What the wanted proxy gets; without one it is a stock proxy."""
    from meltemi.controller.nodes import NodeError, profile

    try:
        return profile(_node(node_file, preset), offline.registry).group
    except NodeError as error:
        fail(str(error))


def _node(node_file: Path | None, name: str | None) -> Node:
    from meltemi.controller.offline.offline import NodeFileError, parse_node
    from meltemi.controller.offline.presets import DEFAULT, UnknownPresetError, preset

    if node_file is not None and name is not None:
        fail("--node and --preset exclude each other: give one of them")
    if node_file is None:
        try:
            return preset(DEFAULT if name is None else name)
        except UnknownPresetError as error:
            fail(str(error))
    try:
        return parse_node(node_file.read_bytes())
    except NodeFileError as error:
        fail(f"--node {node_file}: {error}")
    except OSError as error:
        fail(f"--node {node_file} cannot be read: {error.strerror or error}")


def host_and_port(option: str, text: str, *, lowest: int = 0) -> tuple[str, int]:
    """``HOST:PORT``, or ``[V6]:PORT``."""
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    sound = bool(colon and bare) and (":" not in bare or host == f"[{bare}]")
    if not (sound and port.isascii() and port.isdecimal() and lowest <= int(port) <= 65535):
        fail(f"{option} {text!r}: write HOST:PORT, such as 127.0.0.1:18000")
    return bare, int(port)


def pairs(what: str, texts: Iterable[str]) -> list[tuple[str, str]]:
    """``key=value`` each; the value may be empty and may contain ``=``."""
    found: list[tuple[str, str]] = []
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            fail(f"{what} {text!r}: write key=value")
        found.append((key, value))
    return found
