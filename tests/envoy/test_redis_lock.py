"""A password whose Secret is missing locks a Redis listener, also for who guesses."""

from __future__ import annotations

import pytest

from meltemi.protocols.model import Endpoint, RedisSettings, Ref, Secret, SecretRef
from meltemi.testing.envoy_binary import ENVOY_VERSIONS
from meltemi.testing.ports import Address
from meltemi.testing.redis_connection import RedisConnection, RedisRefusedError
from meltemi.testing.valkey import Valkey
from tests import make
from tests.abilities import Seen, saw
from tests.envoy.serving import BIND, served

pytestmark = pytest.mark.envoy

REF = Ref("RedisService", "default", "shop")
LISTENER = Address(BIND, make.PORT)


async def ask_as_anybody() -> None:
    """An Envoy that knows CLIENT refuses the greeting already."""
    async with await RedisConnection.open(LISTENER) as anybody:
        await anybody.ask("GET", "a")


@pytest.mark.parametrize("version", ENVOY_VERSIONS)
async def test_a_missing_secret_locks_until_it_is_there(version: str) -> None:
    draft, service = make.Draft(), make.service(protocol="redis")
    draft.put(service)
    draft.put(RedisSettings(REF, (make.host(),), SecretRef("default", "redis", REF)))
    async with Valkey() as valkey:
        draft.place(service, Endpoint(valkey.address.host, {make.PORT: valkey.address.port}))
        compiler = make.compiler(draft.mesh, make.group(bind=BIND))
        group = compiler.group(make.group(bind=BIND))
        async with served(group.snapshot, version=version) as on:
            await on.envoy.wait_ready()
            with pytest.raises(RedisRefusedError, match="Authentication required"):
                await ask_as_anybody()
            async with await RedisConnection.open(LISTENER, password="locked") as guesser:
                with pytest.raises(RedisRefusedError, match="Fault"):
                    await guesser.ask("GET", "a")

            secret = Secret(Ref("Secret", "default", "redis"), {"password": "hunter2"})
            make.run(compiler.update(draft.put(secret)))
            on.group.publish(group.snapshot, group.take_changed())

            async def opened() -> bool:
                try:
                    opening = await RedisConnection.open(LISTENER, password="hunter2")
                except RedisRefusedError:
                    return False
                async with opening as friend:
                    return await friend.ask("SET", "a", "1") == "OK"

            await on.envoy.process.wait_until(opened, "let the right password in", 10.0)
            await saw(on.envoy, "redis", Seen.LOCKED)
