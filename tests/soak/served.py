"""The server of the soak: a control plane that says how it is when asked, on standard input."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import sys
from dataclasses import replace
from pathlib import Path

import structlog

from meltemi.controller.plane import ControlPlane
from meltemi.controller.settings import Settings
from meltemi.controller.sources.files import FilesSource
from meltemi.protocols.registry import load
from meltemi.xds.limits import Limits

PAGE = 4096


async def serve(rules: Path) -> None:
    """Until standard input ends. The first line of output is the port."""
    quick = Limits(first_request=0.5, keepalive=1)
    settings = Settings(tuning=replace(Settings().tuning, limits=quick))
    plane = ControlPlane(load(), FilesSource(rules), settings)
    async with plane.running("127.0.0.1:0") as port:
        while not plane.ready:  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.01)
        say({"port": port})
        while await asyncio.to_thread(sys.stdin.readline):
            say(health(plane))


def health(plane: ControlPlane) -> dict[str, int]:
    """Streams, tasks, descriptors and resident bytes, after what can be thrown away was."""
    gc.collect()
    return {
        "streams": len(plane.status.streams()),
        "tasks": len(asyncio.all_tasks()),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "bytes": int(Path("/proc/self/statm").read_text().split()[1]) * PAGE,
    }


def say(answer: dict[str, int]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    asyncio.run(serve(Path(sys.argv[1])))
