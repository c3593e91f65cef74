"""An API server of a few lines: objects by path, with versions and an optimistic lock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from meltemi.controller.kube.api import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping


class FakeApi:
    """``requests`` are all so far, ``refuse`` has the errors of the next ones; one that is
    ``hanging`` has no answers.
    """

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self.refuse: list[ApiError] = []
        self.hanging = False
        self.asked = asyncio.Event()
        self._revision = 0

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        return await self.send("GET", path, query=query)

    async def send(self, method: str, path: str, body: Any = None, **_: object) -> Any:
        self.requests.append((method, path))
        self.asked.set()
        await asyncio.sleep(0)
        if self.hanging:
            await asyncio.Event().wait()
        if self.refuse:
            raise self.refuse.pop(0)
        if method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                raise ApiError(409, "409 already exists")
            return self._store(path, body)
        if path not in self.objects:
            raise ApiError(404, "404 not found")
        found = self.objects[path]
        if method == "DELETE":
            self._check(found, body and body["preconditions"]["resourceVersion"])
            return self.objects.pop(path)
        if method == "PUT":
            self._check(found, body["metadata"].get("resourceVersion"))
            return self._store(path, body)
        return self._store(path, found | body) if method == "PATCH" else found

    def _check(self, found: Mapping[str, Any], expected: str | None) -> None:
        if expected not in {None, found["metadata"]["resourceVersion"]}:
            raise ApiError(409, "409 the object has been modified")

    def _store(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self._revision += 1
        metadata = {**body["metadata"], "resourceVersion": str(self._revision)}
        self.objects[path] = {**body, "metadata": metadata}
        return self.objects[path]
