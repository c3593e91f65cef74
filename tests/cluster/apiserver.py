"""The API server of ``meltemi.testing.kube``, by the name that tests know."""

from __future__ import annotations

from meltemi.testing.kube import ISSUER, ApiServer

__all__ = ["ISSUER", "ApiServer"]
