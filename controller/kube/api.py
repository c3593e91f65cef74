"""Requests to the API server: kubernetes.aio configures and authenticates, answers stay bytes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import msgspec
from kubernetes.aio import client
from kubernetes.aio import config as _config
from yaml import YAMLError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping

    from meltemi.controller.kube.mirror import Body

config: Any = _config  # the package has types, but not everywhere

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
"""Content types of a request's body; the last is server-side apply, and takes JSON."""

CREDENTIALS = (
    "look whether the service account was deleted or made anew, its token is mounted and renewed, "
    "or the user of the kubeconfig is still valid"
)
"""The next step after a 401."""

CONNECT_S = 10.0
IDLE_S = 75.0
"""Seconds of silence after which a connection counts as dead. On a busy server bookmarks come once
a minute; on an idle one the watch begins again where it was, which costs one request.
"""

_MAX_LINE = 16 * 1024 * 1024


class ApiError(Exception):
    """A request that failed. ``status`` is HTTP's, 0 when there was no answer.

    ``retry_after``: seconds that the server asks to wait.
    """

    def __init__(self, status: int, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class Api:
    """One API server. ``idle`` in seconds. ``connect`` gives the configuration anew, with the
    credentials of that moment, and is asked when those that there are were refused.
    """

    def __init__(
        self,
        configuration: client.Configuration,
        *,
        idle: float = IDLE_S,
        connect: Callable[[], Awaitable[client.Configuration]] | None = None,
    ) -> None:
        configuration.retries = None  # each caller has its own pace; False would be for ever
        configuration.connection_pool_maxsize = 0  # each watch has one, so no number is enough
        self._configuration: Any = configuration
        self._client: Any = client.ApiClient(configuration)
        self._timeout = aiohttp.ClientTimeout(sock_connect=min(CONNECT_S, idle), sock_read=idle)
        self._connect = connect
        self._renewing = asyncio.Lock()

    @classmethod
    async def connected(
        cls, connect: Callable[[], Awaitable[client.Configuration]], *, idle: float = IDLE_S
    ) -> Self:
        """With credentials that are read again when they are refused. Raises what ``connect``
        raises.
        """
        return cls(await connect(), idle=idle, connect=connect)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Body:
        """An object, or a page of a list. Raises ApiError."""
        return await self.send("GET", path, query=query)

    async def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> Body:
        """One request, and the object that answers it. Raises ApiError, with 409 for a conflict."""
        async with self._response(method, path, query or {}, body, content_type) as response:
            return _object(await response.read())

    async def dated(self, path: str) -> tuple[Body, str]:
        """An object, and the time by the server's clock as the header ``Date`` has it, empty where
        there is none. Raises ApiError.
        """
        async with self._response("GET", path, {}) as response:
            return _object(await response.read()), response.headers.get("Date", "")

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str]
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        """The lines of an answer that goes on and on, once it has begun. They end with the answer,
        or when it is silent for too long. Raises ApiError.
        """
        async with self._response("GET", path, query) as response:
            yield _lines(response)

    @asynccontextmanager
    async def _response(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: object = None,
        content_type: str = JSON,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        try:
            answer = await self._request(method, path, query, body, content_type)
            if answer.status == 401 and await self._renew():
                _break_off(answer)
                answer = await self._request(method, path, query, body, content_type)
            try:
                if answer.status >= 300:
                    raise await _error(answer)
                yield answer
            finally:
                _break_off(answer)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise ApiError(0, f"{type(error).__name__}: {error}") from error

    async def _request(
        self, method: str, path: str, query: Mapping[str, str], body: object, content_type: str
    ) -> aiohttp.ClientResponse:
        headers = (
            {"Accept": JSON} if body is None else {"Accept": JSON, "Content-Type": content_type}
        )
        request = await self._client.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params=headers,
            body=body,
            auth_settings=["BearerToken"],
        )
        method, url, headers, sent = request[:4]
        answer = await self._client.rest_client.request(
            method, url, headers=headers, body=sent, _request_timeout=self._timeout
        )
        response: aiohttp.ClientResponse = answer.response
        return response

    async def _renew(self) -> bool:
        """Whether there are other credentials now than those that were refused: tokens rotate, and
        accounts are made anew under their old names.
        """
        if self._connect is None:
            return False
        known = self._configuration
        refused = dict(known.api_key)
        async with self._renewing:
            if known.api_key == refused:
                try:
                    fresh: Any = await self._connect()
                except (config.ConfigException, OSError):
                    return False
                known.api_key = fresh.api_key
                known.refresh_api_key_hook = fresh.refresh_api_key_hook
        return bool(known.api_key != refused)


