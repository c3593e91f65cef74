"""What a review by the webhook costs beside 1,000 rules, and how long one takes over HTTPS.

``python -m benchmarks.webhook`` prints medians and the slowest of a hundred, in milliseconds.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from datetime import UTC, datetime
from io import BytesIO
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import aiohttp

from meltemi.controller.decode import decode
from meltemi.controller.http_server import listening, quiet
from meltemi.controller.settings import Settings
from meltemi.controller.store.objects import Upsert
from meltemi.controller.store.store import Store
from meltemi.controller.webhook.certificates import Action, carry_out
from meltemi.controller.webhook.judge import Judge
from meltemi.controller.webhook.review import parse
from meltemi.controller.webhook.server import PATH, application, load, server_context
from meltemi.controller.webhook.trial import Trial
from meltemi.protocols.registry import load as registry
from meltemi.testing.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RULES = 1000
REVIEWS = 300

Body = dict[str, object]


def objects(number: int) -> Iterator[Body]:
    """A service, its versions and a rule that splits it."""
    host, meta = f"shop-{number}.example", {"name": f"shop-{number}", "namespace": "default"}
    yield {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": meta,
        "spec": {
            "hosts": [host],
            "resolution": "STATIC",
            "ports": [{"number": 20880, "name": "tcp-dubbo", "protocol": "TCP"}],
            "endpoints": [
                {"address": f"10.0.{number // 250}.{number % 250 + 1}", "labels": {"version": v}}
                for v in ("v1", "v2")
            ],
        },
    }
    yield {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": meta,
        "spec": {
            "host": host,
            "subsets": [{"name": v, "labels": {"version": v}} for v in ("v1", "v2")],
        },
    }
    yield rule(number, 90)


def rule(number: int, weight: int) -> Body:
    host = f"shop-{number}.example"
    shares = (("v1", weight), ("v2", 100 - weight))
    return {
        "apiVersion": "metaprotocol.aeraki.io/v1alpha1",
        "kind": "MetaRouter",
        "metadata": {"name": f"shop-{number}", "namespace": "default"},
        "spec": {
            "hosts": [host],
            "routes": [
                {
                    "name": "refunds",
                    "match": {"attributes": {"method": {"regex": "refund.*"}}},
                    "route": [{"destination": {"host": host, "subset": "v1"}}],
                },
                {
                    "name": "all",
                    "route": [
                        {"destination": {"host": host, "subset": subset}, "weight": share}
                        for subset, share in shares
                    ],
                },
            ],
        },
    }


def reviews() -> list[bytes]:
    """Each of another rule that is changed."""
    return [
        json.dumps(
            {
                "apiVersion": "admission.k8s.io/v1",
                "kind": "AdmissionReview",
                "request": {
                    "uid": str(number),
                    "operation": "UPDATE",
                    "object": rule(number, 80),
                    "oldObject": rule(number, 90),
                },
            }
        ).encode()
        for number in range(REVIEWS)
    ]


def full_store() -> Store:
    store = Store()
    outcomes = [decode(body) for number in range(RULES) for body in objects(number)]
    store.apply([each for each in outcomes if isinstance(each, Upsert)])
    return store


async def alone(judge: Judge) -> list[float]:
    """CPU of one review, without its transport."""
    spent: list[float] = []
    for body in reviews():
        started = process_time()
        verdict = await judge.judge(parse(body))
        spent.append(process_time() - started)
        if verdict.errors or verdict.warnings:
            sys.exit(f"nothing is wrong with it: {verdict}")
    return spent


async def over_https(judge: Judge) -> list[float]:
    """From question to answer, one after another, on one connection."""
    made = carry_out(Action.ROTATE, None, frozenset({LOOPBACK}), datetime.now(UTC))
    config = quiet(application(judge, lambda _: None))
    config.load()
    config.ssl = context = server_context()
    load(context, made.certificate, made.key)
    trust = ssl.create_default_context(cadata=made.roots.decode())
    waited: list[float] = []
    async with listening(config, LOOPBACK, 0) as port, aiohttp.ClientSession() as session:
        for body in reviews():
            started = perf_counter()
            url = f"https://{LOOPBACK}:{port}{PATH}"
            async with session.post(url, data=BytesIO(body), ssl=trust) as response:
                await response.read()
            waited.append(perf_counter() - started)
    return waited


def told(what: str, seconds: Sequence[float]) -> None:
    slowest = sorted(seconds)[len(seconds) * 99 // 100]
    print(f"{what}: median {median(seconds) * 1000:.1f} ms, p99 {slowest * 1000:.1f} ms")


async def main() -> None:
    judge = Judge(Trial(full_store(), registry(), Settings()).run)
    await alone(judge)  # the encoders of each class are compiled on first use
    told(f"a review beside {RULES} rules, CPU", await alone(judge))
    by_itself = Judge(lambda _: None)
    told("of this reading it and what is wrong with it alone", await alone(by_itself))
    told("over HTTPS, client and server in one process", await over_https(judge))


if __name__ == "__main__":
    asyncio.run(main())
