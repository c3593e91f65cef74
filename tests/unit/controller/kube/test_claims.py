"""What a token says of itself."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meltemi.controller.kube.claims import remaining
from meltemi.xds.peer import UnidentifiedError
from tests.json_tokens import json_token as token

NOW = 1_000.0
NAMES = st.sampled_from(["alg", "aud", "exp"])


@pytest.mark.parametrize("audience", ["meltemi", ["vault", "meltemi"]])
def test_a_token_for_us_is_good_until_it_expires(audience: object) -> None:
    assert remaining(token({"aud": audience, "exp": 1_600}), "meltemi", NOW) == 600


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        (token({"aud": "meltemi", "exp": 1_000}), "the token expired 0 s ago"),
        (token({"aud": "meltemi", "exp": 400}), "the token expired 600 s ago"),
        (token({"aud": ["vault", "x"], "exp": 1_600}), "is for 'vault', 'x', not for 'meltemi'"),
        (token({"aud": [], "exp": 1_600}), "not for 'meltemi'"),
        (token({"exp": 1_600}), "no JWT with an audience and an expiry"),
        (token({"aud": "meltemi"}), "no JWT with an audience and an expiry"),
        (token({"aud": "meltemi", "exp": "soon"}), "no JWT with an audience and an expiry"),
        (token([]), "no JWT"),
        (token({"aud": "meltemi", "exp": 1_600}, header={}), "no JWT"),
        (token({"aud": "meltemi", "exp": 1_600}, header={"alg": "None"}), "not signed"),
        (token({"aud": "meltemi", "exp": 1_600}, signature=""), "not signed"),
        (token({"aud": "meltemi", "exp": 1_600}).rpartition(".")[0], "not signed"),
        ("nonsense", "no JWT"),
        ("", "no JWT"),
        ("é.é.é", "no JWT"),
        ("a.b.c", "no JWT"),
        ("[" * 9_999, "no JWT"),
    ],
)
def test_what_no_issuer_need_look_at_is_refused(written: str, complaint: str) -> None:
    with pytest.raises(UnidentifiedError, match=complaint):
        remaining(written, "meltemi", NOW)


def test_an_audience_of_any_length_makes_no_long_text() -> None:
    with pytest.raises(UnidentifiedError) as refused:
        remaining(token({"aud": ["x" * 9_999], "exp": 1_600}), "meltemi", NOW)
    assert len(str(refused.value)) < 400


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | NAMES, inner),
)


@given(_JSON, _JSON, st.text())
def test_whatever_it_is_it_is_good_or_refused(header: object, claims: object, rest: str) -> None:
    for given_token in (token(claims, header, rest), token(claims), rest):
        with suppress(UnidentifiedError):
            assert remaining(given_token, "meltemi", NOW) > 0
