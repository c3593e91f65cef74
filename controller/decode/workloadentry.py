"""Istio's WorkloadEntry: a machine that stands beside Pods as an endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from msgspec import field

from meltemi.controller.decode.kubernetes import HEAD
from meltemi.controller.decode.schema import Spec
from meltemi.controller.decode.values import Count, PortNumber, locality_of
from meltemi.controller.store.hosts import canonical_ip, flaw
from meltemi.controller.store.objects import Workload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.decode.metadata import Metadata
    from meltemi.controller.decode.notes import Notes
    from meltemi.controller.store.objects import Value

NO_IP = "MEL0203"


class Condition(Spec, frozen=True):
    """One of ``status.conditions``."""

    type: str = ""
    status: str = ""
    OPEN: ClassVar[bool] = True


class WorkloadStatus(Spec, frozen=True):
    """Whether istiod found the machine healthy, where it looks."""

    conditions: tuple[Condition, ...] = ()
    OPEN: ClassVar[bool] = True


class WorkloadSpec(Spec, frozen=True):
    """``spec``, and one of a ServiceEntry's ``spec.endpoints``. ``ports`` maps names of a
    ServiceEntry's ports to this machine's numbers.
    """

    address: str = ""
    ports: dict[str, PortNumber] = field(default_factory=dict[str, PortNumber])
    labels: dict[str, str] = field(default_factory=dict[str, str])
    locality: str = ""
    weight: Count = 0
    IGNORED: ClassVar[frozenset[str]] = frozenset({"network", "serviceAccount"})


class WorkloadObject(Spec, frozen=True):
    """A WorkloadEntry."""

    spec: WorkloadSpec
    status: WorkloadStatus = WorkloadStatus()
    IGNORED: ClassVar[frozenset[str]] = HEAD - {"status"}


def workload_entry(written: WorkloadObject, meta: Metadata, notes: Notes) -> Iterator[Value]:
    """A machine that ServiceEntries select by its labels: the object's and the entry's own."""
    spec = written.spec
    address = canonical_ip(spec.address) or spec.address.lower()
    if canonical_ip(address) is None and flaw(address) is not None:
        cause = f"{spec.address!r} is no IP address and no DNS name: nobody reaches the workload"
        notes.add(NO_IP, "spec.address", cause, "write where the machine is")
        return
    yield Workload(
        namespace=meta.namespace,
        name=meta.name,
        address=address,
        labels={**meta.labels, **spec.labels},
        ports=spec.ports,
        locality=locality_of(spec.locality),
        weight=spec.weight or 1,
        ready=not any(
            c.type == "Healthy" and c.status == "False" for c in written.status.conditions
        ),
    )
