"""What a cluster costs in memory: ``python -m benchmarks.kube [--services N] [--pods N]``.

A process of its own answers as an API server would: Services, an EndpointSlice of five endpoints
for each, Pods, and the Nodes that they run on. The source reads them as lists in pages and as a
streamed list, and the store takes them in; nothing is compiled, nobody is served.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import os
from dataclasses import dataclass
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from aiohttp import web
from kubernetes.aio import client

from benchmarks.usage import KIB, Usage
from meltemi.controller.collector import seldom
from meltemi.controller.kube.kinds import WATCHED
from meltemi.controller.kube.reflector import PAGE
from meltemi.controller.sources import Synced
from meltemi.controller.sources.kube import KubeSource
from meltemi.controller.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

MIB = 1024 * KIB
TARGET_MIB = 250
ENDPOINTS = 5
NODES = 200
READ = {"Service", "EndpointSlice", "Pod", "Node"}
KINDS = tuple(kind for kind in WATCHED if kind.kind in READ)

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Size:
    """``streamed``: the server streams lists."""

    services: int
    pods: int
    streamed: bool


# -- what an API server says -----------------------------------------------------------------------


def metadata(name: str, number: int, **labels: str) -> Object:
    """As users and controllers leave it behind."""
    fields: Object = {
        f"f:{each}": {".": {}, "f:value": {}} for each in ("metadata", "spec", "ports")
    }
    return {
        "name": name,
        "namespace": f"team-{number % 50}",
        "uid": f"6f1c2d3e-0000-4000-8000-{number:012d}",
        "resourceVersion": str(number),
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"app": name, "app.kubernetes.io/part-of": "shop", **labels},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "x" * 300},
        "managedFields": [{"manager": "kubectl", "operation": "Update", "fieldsV1": fields}],
    }


def service(number: int) -> Object:
    address = f"10.{96 + number // 65536}.{number // 256 % 256}.{number % 256}"
    return {
        "metadata": metadata(f"service-{number}", number + 1),
        "spec": {
            "clusterIP": address,
            "clusterIPs": [address],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "tcp-dubbo", "port": 20880, "targetPort": 20880}],
            "selector": {"app": f"service-{number}"},
            "type": "ClusterIP",
        },
        "status": {"loadBalancer": {}},
    }


def pod_address(number: int) -> str:
    return f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"


def slice_of(number: int) -> Object:
    owner = {"kubernetes.io/service-name": f"service-{number}"}
    pods = range(number * ENDPOINTS, (number + 1) * ENDPOINTS)
    return {
        "metadata": metadata(f"service-{number}-abcde", number + 1, **owner),
        "addressType": "IPv4",
        "ports": [{"name": "tcp-dubbo", "port": 20880, "protocol": "TCP"}],
        "endpoints": [
            {
                "addresses": [pod_address(pod)],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "nodeName": f"node-{pod % NODES}",
                "zone": f"zone-{pod % NODES % 3}",
                "targetRef": {
                    "kind": "Pod",
                    "namespace": f"team-{(number + 1) % 50}",
                    "name": f"pod-{pod}",
                    "uid": f"7f1c2d3e-0000-4000-8000-{pod:012d}",
                },
            }
            for pod in pods
        ],
    }


def pod(number: int) -> Object:
    of = number // ENDPOINTS
    meta = metadata(f"pod-{number}", number + 1, version=f"v{number % 2}")
    container = {"name": "main", "image": "registry.example/shop:1", "env": [{"name": "A"}] * 20}
    ready = {"type": "Ready", "status": "True"}
    return {
        "metadata": meta | {"namespace": f"team-{(of + 1) % 50}"},
        "spec": {"nodeName": f"node-{number % NODES}", "containers": [container]},
        "status": {
            "phase": "Running",
            "podIP": pod_address(number),
            "podIPs": [{"ip": pod_address(number)}],
            "conditions": [ready],
        },
    }


def node(number: int) -> Object:
    places = {"region": "region", "zone": f"zone-{number % 3}"}
    labels = {f"topology.kubernetes.io/{level}": name for level, name in places.items()}
    images = [{"names": [f"registry.example/shop:{n}"], "sizeBytes": n} for n in range(50)]
    meta = metadata(f"node-{number}", number + 1, **labels)
    del meta["namespace"]
    return {"metadata": meta, "spec": {"podCIDR": "10.0.0.0/24"}, "status": {"images": images}}


class Server:
    """Answers lists and streamed lists; watches stay open."""

    def __init__(self, size: Size) -> None:
        self._streamed = size.streamed
        self._objects = {
            "services": (service, size.services),
            "endpointslices": (slice_of, size.services),
            "pods": (pod, size.pods),
            "nodes": (node, NODES),
        }

    async def run(self, ready: Connection) -> None:
        app = web.Application()
        app.router.add_get("/apis/discovery.k8s.io", self._group)
        app.router.add_get("/{path:.*}/{plural}", self._answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ready.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    async def _group(self, _: web.Request) -> web.Response:
        return web.json_response({"versions": [{"version": "v1"}]})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        make, count = self._objects[request.match_info["plural"]]
        if "sendInitialEvents" in request.query and not self._streamed:
            return web.json_response({"message": "no streamed lists"}, status=422)
        if "watch" not in request.query:
            start = int(request.query.get("continue", "0"))
            end = min(start + PAGE, count)
            more = str(end) if end < count else ""
            items = [make(number) for number in range(start, end)]
            said = {"resourceVersion": "1000000", "continue": more}
            return web.json_response({"metadata": said, "items": items})
        response = web.StreamResponse()
        await response.prepare(request)
        if "sendInitialEvents" in request.query:
            for number in range(count):
                await response.write(_line("ADDED", make(number)))
            end_of_list = {"k8s.io/initial-events-end": "true"}
            meta = {"resourceVersion": "1000000", "annotations": end_of_list}
            await response.write(_line("BOOKMARK", {"metadata": meta}))
        await asyncio.Event().wait()
        return response


def _line(kind: str, body: Object) -> bytes:
    named = {"apiVersion": "v1", "kind": "Service", **body}
    if "addressType" in body:
        named |= {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice"}
    elif "containers" in body.get("spec", {}):
        named |= {"kind": "Pod"}
    elif "podCIDR" in body.get("spec", {}):
        named |= {"kind": "Node"}
    return json.dumps({"type": kind, "object": named}).encode() + b"\n"


def _serve(size: Size, ready: Connection) -> None:
    asyncio.run(Server(size).run(ready))


# -- what it costs ---------------------------------------------------------------------------------


def measure(size: Size, told: Connection) -> None:
    """In a process of its own, so that one case does not inherit the other's memory."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(size, theirs))
    server.start()
    try:
        told.send([*asyncio.run(_read(f"http://127.0.0.1:{ours.recv()}", size))])
    finally:
        server.kill()
        server.join()


