"""The adapter, driven as a harness drives it: versions and resources from outside, over gRPC."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from meltemi.testing.xds_client import delta_request, sotw_request
from meltemi.xds.resource import CLUSTER, ENDPOINT, LISTENER, PREFIX
from meltemi.xds.server import AGGREGATED, SERVICES
from tests.conformance import adapter
from tests.conformance.adapter import ROUTE, ROUTE_SERVICES
from tests.flow.xds_rig import DELTA, PATIENCE, SOTW, Client

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from meltemi.testing.xds_client import Response
    from meltemi.xds.resource import TypeUrl

NODE = "test-id"
MESSAGES = adapter.message_classes()
CHANGES = dict.fromkeys(("UpdateResource", "AddResource", "RemoveResource"), "ResourceRequest")
REQUESTS = {"SetState": "SetStateRequest", "ClearState": "clearStateRequest", **CHANGES}
RESPONSES = {"ClearState": "clearStateResponse"}
EVERYWHERE = {**SERVICES, **ROUTE_SERVICES}


class Harness:
    """Both sides of a harness: it sets what is served, and is served."""

    def __init__(self, control: grpc.aio.Channel, xds: grpc.aio.Channel) -> None:
        self._control = control
        self._xds = xds

    async def call(self, method: str, **fields: Any) -> Any:
        """A call of the adapter, about our node."""
        request = MESSAGES[REQUESTS[method]](node=NODE, **fields)
        response = MESSAGES[RESPONSES.get(method, f"{method}Response")]
        # grpc's stubs make a call generic in what the serializers would be.
        callee: Any = self._control.unary_unary(
            f"/adapter.Adapter/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        async with asyncio.timeout(PATIENCE):
            return await callee(request)

    async def set(self, version: str, type_url: TypeUrl, *names: str) -> None:
        """The node holds these, and nothing else."""
        bodies = (StringValue(value=name).SerializeToString() for name in names)
        resources = [{"type_url": type_url, "value": body} for body in bodies]
        assert (await self.call("SetState", version=version, resources=resources)).success

    async def change(self, method: str, type_url: TypeUrl, name: str, version: str) -> bool:
        """Whether the adapter says that it did so."""
        fields = {"typeUrl": type_url, "resourceName": name, "version": version}
        response = await self.call(method, **fields)
        return bool(response.success)

    def stream(self, method: str) -> Client:
        return Client(self._xds, method)


@asynccontextmanager
async def harness(ports: tuple[int, int]) -> AsyncGenerator[Harness]:
    xds, control = (grpc.aio.insecure_channel(f"127.0.0.1:{port}") for port in ports)
    async with xds, control:
        yield Harness(control, xds)


@asynccontextmanager
async def driven() -> AsyncGenerator[Harness]:
    async with adapter.serving(0, 0, delay=0.0) as ports, harness(ports) as driver:
        yield driver


def names(response: Response) -> set[str]:
    return {StringValue.FromString(body).value for body in response.bodies}


@pytest.mark.parametrize("name", [f"{AGGREGATED}/AggregatedResources", *EVERYWHERE])
@pytest.mark.parametrize("prefix", ["Stream", "Delta"])
async def test_every_service_serves_what_was_set_at_the_version_that_was_given(
    name: str, prefix: str
) -> None:
    service, _, noun = name.partition("/")
    type_url = EVERYWHERE.get(name, CLUSTER)
    request = sotw_request if prefix == "Stream" else delta_request
    async with driven() as driver:
        await driver.set("as given", type_url, "a", "b", "c")
        stream = driver.stream(f"/{service}/{prefix}{noun}")
        await stream.say(request(type_url, ["c", "a"], node=NODE))
        response = await stream.hear()
        assert (names(response), response.version) == ({"a", "c"}, "as given")
        assert set(response.versions) <= {"as given"}


async def test_a_sotw_client_hears_of_changes_at_the_versions_that_were_given() -> None:
    async with driven() as driver:
        await driver.set("1", LISTENER, "a", "b")
        stream = driver.stream(SOTW)
        await stream.say(sotw_request(LISTENER, node=NODE))
        first = await stream.hear()
        assert (names(first), first.version) == ({"a", "b"}, "1")
        await stream.say(sotw_request(LISTENER, nonce=first.nonce, version=first.version))
        assert await driver.change("AddResource", LISTENER, "c", "2")
        second = await stream.hear()
        assert (names(second), second.version) == ({"a", "b", "c"}, "2")
        await stream.say(sotw_request(LISTENER, nonce=second.nonce, version=second.version))
        assert await driver.change("RemoveResource", LISTENER, "a", "3")
        third = await stream.hear()
        assert (names(third), third.version) == ({"b", "c"}, "3")


async def test_a_delta_client_hears_of_what_changes_and_goes_and_not_of_what_never_was() -> None:
    async with driven() as driver:
        await driver.set("1", ROUTE, "a", "b")
        stream = driver.stream(DELTA)
        await stream.say(delta_request(ROUTE, ["a", "b", "later"], node=NODE))
        first = await stream.hear()
        assert (set(first.names), first.removed) == ({"a", "b"}, ())
        await stream.say(delta_request(ROUTE, nonce=first.nonce))
        assert await driver.change("UpdateResource", ROUTE, "a", "2")
        second = await stream.hear()
        assert (second.names, second.versions, second.version) == (("a",), ("2",), "2")
        await stream.say(delta_request(ROUTE, nonce=second.nonce))
        assert await driver.change("RemoveResource", ROUTE, "b", "1")
        third = await stream.hear()
        assert (third.names, third.removed, third.version) == ((), ("b",), "1")
        await stream.say(delta_request(ROUTE, nonce=third.nonce))
        assert await driver.change("AddResource", ROUTE, "later", "3")
        assert (await stream.hear()).names == ("later",)


async def test_a_sotw_client_that_names_the_empty_name_hears_no_more() -> None:
    async with driven() as driver:
        await driver.set("1", CLUSTER, "a", "b")
        stream = driver.stream(SOTW)
        await stream.say(sotw_request(CLUSTER, ["a", "b"], node=NODE))
        first = await stream.hear()
        await stream.say(sotw_request(CLUSTER, ["a", "b"], nonce=first.nonce, version="1"))
        await stream.say(sotw_request(CLUSTER, [""], nonce=first.nonce))
        await stream.say(sotw_request(ENDPOINT, ["fence"]))  # an answer shows what has been read
        assert await driver.change("AddResource", ENDPOINT, "fence", "1")
        fence = await stream.hear()
        assert fence.type_url == ENDPOINT
        assert await driver.change("UpdateResource", CLUSTER, "b", "2")
        await stream.say(sotw_request(ENDPOINT, ["fence", "other"], nonce=fence.nonce))
        assert await driver.change("AddResource", ENDPOINT, "other", "2")
        assert names(await stream.hear()) == {"other"}


async def test_what_is_not_there_can_neither_be_updated_nor_removed() -> None:
    async with driven() as driver:
        assert not await driver.change("UpdateResource", CLUSTER, "a", "1")
        assert not await driver.change("RemoveResource", CLUSTER, "a", "1")


async def test_a_cleared_node_holds_nothing() -> None:
    async with driven() as driver:
        await driver.set("1", CLUSTER, "a")
        assert NODE in (await driver.call("ClearState")).response
        stream = driver.stream(DELTA)
        await stream.say(delta_request(CLUSTER, node=NODE))
        assert (await stream.hear()).names == ()


async def test_another_node_holds_something_else() -> None:
    async with driven() as driver:
        await driver.set("1", CLUSTER, "a")
        stream = driver.stream(DELTA)
        await stream.say(delta_request(CLUSTER, node="another"))
        assert (await stream.hear()).names == ()


@pytest.mark.parametrize(
    ("type_url", "body", "complaint"),
    [(PREFIX + "test.Unheard", b"", "not served"), (CLUSTER, b"\xff", "no message")],
)
async def test_what_cannot_be_served_is_refused(type_url: str, body: bytes, complaint: str) -> None:
    async with driven() as driver:
        with pytest.raises(grpc.aio.AioRpcError, match=complaint):
            await driver.call("SetState", resources=[{"type_url": type_url, "value": body}])


async def test_a_port_that_is_taken_is_said_so() -> None:
    async with adapter.serving(0, 0) as (xds, control):
        for taken in ((xds, 0), (0, control)):
            with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{max(taken)}"):
                async with adapter.serving(*taken):
                    pass


async def test_the_command_serves_on_the_ports_that_it_says_until_it_is_told_to_stop() -> None:
    program = Path(adapter.__file__)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, program, "--port", "0", "--adapter-port", "0"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            words = (await process.stdout.readline()).decode().replace(",", "").split()
        xds, control = (int(word.rpartition(":")[2]) for word in words if ":" in word)
        async with harness((xds, control)) as driver:
            await driver.set("1", CLUSTER, "a")
            stream = driver.stream(SOTW)
            await stream.say(sotw_request(CLUSTER, node=NODE))
            first = await stream.hear()
            await stream.say(sotw_request(CLUSTER, nonce=first.nonce))
            assert await driver.change("UpdateResource", CLUSTER, "a", "2")
            assert (await stream.hear()).version == "2"
    finally:
        process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(PATIENCE):
        assert await process.wait() == 0
