"""``meltemi plugins``: which protocols are installed, and what each asks of a proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.cli.output import OutputOption, fail, print_data, print_table

if TYPE_CHECKING:
    from meltemi.protocols.api import Engine
    from meltemi.protocols.registry import Registered, Registry


def plugins(output: OutputOption = "table") -> None:
    """List the installed protocols.

    With their distribution, their engines and what those require of a proxy, and the attributes
    that a match may name.
    """
    found = [describe(registered) for registered in registry()]
    if output == "table":
        print_table(("protocol", "distribution", "engines", "attributes"), map(row, registry()))
    else:
        print_data(found, output)


def registry() -> Registry:
    """All installed plugins; one that is broken ends the command."""
    from meltemi.protocols.registry import PluginError, load

    try:
        return load()
    except PluginError as error:
        fail(str(error))


def describe(registered: Registered) -> dict[str, object]:
    """``{name, distribution, version, engines: [{name, since, requires}], attributes}``."""
    plugin = registered.plugin
    return {
        "name": plugin.name,
        "distribution": registered.distribution,
        "version": registered.version,
        "engines": [describe_engine(engine) for engine in plugin.engines],
        "attributes": {name: each.description for name, each in plugin.attributes.items()},
    }


def describe_engine(engine: Engine) -> dict[str, object]:
    """``since`` is Envoy's version; ``requires`` are type URLs that a proxy must list."""
    return {
        "name": engine.name,
        "since": ".".join(map(str, engine.since)),
        "requires": sorted(engine.requires),
    }


def row(registered: Registered) -> tuple[str, ...]:
    """A line of the table."""
    plugin = registered.plugin
    engines = [line for e in plugin.engines for line in (e.name, *sorted(e.requires))]
    return (
        plugin.name,
        f"{registered.distribution} {registered.version}",
        "\n".join(engines),
        ", ".join(plugin.attributes) or "none",
    )
