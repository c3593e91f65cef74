"""What can be set from outside: the only reader of the environment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from meltemi.controller.admin.security import AdminSecurity, admin_security
from meltemi.controller.identity import Security, TokenPort
from meltemi.controller.kube.instance import Instance, instance
from meltemi.controller.tuning import Tuning, tuning
from meltemi.controller.webhook.settings import WebhookSettings, webhook_settings
from meltemi.xds.credentials import TlsFiles
from meltemi.xds.peer import is_trust_domain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PREFIX = "MELTEMI_"

_ADDRESS = re.compile(r"(?:[^\s:\[\]]+|\[[0-9a-fA-F:.]+\]):(\d{1,5})", re.ASCII)
"""``host:port``; an IPv6 address is in brackets."""

PLAINTEXT_ON_LOOPBACK = Security()
DEFAULTS = Tuning()
ADMIN_ON_LOOPBACK = AdminSecurity()
ALONE = Instance("meltemi-0")
SELF_SIGNED = WebhookSettings()


class ConfigError(ValueError):
    """A setting cannot be used. The text names it, the cause and the next step."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds. ``health_check_interval``: of every active check; split clusters multiply
    checks, so a large mesh may want it longer. ``allow_dubbo_proxy``: Dubbo may be served by an
    engine that is not recommended, where a proxy has no better one. ``log_format``: ``console`` or
    ``json``. ``event_loop``: ``asyncio``, or ``uvloop`` where that is installed. ``security`` and
    ``tuning``: of the port for proxies; ``admin``: of the other one. ``instance`` and ``webhook``:
    in a cluster; ``write_status``: whether objects there get their status.
    """

    health_check_interval: float = 1.0
    allow_dubbo_proxy: bool = False
    log_format: str = "console"
    security: Security = PLAINTEXT_ON_LOOPBACK
    tuning: Tuning = DEFAULTS
    admin: AdminSecurity = ADMIN_ON_LOOPBACK
    event_loop: str = "asyncio"
    instance: Instance = ALONE
    webhook: WebhookSettings = SELF_SIGNED
    write_status: bool = True

    @property
    def allowed(self) -> frozenset[str]:
        """Engines that serve only where they may, and may everywhere."""
        return frozenset({"dubbo_proxy"}) if self.allow_dubbo_proxy else frozenset()


def read(
    environment: Mapping[str, str] = os.environ, given: Mapping[str, str] = MappingProxyType({})
) -> Settings:
    """Settings from ``MELTEMI_HEALTH_CHECK_INTERVAL``, ``MELTEMI_ALLOW_DUBBO_PROXY``,
    ``MELTEMI_LOG_FORMAT``, ``MELTEMI_EVENT_LOOP``, ``MELTEMI_WRITE_STATUS`` and what ``_security``,
    ``tuning``, ``admin_security``, ``instance`` and ``webhook_settings`` read. ``given`` comes
    before the environment.

    Raises:
        ConfigError: a value cannot be used.
    """
    environment = {**environment, **given}
    name = f"{PREFIX}HEALTH_CHECK_INTERVAL"
    text = environment.get(name, "1")
    try:
        interval = float(text)
    except ValueError:
        interval = 0.0
    if not 0.1 <= interval <= 3600:
        raise ConfigError(f"{name} is {text!r}: write seconds from 0.1 to 3600")
    log_format = _one_of(environment, "LOG_FORMAT", "console", "json")
    event_loop = _one_of(environment, "EVENT_LOOP", "asyncio", "uvloop")
    allowed = _one_of(environment, "ALLOW_DUBBO_PROXY", "0", "1")
    write_status = _one_of(environment, "WRITE_STATUS", "1", "0")
    try:
        tuned = tuning(environment, PREFIX)
        admin = admin_security(environment, PREFIX)
        which = instance(environment, PREFIX)
        webhook = webhook_settings(environment, PREFIX)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    security = _security(environment)
    return Settings(
        *(interval, allowed == "1", log_format, security, tuned, admin, event_loop, which),
        *(webhook, write_status == "1"),
    )


def _one_of(environment: Mapping[str, str], setting: str, usual: str, other: str) -> str:
    """Raises ConfigError."""
    name = f"{PREFIX}{setting}"
    value = environment.get(name, usual)
    if value not in {usual, other}:
        raise ConfigError(f"{name} is {value!r}: write {usual} or {other}")
    return value


def _security(environment: Mapping[str, str]) -> Security:
    """``MELTEMI_TLS_CERT``, ``_TLS_KEY`` and ``_CLIENT_CA``, ``_TRUST_DOMAIN``, ``_PLAINTEXT``,
    ``_TOKEN_XDS`` and ``_TOKEN_AUDIENCE``.
    """
    names = [f"{PREFIX}{each}" for each in ("TLS_CERT", "TLS_KEY", "CLIENT_CA")]
    given = [environment.get(name, "") for name in names]
    tokens = _token_port(environment, names[:2])
    # A port for tokens needs no client authority; then the other port has no TLS.
    mutual = bool(given[2] if tokens else any(given))
    lacking = [name for name, path in zip(names, given, strict=True) if not path]
    if mutual and lacking:
        raise ConfigError(
            f"{' and '.join(lacking)} not set: mutual TLS needs the server's certificate, its key "
            "and the authorities that sign for proxies; give all of --tls-cert, --tls-key and "
            f"--client-ca, or set {', '.join(names)}"
        )
    plaintext = _one_of(environment, "PLAINTEXT", "0", "1")
    if plaintext == "1" and any(given):
        raise ConfigError(
            f"--plaintext ({PREFIX}PLAINTEXT) and --tls-cert ({names[0]}) exclude each other: "
            "drop one of them"
        )
    tls = TlsFiles(*map(Path, given)) if mutual else None
    name = f"{PREFIX}TRUST_DOMAIN"
    trust_domain = environment.get(name, "cluster.local")
    if not is_trust_domain(trust_domain):
        raise ConfigError(
            f"{name} is {trust_domain!r}: write what stands after spiffe:// in the certificates of "
            "proxies, such as cluster.local"
        )
    return Security(tls, trust_domain, exposed=plaintext == "1", tokens=tokens)


def _token_port(environment: Mapping[str, str], files: Sequence[str]) -> TokenPort | None:
    """``files``: the settings of the server's certificate and key. Raises ConfigError."""
    name = f"{PREFIX}TOKEN_XDS"
    address = environment.get(name, "")
    if not address:
        return None
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found[1]) > 65535:
        raise ConfigError(f"{name} is {address!r}: write HOST:PORT, such as 0.0.0.0:18001")
    given = [environment.get(file, "") for file in files]
    if not all(given):
        raise ConfigError(
            f"--token-xds ({name}) needs TLS, for who reads a token can use it: give --tls-cert "
            f"and --tls-key, or set {' and '.join(files)}"
        )
    audience = environment.get(f"{PREFIX}TOKEN_AUDIENCE", "meltemi")
    if not audience:
        raise ConfigError(f"{PREFIX}TOKEN_AUDIENCE is empty: write whom tokens must be for")
    return TokenPort(address, TlsFiles(*map(Path, given)), audience)
