"""A token in the metadata of a stream."""

from __future__ import annotations

import pytest

from meltemi.xds.bearer import bearer_token
from meltemi.xds.peer import UnidentifiedError


@pytest.mark.parametrize("value", ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c "])
def test_the_token_stands_after_the_scheme(value: str) -> None:
    metadata = [("user-agent", "envoy"), ("authorization", value)]
    assert bearer_token(metadata) == "a.b.c"


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([], "0 authorization headers"),
        (["Bearer a", "Bearer b"], "2 authorization headers"),
        (["a.b.c"], "does not read `Bearer TOKEN`"),
        (["Basic a.b.c"], "does not read `Bearer TOKEN`"),
        (["Bearer"], "does not read `Bearer TOKEN`"),
        (["Bearer  "], "does not read `Bearer TOKEN`"),
        ([b"Bearer a.b.c"], "does not read `Bearer TOKEN`"),
    ],
)
def test_anything_else_is_refused_and_not_quoted(values: list[str | bytes], complaint: str) -> None:
    with pytest.raises(UnidentifiedError, match=complaint) as refused:
        bearer_token([("authorization", value) for value in values])
    assert "a.b.c" not in str(refused.value)
