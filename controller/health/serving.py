"""What one replica serves: whether it reads what it should, and how its proxies fare."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from meltemi.controller.health.definitions import APPLY, ISTIO_GROUP
from meltemi.controller.health.result import error, fine, listed, warning
from meltemi.controller.kube.kinds import WATCHED
from meltemi.controller.kube.state import State as Following
from meltemi.controller.offline.presets import PRESETS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from meltemi.controller.health.result import Result
    from meltemi.controller.sources import Followed

WAIT = "wait; if it stays so, look at its log (source.kind, source.failed)"
GRANT = "apply meltemi manifests rbac; no restart is needed"
LOOK = "look after the API server; it is tried again and again"
CONNECT = (
    "start an Envoy with what meltemi bootstrap prints; proxy.denied in the log says who failed"
)
SEE = "meltemi proxies says which, why, and which objects are behind it"
UPDATE = "use a later Envoy: what older ones do not know they ignore without a word"
OLDEST = min(PRESETS.values())

_OURS = {kind.kind for kind in WATCHED if "." in kind.group and kind.group != ISTIO_GROUP}
_OURS.discard("EndpointSlice")
_REQUIRED = {kind.kind for kind in WATCHED if kind.required}
_ROWS = (
    (Following.DENIED, "it may not be read", GRANT),
    (Following.STALE, "it could not be read for a while", LOOK),
    (Following.FAILING, "it cannot be read now", LOOK),
)


def source_results(followed: Collection[Followed], *, ready: bool) -> Iterator[Result]:
    """``followed`` is empty where files are read. ``ready``: everything was read once."""
    wrong = [*_wrong(followed)]
    if not ready:
        yield error("source", "nothing is served yet: not everything was read once", WAIT)
    elif not wrong:
        what = f"{len({each.kind for each in followed})} kinds are" if followed else "all files are"
        yield fine("source", f"{what} read, and followed")
    yield from wrong


def _wrong(followed: Collection[Followed]) -> Iterator[Result]:
    for kind in dict.fromkeys(each.kind for each in followed):
        states = {each.state for each in followed if each.kind == kind}
        for state, clause, hint in _ROWS:
            if state.name.lower() in states:
                tell = warning if state is Following.FAILING else error
                yield tell("source", f"{kind}: {clause}", hint, kind)
        if Following.ABSENT.name.lower() in states and kind in _OURS:
            yield warning("source", f"{kind}: the API server does not know it", APPLY, kind)


class Connected(NamedTuple):
    """A stream: its proxy and that one's Envoy, whether a refusal stands, and the protocols in
    its scope that it has no engine for.
    """

    proxy: str
    version: tuple[int, int]
    refused: bool
    lacking: tuple[str, ...] = ()


def proxy_results(streams: Collection[Connected]) -> Iterator[Result]:
    """All that are connected to one replica."""
    refusing = [each.proxy for each in streams if each.refused]
    old = [each.proxy for each in streams if each.version < OLDEST]
    lacking = sorted({protocol for each in streams for protocol in each.lacking})
    if not streams:
        yield warning("proxies", "no proxy is connected", CONNECT)
    elif not (refusing or old or lacking):
        text = f"{len(streams)} connected, and none refuses anything"
        yield fine("proxies", text)
    if refusing:
        text = f"{len(refusing)} of {len(streams)} refuse something: {listed(refusing)}"
        yield error("proxies", text, SEE, "refusals")
    if old:
        oldest = ".".join(map(str, OLDEST))
        text = f"{len(old)} of {len(streams)} are older than Envoy {oldest}: {listed(old)}"
        yield warning("proxies", text, UPDATE, "versions")
    if lacking:
        text = f"some have no engine for protocols that they should serve: {listed(lacking)}"
        yield warning("proxies", text, SEE, "engines")