def _object(answer: bytes) -> Body:
    try:
        return msgspec.json.decode(answer, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise ApiError(0, f"the answer is no JSON object: {error}") from error


def _break_off(answer: aiohttp.ClientResponse) -> None:
    """A complete answer has given its connection back; another one's is of no use any more, and a
    polite end of TLS would outlive us.
    """
    if (connection := answer.connection) is not None and connection.transport is not None:
        connection.transport.abort()
    answer.close()


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Complete lines, as they come."""
    rest = b""
    with suppress(TimeoutError):
        async for chunk in response.content.iter_any():
            *complete, rest = (rest + chunk).split(b"\n")
            for line in complete:
                yield line
            if len(rest) > _MAX_LINE:
                raise ApiError(0, f"a line of more than {_MAX_LINE} bytes")
    if rest:
        raise ApiError(0, "the answer broke off inside a line")


async def _error(answer: aiohttp.ClientResponse) -> ApiError:
    """A Status object says why; what proxies and an unready server say is plain text."""
    text = await answer.text(errors="replace")
    try:
        message = msgspec.json.decode(text).get("message", text)
    except (msgspec.DecodeError, AttributeError):
        message = text
    after = answer.headers.get("Retry-After", "")
    said = str(message).strip().removeprefix(f"{answer.status} ")
    return ApiError(
        answer.status,
        f"{answer.status} {said[:500]}",
        float(after) if after.isdecimal() else 0.0,
    )


async def configuration(kubeconfig: str = "", context: str = "") -> client.Configuration:
    """Of a kubeconfig file, or of the pod that this runs in; ``""`` tries the pod first.

    Raises:
        kubernetes.aio.config.ConfigException: there is neither, or the file is something else.
        OSError: the file cannot be read.
    """
    found = client.Configuration()
    if not kubeconfig:
        try:
            config.load_incluster_config(client_configuration=found)
        except config.ConfigException:
            pass
        else:
            return found
    what = kubeconfig or "what is named by KUBECONFIG, or ~/.kube/config,"
    _require_content(kubeconfig)
    try:
        loader = await config.load_kube_config(
            kubeconfig or None, context=context or None, client_configuration=found
        )
    except (AttributeError, LookupError, TypeError, ValueError, YAMLError) as error:
        # It takes for granted that it is one.
        raise config.ConfigException(f"{what} is no kubeconfig: {error}") from error
    except config.ConfigException as error:
        raise config.ConfigException(f"{error}{_contexts(kubeconfig, context)}") from error
    if loader._user and not (found.api_key or found.cert_file):
        # The library only logs that a command failed, and we would be system:anonymous: refused
        # with 403 for good, which is no reason to read credentials again.
        raise config.ConfigException(
            f"{what} has no credentials that can be used: its command failed, or they are of a "
            "kind that is not known"
        )
    return found


def _require_content(kubeconfig: str) -> None:
    """The library says of a file that is absent what is wrong with another one. Raises
    ConfigException, and OSError where it cannot be read.
    """
    if not kubeconfig:
        return
    path = Path(kubeconfig).expanduser()
    if not path.exists():
        raise config.ConfigException(f"--kubeconfig {kubeconfig}: there is no such file")
    if path.is_file() and not path.read_bytes().strip():
        raise config.ConfigException(f"--kubeconfig {kubeconfig}: the file is empty")


def _contexts(kubeconfig: str, context: str) -> str:
    """What there is instead of a context that is none; empty where it is one, or none was named."""
    if not context:
        return ""
    with suppress(config.ConfigException, AttributeError, LookupError, TypeError, ValueError):
        listed: Any = config.list_kube_config_contexts(kubeconfig or None)[0]
        names = [str(each["name"]) for each in listed]
        if names and context not in names:
            return f"; there is no context {context!r}, but {', '.join(names)}"
    return ""
