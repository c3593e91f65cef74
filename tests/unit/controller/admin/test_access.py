"""Tokens: what they give, and how a file of them is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from meltemi.controller.admin.access import (
    EVERYTHING,
    SHORTEST,
    Grant,
    TokenError,
    grant_of,
    read_tokens,
)

if TYPE_CHECKING:
    from pathlib import Path

ROOT, SHOP = "root-token-0123456789", "shop-token-0123456789"
TOKENS = {ROOT: EVERYTHING, SHOP: Grant(frozenset({"shop"}))}


def written(folder: Path, text: str) -> Path:
    path = folder / "tokens"
    path.write_text(text)
    return path


def test_a_file_says_for_each_token_what_it_is_for(tmp_path: Path) -> None:
    text = f"# of the operators\n{ROOT} *\n\n{SHOP} shop cart  # of a team\n"
    assert read_tokens(written(tmp_path, text)) == {
        ROOT: EVERYTHING,
        SHOP: Grant(frozenset({"shop", "cart"})),
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no token"),
        ("# only a comment", "no token"),
        (f"{'x' * (SHORTEST - 1)} *", f":1: a token has at least {SHORTEST}"),
        (f"{ROOT} *\n{SHOP}", ":2: write the namespaces"),
        (f"{ROOT} *\n{ROOT} shop", ":2: the token is in the file twice"),
        ("tökentökentökentöken *", ":1: a token has at least"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_without_its_tokens(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(TokenError) as error:
        read_tokens(written(tmp_path, text))
    assert told in str(error.value)
    assert str(tmp_path / "tokens") in str(error.value)
    assert ROOT not in str(error.value)
    assert SHOP not in str(error.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(TokenError, match="MELTEMI_ADMIN_TOKEN_FILE"):
        read_tokens(tmp_path / "nothing")


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(TokenError, match="cannot be read"):
        read_tokens(path)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_token_gives_what_the_file_says(scheme: str) -> None:
    assert grant_of(f"{scheme} {ROOT}", TOKENS) == EVERYTHING
    assert grant_of(f"{scheme}  {SHOP} ", TOKENS) == TOKENS[SHOP]


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", f"Basic {ROOT}", ROOT, f"Bearer {ROOT[:-1]}", f"Bearer {ROOT}x", "é"],
)
def test_what_is_no_token_gives_nothing(header: str) -> None:
    assert grant_of(header, TOKENS) is None


def test_a_grant_shows_its_namespaces_and_nothing_that_has_none() -> None:
    shop = Grant(frozenset({"shop"}))
    assert [shop.sees(each) for each in ("shop", "bank", "")] == [True, False, False]
    assert not shop.everything
    assert EVERYTHING.sees("")
    assert EVERYTHING.everything
