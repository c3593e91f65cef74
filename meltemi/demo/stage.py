"""Plays the story from beginning to end and gives the exit code."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from meltemi.demo import brokers
from meltemi.demo.backends import PASSWORD
from meltemi.demo.choice import ClusterError, UsageError, choose
from meltemi.demo.claims import (
    connections_claim,
    failures_claim,
    finding_claim,
    step_claim,
)
from meltemi.demo.cluster import from_cluster
from meltemi.demo.rig import rig
from meltemi.demo.rules import from_folder
from meltemi.demo.show import Show
from meltemi.demo.story import BREAK, FIX, PREFIX, STEPS
from meltemi.demo.traffic import INTERFACE, crowd
from meltemi.demo.watch import NEW, corrected, gauges, heed_cancellation, mistake, perform
from meltemi.testing.envoy_binary import EnvoyUnavailableError, envoy_binary
from meltemi.testing.fetching import UnavailableError
from meltemi.testing.process import ServerProcessError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from meltemi.demo.choice import Wanted
    from meltemi.demo.claims import Claim
    from meltemi.demo.rig import Rig
    from meltemi.demo.rules import Serving
    from meltemi.demo.story import Step
    from meltemi.demo.traffic import Crowd
    from meltemi.demo.watch import Gauge

FINE, NOT_OBSERVED, USAGE, UNREACHABLE, STOPPED = 0, 1, 2, 3, 130
SURROUNDINGS: Final = (ServerProcessError, ClusterError, OSError)
"""What goes wrong around the demo, rather than in it."""

LOOK_S: Final = 2.0
"""How often the shares are told while the demo stays up."""


def main(stay: bool, kube: Wanted | None = None) -> int:
    """Run the demo; ``stay`` keeps everything up afterwards, until Ctrl-C. ``kube``: with the rules
    in that cluster, instead of in files.

    Gives 0 if all that the demo claims was observed, 1 if not, 2 if it may not write into the
    cluster, 3 if something that it needs cannot be had here, 130 if it was stopped. Nothing that it
    started is left behind.
    """
    with Show() as show:
        try:
            serving = from_folder if kube is None else _in_cluster(show, kube)
            envoy_binary(progress=show.say)
            with_kafka = brokers.kafka_at_hand(show.say)
            return asyncio.run(_until_stopped(show, serving, stay=stay, with_kafka=with_kafka))
        except KeyboardInterrupt:
            return STOPPED
        except UsageError as error:
            show.say(f"meltemi: {error}", "bold red")
            return USAGE
        except (EnvoyUnavailableError, UnavailableError) as error:
            show.say(f"meltemi: {error}", "bold red")
            return UNREACHABLE
        except (*SURROUNDINGS, ExceptionGroup) as error:
            show.say(f"meltemi: the demo cannot go on: {_cause(error)}", "bold red")
            return NOT_OBSERVED


def _in_cluster(show: Show, wanted: Wanted) -> Serving:
    """Raises UsageError and UnavailableError."""
    choice = asyncio.run(choose(wanted))
    show.say(choice.said)
    return partial(from_cluster, choice, wanted.namespace)


def _cause(error: BaseException) -> str:
    """The first cause, if it lies in the surroundings; a mistake of our own goes on as it is."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    if not isinstance(error, SURROUNDINGS):
        raise error
    return str(error) or type(error).__name__


