"""A large cluster on a real API server: ``python -m benchmarks.cluster``, some ten minutes.

Services, their EndpointSlices and MetaRouters are created, ``meltemi serve --kube`` starts as an
operator starts it, and a proxy of ours asks for everything: how long until it is ready, what it
keeps, how fast one change arrives, what it costs when nothing happens, and how fast each of many
new services is routed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic
from typing import TYPE_CHECKING, Any

from benchmarks.usage import KIB, Usage
from benchmarks.xds.load import Load, Options
from meltemi.controller.crds.definitions import DEFINITIONS
from meltemi.controller.kube.api import Api, ApiError
from meltemi.controller.offline.presets import DEFAULT
from meltemi.testing import admin_page
from meltemi.testing.ports import LOOPBACK, Address, free_ports
from meltemi.testing.process import ServerProcess
from meltemi.xds.resource import CLUSTER, LISTENER
from tests.cluster.apiserver import ApiServer
from tests.cluster.binaries import binaries

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

NAMESPACE = "scale"
AT_ONCE = 20
READY_S = 300.0
IDLE_S = 30.0
METADATA = '{"meltemi": {"namespace": "scale", "bind": "vip", "rtds": true}}'

MIB = 1024 * KIB

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Size:
    """How many objects there are at first, how many services come after them, and how often one
    object changes.
    """

    services: int = 10_000
    rules: int = 1_000
    created: int = 1_000
    changes: int = 20


async def measure(size: Size, folder: Path) -> list[tuple[str, str]]:
    """What was measured, and how much it was."""
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(ApiServer(binaries(), folder))
        api = Api(await cluster.connect())
        stack.push_async_callback(api.close)
        await _prepare(api, size)
        xds, admin = (Address(LOOPBACK, port) for port in free_ports(2))
        began = monotonic()
        options = ("--kube", "--kubeconfig", str(cluster.kubeconfig))
        ports = ("--xds", str(xds), "--admin", str(admin))
        argv = [sys.executable, "-m", "meltemi", "serve", *options, *ports]
        process = await stack.enter_async_context(
            await ServerProcess.start("Meltemi", argv, folder / "meltemi.log")
        )
        await process.wait_until(lambda: _ready(admin), "become ready", READY_S)
        found = [("start to ready", f"{monotonic() - began:.1f} s")]
        usage = Usage(process.pid)
        found += [("CPU until then", f"{usage.cpu():.1f} s"), *_memory(usage, "when ready")]
        load = Load(Options(str(xds), "delta", metadata=METADATA, build=DEFAULT))
        stack.callback(load.forget)
        began = monotonic()
        await load.connect(1)
        found.append(("a proxy of everything connects", f"{monotonic() - began:.1f} s"))
        found += _memory(usage, "with its snapshot")
        found += [await _changes(api, load, size), await _idle(usage)]
        found += await _created(api, load, size)
        return [*found, *_memory(usage, "at the end")]


async def _prepare(api: Api, size: Size) -> None:
    await _crds(api)
    await api.send("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    _say(f"creating {size.services} Services, as many EndpointSlices, {size.rules} MetaRouters")
    indices = range(size.services)
    await _all(api, (_service(index) for index in indices))
    await _all(api, (_slice(index) for index in indices))
    await _all(api, (_rule(index, "first") for index in range(size.rules)))


async def _changes(api: Api, load: Load, size: Size) -> tuple[str, str]:
    """From the answer to whoever changed a rule to the bytes at the proxy."""
    took: list[float] = []
    for number in range(size.changes):
        load.take()
        body = _rule(number, f"method-{number}")
        changed = {"spec": body["spec"]}
        path = f"{_collection(body)}/{body['metadata']['name']}"
        await api.send("PATCH", path, changed, content_type="application/merge-patch+json")
        stored = monotonic()
        await load.until(lambda: bool(load.heard))
        took.append((load.heard[0].at - stored) * 1e3)
    return ("a changed MetaRouter is at the proxy, after the API server's answer", _spread(took))


async def _idle(usage: Usage) -> tuple[str, str]:
    await asyncio.sleep(5)
    before = usage.cpu()
    await asyncio.sleep(IDLE_S)
    return ("CPU when nothing happens", f"{(usage.cpu() - before) / IDLE_S * 100:.2f} % of a core")


async def _created(api: Api, load: Load, size: Size) -> list[tuple[str, str]]:
    """Services one after the other: each is routed when its clusters and its listener are there."""
    took: list[float] = []
    for index in range(size.services, size.services + size.created):
        load.take()
        for body in (_slice(index), _service(index)):
            await api.send("POST", _collection(body), body)
        stored = monotonic()
        await load.until(lambda: {CLUSTER, LISTENER} <= {heard.type_url for heard in load.heard})
        took.append((monotonic() - stored) * 1e3)
        if index % 100 == 99:
            _say(f"{index + 1 - size.services} services created")
    slow = sum(each >= 1000 for each in took)
    return [
        (f"each of {size.created} new services is routed", _spread(took)),
        ("of them later than a second", str(slow)),
    ]


def _memory(usage: Usage, when: str) -> Iterator[tuple[str, str]]:
    now, peak = (usage.memory(field) / MIB for field in ("VmRSS", "VmHWM"))
    yield f"memory {when}", f"{now:.0f} MiB, {peak:.0f} at most until then"


def _spread(took: Sequence[float]) -> str:
    return f"{median(took):.0f} ms in the median, {max(took):.0f} ms at most"


async def _ready(admin: Address) -> bool:
    return (await admin_page.get(admin, "/readyz")).status == 200


async def _crds(api: Api) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for definition in DEFINITIONS:
        await api.send("POST", path, definition.to_dict())


async def _all(api: Api, bodies: Iterable[Object]) -> None:
    waiting = iter(bodies)

    async def worker() -> None:
        for body in waiting:
            await _create(api, body)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(worker())


async def _create(api: Api, body: Object) -> None:
    """A kind that was defined a moment ago is served a little later than the server says."""
    while True:
        try:
            await api.send("POST", _collection(body), body)
        except ApiError as error:
            if error.status not in {404, 429}:
                raise
            await asyncio.sleep(0.2)
        else:
            return


def _collection(body: Object) -> str:
    version, plural = body["apiVersion"], f"{body['kind'].lower()}s"
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return f"{root}/namespaces/{NAMESPACE}/{plural}"


def _service(index: int) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": f"svc-{index}"},
        "spec": {"ports": [{"name": "tcp-dubbo", "port": 20880}]},
    }


def _slice(index: int) -> Object:
    """Two ready endpoints."""
    hosts = (
        f"10.{100 + index // 10_000}.{index // 100 % 100}.{index % 100 + at}" for at in (1, 101)
    )
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"svc-{index}-a",
            "labels": {"kubernetes.io/service-name": f"svc-{index}"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "tcp-dubbo", "port": 20880, "protocol": "TCP"}],
        "endpoints": [{"addresses": [host], "conditions": {"ready": True}} for host in hosts],
    }


def _rule(index: int, method: str) -> Object:
    host = f"svc-{index}.{NAMESPACE}.svc.cluster.local"
    to = [{"destination": {"host": host}}]
    match = {"attributes": {"method": {"exact": method}}}
    return {
        "apiVersion": "metaprotocol.aeraki.io/v1alpha1",
        "kind": "MetaRouter",
        "metadata": {"name": f"svc-{index}"},
        "spec": {
            "hosts": [host],
            "routes": [{"name": "one", "match": match, "route": to}, {"name": "rest", "route": to}],
        },
    }


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> None:
    """See the module."""
    usual = Size()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--services", type=int, default=usual.services)
    parser.add_argument("--rules", type=int, default=usual.rules)
    parser.add_argument("--created", type=int, default=usual.created)
    flags = parser.parse_args()
    size = Size(flags.services, flags.rules, flags.created)
    with tempfile.TemporaryDirectory(prefix="meltemi-benchmark-") as folder:
        found = asyncio.run(measure(size, Path(folder)))
    sys.stdout.write("| what | measured |\n| --- | --- |\n")
    sys.stdout.writelines(f"| {what} | {much} |\n" for what, much in found)


if __name__ == "__main__":
    main()
