"""What is known of tokens, and for how long."""

from __future__ import annotations

import pytest

from meltemi.controller.kube.token_cache import ACCEPTED, REFUSED, TokenCache
from meltemi.xds.bearer import Verified
from meltemi.xds.peer import Identity, UnidentifiedError

EDGE = Identity("cluster.local", "/ns/shop/sa/edge")


def test_a_good_token_is_known_for_a_minute_and_lasts_shorter_and_shorter() -> None:
    cache = TokenCache()
    cache.accept(b"a", Verified(EDGE, 600.0), now=10.0)
    assert cache.look(b"a", 10.0) == Verified(EDGE, 600.0)
    assert cache.look(b"a", 9.0 + ACCEPTED) == Verified(EDGE, 601.0 - ACCEPTED)
    assert cache.look(b"a", 10.0 + ACCEPTED) is None
    assert cache.look(b"b", 10.0) is None


def test_a_token_is_not_known_beyond_its_expiry() -> None:
    cache = TokenCache()
    cache.accept(b"a", Verified(EDGE, 2.0), now=10.0)
    assert cache.look(b"a", 11.5) == Verified(EDGE, 0.5)
    assert cache.look(b"a", 12.0) is None


def test_a_bad_token_is_refused_for_some_seconds() -> None:
    cache = TokenCache()
    cache.refuse(b"a", "it is bad", now=10.0)
    with pytest.raises(UnidentifiedError, match="it is bad"):
        cache.look(b"a", 9.0 + REFUSED)
    assert cache.look(b"a", 10.0 + REFUSED) is None


def test_the_oldest_is_forgotten_and_bad_tokens_displace_no_good_ones() -> None:
    cache = TokenCache(most=2)
    cache.accept(b"good", Verified(EDGE, 600.0), now=10.0)
    for number in range(100):
        cache.refuse(b"bad %d" % number, "it is bad", now=10.0)
    assert cache.look(b"good", 10.0) is not None
    assert cache.look(b"bad 97", 10.0) is None
    for key in (b"bad 98", b"bad 99"):
        with pytest.raises(UnidentifiedError):
            cache.look(key, 10.0)


def test_a_token_that_is_reviewed_again_is_as_new() -> None:
    cache = TokenCache(most=2)
    for key in (b"a", b"b", b"a", b"c"):
        cache.accept(key, Verified(EDGE, 600.0), now=10.0)
    assert cache.look(b"a", 10.0) is not None
    assert cache.look(b"b", 10.0) is None
