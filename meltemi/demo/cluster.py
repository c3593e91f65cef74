"""The rules of the story as objects of a Kubernetes cluster, in a namespace of their own."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from secrets import token_hex
from typing import TYPE_CHECKING

from meltemi.demo.choice import Cluster
from meltemi.demo.conditions import corrected_claim, told_on
from meltemi.demo.objects import MANAGER, apply_files, define, own_namespace, standing
from meltemi.demo.rules import save_file
from meltemi.testing.control_plane import MeltemiProcess
from meltemi.testing.kube import ApiServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from meltemi.controller.kube.api import Api
    from meltemi.demo.choice import Choice
    from meltemi.demo.claims import Claim, Told
    from meltemi.demo.rules import Rules
    from meltemi.demo.story import Edit


@asynccontextmanager
async def from_cluster(
    choice: Choice, namespace: str, folder: Path, say: Callable[[str], None]
) -> AsyncGenerator[Rules]:
    """Meltemi follows objects that were made of a folder's files. They go into a namespace that did
    not exist before, and are gone when the context ends; definitions of kinds stay.

    Raises ClusterError and ServerProcessError.
    """
    namespace = namespace or f"{MANAGER}-{token_hex(4)}"
    async with AsyncExitStack() as up:
        cluster = choice.where
        if not isinstance(cluster, Cluster):
            home = folder.with_name("kubernetes")
            cluster = await up.enter_async_context(_own_cluster(cluster, home, say))
        api = await cluster.connect()
        up.push_async_callback(api.close)
        say(f"Applying the examples as objects of the namespace {namespace}")
        await define(api, say)
        await up.enter_async_context(own_namespace(api, namespace))
        await apply_files(api, namespace, folder)
        say("Starting Meltemi on that namespace: meltemi serve --kube")
        options = ("--kube", *cluster.options, "--namespace", namespace)
        environment = {"MELTEMI_POD_NAMESPACE": namespace}
        process = MeltemiProcess(
            None, extra_args=options, folder=folder.parent, environment=environment
        )
        meltemi = await up.enter_async_context(process)
        yield ClusterRules(cluster, api, namespace, folder, meltemi)


@asynccontextmanager
async def _own_cluster(
    binaries: Path, home: Path, say: Callable[[str], None]
) -> AsyncGenerator[Cluster]:
    await asyncio.to_thread(home.mkdir)
    say("Starting kube-apiserver and etcd, which takes some seconds")
    async with ApiServer(binaries, home) as server:
        yield Cluster(str(server.kubeconfig))


class ClusterRules:
    """Objects that are made of files, each of which is applied again when it was edited."""

    telling = "The mistake stands on the object, with field, cause and next step"

    def __init__(
        self, cluster: Cluster, api: Api, namespace: str, folder: Path, meltemi: MeltemiProcess
    ) -> None:
        self.meltemi = meltemi
        self.namespace = namespace
        self._cluster = cluster
        self._api = api
        self._folder = folder

    async def save(self, edit: Edit) -> None:
        await apply_files(self._api, self.namespace, save_file(self._folder, edit))

    async def told(self, code: str) -> Told | None:
        return told_on(await standing(self._api, self.namespace), code)

    async def corrected(self) -> Claim:
        return corrected_claim(await standing(self._api, self.namespace))

    def directions(self) -> tuple[str, ...]:
        kubectl = " ".join(("kubectl", *self._cluster.options, "--namespace", self.namespace))
        return (
            f"  {kubectl} edit metarouter/orders metarouter/catalog redisservice/sessions",
            f"What is made of them: {kubectl} get meltemi",
        )
