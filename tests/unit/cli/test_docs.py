"""The pages of documentation name everything that the command line and a node can say."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import typer

from meltemi.cli.app import app
from meltemi.controller.nodes import NodeMetadata

DOCS = Path(__file__).parents[3] / "docs"
COMMANDS = typer.main.get_group(app).commands


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_section_with_all_its_options(name: str) -> None:
    page = (DOCS / "cli.md").read_text()
    section = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    usage = section.partition("```sh\n")[2].partition("```")[0]
    assert usage.startswith(f"meltemi {name}")
    for parameter in COMMANDS[name].params:
        wanted = {"--help"} & set(parameter.opts) or any(opt in usage for opt in parameter.opts)
        assert wanted or (parameter.metavar or "") in usage, parameter.opts


def test_every_field_of_a_node_is_documented_with_its_default() -> None:
    page = (DOCS / "node-metadata.md").read_text()
    for field in msgspec.structs.fields(NodeMetadata):
        assert f"| `{field.encode_name}` |" in page
