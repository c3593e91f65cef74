"""Whether the event loop runs what is due when it is due."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

BEAT = 0.5
"""Seconds between two looks."""


async def heartbeat(observe: Callable[[float], None], beat: float = BEAT) -> None:
    """Tell for ever how many seconds the event loop was late."""
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + beat
        await asyncio.sleep(beat)
        observe(max(0.0, clock() - due))
