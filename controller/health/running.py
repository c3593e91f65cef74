"""Runs checks side by side: one that fails or hangs becomes a line of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING

from meltemi.controller.health.result import error, warning
from meltemi.controller.kube.api import ApiError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from meltemi.controller.health.result import Name, Result

LIMIT_S = 20.0
"""Seconds after which no more is waited for."""

SLOW = "run it again; if that does not help, look at how busy the API server and this machine are"
UNEXPECTED = "report this, with the whole line: it is a mistake in Meltemi"
DENIED = "ask with an account that may read it (--kubeconfig, --context)"
FAILED = "run it again; if that does not help, look at the log of the API server"


@dataclass(frozen=True, slots=True)
class Check:
    """``look`` may raise ApiError; whatever else it raises is a mistake of ours."""

    name: Name
    look: Callable[[], Awaitable[Iterable[Result]]]


async def run(checks: Iterable[Check], limit: float = LIMIT_S) -> tuple[Result, ...]:
    """What all of them found, in their order; ``limit`` in seconds."""
    found = await asyncio.gather(*(_isolated(check, limit) for check in checks))
    return (*chain.from_iterable(found),)


async def _isolated(check: Check, limit: float) -> tuple[Result, ...]:
    try:
        async with asyncio.timeout(limit):
            return (*await check.look(),)
    except TimeoutError:
        return (error(check.name, f"nothing was found out in {limit:g} seconds", SLOW),)
    except ApiError as refused:
        if refused.status == 403:
            return (warning(check.name, f"it may not be looked at: {refused}", DENIED),)
        return (error(check.name, f"it could not be looked at: {refused}", FAILED),)
    except Exception as mistake:  # the other checks go on
        return (error(check.name, f"the check itself failed: {_described(mistake)}", UNEXPECTED),)


def _described(mistake: Exception) -> str:
    frame = extract_tb(mistake.__traceback__)[-1]
    return f"{type(mistake).__name__}: {mistake} ({Path(frame.filename).name}:{frame.lineno})"
