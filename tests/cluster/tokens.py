"""Tokens of service accounts: those that a real API server issues, and wrong ones on purpose."""

from __future__ import annotations

import json
import os
import time
from base64 import urlsafe_b64decode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.cluster.conftest import administrator
from tests.cluster.objects import send
from tests.json_tokens import encoded, json_token

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.apiserver import ApiServer

AUDIENCE = "meltemi"


@dataclass(frozen=True, slots=True)
class Issuer:
    """Issues tokens of a cluster, and signs others as the cluster does."""

    server: ApiServer

    async def token(self, namespace: str, account: str = "edge", audience: str = AUDIENCE) -> str:
        """For ten minutes, the shortest that there is. The account is made if there is none."""
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account}}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [audience], "expirationSeconds": 600},
        }
        async with administrator(self.server) as admin:
            await send(admin, "POST", accounts, body, may=(409,))
            answer = await send(admin, "POST", f"{accounts}/{account}/token", request)
        token: str = answer["status"]["token"]
        return token

    def signed(self, genuine: str, **claims: object) -> str:
        """A genuine token with other claims, signed by the same key."""
        key = load_pem_private_key((self.server.folder / "accounts.key").read_bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        header, payload, _ = genuine.split(".")
        said = f"{header}.{encoded(json.dumps(decoded(payload) | claims).encode())}"
        signature = key.sign(said.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{said}.{encoded(signature)}"


def lasting(seconds: float) -> dict[str, object]:
    """The claims of a token that is good for so long from now on."""
    return {"exp": int(time.time() + seconds)}


def unsigned(genuine: str) -> str:
    """As a naive verifier accepts it: it says itself that there is no signature."""
    _, payload, _ = genuine.split(".")
    return json_token(decoded(payload), header={"alg": "none"})


def decoded(part: str) -> dict[str, Any]:
    """A part of a token."""
    found: dict[str, Any] = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


class Projected:
    """A token as a kubelet mounts it: ``token`` is a link into a folder that is replaced."""

    def __init__(self, folder: Path, token: str) -> None:
        folder.mkdir()
        self._folder = folder
        self._version = 0
        self.replace(token)
        self.path = folder / "token"
        self.path.symlink_to("..data/token")

    def replace(self, token: str) -> None:
        """All at once."""
        self._version += 1
        content = self._folder / f"..{self._version}"
        content.mkdir()
        (content / "token").write_text(token)
        link = self._folder / "..data_tmp"
        link.symlink_to(content.name)
        os.replace(link, self._folder / "..data")
