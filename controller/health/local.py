"""Looks at the ports and files of a server on this machine."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING

from meltemi.controller.health.files import file_results
from meltemi.controller.health.ports import port_results
from meltemi.controller.health.probing import probe
from meltemi.controller.health.running import Check

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from meltemi.controller.health.ports import Port
    from meltemi.controller.health.result import Result
    from meltemi.controller.settings import Settings


def local_checks(settings: Settings, ports: Sequence[Port], *, running: bool) -> tuple[Check, ...]:
    """``running``: the server is up, else its ports may be free as well."""

    async def look_at_ports() -> Iterable[Result]:
        found = zip(ports, await asyncio.gather(*map(probe, ports)), strict=True)
        return chain.from_iterable(port_results(*each, running=running) for each in found)

    async def look_at_certificates() -> Iterable[Result]:
        return file_results(settings, datetime.now(UTC))

    return Check("ports", look_at_ports), Check("certificates", look_at_certificates)
