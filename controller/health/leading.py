"""The replicas of a cluster: who of them writes, and who of the others reports to it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from meltemi.controller.health.result import error, fine, listed, warning
from meltemi.controller.kube.election import Record
from meltemi.controller.kube.mirror import mapping, mappings
from meltemi.controller.kube.peers import EXPIRES_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meltemi.controller.health.result import Result
    from meltemi.controller.kube.mirror import Body

GRACE_S = 5.0
"""Seconds by which the clock of a Lease's holder may be behind the API server's."""

START = (
    "let a replica run (meltemi serve --kube) that may write leases; its log says leader.failing"
)
TAKEOVER = "look at the log of the other replicas (leader.failing); without any, start one"
LOOK = "look at the replica and at its log (report.failing)"
SAME = "let all replicas run one version; two are sound only while one replaces the other"


def lease_results(lease: Body | None, now: float) -> Iterator[Result]:
    """``now`` in seconds since 1970, by the API server's clock."""
    spec = mapping((lease or {}).get("spec"))
    try:
        record = msgspec.convert(spec, Record)
        renewed = datetime.fromisoformat(record.renew_time).timestamp() if spec else 0.0
    except (msgspec.ValidationError, ValueError) as wrong:
        yield error("lease", f"the Lease cannot be read: {wrong}", "delete it: it is made anew")
        return
    if not record.holder_identity:
        yield warning("lease", "no replica leads: nobody writes what becomes of rules", START)
        return
    silent, holder = now - renewed, record.holder_identity
    if silent > record.lease_duration_seconds + GRACE_S:
        text = f"{holder} leads and is gone for {silent:.0f} s: nobody writes what becomes of rules"
        yield error("lease", text, TAKEOVER)
    else:
        yield fine("lease", f"{holder} leads")


def reporters(reports: Iterable[Body]) -> dict[str, float]:
    """When each replica's report was written last, in seconds since 1970 by the API server's clock;
    0 where that cannot be told.
    """
    return {str(metadata.get("name")): _written(metadata) for metadata in map(_metadata, reports)}


def _metadata(body: Body) -> Body:
    return mapping(body.get("metadata"))


def _written(metadata: Body) -> float:
    times = [str(each.get("time", "")) for each in mappings(metadata.get("managedFields"))]
    try:
        return max((datetime.fromisoformat(time).timestamp() for time in times), default=0.0)
    except ValueError:
        return 0.0


def replica_results(written: Mapping[str, float], now: float) -> Iterator[Result]:
    """Of those that do not lead. ``now`` as those of ``written``."""
    late = [name for name, at in written.items() if now - at > EXPIRES_S + GRACE_S]
    if late:
        text = f"not heard of for more than {EXPIRES_S:.0f} s: {listed(late)}"
        yield warning("replicas", text, LOOK)
    else:
        yield fine("replicas", f"replicas that report to a leader: {len(written) or 'none'}")


def version_results(versions: Mapping[str, str]) -> Iterator[Result]:
    """Of replicas that were asked themselves, by their URL."""
    found = sorted(set(versions.values()))
    if len(found) > 1:
        yield warning("replicas", f"they run different versions: {listed(found)}", SAME)
    elif len(versions) > 1:
        yield fine("replicas", f"all {len(versions)} run version {found[0]}")
