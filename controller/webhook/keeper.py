"""Where the webhook's certificate comes from: a Secret that all replicas share, or files."""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from meltemi.controller.kube.api import ApiError
from meltemi.controller.kube.mirror import mapping
from meltemi.controller.webhook.certificates import (
    TERMS,
    Action,
    Material,
    Plan,
    carry_out,
    is_usable,
    plan,
)
from meltemi.controller.webhook.server import load, server_context
from meltemi.xds.credentials import CertificateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from meltemi.controller.kube.api import Api
    from meltemi.controller.kube.mirror import Body
    from meltemi.controller.webhook.certificates import Terms
    from meltemi.controller.webhook.settings import CertificateFiles

SECRET = "meltemi-webhook-tls"
KEYS = ("tls.crt", "tls.key", "ca.crt", "ca.key")
"""Of the Secret, in the order of the fields of ``Material``."""

CONFLICTS = 5
"""How often a replica that lost a race looks again before it comes back later."""

log: Any = structlog.get_logger("meltemi")


@dataclass(frozen=True, slots=True, repr=False)
class Served:
    """PEM; ``roots`` None: others say whom to trust. Never printed."""

    certificate: bytes
    key: bytes
    roots: bytes | None


class Certificates(Protocol):
    """Where they come from."""

    async def current(self) -> Served:
        """What new connections get. Raises ApiError, CertificateError."""
        ...


class FilesOnDisk:
    """Somebody else renews them."""

    def __init__(self, files: CertificateFiles) -> None:
        self._files = files

    async def current(self) -> Served:
        """What the files hold now."""
        files = self._files
        try:
            roots = None if files.roots is None else files.roots.read_bytes()
            found = Served(files.certificate.read_bytes(), files.key.read_bytes(), roots)
            load(server_context(), found.certificate, found.key)
        except OSError as error:  # ssl.SSLError is one
            raise CertificateError(
                f"the webhook's certificate {files.certificate} with the key {files.key} cannot "
                f"be used: {error}; write a PEM chain and the unencrypted PEM key of its first "
                "certificate"
            ) from error
        return found


class SharedSecret:
    """Made and renewed by whichever replica comes first; the others take what it made: a write
    holds only for the version of the Secret that was read.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        names: frozenset[str],
        *,
        terms: Terms = TERMS,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._collection = f"/api/v1/namespaces/{namespace}/secrets"
        self._names = names
        self._terms = terms
        self._clock = clock
        self._said = ""

    async def current(self) -> Served:
        """What the Secret holds, renewed if that is due."""
        for _ in range(CONFLICTS):
            secret = await self._read()
            material = material_of(secret)
            now = self._clock()
            planned = plan(material, self._names, now, self._terms)
            if planned.action is Action.KEEP and material is not None:
                return _served(material)
            try:
                return await self._replace(secret, material, planned, now)
            except ApiError as error:
                if error.status == 409:
                    continue
                if material is None or not is_usable(material, now):
                    raise
                self._warn(str(error))
                return _served(material)
        raise ApiError(409, f"others keep writing the Secret {SECRET}")

    def _warn(self, error: str) -> None:
        """Once: it is tried again every few seconds."""
        if error != self._said:
            self._said = error
            log.warning("webhook.unrenewed", secret=SECRET, error=error)

    async def _read(self) -> Body:
        try:
            return await self._api.get(f"{self._collection}/{SECRET}")
        except ApiError as error:
            if error.status != 404:
                raise
            return {}

    async def _replace(
        self, secret: Body, material: Material | None, planned: Plan, now: datetime
    ) -> Served:
        made = carry_out(planned.action, material, self._names, now, self._terms)
        if secret:
            await self._api.send("PUT", f"{self._collection}/{SECRET}", {**secret, **_data(made)})
        else:
            await self._api.send("POST", self._collection, _new_secret(made))
        log.info("webhook.renewed", action=planned.action.value, reason=planned.reason)
        return _served(made)


def material_of(secret: Body) -> Material | None:
    """What a Secret has, empty where it lacks something; None where it has nothing."""
    data = mapping(secret.get("data"))
    found = [_decoded(data.get(key)) for key in KEYS]
    return Material(*found) if any(found) else None


def _decoded(value: object) -> bytes:
    try:
        return b64decode(str(value or ""), validate=True)
    except Base64Error:
        return b""


def _new_secret(material: Material) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": SECRET, "labels": {"app.kubernetes.io/managed-by": "meltemi"}},
        **_data(material),
    }


def _data(material: Material) -> Body:
    values = astuple(material)
    return {"data": {k: b64encode(v).decode() for k, v in zip(KEYS, values, strict=True)}}


def _served(material: Material) -> Served:
    return Served(material.certificate, material.key, material.roots)
