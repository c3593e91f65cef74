"""Services in the shapes that people write, from YAML to the answers of real servers."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from meltemi.controller.offline.offline import read_path
from meltemi.controller.settings import Settings
from meltemi.testing.dubbo import DubboClient, DubboServer
from meltemi.testing.dubbo_wire import DubboCallError
from meltemi.testing.ports import Address
from meltemi.testing.thrift import AsyncThriftClient, ThriftServer
from tests import make
from tests.envoy.rig import PATIENCE_S
from tests.envoy.serving import BIND, served

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

pytestmark = pytest.mark.envoy

DUBBO, THRIFT = make.PORT, 9090


@asynccontextmanager
async def serving(
    folder: Path, text: str, *, ports: tuple[tuple[str, int], ...] = ()
) -> AsyncGenerator[None]:
    """An Envoy with what this YAML says. ``ports`` moves listeners: (host:port, number)."""
    (folder / "shape.yaml").write_text(text)
    offline = read_path(folder, make.registry(), Settings())
    group = offline.group(make.group(bind=BIND, ports=ports))
    async with served(group.snapshot) as on:
        await on.envoy.wait_ready()
        yield


async def dubbo(
    port: int = DUBBO, method: str = "hello", calls: int = 20, **said: str
) -> Counter[str]:
    """Who answers so many Dubbo calls with these attachments, and how many."""
    async with await DubboClient.open(Address(BIND, port)) as client:
        found = [await client.call("demo.Greeter", method, attachments=said) for _ in range(calls)]
        return Counter(str(call.result()) for call in found)


async def thrift(port: int = THRIFT) -> str:
    """Who answers a Thrift call."""
    async with await AsyncThriftClient.open(Address(BIND, port)) as client:
        return (await client.hello("ann")).partition(":")[0]


def slice_of(name: str, pod: str, dubbo: Address, thrift: Address) -> str:
    return f"""
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
addressType: IPv4
metadata: {{name: {name}, labels: {{kubernetes.io/service-name: shop}}}}
ports: [{{name: tcp-dubbo, port: {dubbo.port}}}, {{name: calls, port: {thrift.port}}}]
endpoints: [{{addresses: [{dubbo.host}], targetRef: {{kind: Pod, name: {pod}}}}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: {pod}, labels: {{app: shop, version: {pod}}}}}
"""


@pytest.mark.parametrize("address", ["10.96.0.10", "None"], ids=["virtual-ip", "headless"])
async def test_several_ports_of_a_service_lead_to_the_target_ports_of_its_pods(
    tmp_path: Path, address: str
) -> None:
    """A port that is a name in the Pods has a number of its own in each."""
    async with (
        DubboServer("v1") as v1,
        DubboServer("v2") as v2,
        ThriftServer("v1") as calls1,
        ThriftServer("v2") as calls2,
    ):
        text = f"""
apiVersion: v1
kind: Service
metadata: {{name: shop}}
spec:
  clusterIP: {address}
  selector: {{app: shop}}
  ports:
    - {{name: tcp-dubbo, port: {DUBBO}, targetPort: rpc}}
    - {{name: calls, appProtocol: thrift, port: {THRIFT}, targetPort: 9091}}
    - {{name: dns, protocol: UDP, port: {DUBBO}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: shop}}
spec:
  host: shop
  subsets: [{{name: v1, labels: {{version: v1}}}}, {{name: v2, labels: {{version: v2}}}}]
---
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {{name: shop}}
spec:
  hosts: [shop]
  routes:
    - match: {{attributes: {{method: {{exact: search}}}}}}
      route: [{{destination: {{host: shop, subset: v2}}}}]
    - route: [{{destination: {{host: shop, subset: v1}}}}]
"""
        text += slice_of("a", "v1", v1.address, calls1.address)
        text += slice_of("b", "v2", v2.address, calls2.address)
        async with serving(tmp_path, text):
            assert await dubbo() == {"v1": 20}
            assert await dubbo(method="search") == {"v2": 20}
            assert await thrift() == "v1"


async def test_each_host_of_a_service_entry_is_a_service_with_rules_of_its_own(
    tmp_path: Path,
) -> None:
    async with DubboServer("v1") as v1, DubboServer("v2") as v2:
        text = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: names}}
spec:
  hosts: [old.example, new.example]
  resolution: STATIC
  ports: [{{number: {DUBBO}, name: tcp-dubbo, targetPort: {v1.address.port}}}]
  endpoints:
    - {{address: {v1.address.host}, labels: {{version: v1}}}}
    - address: {v2.address.host}
      ports: {{tcp-dubbo: {v2.address.port}}}
      labels: {{version: v2}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: names}}
spec:
  host: new.example
  subsets: [{{name: v2, labels: {{version: v2}}}}]
---
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {{name: names}}
spec:
  hosts: [new.example]
  routes: [{{route: [{{destination: {{host: new.example, subset: v2}}}}]}}]
"""
        moved = ((f"new.example:{DUBBO}", DUBBO + 1),)
        async with serving(tmp_path, text, ports=moved):
            assert await dubbo() == {"v1": 10, "v2": 10}
            assert await dubbo(DUBBO + 1) == {"v2": 20}


