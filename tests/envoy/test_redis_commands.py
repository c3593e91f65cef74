"""Real Envoys know exactly the Redis commands that they are said to know."""

from __future__ import annotations

import pytest

from meltemi.protocols.model import Endpoint
from meltemi.protocols.redis_commands import SINCE, lacking
from meltemi.testing.envoy_binary import ENVOY_VERSIONS
from meltemi.testing.ports import Address
from meltemi.testing.redis_connection import RedisConnection, RedisRefusedError
from meltemi.testing.valkey import Valkey
from tests import make
from tests.envoy.serving import BIND, served

pytestmark = pytest.mark.envoy


async def unknown(client: RedisConnection, command: str) -> bool:
    try:
        await client.ask(command)
    except RedisRefusedError as refusal:
        return "unknown command" in str(refusal)
    return False


@pytest.mark.parametrize("version", ENVOY_VERSIONS)
async def test_an_envoy_refuses_the_commands_that_it_is_said_to_lack(version: str) -> None:
    draft, service = make.Draft(), make.service(protocol="redis")
    draft.put(service)
    async with Valkey() as valkey:
        draft.place(service, Endpoint(valkey.address.host, {make.PORT: valkey.address.port}))
        snapshot = make.snapshot(draft.mesh, make.group(bind=BIND))
        async with served(snapshot, version=version) as on:
            await on.envoy.wait_ready()
            async with await RedisConnection.open(Address(BIND, make.PORT)) as client:
                commands = {name for names in SINCE.values() for name in names}
                refused = [name for name in sorted(commands) if await unknown(client, name)]
    assert refused == lacking(make.minor(version))
