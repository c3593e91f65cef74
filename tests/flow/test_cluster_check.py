"""Looking at a cluster whose API server is not as it should be."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import formatdate
from time import time
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from kubernetes.aio import client

from meltemi.controller.health import cluster as looking
from meltemi.controller.health.cluster import Cluster
from meltemi.controller.health.result import State
from meltemi.controller.kube.api import Api
from meltemi.controller.manifests.wish import Wish
from meltemi.controller.webhook.certificates import Action, carry_out
from meltemi.testing.ports import LOOPBACK, free_port

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from meltemi.controller.health.cluster import Seen
    from meltemi.controller.health.result import Name, Result

    Said = dict[str, Any] | int
    """An object, or the status of a refusal."""

WISH = Wish(image="meltemi")
VERSION = {"major": "1", "minor": "36", "gitVersion": "v1.36.3"}
WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/meltemi"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/meltemi-system/leases/meltemi"


@asynccontextmanager
async def api(
    said: dict[str, Said], *, date: Callable[[], str] = lambda: formatdate(time(), usegmt=True)
) -> AsyncGenerator[Api]:
    """Of a server that says this by path, and knows of nothing else."""

    async def answer(request: web.Request) -> web.StreamResponse:
        found = said.get(request.path, 404)
        body = {"message": "no"} if isinstance(found, int) else found
        status = found if isinstance(found, int) else 200
        return web.json_response(body, status=status, headers={"Date": date()})

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, LOOPBACK, port).start()
    try:
        async with reached(port) as found:
            yield found
    finally:
        await runner.cleanup()


@asynccontextmanager
async def reached(port: int, idle: float = 5.0) -> AsyncGenerator[Api]:
    found = Api(client.Configuration(host=f"http://{LOOPBACK}:{port}"), idle=idle)
    try:
        yield found
    finally:
        await found.close()


def of(seen: Seen, name: Name) -> list[Result]:
    return [each for each in seen.results if each.check == name]


async def test_a_server_that_is_not_there_is_the_only_thing_told() -> None:
    async with reached(free_port()) as nobody:
        seen = await Cluster(nobody, WISH).look()
    (found,) = seen.results
    assert (found.check, found.state, seen.reached) == ("api", State.ERROR, False)


async def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    port = free_port()
    async with await asyncio.start_server(silent, LOOPBACK, port), reached(port, 0.2) as nobody:
        seen = await Cluster(nobody, WISH).look()
    assert [(each.check, each.state) for each in seen.results] == [("api", State.ERROR)]
    assert not seen.reached


async def test_credentials_that_are_refused_are_told_and_nothing_else_is_tried() -> None:
    async with api({"/version": 401}) as server:
        seen = await Cluster(server, WISH).look()
    (found,) = seen.results
    assert (found.state, seen.reached) == (State.ERROR, True)
    assert "does not know who asks" in found.text


@pytest.mark.parametrize(
    ("off", "state"), [(0, State.FINE), (-10, State.WARNING), (90, State.ERROR)]
)
async def test_a_clock_that_is_off_is_told(off: float, state: State) -> None:
    def date() -> str:
        return formatdate(time() + off, usegmt=True)

    async with api({"/version": VERSION}, date=date) as server:
        (found,) = of(await Cluster(server, WISH).look(()), "clock")
    assert found.state is state


async def test_one_thing_that_breaks_does_not_keep_the_others_from_being_told() -> None:
    said: dict[str, Said] = {"/version": VERSION, WEBHOOKS: {"webhooks": 7}, LEASE: 500}
    async with api(said) as server:
        seen = await Cluster(server, WISH).look(("webhook", "lease", "istio"))
    (webhook,), (lease,), (istio,) = (of(seen, each) for each in ("webhook", "lease", "istio"))
    assert [each.state for each in (webhook, lease, istio)] == [
        *(State.ERROR, State.ERROR, State.FINE)
    ]
    assert lease.text == "it could not be looked at: 500 no"


async def test_what_may_not_be_read_is_told_as_that() -> None:
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    name = "metarouters.metaprotocol.aeraki.io"
    async with api({"/version": VERSION, f"{definitions}/{name}": 403}) as server:
        (found,) = of(await Cluster(server, WISH).look(("crds",)), "crds")
    assert (found.state, found.text) == (State.WARNING, "it may not be looked at: 403 no")


async def test_istio_is_read_in_the_versions_that_are_served() -> None:
    root = "/apis/networking.istio.io"
    versions = [{"version": "v1"}, {"version": "v9"}]
    said: dict[str, Said] = {
        "/version": VERSION,
        root: {"versions": versions},
        f"{root}/v1": {"resources": [{"name": "virtualservices"}]},
    }
    async with api(said) as server:
        (found,) = of(await Cluster(server, WISH).look(("istio",)), "istio")
    assert found.state is State.WARNING
    assert "virtualservices" not in found.text


def hooked(**client: object) -> dict[str, Any]:
    """A configuration that trusts somebody, whose certificate is in no Secret."""
    roots = carry_out(Action.ROTATE, None, frozenset({"a"}), datetime.now(UTC)).roots
    client["caBundle"] = b64encode(roots).decode()
    webhook = {"name": "validate.meltemi.io", "failurePolicy": "Fail", "clientConfig": client}
    return {"webhooks": [webhook]}


@pytest.mark.parametrize("ready", [True, False])
async def test_a_service_needs_somebody_behind_it(ready: bool) -> None:
    service = {"namespace": "meltemi-system", "name": "meltemi"}
    endpoints = [{"conditions": {"ready": False}}, {"conditions": {"ready": ready}}]
    slices = "/apis/discovery.k8s.io/v1/namespaces/meltemi-system/endpointslices"
    said: dict[str, Said] = {
        "/version": VERSION,
        WEBHOOKS: hooked(service=service),
        slices: {"items": [{"endpoints": endpoints}]},
    }
    async with api(said) as server:
        (found,) = of(await Cluster(server, WISH).look(("webhook",)), "webhook")
    assert (found.state is State.FINE) == ready


async def test_a_webhook_at_a_url_that_hangs_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(looking, "PATIENCE_S", 0.1)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    port = free_port()
    url = f"https://{LOOPBACK}:{port}/validate"
    said: dict[str, Said] = {"/version": VERSION, WEBHOOKS: hooked(url=url)}
    async with await asyncio.start_server(silent, LOOPBACK, port), api(said) as server:
        (found,) = of(await Cluster(server, WISH).look(("webhook",)), "webhook")
    assert found.text.endswith(f"nobody can write rules: {url}: no answer in 0.1 s")


NAMESPACE = "/api/v1/namespaces/meltemi-system"
DEPLOYMENT = "/apis/apps/v1/namespaces/meltemi-system/deployments/meltemi"


def deployed(ready: int) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = [
        {"emptyDir": {}},
        {"secret": {"secretName": "tls"}},
        {"secret": {"secretName": "b", "optional": True}},
    ]
    template = {"spec": {"volumes": volumes}}
    return {"spec": {"replicas": 2, "template": template}, "status": {"readyReplicas": ready}}


async def installation(said: dict[str, Said], wish: Wish = WISH) -> list[tuple[State, str]]:
    async with api({"/version": VERSION, **said}) as server:
        seen = await Cluster(server, wish).look(("installation",))
    return [(each.state, each.text) for each in of(seen, "installation")]


async def test_namespaces_that_do_not_exist_are_errors() -> None:
    said: dict[str, Said] = {"/api/v1/namespaces/shop": {}, DEPLOYMENT: 404}
    found = await installation(said, Wish(image="meltemi", watched=("shop", "nope")))
    errors = [text for state, text in found if state is State.ERROR]
    assert errors == ["there is no namespace nope", "there is no namespace meltemi-system"]


@pytest.mark.parametrize(
    ("ready", "state"), [(0, State.ERROR), (1, State.WARNING), (2, State.FINE)]
)
async def test_replicas_that_are_not_ready_are_told(ready: int, state: State) -> None:
    secret = f"{NAMESPACE}/secrets/tls"
    found = await installation({NAMESPACE: {}, DEPLOYMENT: deployed(ready), secret: {}})
    assert found == [(state, f"{ready} of the 2 replicas that the Deployment wants are ready")]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (404, (State.ERROR, "there is no Secret tls")),
        (403, (State.WARNING, "whether there is a Secret tls may not be looked at")),
    ],
)
async def test_a_secret_that_pods_wait_for_is_told(status: int, told: tuple[State, str]) -> None:
    secret = f"{NAMESPACE}/secrets/tls"
    found = await installation({NAMESPACE: {}, DEPLOYMENT: deployed(2), secret: status})
    assert found[0] == told
    assert len(found) == 2


async def test_what_may_not_be_looked_at_of_an_installation_is_a_warning_each() -> None:
    found = await installation({NAMESPACE: 403, DEPLOYMENT: 403})
    assert [state for state, _ in found] == [State.WARNING] * 2


async def test_an_account_that_does_not_exist_is_told_before_its_rights() -> None:
    review = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    user = "system:serviceaccount:meltemi-system:nobody"
    said: dict[str, Said] = {"/version": VERSION, review: {"status": {"allowed": True}}}
    async with api(said) as server:
        absent, _ = of(await Cluster(server, WISH, user=user).look(("rbac",)), "rbac")
    assert (absent.state, absent.text) == (State.ERROR, f"there is no ServiceAccount {user}")
    said[f"{NAMESPACE}/serviceaccounts/nobody"] = {}
    async with api(said) as server:
        (found,) = of(await Cluster(server, WISH, user=user).look(("rbac",)), "rbac")
    assert found.state is State.FINE
