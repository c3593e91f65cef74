"""What can be set from outside: the only reader of the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "MELTEMI_"


class ConfigError(ValueError):
    """A setting cannot be used. The text names it, the cause and the next step."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Times in seconds. ``health_check_interval``: of every active check; split clusters multiply
    checks, so a large mesh may want it longer. ``allow_dubbo_proxy``: Dubbo may be served by an
    engine that is not recommended, where a proxy has no better one. ``log_format``: ``console`` or
    ``json``.
    """

    health_check_interval: float = 1.0
    allow_dubbo_proxy: bool = False
    log_format: str = "console"

    @property
    def allowed(self) -> frozenset[str]:
        """Engines that serve only where they may, and may everywhere."""
        return frozenset({"dubbo_proxy"}) if self.allow_dubbo_proxy else frozenset()


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings from ``MELTEMI_HEALTH_CHECK_INTERVAL``, ``MELTEMI_ALLOW_DUBBO_PROXY`` and
    ``MELTEMI_LOG_FORMAT``.

    Raises:
        ConfigError: a value cannot be used.
    """
    name = f"{PREFIX}HEALTH_CHECK_INTERVAL"
    text = environment.get(name, "1")
    try:
        interval = float(text)
    except ValueError:
        interval = 0.0
    if not 0.1 <= interval <= 3600:
        raise ConfigError(f"{name} is {text!r}: write seconds from 0.1 to 3600")
    name = f"{PREFIX}LOG_FORMAT"
    log_format = environment.get(name, "console")
    if log_format not in {"console", "json"}:
        raise ConfigError(f"{name} is {log_format!r}: write console or json")
    name = f"{PREFIX}ALLOW_DUBBO_PROXY"
    allowed = environment.get(name, "0")
    if allowed not in {"0", "1"}:
        raise ConfigError(f"{name} is {allowed!r}: write 0 or 1")
    return Settings(interval, allowed == "1", log_format)
