"""One API server for the tests that leave it alone, and what every one of them needs."""

from __future__ import annotations

import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from kubernetes.aio import client

from tests.cluster.apiserver import ApiServer
from tests.cluster.binaries import binaries
from tests.cluster.objects import apply

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from kubernetes.aio.client import ApiClient

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def assets() -> Path:
    return binaries()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server(
    assets: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[ApiServer]:
    """Shared: no test stops it."""
    async with ApiServer(assets, tmp_path_factory.mktemp("kube")) as server:
        yield server


@asynccontextmanager
async def administrator(server: ApiServer) -> AsyncGenerator[ApiClient]:
    """A client that may do everything."""
    async with client.ApiClient(await server.connect()) as api:
        yield api


@pytest_asyncio.fixture
async def admin(server: ApiServer) -> AsyncGenerator[ApiClient]:
    async with administrator(server) as api:
        yield api


@pytest_asyncio.fixture
async def namespace(admin: ApiClient) -> str:
    """A namespace of the test's own. It stays: nobody finishes its deletion."""
    name = f"test-{next(_numbers)}"
    await apply(admin, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    return name
