"""A Kubernetes API server: the real kube-apiserver and etcd on loopback, as envtest does.

No kubelet and no controllers: nobody makes EndpointSlices of Services, and a deleted namespace
stays. Needs the extra ``meltemi[demo]``; ``kube_binaries`` finds the programs.
"""

from __future__ import annotations

import os
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

import aiohttp
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from meltemi.controller.kube.api import configuration
from meltemi.testing.evidence import record
from meltemi.testing.ports import LOOPBACK, free_ports
from meltemi.testing.process import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kubernetes.aio import client

READY_S = 90.0
ISSUER = "https://kubernetes.test"


class ApiServer:
    """``async with ApiServer(binaries, folder) as server``: ready at entry, gone at exit.

    ``url`` stays the same over ``kill`` and ``start``. ``kubeconfig`` makes its reader cluster
    administrator. ``flags`` are kube-apiserver's, after ours.
    """

    def __init__(self, binaries: Path, folder: Path, flags: Sequence[str] = ()) -> None:
        self.folder = folder
        self.flags = tuple(flags)
        self._binaries = binaries
        self._etcd_port, self.port = free_ports(2)
        self._open = AsyncExitStack()
        self._server: ServerProcess | None = None
        self.authority = folder / "ca.crt"
        self.kubeconfig = folder / "admin.kubeconfig"

    @property
    def url(self) -> str:
        return f"https://{LOOPBACK}:{self.port}"

    @property
    def etcd_url(self) -> str:
        return f"http://{LOOPBACK}:{self._etcd_port}"

    @property
    def kubectl(self) -> Path:
        return self._binaries / "kubectl"

    async def __aenter__(self) -> Self:
        self._write_credentials()
        async with AsyncExitStack() as opening:
            opening.push_async_callback(self.kill)
            etcd = await self._start_etcd()
            # Nobody needs what it has, and its orderly end takes seconds.
            opening.push_async_callback(etcd.kill)
            await self.start()
            record(f"Kubernetes {await self._version()} API server")
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def connect(self) -> client.Configuration:
        """As cluster administrator."""
        return await configuration(str(self.kubeconfig))

    async def start(self) -> None:
        """Start the API server, also again after ``kill``. Raises ServerProcessError."""
        argv = [str(self._binaries / "kube-apiserver"), *self._arguments(), *self.flags]
        log = self.folder / "kube-apiserver.log"
        self._server = await ServerProcess.start("kube-apiserver", argv, log)
        await self._server.wait_until(self._ready, "become ready", READY_S)

    async def kill(self) -> None:
        """SIGKILL, as a crash would; etcd goes on. May be repeated."""
        if self._server is not None:
            await self._server.kill()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT after ``pause``."""
        self._signal(signal.SIGCONT)

    async def compact(self, revision: str) -> None:
        """Have etcd forget what was before a resourceVersion."""
        body = {"revision": revision, "physical": True}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.etcd_url}/v3/kv/compaction", json=body) as response,
        ):
            response.raise_for_status()

    def _signal(self, number: signal.Signals) -> None:
        if self._server is not None:
            os.kill(self._server.pid, number)

    async def _start_etcd(self) -> ServerProcess:
        argv = [
            str(self._binaries / "etcd"),
            "--name=test",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={self.etcd_url}",
            f"--advertise-client-urls={self.etcd_url}",
            f"--listen-peer-urls=http://{LOOPBACK}:0",
            "--unsafe-no-fsync",
            # Bookmarks tell of writes to other kinds too.
            "--watch-progress-notify-interval=1s",
        ]
        etcd = await ServerProcess.start("etcd", argv, self.folder / "etcd.log")
        try:
            await etcd.wait_until(self._etcd_ready, "become ready", READY_S)
        except BaseException:
            await etcd.kill()
            raise
        return etcd

    async def _version(self) -> str:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/version", ssl=False) as response,
        ):
            version: str = (await response.json())["gitVersion"]
        return version.removeprefix("v")

    async def _etcd_ready(self) -> bool:
        return await _answers(f"{self.etcd_url}/health", 200)

    async def _ready(self) -> bool:
        return await _answers(f"{self.url}/readyz", 200)

    def _arguments(self) -> list[str]:
        # The ServiceAccount plugin would refuse pods without an account that a controller makes.
        return [
            f"--etcd-servers={self.etcd_url}",
            f"--bind-address={LOOPBACK}",
            f"--advertise-address={LOOPBACK}",
            f"--secure-port={self.port}",
            f"--tls-cert-file={self.folder / 'server.crt'}",
            f"--tls-private-key-file={self.folder / 'server.key'}",
            f"--client-ca-file={self.authority}",
            "--service-cluster-ip-range=10.0.0.0/16",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--endpoint-reconciler-type=none",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={self.folder / 'accounts.pub'}",
            f"--service-account-signing-key-file={self.folder / 'accounts.key'}",
        ]

    def _write_credentials(self) -> None:
        ca = trustme.CA()
        ca.cert_pem.write_to_path(self.authority)
        server = ca.issue_cert(LOOPBACK, "localhost")
        server.private_key_pem.write_to_path(self.folder / "server.key")
        server.cert_chain_pems[0].write_to_path(self.folder / "server.crt")
        admin = ca.issue_cert("admin.test", common_name="admin", organization_name="system:masters")
        admin.private_key_and_cert_chain_pem.write_to_path(self.folder / "admin.pem")
        self._write_account_keys()
        self.kubeconfig.write_text(_kubeconfig(self.url, self.authority, self.folder / "admin.pem"))

    def _write_account_keys(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (self.folder / "accounts.key").write_bytes(private)
        (self.folder / "accounts.pub").write_bytes(public)


async def _answers(url: str, status: int) -> bool:
    """Whether a page answers so; a server that is starting refuses connections or says 500."""
    timeout = aiohttp.ClientTimeout(total=5)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, ssl=False) as response,
        ):
            return response.status == status
    except (TimeoutError, aiohttp.ClientError) as error:
        raise OSError(str(error)) from error


def _kubeconfig(url: str, authority: Path, identity: Path) -> str:
    return f"""apiVersion: v1
kind: Config
current-context: test
clusters:
- name: test
  cluster: {{server: "{url}", certificate-authority: "{authority}"}}
users:
- name: admin
  user: {{client-certificate: "{identity}", client-key: "{identity}"}}
contexts:
- name: test
  context: {{cluster: test, user: admin}}
"""
