"""Plugins, found by entry point: who they are and which distribution is to blame."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meltemi.protocols.api import Engine, ProtocolPlugin

GROUP = "meltemi.protocols"


class PluginError(Exception):
    """A plugin cannot be used. The text names its distribution and entry point."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A plugin and where it came from. ``version`` is its distribution's."""

    plugin: ProtocolPlugin
    distribution: str
    version: str


class Registry:
    """The plugins of this process, by protocol name."""

    def __init__(self, registered: Iterable[Registered]) -> None:
        self._plugins: dict[str, Registered] = {}
        for entry in sorted(registered, key=lambda entry: entry.plugin.name):
            if (other := self._plugins.get(entry.plugin.name)) is not None:
                raise PluginError(
                    f"{entry.distribution} and {other.distribution} both bring a plugin "
                    f"{entry.plugin.name!r}: uninstall one of them"
                )
            self._plugins[entry.plugin.name] = entry
        engines = [engine for entry in self for engine in entry.plugin.engines]
        self.extensions = frozenset(
            url for engine in engines for url in engine.requires | engine.uses
        )
        """Every type URL that some engine asks a proxy for."""
        self.route_types = tuple(
            sorted({engine.route_type for engine in engines if engine.route_type})
        )
        """The types of dynamic route tables that some engine uses."""

    def __iter__(self) -> Iterator[Registered]:
        return iter(self._plugins.values())

    def get(self, protocol: str) -> Registered | None:
        """The plugin of that name."""
        return self._plugins.get(protocol)

    def engine(self, protocol: str, name: str) -> Engine | None:
        """An engine by its plugin's name and its own."""
        entry = self.get(protocol)
        return next((e for e in entry.plugin.engines if e.name == name), None) if entry else None


def load(points: Iterable[EntryPoint] | None = None) -> Registry:
    """All installed plugins.

    Raises:
        PluginError: one cannot be imported, is no plugin, or two share a name.
    """
    found = entry_points(group=GROUP) if points is None else points
    return Registry(_load(point) for point in found)


def _load(point: EntryPoint) -> Registered:
    distribution = point.dist.name if point.dist else "?"
    blame = f"plugin {point.name!r} ({point.value}) of {distribution}"
    try:
        plugin: ProtocolPlugin = point.load()()
    except Exception as error:
        raise PluginError(f"{blame} cannot be loaded: {error!r}") from error
    for member in ("name", "attributes", "engines", "compile"):
        if not hasattr(plugin, member):
            raise PluginError(f"{blame} is no plugin: it has no {member!r}")
    if plugin.name != point.name:
        raise PluginError(f"{blame} calls itself {plugin.name!r}: give both one name")
    return Registered(plugin, distribution, point.dist.version if point.dist else "")
