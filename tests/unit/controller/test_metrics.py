"""What is counted, as Prometheus reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from meltemi.controller.metrics import CATALOGUE, READY, STREAMS, Kind, Metrics, type_label
from meltemi.testing.resources import cluster
from meltemi.xds.resource import CLUSTER, ENDPOINT
from meltemi.xds.session import Acked, Nacked, Pushed, Subscribed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import Metric

    from meltemi.controller.metrics import Reading, Spec

GAUGES = (
    (READY, [((), 1.0)]),
    (STREAMS, [(("sotw", "plaintext"), 3.0)]),
)
LABEL = type_label(CLUSTER)


def metrics() -> Metrics:
    def gauges() -> Iterable[Reading]:
        return GAUGES

    return Metrics([CLUSTER, ENDPOINT], gauges)


def families(of: Metrics) -> dict[str, Metric]:
    text = generate_latest(of.registry).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(of: Metrics, name: str, **labels: str) -> float | None:
    return of.registry.get_sample_value(name, labels)


def test_a_push_is_counted_with_its_size_by_type() -> None:
    found = metrics()
    found.said(Pushed(CLUSTER, "v", "1", 70))
    found.said(Pushed(CLUSTER, "v", "2", 30))
    assert value(found, "meltemi_xds_pushes_total", type=LABEL) == 2
    assert value(found, "meltemi_xds_sent_bytes_total", type=LABEL) == 100


def test_an_acceptance_is_counted_and_its_time_measured() -> None:
    found = metrics()
    found.said(Acked(CLUSTER, "v", "1", frozenset(), waited=0.02))
    assert value(found, "meltemi_xds_acks_total", type=LABEL) == 1
    assert value(found, "meltemi_xds_push_to_ack_seconds_sum", type=LABEL) == 0.02
    assert value(found, "meltemi_xds_push_to_ack_seconds_bucket", type=LABEL, le="0.01") == 0
    assert value(found, "meltemi_xds_push_to_ack_seconds_bucket", type=LABEL, le="0.025") == 1


def test_a_refusal_is_counted_by_type_and_by_nothing_that_a_user_wrote() -> None:
    found = metrics()
    found.said(Nacked(CLUSTER, "v", "1", "why", (cluster("a"),), certain=True))
    assert value(found, "meltemi_xds_nacks_total", type=LABEL) == 1
    assert "why" not in generate_latest(found.registry).decode()


def test_everything_of_a_type_is_there_before_it_happens() -> None:
    found = metrics()
    for name in ("pushes", "sent_bytes", "acks", "nacks"):
        for type_url in (CLUSTER, ENDPOINT):
            assert value(found, f"meltemi_xds_{name}_total", type=type_label(type_url)) == 0


def test_what_is_only_asked_for_counts_nothing() -> None:
    found = metrics()
    before = generate_latest(found.registry)
    found.said(Subscribed(CLUSTER))
    mine = [line for line in before.splitlines() if b"meltemi_" in line]
    after = [line for line in generate_latest(found.registry).splitlines() if b"meltemi_" in line]
    assert after == mine


def test_gauges_show_how_things_are_when_somebody_asks() -> None:
    assert value(metrics(), "meltemi_xds_streams", dialect="sotw", transport="plaintext") == 3


def test_streams_that_are_turned_away_are_counted_by_code_and_limit() -> None:
    found = metrics()
    found.turned_away("RESOURCE_EXHAUSTED", "streams")
    name = "meltemi_xds_turned_away_total"
    assert value(found, name, code="RESOURCE_EXHAUSTED", limit="streams") == 1


def test_the_process_is_measured_as_well() -> None:
    assert {"process_resident_memory_bytes", "process_open_fds"} <= families(metrics()).keys()


@pytest.mark.parametrize("spec", CATALOGUE, ids=lambda spec: spec.name)
def test_names_and_help_are_as_prometheus_wants_them(spec: Spec) -> None:
    """What ``promtool check metrics`` complains about."""
    assert spec.name == spec.name.lower()
    assert spec.help.endswith(".")
    assert spec.name.endswith("_total") == (spec.kind is Kind.COUNTER)
    assert not spec.name.endswith(("_count", "_sum", "_bucket", "_milliseconds"))
    assert (spec.kind is Kind.HISTOGRAM) == bool(spec.buckets)
    assert list(spec.buckets) == sorted(set(spec.buckets))
    assert not {"le", "quantile", "job", "instance"} & set(spec.labels)
