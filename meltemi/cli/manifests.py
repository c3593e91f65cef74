"""``meltemi manifests``: what a cluster needs before Meltemi runs in it, as YAML for kubectl."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from meltemi.cli.output import fail


class _Names(TyperGroup):
    """Says what there is when something else is asked for."""

    # Any: some versions of typer bring their own click, others use the one that is installed.
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        if found is None:
            there_are = " or ".join(self.list_commands(ctx))
            fail(f"there are no manifests {cmd_name!r}: write {there_are}")
        return found


manifests = typer.Typer(
    name="manifests",
    cls=_Names,
    no_args_is_help=True,
    help="Print what a cluster needs for Meltemi, as YAML.",
)


@manifests.callback()
def group() -> None:
    """Keep the name of what is asked for, although there is one only."""


@manifests.command()
def crds() -> None:
    """Print the definitions of all kinds that Meltemi reads and Istio does not define.

    They replace Aeraki's in place; its objects stay valid.
    """
    from meltemi.controller.crds import DEFINITIONS, to_yaml

    for definition in DEFINITIONS:
        typer.echo(to_yaml(definition), nl=False)
