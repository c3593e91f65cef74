"""What stands on the demo's objects: their ``status.conditions``, as the API server gives them.
Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from meltemi.demo.claims import Claim, Told
from meltemi.protocols.problem import CODES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PROGRAMMED: Final = "Programmed"
CORRECTED: Final = "After the correction every object says Programmed=True"

_TOLD = re.compile(r"(?P<code>MEL\d{4}) (?P<about>.+?): (?P<cause>.+); (?P<next_step>.+)")


class Standing(NamedTuple):
    """An object of the cluster, by the name that kubectl knows: ``metarouter/orders``."""

    name: str
    body: dict[str, Any]


def told_on(objects: Iterable[Standing], code: str) -> Told | None:
    """What stands of a mistake on the first object that has it."""
    for name, body in objects:
        for condition in _conditions(body):
            text = _TOLD.match(condition.get("message", ""))
            if text is not None and text["code"] == code:
                about = text["about"].rpartition(" ")[2]
                where = f"{name} {_stated(condition)} at {about}"
                return Told(code, CODES[code].title, where, text["cause"], text["next_step"])
    return None


def corrected_claim(objects: Sequence[Standing]) -> Claim:
    """Every object is live, as it is now, on every proxy that it concerns."""
    lacking = [lack for each in objects if (lack := _lack(each))]
    if lacking:
        return Claim(CORRECTED, held=False, measured="; ".join(lacking))
    return Claim(CORRECTED, held=bool(objects), measured=f"{len(objects)} objects")


def _lack(standing: Standing) -> str:
    """Why it is not live, empty if it is."""
    name, body = standing
    generation = body["metadata"].get("generation", 0)
    for condition in _conditions(body):
        if condition["type"] == PROGRAMMED:
            if condition.get("observedGeneration", 0) < generation:
                return f"{name}: nothing is said of generation {generation}"
            if condition["status"] != "True":
                return f"{name} {_stated(condition)}: {condition.get('message', '')}"
            return ""
    return f"{name} does not say Programmed"


def _stated(condition: dict[str, Any]) -> str:
    return f"{condition['type']}={condition['status']} ({condition.get('reason', '')})"


def _conditions(body: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body.get("status", {}).get("conditions", [])
    return found