async def _until_stopped(show: Show, serving: Serving, *, stay: bool, with_kafka: bool) -> int:
    """Signals stop the play once; the orderly end of what runs is then left to go its way."""
    play = asyncio.create_task(_play(show, serving, stay=stay, with_kafka=with_kafka))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({play, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if play.done():
        stopping.cancel()
        return play.result()
    play.cancel()
    with suppress(asyncio.CancelledError):
        return await play
    return STOPPED


async def _play(show: Show, serving: Serving, *, stay: bool, with_kafka: bool) -> int:
    async with rig(show.say, serving, with_kafka=with_kafka) as up, crowd(up.entrances) as calls:
        show.say(f"Calling on {calls.totals().connections} open connections")
        try:
            claims = await _story(show, up, calls)
        except Exception:
            _tell_what_is_known(show, up, calls)
            raise
        show.summary(claims)
        held = all(claim.held for claim in claims)
        if not held:
            _tell_what_is_known(show, up, calls)
        if stay:
            await _stay(show, up, calls)
    return FINE if held else NOT_OBSERVED


async def _story(show: Show, up: Rig, calls: Crowd) -> list[Claim]:
    async with gauges(up, calls) as measured:
        claims = [await _step(show, step, measured[step.traffic], up, calls) for step in STEPS]
        claims += await _mistake(show, measured[BREAK.traffic], up, calls)
        claims.append(await _step(show, FIX, measured[FIX.traffic], up, calls))
        claims.append(await corrected(up.rules))
        if up.kafka is not None:
            heed_cancellation()
            claims += await brokers.play(show, up.kafka, up, calls)
        until_now = calls.totals()
        claims.append(connections_claim(until_now))
        claims.append(await _step(show, PREFIX, measured[PREFIX.traffic], up, calls))
    drained = calls.totals().reconnects - until_now.reconnects
    show.say(
        f"A Redis prefix is part of the listener: Envoy now drains the open connections, "
        f"{drained} until now, and their clients connect again."
    )
    return [*claims, failures_claim(calls.totals())]


async def _step(show: Show, step: Step, gauge: Gauge, up: Rig, calls: Crowd) -> Claim:
    heed_cancellation()
    show.begin(step)
    observed = await perform(step, gauge, up, calls)
    claim = step_claim(step, observed)
    show.done(step, observed, held=claim.held)
    return claim


async def _mistake(show: Show, gauge: Gauge, up: Rig, calls: Crowd) -> Sequence[Claim]:
    heed_cancellation()
    show.begin(BREAK)
    observed, told = await mistake(gauge, up, calls)
    claim = step_claim(BREAK, observed)
    show.done(BREAK, observed, held=claim.held)
    if told is not None:
        show.finding(told)
    return claim, finding_claim(up.rules.telling, told)


def _tell_what_is_known(show: Show, up: Rig, calls: Crowd) -> None:
    for error, count in calls.errors().most_common(5):
        show.say(f"failed {count} times: {error}")
    show.say(up.log_tails())


async def _stay(show: Show, up: Rig, calls: Crowd) -> None:
    """Until the task is cancelled, which is the orderly end of it."""
    for line in _directions(up):
        show.say(line)
    with suppress(asyncio.CancelledError):
        while True:
            heed_cancellation()
            await asyncio.sleep(LOOK_S)
            show.now(_shares(calls))


def _shares(calls: Crowd) -> Mapping[str, str]:
    answers = {name: traffic.take() for name, traffic in calls.kinds.items()}
    answers.pop("sessions")  # its answers are numbers
    shares = {name: f"{report.share(NEW):.0%} {NEW}" for name, report in answers.items()}
    return shares | {"failed calls": f"{calls.totals().failed}"}


def _directions(up: Rig) -> tuple[str, ...]:
    """How to talk to what runs."""
    at = up.entrances
    redis = at["sessions.example"]
    kafka = () if up.kafka is None else (f"Kafka   {at[brokers.HOST]}, topic {brokers.TOPIC}",)
    return (
        "",
        "Everything stays up until Ctrl-C, and calls go on. Edit the rules and watch the shares:",
        *up.rules.directions(),
        f"Dubbo   {at['orders.example']}, interface {INTERFACE}, any method",
        f"Thrift  {at['catalog.example']}, any method string m(1: string name)",
        f"Redis   {redis}: redis-cli -h {redis.host} -p {redis.port} -a {PASSWORD}",
        *kafka,
        f"Meltemi http://{up.meltemi.admin}/findings and /proxies",
        f"Envoy   http://{up.envoy.admin}/config_dump?include_eds and /stats",
    )
