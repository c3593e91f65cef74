"""The ports of a server: free, or with a Meltemi behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from meltemi.controller.health.result import error, fine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.health.result import Result

OTHER = "end what listens there (ss -ltnp says what that is), or give another address"
ADDRESS = "give an address of this machine, and a port that this user may open"
START = "look at the log: the server should listen there"


PortName = Literal["xds", "token-xds", "admin", "webhook"]
"""The option of ``meltemi serve`` that opens it."""


@dataclass(frozen=True, slots=True)
class Port:
    """``option`` says what is spoken there: xds and token-xds HTTP/2, admin HTTP, webhook HTTPS.
    ``tls``: whether files for it are given.
    """

    option: PortName
    host: str
    port: int
    tls: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"--{self.option} {host}:{self.port}"


class Probed(NamedTuple):
    """What became of connecting. ``reason`` is for those that are neither free nor as expected."""

    state: Literal["free", "closed", "served", "foreign"]
    reason: str = ""


def port_results(port: Port, probed: Probed, *, running: bool) -> Iterator[Result]:
    """``running``: a server should be there already; else its port may be free as well."""
    about, how = str(port), "with TLS" if port.tls else "without TLS"
    match probed.state:
        case "served":
            yield fine("ports", f"{about}: Meltemi answers {how}", "", about)
        case "free" if not running:
            yield fine("ports", f"{about}: is free", "", about)
        case "free":
            yield error("ports", f"{about}: nobody listens", START, about)
        case "closed":
            yield error("ports", f"{about}: cannot be opened: {probed.reason}", ADDRESS, about)
        case "foreign":
            text = f"{about}: what listens there is not Meltemi {how}: {probed.reason}"
            yield error("ports", text, OTHER, about)