async def _read(url: str, size: Size) -> Iterator[tuple[str, str]]:
    seldom()
    usage = Usage(os.getpid())

    async def connect() -> client.Configuration:
        return client.Configuration(host=url)

    # What is imported and opened for one object is no cost of ten thousand.
    client.ApiClient(await connect())
    before, cpu, began = usage.memory(), process_time(), perf_counter()
    usage.forget_peak()
    store, source = Store(), KubeSource(connect, kinds=KINDS)
    events = source.events()
    while not isinstance(event := await anext(events), Synced):
        store.apply(event)
        del event  # else it is in memory while the next one comes
    seconds, cpu = perf_counter() - began, process_time() - cpu
    peak = usage.memory("VmHWM") - before
    gc.collect()
    kept = usage.memory() - before
    objects = 2 * size.services + size.pods + NODES
    assert store.count == objects, "something was not read"
    assert len(store.mesh.endpoints) == size.services
    await events.aclose()
    return iter(
        (
            ("objects", f"{objects:,}"),
            ("kept", f"{kept / MIB:.0f} MiB"),
            ("peak", f"{peak / MIB:.0f} MiB"),
            ("per object", f"{kept / objects / KIB:.1f} KiB"),
            ("CPU", f"{cpu:.1f} s ({cpu / objects * 1e6:.0f} us each)"),
            ("time", f"{seconds:.1f} s"),
        )
    )


def main() -> None:
    """Print a row per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=10_000)
    parser.add_argument("--pods", type=int, default=50_000)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    for pods in (0, options.pods):
        for streamed in (False, True):
            ours, theirs = context.Pipe()
            size = Size(options.services, pods, streamed)
            process = context.Process(target=measure, args=(size, theirs))
            process.start()
            found: list[tuple[str, str]] = ours.recv()
            process.join()
            how = "streamed" if streamed else "in pages"
            print(
                f"{how}, {pods:,} Pods: {', '.join(f'{name} {text}' for name, text in found)}",
                flush=True,
            )
    print(f"target: below {TARGET_MIB} MiB kept for 10,000 Services and EndpointSlices")


if __name__ == "__main__":
    main()
