"""``meltemi compile``: what an Envoy would get, and which object each part comes from."""

from __future__ import annotations

from typing import Annotated

import typer

from meltemi.cli.inputs import NodeOption, PathArgument, PresetOption, group_key, read
from meltemi.cli.output import Format, print_data, print_table
from meltemi.cli.validate import FailOnOption, leave, report


def compile_(
    path: PathArgument,
    node: NodeOption = None,
    preset: PresetOption = None,
    fail_on: FailOnOption = "error",
    output: Annotated[
        Format, typer.Option("--output", "-o", help="The resources, or a table of their names.")
    ] = "json",
) -> None:
    """Print the resources that a proxy gets.

    {type_url: [{name, version, origins: [{kind, namespace, name, generation, field}], resource}]}.
    Secrets are redacted. Findings go to standard error.
    """
    offline = read(path)
    from meltemi.controller.dump import dump, secrets_of

    group = offline.group(group_key(offline, node, preset))
    compiled = dump(group.snapshot, secrets_of(offline.mesh))
    if output == "table":
        rows = (
            (url.rpartition(".")[2], str(entry["name"]), str(entry["version"]))
            for url, entries in compiled.items()
            for entry in entries
        )
        print_table(("type", "name", "version"), rows)
    else:
        print_data(compiled, output)
    found = offline.findings()
    report(found)
    leave(found, fail_on)
