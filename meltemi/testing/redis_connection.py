"""One connection of the real ``redis`` client, which never reconnects behind its user's back.

Needs the extra ``meltemi[demo]``. The library's pooled client heals a lost connection silently, so
that it could not tell whether a proxy kept it open.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self, TypeAlias, cast

from redis.asyncio.connection import Connection
from redis.exceptions import AuthenticationError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from redis.typing import EncodableT

    from meltemi.testing.load import Ask, Connect
    from meltemi.testing.ports import Address

RedisValue: TypeAlias = "str | int | float | list[RedisValue] | None"


class RedisRefusedError(RuntimeError):
    """The server or the proxy answered with an error; the text is its text. Still connected."""


class RedisConnection:
    """An open connection; one command at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    async def open(
        cls, address: Address, *, password: str = "", username: str = "", protocol: int = 2
    ) -> Self:
        """Connect and, with a password, authenticate. ``protocol`` is the RESP version, 2 or 3.

        The library greets at once, so a missing or wrong password shows here: RedisRefusedError.
        Raises ConnectionError when nobody answers.
        """
        connection = Connection(
            host=address.host,
            port=address.port,
            username=username or None,
            password=password or None,
            protocol=protocol,
            decode_responses=True,
        )
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # the library forgot one
        except AuthenticationError as error:
            raise RedisRefusedError(str(error)) from error
        except (RedisConnectionError, RedisTimeoutError) as error:
            raise ConnectionError(f"{address}: {error}") from error
        return cls(connection)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def ask(self, *command: EncodableT) -> RedisValue:
        """Send one command and wait for its answer.

        Raises RedisRefusedError for an error as the answer and ConnectionError when the connection
        was lost, now or before.
        """
        if not self._connection.is_connected:
            raise ConnectionError("this Redis connection was lost")
        try:
            await self._connection.send_command(*command)
            return cast("RedisValue", await self._connection.read_response())
        except (ResponseError, AuthenticationError) as error:  # the latter is a ConnectionError
            raise RedisRefusedError(str(error)) from error
        except (RedisConnectionError, RedisTimeoutError) as error:
            raise ConnectionError(str(error)) from error

    async def aclose(self) -> None:
        await self._connection.disconnect()


def redis_caller(
    address: Address, *command: EncodableT, password: str = "", protocol: int = 2
) -> Connect:
    """For ``Load``: connections on which this command is sent again and again."""

    @asynccontextmanager
    async def connect() -> AsyncGenerator[Ask]:
        opening = RedisConnection.open(address, password=password, protocol=protocol)
        async with await opening as connection:

            async def ask() -> str:
                return str(await connection.ask(*command))

            yield ask

    return connect