async def test_a_name_in_a_service_entry_is_resolved(tmp_path: Path) -> None:
    async with DubboServer("v1") as v1:
        text = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: orders}}
spec:
  hosts: [orders.example]
  resolution: DNS
  ports: [{{number: {DUBBO}, name: tcp-dubbo}}]
  endpoints: [{{address: localhost, ports: {{tcp-dubbo: {v1.address.port}}}}}]
"""
        async with serving(tmp_path, text):
            assert await dubbo() == {"v1": 20}


async def test_a_machine_takes_its_share_beside_the_pods_of_a_host(tmp_path: Path) -> None:
    """A WorkloadEntry is selected by its labels, and counts as often as it weighs."""
    async with DubboServer("pod") as pod, DubboServer("machine") as machine:
        text = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: orders}}
spec:
  hosts: [orders.example]
  resolution: STATIC
  ports: [{{number: {DUBBO}, name: tcp-dubbo, targetPort: {pod.address.port}}}]
  workloadSelector: {{labels: {{app: orders}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: orders-0, labels: {{app: orders}}}}
status: {{podIP: {pod.address.host}, conditions: [{{type: Ready, status: "True"}}]}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: machine}}
spec:
  address: {machine.address.host}
  ports: {{tcp-dubbo: {machine.address.port}}}
  labels: {{app: orders}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: other}}
spec: {{address: 192.0.2.1, labels: {{app: billing}}}}
"""
        async with serving(tmp_path, text):
            assert await dubbo() == {"pod": 10, "machine": 10}


@asynccontextmanager
async def six() -> AsyncGenerator[int]:
    """A server on the IPv6 loopback address, which says so; its port."""

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"six")
        writer.close()

    server = await asyncio.start_server(tell, "::1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_an_endpoint_with_an_ipv6_address_is_reached(tmp_path: Path) -> None:
    async with six() as port:
        text = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: ledger}}
spec:
  hosts: [ledger.example]
  resolution: STATIC
  ports: [{{number: 7000, name: tcp, targetPort: {port}}}]
  endpoints: [{{address: "::1"}}]
"""
        async with serving(tmp_path, text), asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(BIND, 7000)
            assert await reader.read() == b"six"
            writer.close()


async def test_a_virtualservice_routes_requests_by_headers_weights_and_time(
    tmp_path: Path,
) -> None:
    async with DubboServer("v1") as v1, DubboServer("v2") as v2:
        text = f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: orders}}
spec:
  hosts: [orders.example]
  resolution: STATIC
  ports: [{{number: {DUBBO}, name: tcp-dubbo}}]
  endpoints:
    - {{address: {v1.address.host}, ports: {{tcp-dubbo: {v1.address.port}}}, labels: {{v: v1}}}}
    - {{address: {v2.address.host}, ports: {{tcp-dubbo: {v2.address.port}}}, labels: {{v: v2}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: orders}}
spec:
  host: orders.example
  subsets: [{{name: v1, labels: {{v: v1}}}}, {{name: v2, labels: {{v: v2}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: orders}}
spec:
  hosts: [orders.example]
  http:
    - match: [{{headers: {{user: {{exact: bob}}}}}}, {{method: {{prefix: search}}}}]
      route: [{{destination: {{host: orders.example, subset: v2}}}}]
    - match: [{{uri: {{prefix: /}}}}]
      route: [{{destination: {{host: orders.example, subset: v2}}}}]
    - match: [{{method: {{exact: wait}}}}]
      route: [{{destination: {{host: orders.example, subset: v1}}}}]
      timeout: 0.1s
    - route:
        - {{destination: {{host: orders.example, subset: v1}}, weight: 3}}
        - {{destination: {{host: orders.example, subset: v2}}, weight: 1}}
"""
        async with serving(tmp_path, text):
            assert await dubbo(user="bob") == {"v2": 20}
            assert await dubbo(method="searchAll") == {"v2": 20}
            assert (await dubbo())["v2"] == pytest.approx(5, abs=1)
            v1.silent = True
            with pytest.raises(DubboCallError, match="timeout"):
                await dubbo(method="wait")
