"""All commands under one name. What a command needs is imported when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from meltemi.cli.bootstrap import bootstrap
from meltemi.cli.check import check
from meltemi.cli.compile import compile_
from meltemi.cli.demo import demo
from meltemi.cli.explain import explain
from meltemi.cli.manifests import manifests
from meltemi.cli.plugins import plugins
from meltemi.cli.proxies import proxies
from meltemi.cli.serve import serve
from meltemi.cli.test import check_cases
from meltemi.cli.validate import validate
from meltemi.cli.wait import wait

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # errors are sentences, and --help is there at once
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"meltemi {version('meltemi')}")
        raise typer.Exit


@app.callback()
def meltemi(
    _: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Layer-7 traffic management for Dubbo, Thrift, Redis and more, on stock Envoy.

    Exit codes: 0 fine, 1 errors, 2 wrong usage, 3 something cannot be reached.
    """


app.command()(serve)
app.command()(demo)
app.command()(validate)
app.command("compile")(compile_)
app.command()(explain)
app.command("test")(check_cases)
app.command()(proxies)
app.command()(wait)
app.command()(check)
app.command()(bootstrap)
app.add_typer(manifests)
app.command()(plugins)
