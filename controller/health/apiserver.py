"""The API server itself: whether it answers, which version it is, and what its clock says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from meltemi.controller.health.result import error, fine, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.health.result import Result
    from meltemi.controller.kube.api import ApiError
    from meltemi.controller.kube.mirror import Body

OLDEST = (1, 29)
"""Of Kubernetes: since then rules in definitions (CEL) are there for good."""

SLOW_S = 1.0
"""Seconds for an answer without any work in it."""

OFF_S = 2.0
FAR_OFF_S = 30.0
"""Seconds between two clocks that are a warning and an error: tokens and certificates hold from
one time to another, and a Lease says when it was renewed.
"""

OLD = f"use Kubernetes {OLDEST[0]}.{OLDEST[1]} or later: older ones do not know all that is used"
BUSY = "look at how busy the API server is, and at the way to it"
CLOCKS = "let a time service such as chrony or systemd-timesyncd set the clocks of both machines"
UNREACHABLE = (
    "start it, or say with --kubeconfig and --context which one is meant; from a pod, let its "
    "network policy reach the API server"
)
AUTHORITY = (
    "correct certificate-authority in the kubeconfig, which did not sign the server's certificate, "
    "or the server's address, if it names another host"
)
UNKNOWN = "log in again, or give a kubeconfig whose credentials are valid; a token may be expired"


@dataclass(frozen=True, slots=True)
class Answer:
    """To ``GET /version``. ``date`` is the header of that name, empty where there is none. ``sent``
    and ``received`` in seconds since 1970 by our clock, ``took`` in seconds.
    """

    version: Body
    date: str
    sent: float
    received: float
    took: float

    @property
    def number(self) -> tuple[int, int]:
        """Major and minor: vendors write ``29+``; (0, 0) where there is none."""
        found = [re.match(r"\d+", str(self.version.get(each, ""))) for each in ("major", "minor")]
        major, minor = (0 if each is None else int(each[0]) for each in found)
        return major, minor

    @property
    def time(self) -> float | None:
        """Seconds since 1970 by the server's clock when the answer came, to the second."""
        try:
            return parsedate_to_datetime(self.date).timestamp()
        except ValueError:
            return None


def api_results(answer: Answer) -> Iterator[Result]:
    """Of a server that answered."""
    number, name = answer.number, str(answer.version.get("gitVersion", "of an unknown version"))
    if number < OLDEST:
        yield error("api", f"the API server is Kubernetes {name}", OLD)
    elif answer.took > SLOW_S:
        yield warning("api", f"Kubernetes {name} took {answer.took:.1f} s for an answer", BUSY)
    else:
        yield fine("api", f"Kubernetes {name} answers in {answer.took * 1000:.0f} ms")


def failed(refusal: ApiError) -> Result:
    """Of one that did not answer, or as it should not."""
    if refusal.status == 0:
        untrusted = "CERTIFICATE_VERIFY_FAILED" in str(refusal)
        hint = AUTHORITY if untrusted else UNREACHABLE
        return error("api", f"the API server cannot be reached: {refusal}", hint)
    if refusal.status in {401, 403}:
        return error("api", f"the API server does not know who asks: {refusal}", UNKNOWN)
    return error("api", f"the API server does not answer as it should: {refusal}", BUSY)


def clock_results(answer: Answer) -> Iterator[Result]:
    """How far our clock is from the server's, at least: its answers tell full seconds."""
    theirs = answer.time
    if theirs is None:
        yield warning("clock", f"the API server does not tell the time: {answer.date!r}", CLOCKS)
        return
    ahead, behind = answer.sent - (theirs + 1), theirs - answer.received
    off = max(ahead, behind, 0.0)
    text = (
        f"the clock here is {off:.0f} s {'ahead of' if ahead > behind else 'behind'} the server's"
    )
    if off > FAR_OFF_S:
        yield error("clock", text, CLOCKS)
    elif off > OFF_S:
        yield warning("clock", text, CLOCKS)
    else:
        yield fine("clock", f"the clock here is within {OFF_S:.0f} s of the API server's")
