"""The story that the demo tells: which rules are edited, and what each edit must show.

Pure: texts in, texts out. The files are those of ``examples/``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

DUBBO_RULES = "dubbo/routes.yaml"
THRIFT_RULES = "thrift/routes.yaml"
REDIS_RULES = "redis/routes.yaml"
KAFKA_CLUSTER = "kafka/cluster.yaml"

ProtocolName = Literal["Dubbo", "Thrift", "Redis", "Kafka"]
Traffic = Literal["orders", "refunds", "catalog", "reservations", "sessions", "carts", "records"]
"""The kinds of calls that run all the time; each edit shows in one of them."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of one file: each ``(old, new)``, where ``old`` occurs in it exactly once."""

    file: str
    replacements: tuple[tuple[str, str], ...]

    def apply(self, text: str) -> str:
        """The edited text.

        Raises:
            ValueError: the text is not the one that the story was written for.
        """
        for old, new in self.replacements:
            if text.count(old) != 1:
                raise ValueError(f"{self.file} has {old!r} {text.count(old)} times, not once")
            text = text.replace(old, new)
        return text


@dataclass(frozen=True, slots=True)
class Step:
    """One edit, and what it must do to the part of the traffic that reaches the new version.

    ``towards`` is the version whose first answer shows the change; ``before`` and ``after`` are
    shares of the new version, 0 to 1. ``sign`` is what is timed where it is not the first changed
    answer; ``shares`` says how a share is told.
    """

    protocol: ProtocolName
    title: str
    edit: Edit
    traffic: Traffic
    before: float
    after: float
    towards: Literal["v1", "v2"] = "v2"
    sign: str = ""
    shares: Literal["v1/v2", "mirrored", "answered"] = "v1/v2"

    def told(self, before: float, after: float) -> str:
        """Two shares of the new version, in the words of this step."""
        return f"{self.shares} {self._told(before)} → {self._told(after)}"

    def _told(self, share: float) -> str:
        percent = f"{100 * share:.0f}"
        return f"{100 - 100 * share:.0f}/{percent}" if self.shares == "v1/v2" else f"{percent} %"


def _two_versions(before: tuple[int, int], after: tuple[int, int]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (f"weight: {old}\n", f"weight: {new}\n") for old, new in zip(before, after, strict=True)
    )


_EU_REFUNDS = """\
    - name: refunds-eu
      match:
        attributes:
          method: {exact: refund}
          region: {exact: eu} # an attachment
      route:
        - destination: {host: orders.example, subset: v2}
"""
_EU_RESERVATIONS = """\
    - name: reservations-eu
      match:
        attributes:
          method: {exact: reserve}
          region: {exact: eu} # a header
      route:
        - destination: {host: catalog.example, subset: v2}
"""
_CARTS = """\
    - match:
        key: {prefix: "cart:"}
      route: {host: sessions-next.example, port: 6380}
"""
# The place where the new routes go: before the first one that is there.
_REFUNDS = "    - name: refunds # money"
_RESERVATIONS = "    - name: reservations # the one"
_EVERYTHING_ELSE = "    - route: {host: sessions.example}"
_ATTACHMENT = "region: {exact: eu} # an attachment\n      route:\n        - destination: "

STEPS: Final = (
    Step(
        protocol="Dubbo",
        title="weights 80/20 → 10/90",
        edit=Edit(DUBBO_RULES, _two_versions((80, 20), (10, 90))),
        traffic="orders",
        before=0.2,
        after=0.9,
    ),
    Step(
        protocol="Dubbo",
        title="new route: method refund, attachment region=eu → v2",
        edit=Edit(DUBBO_RULES, ((_REFUNDS, _EU_REFUNDS + _REFUNDS),)),
        traffic="refunds",
        before=0.0,
        after=1.0,
    ),
    Step(
        protocol="Thrift",
        title="weights 80/20 → 10/90",
        edit=Edit(THRIFT_RULES, _two_versions((80, 20), (10, 90))),
        traffic="catalog",
        before=0.2,
        after=0.9,
    ),
    Step(
        protocol="Thrift",
        title="new route: method reserve, header region=eu → v2",
        edit=Edit(THRIFT_RULES, ((_RESERVATIONS, _EU_RESERVATIONS + _RESERVATIONS),)),
        traffic="reservations",
        before=0.0,
        after=1.0,
    ),
    Step(
        protocol="Redis",
        title="mirror of writes 0 % → 100 %",
        edit=Edit(REDIS_RULES, (("percentage: {value: 0}", "percentage: {value: 100}"),)),
        traffic="sessions",
        before=0.0,
        after=1.0,
        sign="first mirrored write",
        shares="mirrored",
    ),
)

PREFIX: Final = Step(
    protocol="Redis",
    title="new route: keys cart:* → v2",
    edit=Edit(REDIS_RULES, ((_EVERYTHING_ELSE, _CARTS + _EVERYTHING_ELSE),)),
    traffic="carts",
    before=0.0,
    after=1.0,
    sign="on a new connection",
)
"""The one edit that replaces a listener: redis_proxy has no route discovery. Clients that connect
from now on have the route; the connections that are open are closed by Envoy, each after an answer,
spread over the drain time.
"""

BREAK: Final = Step(
    protocol="Dubbo",
    title="mistake: refunds of region eu → v3",
    edit=Edit(
        DUBBO_RULES,
        (
            (
                f"{_ATTACHMENT}{{host: orders.example, subset: v2}}",
                f"{_ATTACHMENT}{{host: orders.example, subset: v3}}",
            ),
        ),
    ),
    traffic="refunds",
    before=1.0,
    after=0.0,
    towards="v1",
)
BROKEN_CODE: Final = "MEL0302"
"""What the mistake is called."""

FIX: Final = Step(
    protocol="Dubbo",
    title="correction: refunds of region eu → v2",
    edit=Edit(DUBBO_RULES, (("subset: v3}", "subset: v2}"),)),
    traffic="refunds",
    before=0.0,
    after=1.0,
)


def move(old: int, new: int) -> Step:
    """Broker 2 listens at another port than before, and the file is told so."""
    return Step(
        protocol="Kafka",
        title="broker 2 moves while a producer writes",
        edit=Edit(KAFKA_CLUSTER, ((f"port: {old}}}", f"port: {new}}}"),)),
        traffic="records",
        before=0.0,
        after=1.0,
        sign="first answer of the moved broker",
        shares="answered",
    )
