"""Secrets are wanted from the first object that names them until the last one that does not."""

from __future__ import annotations

import pytest

from meltemi.controller.kube.mirror import Name
from meltemi.controller.kube.references import MOST, References, Turn
from meltemi.controller.store.objects import Identity
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
    assert references.put(A, [settings(ONE)]) == Turn(wanted=frozenset({ONE}), beyond=0)
    assert references.put(B, [upstream(ONE)]) == Turn(beyond=0)
    assert references.put(A) == Turn(beyond=0)
    assert references.of(B) == {ONE}
    assert references.put(B, []) == Turn(dropped=frozenset({ONE}), beyond=0)


def test_another_secret_takes_the_place_of_the_first() -> None:
    references = References()
    references.put(A, [settings(ONE)])
    assert references.put(A, [settings(ONE)]) == Turn()
    turn = references.put(A, [settings(TWO), upstream(TWO)])
    assert turn == Turn(frozenset({TWO}), frozenset({ONE}), beyond=0)
    assert references.of(A) == {TWO}


def test_who_names_none_wants_none() -> None:
    references = References()
    assert references.put(A, [RedisSettings(REF, ("cache.example",), None)]) == Turn()
    assert references.of(A) == frozenset()


@pytest.mark.parametrize("name", ["", "../../b/secrets/one", "a,metadata.namespace=b", "A", "a?b"])
def test_what_is_no_name_is_never_asked_for(name: str) -> None:
    assert References().put(A, [settings(Name("n", name))]) == Turn()


def test_a_namespace_has_only_so_many_the_same_in_every_replica() -> None:
    names = [Name("n", f"s-{number:03}") for number in range(MOST + 2)]
    owners = [Identity("redis.aeraki.io", "RedisService", "n", each.name) for each in names]
    for order in (names, names[::-1]):
        references, followed, turn = References(), set[Name](), Turn()
        for each in order:
            turn = references.put(owners[names.index(each)], [settings(each)])
            followed = (followed | turn.wanted) - turn.dropped
        assert followed == {*names[:MOST]}
        assert turn.beyond == 2
        other = Name("m", "one")
        elsewhere = Identity("redis.aeraki.io", "RedisService", "m", "x")
        assert references.put(elsewhere, [settings(other)]) == Turn(frozenset({other}), beyond=0)
        turn = references.put(owners[0])
        assert turn == Turn(frozenset({names[MOST]}), frozenset({names[0]}), beyond=1)
