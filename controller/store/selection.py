"""Pods and WorkloadEntries that ServiceEntries select by their labels."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from meltemi.controller.offline.families import first_and_other
from meltemi.controller.store.hosts import canonical_ip
from meltemi.controller.store.objects import Pod, Workload
from meltemi.protocols.model import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.store.objects import HostSelector
    from meltemi.controller.store.topology import Locate
    from meltemi.protocols.model import Ref

HostKey = tuple[str, str]
"""(namespace, host) of a service."""

Label = tuple[str, str, str]
"""Namespace, name and value."""


class Selection:
    """Who is selected by whom, found by labels.

    A selector is listed under one of its labels, a workload under all of its own: a change looks
    at nobody who does not share a label with it. The methods that change something answer the
    hosts whose endpoints may differ now.
    """

    def __init__(self) -> None:
        self._selectors: dict[tuple[HostKey, Ref], HostSelector] = {}
        self._by_label: defaultdict[Label, set[tuple[HostKey, Ref]]] = defaultdict(set)
        self._workloads: dict[tuple[type, str, str], Pod | Workload] = {}
        self._labelled: defaultdict[Label, set[tuple[type, str, str]]] = defaultdict(set)

    def put(self, owner: Ref, selector: HostSelector) -> HostKey:
        """An object selects these for a host."""
        self.drop(owner, selector)
        key = (selector.namespace, selector.host)
        self._selectors[key, owner] = selector
        self._by_label[_first(selector)].add((key, owner))
        return key

    def drop(self, owner: Ref, selector: HostSelector) -> HostKey:
        """It selects none any more."""
        key = (selector.namespace, selector.host)
        if (before := self._selectors.pop((key, owner), None)) is not None:
            listed = self._by_label[_first(before)]
            listed.discard((key, owner))
            if not listed:
                del self._by_label[_first(before)]
        return key

    def put_workload(self, workload: Pod | Workload) -> set[HostKey]:
        """A Pod or a WorkloadEntry is now this."""
        touched = self.drop_workload(workload)
        name = _name(workload)
        self._workloads[name] = workload
        for label in _labels(workload):
            self._labelled[label].add(name)
        return touched | self._hosts(workload)

    def drop_workload(self, workload: Pod | Workload) -> set[HostKey]:
        """It is gone, whatever it was."""
        name = _name(workload)
        if (before := self._workloads.pop(name, None)) is None:
            return set()
        for label in _labels(before):
            listed = self._labelled[label]
            listed.discard(name)
            if not listed:
                del self._labelled[label]
        return self._hosts(before)

    def endpoints(self, key: HostKey, owner: Ref, locate: Locate) -> tuple[Endpoint, ...]:
        """Those that an object selects for a host, and that have an address that counts there."""
        if (selector := self._selectors.get((key, owner))) is None:
            return ()
        names = self._labelled.get(_first(selector), set())
        found = (self._workloads[name] for name in names)
        endpoints = [e for each in found for e in _endpoint(selector, each, locate)]
        return tuple(sorted(endpoints, key=lambda e: (e.address, sorted(e.ports.items()))))

    def _hosts(self, workload: Pod | Workload) -> set[HostKey]:
        return {
            key
            for label in _labels(workload)
            for key, owner in self._by_label.get(label, ())
            if _selects(self._selectors[key, owner], workload)
        }


def _name(workload: Pod | Workload) -> tuple[type, str, str]:
    return type(workload), workload.namespace, workload.name


def _labels(workload: Pod | Workload) -> Iterator[Label]:
    for name, value in workload.labels.items():
        yield workload.namespace, name, value


def _first(selector: HostSelector) -> Label:
    name, value = min(selector.labels.items())
    return selector.namespace, name, value


def _selects(selector: HostSelector, workload: Pod | Workload) -> bool:
    return selector.labels.items() <= workload.labels.items()


def _endpoint(
    selector: HostSelector, workload: Pod | Workload, locate: Locate
) -> Iterator[Endpoint]:
    if not _selects(selector, workload):
        return
    targets = {port.number: port.target for port in selector.ports}
    match workload:
        case Pod():
            if workload.addresses:
                address, also = first_and_other(workload.addresses)
                yield Endpoint(
                    address=address,
                    ports=targets,
                    labels=workload.labels,
                    locality=locate(workload.node),
                    ready=workload.ready,
                    also=also,
                )
        case Workload():
            if selector.names or canonical_ip(workload.address) is not None:
                yield Endpoint(
                    address=workload.address,
                    ports={
                        p.number: workload.ports.get(p.name) or p.target for p in selector.ports
                    },
                    labels=workload.labels,
                    locality=workload.locality,
                    weight=workload.weight,
                    ready=workload.ready,
                )
