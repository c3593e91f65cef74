"""What is counted and measured, for Prometheus.

No label holds anything that a user or a proxy wrote: whatever they are called and however many
there are, the number of series stays the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    ProcessCollector,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from meltemi.xds.resource import PREFIX
from meltemi.xds.session import Acked, Nacked, Pushed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from prometheus_client import Metric

    from meltemi.xds.resource import TypeUrl
    from meltemi.xds.session import Event


class Kind(Enum):
    """Prometheus' kinds."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Spec:
    """A metric as users know it. ``buckets`` of a histogram in seconds."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SLOW = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

BUILD = Spec(
    "meltemi_build_info", Kind.GAUGE, "1; which version this is.", ("version", "python", "grpc")
)
READY = Spec(
    "meltemi_ready",
    Kind.GAUGE,
    "Whether everything was read and compiled once, so that proxies are served.",
)
STREAMS = Spec(
    "meltemi_xds_streams",
    Kind.GAUGE,
    "Open streams: `dialect` is sotw or delta, `transport` plaintext, mtls or token.",
    ("dialect", "transport"),
)
GROUPS = Spec(
    "meltemi_xds_groups",
    Kind.GAUGE,
    "Groups of proxies that see and can do the same, and so share their configuration.",
)
CONNECTS = Spec("meltemi_xds_connects_total", Kind.COUNTER, "Streams that were let in.")
TURNED_AWAY = Spec(
    "meltemi_xds_turned_away_total",
    Kind.COUNTER,
    "Streams that were refused or ended by the server: `code` is gRPC's, `limit` the one that was "
    "reached, empty where it was none.",
    ("code", "limit"),
)
TOKENS = Spec(
    "meltemi_token_checks_total",
    Kind.COUNTER,
    "Tokens of proxies that were looked at: `result` is accepted, refused, or unknown where the "
    "API server could not be asked; `by` says what decided: the token's own claims, the cache of "
    "reviews, or a review.",
    ("result", "by"),
)
PUSHES = Spec("meltemi_xds_pushes_total", Kind.COUNTER, "Responses written.", ("type",))
SENT_BYTES = Spec("meltemi_xds_sent_bytes_total", Kind.COUNTER, "Size of responses.", ("type",))
ACKS = Spec("meltemi_xds_acks_total", Kind.COUNTER, "Responses that proxies accepted.", ("type",))
NACKS = Spec("meltemi_xds_nacks_total", Kind.COUNTER, "Responses that proxies refused.", ("type",))
ANSWER = Spec(
    "meltemi_xds_push_to_ack_seconds",
    Kind.HISTOGRAM,
    "From a response to its acceptance. Clusters are accepted when they are warm.",
    ("type",),
    _SLOW,
)
CONVERGENCE = Spec(
    "meltemi_convergence_seconds",
    Kind.HISTOGRAM,
    "From a change's arrival until a proxy that it concerns has accepted all that it should have.",
    buckets=_SLOW,
)
CHANGES = Spec(
    "meltemi_source_changes_total", Kind.COUNTER, "Changes of objects that the source delivered."
)
SYNCED = Spec(
    "meltemi_source_synced", Kind.GAUGE, "Whether the source has delivered everything once."
)
AGE = Spec(
    "meltemi_source_last_success_age_seconds",
    Kind.GAUGE,
    "Since the source delivered something last. A source whose objects do not change is silent.",
)
KIND_STATE = Spec(
    "meltemi_source_kind_state",
    Kind.GAUGE,
    "In Kubernetes: how many of a kind's parts (namespaces, or Secrets) are in a state. `denied` "
    "and `stale` are findings.",
    ("kind", "state"),
)
KIND_EVENTS = Spec(
    "meltemi_source_kind_events_total",
    Kind.COUNTER,
    "What watches of a kind said, bookmarks included.",
    ("kind",),
)
KIND_RELISTS = Spec(
    "meltemi_source_kind_relists_total",
    Kind.COUNTER,
    "How often a kind had to be read again as a whole.",
    ("kind",),
)
KIND_AGE = Spec(
    "meltemi_source_kind_last_event_age_seconds",
    Kind.GAUGE,
    "Since the API server said something of a kind last, of its most silent part.",
    ("kind",),
)
HELD = Spec(
    "meltemi_changes_held", Kind.GAUGE, "Hosts and secrets whose changes wait for quiet in a storm."
)
COMPILE = Spec(
    "meltemi_compile_seconds",
    Kind.HISTOGRAM,
    "Compiling what a round of changes touched, pauses for streams included.",
    buckets=_FAST,
)
PUBLISH = Spec(
    "meltemi_publish_seconds",
    Kind.HISTOGRAM,
    "Handing a round's snapshots to all streams.",
    buckets=_FAST,
)
OBJECTS = Spec("meltemi_objects", Kind.GAUGE, "Objects that were read, by kind.", ("kind",))
FINDINGS = Spec(
    "meltemi_findings",
    Kind.GAUGE,
    "What is wrong now, by code.",
    ("code", "severity"),
)
LAG = Spec(
    "meltemi_event_loop_lag_seconds",
    Kind.HISTOGRAM,
    "How late the event loop runs what is due.",
    buckets=_FAST,
)

REVIEWS = Spec(
    "meltemi_webhook_reviews_total",
    Kind.COUNTER,
    "Objects that the webhook judged: `result` is allowed, refused, or failed, which lets pass.",
    ("result",),
)

LEADER = Spec("meltemi_leader", Kind.GAUGE, "In Kubernetes: whether this replica writes statuses.")
STATUS_WRITES = Spec(
    "meltemi_status_writes_total",
    Kind.COUNTER,
    "In Kubernetes: writes to statuses. `outcome` is written, conflict (it is tried again), gone, "
    "denied or failed.",
    ("outcome",),
)
STATUS_WAITING = Spec(
    "meltemi_status_waiting",
    Kind.GAUGE,
    "In Kubernetes: objects whose status waits to be compared or written.",
)
REPORTS = Spec(
    "meltemi_replica_reports",
    Kind.GAUGE,
    "In Kubernetes: other replicas whose proxies the leader counts.",
)

CATALOGUE = (
    *(BUILD, READY, STREAMS, GROUPS, CONNECTS, TURNED_AWAY, TOKENS, PUSHES, SENT_BYTES),
    *(ACKS, NACKS, ANSWER, CONVERGENCE, CHANGES, SYNCED, AGE, HELD, COMPILE, PUBLISH),
    *(OBJECTS, FINDINGS, LAG, REVIEWS, KIND_STATE, KIND_EVENTS, KIND_RELISTS, KIND_AGE),
    *(LEADER, STATUS_WRITES, STATUS_WAITING, REPORTS),
)
"""Every metric but those of the process itself."""

Labels = tuple[str, ...]
Reading = tuple[Spec, "Iterable[tuple[Labels, float]]"]
"""The values of a gauge, or of what is counted elsewhere, by the values of its labels."""


class _OfType(NamedTuple):
    """The series of one type. There from the beginning, they show their first increase."""

    pushes: Counter
    sent_bytes: Counter
    acks: Counter
    nacks: Counter
    answer: Histogram


class Metrics:
    """Meltemi's own metrics in a registry of their own. ``types`` are all that are served;
    ``gauges`` says how things are when somebody asks.
    """

    def __init__(self, types: Sequence[TypeUrl], gauges: Callable[[], Iterable[Reading]]) -> None:
        self.registry = CollectorRegistry()
        self._connects = _counter(CONNECTS, self.registry)
        self._turned_away = _counter(TURNED_AWAY, self.registry)
        self._tokens = _counter(TOKENS, self.registry)
        pushes = _counter(PUSHES, self.registry)
        sent_bytes = _counter(SENT_BYTES, self.registry)
        acks, nacks = _counter(ACKS, self.registry), _counter(NACKS, self.registry)
        answer = _histogram(ANSWER, self.registry)
        self._of_type: dict[TypeUrl, _OfType] = {}
        for type_url in types:
            label = type_label(type_url)
            self._of_type[type_url] = _OfType(
                pushes.labels(label),
                sent_bytes.labels(label),
                acks.labels(label),
                nacks.labels(label),
                answer.labels(label),
            )
        self._convergence = _histogram(CONVERGENCE, self.registry)
        self._changes = _counter(CHANGES, self.registry)
        self._compile = _histogram(COMPILE, self.registry)
        self._publish = _histogram(PUBLISH, self.registry)
        self._lag = _histogram(LAG, self.registry)
        self._reviews = _counter(REVIEWS, self.registry)
        for result in ("allowed", "refused", "failed"):  # so that they show their first increase
            self._reviews.labels(result)
        self.registry.register(_Gauges(gauges))
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def connected(self) -> None:
        """A stream was let in."""
        self._connects.inc()

    def turned_away(self, code: str, limit: str) -> None:
        """A stream was refused, or ended by the server; see ``xds.observer.TurnedAway``."""
        self._turned_away.labels(code, limit).inc()

    def token_checked(self, result: str, by: str) -> None:
        """A proxy's token was looked at; see ``kube.token_reviews.Checked``."""
        self._tokens.labels(result, by).inc()

    def said(self, event: Event) -> None:
        """Something happened on a stream."""
        of_type = self._of_type[event.type_url]
        match event:
            case Pushed():
                of_type.pushes.inc()
                of_type.sent_bytes.inc(event.size)
            case Acked():
                of_type.acks.inc()
                of_type.answer.observe(event.waited)
            case Nacked():
                of_type.nacks.inc()
            case _:
                pass

    def converged(self, seconds: float) -> None:
        """A proxy has all that a change meant for it."""
        self._convergence.observe(seconds)

    def changed(self, changes: int) -> None:
        """The source delivered changes."""
        self._changes.inc(changes)

    def compiled(self, compiling: float, publishing: float) -> None:
        """A round of changes is compiled, and its snapshots were handed over."""
        self._compile.observe(compiling)
        self._publish.observe(publishing)

    def reviewed(self, *, refused: bool, failed: bool) -> None:
        """The webhook has answered."""
        self._reviews.labels("failed" if failed else "refused" if refused else "allowed").inc()

    def lagged(self, seconds: float) -> None:
        """The event loop was late by this."""
        self._lag.observe(seconds)


def type_label(type_url: TypeUrl) -> str:
    """A type without what all types have in common."""
    return type_url.removeprefix(PREFIX)


class _Gauges(Collector):
    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read

    def describe(self) -> Iterator[Metric]:
        """Nothing: else the registry would read while the program is built."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """How things are now."""
        for spec, values in self._read():
            counts = spec.kind is Kind.COUNTER
            of_kind = CounterMetricFamily if counts else GaugeMetricFamily
            family = of_kind(spec.name, spec.help, labels=spec.labels)
            for labels, value in values:
                family.add_metric(labels, value)
            yield family


def _counter(spec: Spec, registry: CollectorRegistry) -> Counter:
    return Counter(spec.name, spec.help, spec.labels, registry=registry)


def _histogram(spec: Spec, registry: CollectorRegistry) -> Histogram:
    return Histogram(spec.name, spec.help, spec.labels, buckets=spec.buckets, registry=registry)
