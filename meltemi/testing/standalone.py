"""A real Envoy that has everything from Meltemi, and a Meltemi inside this process."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from meltemi.controller.bootstrap import Wish, bootstrap
from meltemi.controller.plane import ControlPlane
from meltemi.controller.settings import Settings
from meltemi.controller.sources.files import FilesSource
from meltemi.protocols.registry import load
from meltemi.testing.envoy import Envoy
from meltemi.testing.envoy_binary import ENVOY_VERSION
from meltemi.testing.ports import LOOPBACK, Address

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from meltemi.controller.client_tls import ClientTls
    from meltemi.controller.client_token import ClientToken
    from meltemi.protocols.registry import Registry

READY_S = 30.0


def standalone_envoy(
    xds: Address,
    node_id: str = "envoy",
    *,
    drain_s: int = 600,
    sotw: bool = False,
    version: str = ENVOY_VERSION,
    extra_args: Sequence[str] = (),
    tls: ClientTls | None = None,
    token: ClientToken | None = None,
) -> Envoy:
    """An Envoy with the bootstrap of ``meltemi bootstrap``; ``wait_ready`` waits for its rules.

    ``drain_s``: how long connections of a replaced listener live on, and what they use with them;
    both sides are told. ``sotw``: the state-of-the-world dialect instead of delta. ``version``
    and ``extra_args`` are those of ``Envoy``. ``tls``: over mutual TLS; its folder of secrets is
    written. ``token``: over TLS, with a token.
    """
    made = bootstrap(
        Wish(
            xds.host, xds.port, node_id, {"drainSeconds": drain_s}, sotw=sotw, tls=tls, token=token
        )
    )
    for path, content in made.files.items():
        Path(path).write_text(json.dumps(content))
    return Envoy(made.document, version=version, drain_time_s=drain_s, extra_args=extra_args)


class EmbeddedMeltemi:
    """A running control plane. ``plane`` is the control plane itself, ``xds`` where it listens."""

    def __init__(self, plane: ControlPlane, xds: Address) -> None:
        self.plane = plane
        self.xds = xds


@asynccontextmanager
async def embedded_meltemi(
    rules: Path, registry: Registry | None = None, settings: Settings | None = None
) -> AsyncGenerator[EmbeddedMeltemi]:
    """Serve a file or folder from this process: ready at entry. There is no admin port.

    ``registry``: other plugins than the installed ones. Errors of the control plane come as an
    ExceptionGroup at exit.
    """
    plane = ControlPlane(registry or load(), FilesSource(rules), settings or Settings())
    async with plane.running(f"{LOOPBACK}:0") as port:
        async with asyncio.timeout(READY_S):
            while not plane.ready:  # noqa: ASYNC110  # there is no event to wait for
                await asyncio.sleep(0.01)
        yield EmbeddedMeltemi(plane, Address(LOOPBACK, port))
