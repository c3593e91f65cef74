"""The parts of an installation by name, in the order in which they are applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.controller.crds.definitions import DEFINITIONS
from meltemi.controller.manifests.manifest import Manifest
from meltemi.controller.manifests.network import network
from meltemi.controller.manifests.rbac import rbac
from meltemi.controller.manifests.webhook import webhook
from meltemi.controller.manifests.workload import workload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from meltemi.controller.manifests.wish import Wish


def crds(_: Wish) -> Iterator[Manifest]:
    """The definitions of all kinds that Istio does not define."""
    yield from (Manifest(definition.to_dict()) for definition in DEFINITIONS)


def deployment(wish: Wish) -> Iterator[Manifest]:
    """What runs, and how it is reached."""
    yield from workload(wish)
    yield from network(wish)


PARTS: Mapping[str, Callable[[Wish], Iterator[Manifest]]] = {
    "crds": crds,
    "rbac": rbac,
    "webhook": webhook,
    "deployment": deployment,
}
