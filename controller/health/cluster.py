"""Looks at an installation through the API server of its cluster."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from time import monotonic, time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from meltemi.controller.crds.definitions import DEFINITIONS
from meltemi.controller.health.apiserver import Answer, api_results, clock_results, failed
from meltemi.controller.health.definitions import (
    ISTIO,
    ISTIO_GROUP,
    definition_results,
    istio_results,
)
from meltemi.controller.health.installation import (
    ABSENT,
    FORBIDDEN,
    MAKE,
    OWN,
    WATCHED,
    deployment_results,
    mounted,
    presence,
)
from meltemi.controller.health.leading import lease_results, replica_results, reporters
from meltemi.controller.health.result import error
from meltemi.controller.health.rights import ACCOUNT, allowed, review, right_results, rights
from meltemi.controller.health.running import Check, run
from meltemi.controller.health.webhook import Registered, bundle, entry, webhook_results
from meltemi.controller.kube.api import ApiError
from meltemi.controller.kube.mirror import mapping, mappings
from meltemi.controller.kube.publisher import LABEL, collection
from meltemi.controller.manifests.wish import NAME
from meltemi.controller.webhook.keeper import SECRET, material_of
from meltemi.controller.webhook.registration import PATH

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Iterable, Mapping

    from meltemi.controller.health.result import Name, Result
    from meltemi.controller.health.rights import Right
    from meltemi.controller.kube.api import Api
    from meltemi.controller.kube.mirror import Body
    from meltemi.controller.manifests.wish import Wish

AT_ONCE = 8
"""Requests for reviews at the same time."""

IDLE_S = 5.0
"""Seconds of silence after which a request to the API server has failed."""

LIMIT_S = 8.0
"""Seconds for the API server's own checks, and for all others together."""

PATIENCE_S = 3.0
"""Seconds for the webhook to answer."""

ALL: tuple[Name, ...] = ("installation", "crds", "istio", "rbac", "webhook", "lease", "replicas")
"""What can be looked at beside the API server itself."""

_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


class Seen(NamedTuple):
    """``reached``: whether there is an API server."""

    results: tuple[Result, ...]
    reached: bool


