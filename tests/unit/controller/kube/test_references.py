"""Secrets are wanted from the first object that names them until the last one that does not."""

from __future__ import annotations

from meltemi.controller.kube.mirror import Name
from meltemi.controller.kube.references import References, Turn
from meltemi.controller.objects import Identity
from meltemi.protocols.model import RedisSettings, RedisUpstream, Ref, SecretRef

A, B = (Identity("redis.aeraki.io", "RedisService", "n", name) for name in "ab")
REF = Ref("RedisService", "n", "a")
ONE, TWO = Name("n", "one"), Name("n", "two")


def settings(secret: Name) -> RedisSettings:
    return RedisSettings(REF, ("cache.example",), SecretRef(*secret, REF))


def upstream(secret: Name) -> RedisUpstream:
    return RedisUpstream(REF, "cache.example", SecretRef(*secret, REF))


def test_a_secret_is_wanted_once_and_dropped_with_the_last_who_names_it() -> None:
    references = References()
    assert references.put(A, [settings(ONE)]) == Turn(wanted=frozenset({ONE}))
    assert references.put(B, [upstream(ONE)]) == Turn()
    assert references.put(A) == Turn()
    assert references.of(B) == {ONE}
    assert references.put(B, []) == Turn(dropped=frozenset({ONE}))
    assert list(references) == []


def test_another_secret_takes_the_place_of_the_first() -> None:
    references = References()
    references.put(A, [settings(ONE)])
    assert references.put(A, [settings(ONE)]) == Turn()
    turn = references.put(A, [settings(TWO), upstream(TWO)])
    assert turn == Turn(wanted=frozenset({TWO}), dropped=frozenset({ONE}))
    assert references.of(A) == {TWO}


def test_who_names_none_wants_none() -> None:
    references = References()
    assert references.put(A, [RedisSettings(REF, ("cache.example",), None)]) == Turn()
    assert references.of(A) == frozenset()
