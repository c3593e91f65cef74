"""Objects that go wrong at random, and where the API server may take what the decoder refuses."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from meltemi.controller.decode.schema import as_list, as_mapping

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tests.cluster.specimens import Object

VALUES: tuple[object, ...] = (
    *("", "x", "*", "a_b.example", "10.0.0.1", "a..b", "5s", "-5s", "1x", "0.1ms", "9000h", "GET"),
    *(None, True, False, 0, 1, -1, 101, 65536, 2**32, 2**63 - 1, 0.5, -0.5, 100.5),
    *([], [None], ["a.example", "b.example"], {}, {"x": 1}, {"value": 5}, {"value": 500}),
)

_UNION = "a value of several types, of which a schema can tell none"
_AERAKI = "Aeraki took it"
_TOLERATED: dict[str, dict[str, str]] = {
    "MetaRouter": {r"spec\.routes\[\d+\]\.mirrors\[\d+\]\.percentage": _UNION},
    "ApplicationProtocol": {r"spec(\.protocol|\.codec)?": _AERAKI},
    "KafkaCluster": {r"spec\.advertised": _UNION},
    "RedisService": {
        r"spec(\.host(\[\d+\])?)?": _AERAKI,
        r"spec\.settings\.(opTimeout|bufferFlushTimeout)": _AERAKI,
        r"spec\.redis\[\d+\](\.mirror\[\d+\])?\.route\.(host|port)": _AERAKI,
        r"spec\.(redis\[\d+\]\.mirror|faults)\[\d+\]\.percentage\.value": _AERAKI,
        r"spec\.faults\[\d+\]\.delay": _AERAKI,
    },
    "RedisDestination": {
        r"spec(\.host)?": _AERAKI,
        r"spec\.trafficPolicy\.connectionPool\.tcp\.(maxConnections|connectTimeout)": _AERAKI,
        r"spec\.trafficPolicy\.connectionPool\.redis\.discoveryEndpoints\[\d+\]": _AERAKI,
    },
}
"""Fields by kind, and why the definition leaves them to the decoder."""


def tolerated(kind: str, field: str) -> bool:
    """Whether only the decoder refuses what may stand there, or it refuses nothing: a password
    that cannot be read locks.
    """
    known = _TOLERATED.get(kind, {})
    return any(re.fullmatch(path, field) for path in known) or ".auth" in field


def mutated(body: Object, chance: random.Random) -> Object:
    """A copy with one or two accidents in its ``spec``."""
    found = deepcopy(body)
    for _ in range(chance.choice((1, 1, 1, 2))):
        places = list(_places(found["spec"])) or [(found, "spec")]
        parent, key = chance.choice(places)
        match chance.randrange(4):
            case 0:
                del parent[key]
            case 1 if (items := as_list(parent)) is not None:
                items.append(deepcopy(items[key]))
            case _:
                parent[key] = deepcopy(chance.choice(VALUES))
        if not isinstance(found.get("spec"), dict):
            break
    return found


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each member of a mapping and item of a list below the value, by what holds it."""
    inner = (as_mapping(value) or {}).items() or enumerate(as_list(value) or [])
    for key, each in inner:
        yield value, key
        yield from _places(each)