class Cluster:
    """``wish`` is what should be installed, and ``lease`` the name of its Lease. ``user``: whose
    rights are asked for, our own when empty. ``wall`` in seconds since 1970.
    """

    def __init__(
        self,
        api: Api,
        wish: Wish,
        *,
        lease: str = NAME,
        user: str = "",
        wall: Callable[[], float] = time,
    ) -> None:
        self._api = api
        self._wish = wish
        self._lease = lease
        self._user = user
        self._wall = wall
        self._answer: Answer | None = None
        self._reached = True
        self._looks: Mapping[Name, Callable[[], Awaitable[Iterable[Result]]]] = {
            "installation": self._look_at_installation,
            "crds": self._look_at_definitions,
            "istio": self._look_at_istio,
            "rbac": self._look_at_rights,
            "webhook": self._look_at_webhook,
            "lease": self._look_at_lease,
            "replicas": self._look_at_replicas,
        }

    async def look(self, names: Container[Name] = ALL) -> Seen:
        """At the API server, and if it answers at these."""
        first = await run([Check("api", self._look_at_server)], LIMIT_S)
        if self._answer is None:
            return Seen(first, self._reached)
        checks = [Check(name, look) for name, look in self._looks.items() if name in names]
        return Seen(first + await run(checks, LIMIT_S), reached=True)

    async def _look_at_server(self) -> Iterable[Result]:
        sent, began = self._wall(), monotonic()
        try:
            version, date = await self._api.dated("/version")
        except ApiError as refusal:
            self._reached = refusal.status != 0
            return (failed(refusal),)
        self._answer = Answer(version, date, sent, self._wall(), monotonic() - began)
        return (*api_results(self._answer), *clock_results(self._answer))

    def _now(self) -> float:
        """Seconds since 1970 by the server's clock; by ours where it tells none."""
        if (answer := self._answer) is None or answer.time is None:
            return self._wall()
        return answer.time + self._wall() - answer.received

    async def _look_at_installation(self) -> Iterable[Result]:
        own = self._wish.namespace
        results: list[Result] = []
        for name, hint in {**dict.fromkeys(self._wish.watched, WATCHED), own: OWN}.items():
            status, _ = await self._tried(f"/api/v1/namespaces/{name}")
            results += presence("namespace", name, status, hint)
        status, deployment = await self._tried(f"/apis/apps/v1/namespaces/{own}/deployments/{NAME}")
        if status == FORBIDDEN:
            return (*results, *presence("Deployment", NAME, status, ""))
        for name in mounted(deployment):
            status_of_secret, _ = await self._tried(f"/api/v1/namespaces/{own}/secrets/{name}")
            results += presence("Secret", name, status_of_secret, MAKE)
        return (*results, *deployment_results(None if status == ABSENT else deployment))

    async def _look_at_definitions(self) -> Iterable[Result]:
        names = [each.name for each in DEFINITIONS]
        found = await asyncio.gather(*(self._find(f"{_DEFINITIONS}/{name}") for name in names))
        return definition_results(dict(zip(names, found, strict=True)))

    async def _look_at_istio(self) -> Iterable[Result]:
        root = f"/apis/{ISTIO_GROUP}"
        group = await self._find(root) or {}
        there_are = {str(each.get("version")) for each in mappings(group.get("versions"))}
        served: dict[str, frozenset[str]] = {}
        for version in ISTIO[0].versions:
            if version in there_are:
                found = await self._find(f"{root}/{version}") or {}
                resources = mappings(found.get("resources"))
                served[version] = frozenset(str(each.get("name")) for each in resources)
        return istio_results(served)

    async def _look_at_rights(self) -> Iterable[Result]:
        wish, asked = self._wish, rights(self._wish)
        who = self._user or await self._ourselves()
        turn = asyncio.Semaphore(AT_ONCE)

        async def denied(right: Right) -> bool:
            path, body = review(right, self._user)
            async with turn:
                return not allowed(await self._api.send("POST", path, body))

        answers = await asyncio.gather(*map(denied, asked))
        refused = [right for right, no in zip(asked, answers, strict=True) if no]
        pods = f"{ACCOUNT}{wish.namespace}:{NAME}"
        other = "" if who.startswith(ACCOUNT) else pods
        told = right_results(who, refused, len(asked), apply=self._granting(), other=other)
        return (*await self._missing_account(), *told)

    async def _missing_account(self) -> Iterable[Result]:
        """Rights may be granted to an account that does not exist."""
        if not self._user.startswith(ACCOUNT):
            return ()
        namespace, _, name = self._user.removeprefix(ACCOUNT).partition(":")
        status, _ = await self._tried(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
        if name and status != ABSENT:
            return ()
        hint = f"correct --as, or create it: {self._granting()}"
        return (error("rbac", f"there is no ServiceAccount {self._user}", hint, self._user),)

    def _granting(self) -> str:
        """The command that grants all of it."""
        wish = self._wish
        watched = "".join(f" --watch-namespace {each}" for each in wish.watched)
        webhook = " --webhook" if wish.watched and wish.webhook else ""
        tokens = " --tokens" if wish.tokens else ""
        options = f"--namespace {wish.namespace}{watched}{webhook}{tokens}"
        return f"meltemi manifests rbac {options} | kubectl apply -f -"

    async def _ourselves(self) -> str:
        root, kind = "authentication.k8s.io/v1", "SelfSubjectReview"
        body = {"apiVersion": root, "kind": kind}
        answer = await self._api.send("POST", f"/apis/{root}/{kind.lower()}s", body)
        return str(mapping(mapping(answer.get("status")).get("userInfo")).get("username"))

    async def _look_at_webhook(self) -> Iterable[Result]:
        configuration = await self._find(PATH)
        found = Registered(configuration)
        if configuration is not None and (webhook := entry(configuration)) is not None:
            secret = await self._find(f"/api/v1/namespaces/{self._wish.namespace}/secrets/{SECRET}")
            material = material_of(secret or {})
            found = Registered(configuration, material, await self._unreachable(webhook))
        return webhook_results(found, datetime.fromtimestamp(self._now(), UTC))

    async def _unreachable(self, webhook: Body) -> str:
        client = mapping(webhook.get("clientConfig"))
        if isinstance(url := client.get("url"), str):
            return await _unanswered(url, bundle(webhook))
        service = mapping(client.get("service"))
        namespace, name = service.get("namespace"), service.get("name")
        if self._wish.watched:  # its endpoints are none of those that may be read
            return ""
        slices = await self._api.get(
            f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
            {"labelSelector": f"kubernetes.io/service-name={name}"},
        )
        ready = any(
            mapping(endpoint.get("conditions")).get("ready") is not False
            for each in mappings(slices.get("items"))
            for endpoint in mappings(each.get("endpoints"))
        )
        return "" if ready else f"the Service {namespace}/{name} has no endpoint that is ready"

    async def _look_at_lease(self) -> Iterable[Result]:
        where = f"/apis/coordination.k8s.io/v1/namespaces/{self._wish.namespace}/leases"
        return lease_results(await self._find(f"{where}/{self._lease}"), self._now())

    async def _look_at_replicas(self) -> Iterable[Result]:
        query = {"labelSelector": f"{LABEL}=true"}
        found = await self._api.get(collection(self._wish.namespace), query)
        return replica_results(reporters(mappings(found.get("items"))), self._now())

    async def _find(self, path: str) -> Body | None:
        """None where there is nothing. Raises ApiError."""
        try:
            return await self._api.get(path)
        except ApiError as refusal:
            if refusal.status != ABSENT:
                raise
            return None

    async def _tried(self, path: str) -> tuple[int, Body]:
        """The status and what is there, nothing where that is refused. Raises ApiError."""
        try:
            return 200, await self._api.get(path)
        except ApiError as refusal:
            if refusal.status not in {ABSENT, FORBIDDEN}:
                raise
            return refusal.status, {}


async def _unanswered(url: str, trusted: bytes) -> str:
    """Why nobody answers there whom the API server would believe; empty if somebody does."""
    parts = urlsplit(url)
    try:
        context = ssl.create_default_context(cadata=trusted.decode("ascii", "replace"))
        async with asyncio.timeout(PATIENCE_S):
            _, writer = await asyncio.open_connection(
                parts.hostname, parts.port or 443, ssl=context
            )
    except TimeoutError:
        return f"{url}: no answer in {PATIENCE_S:g} s"
    except OSError as refused:  # ssl.SSLError is one
        return f"{url}: {refused.strerror or refused}"
    writer.transport.abort()
    return ""
