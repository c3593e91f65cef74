"""Each bound was seen to be refused by Envoy 1.40, and its neighbour to be accepted."""

from __future__ import annotations

import pytest

from meltemi.protocols.guard import (
    accepts_empty,
    header_name_error,
    header_value_error,
    is_ip,
    redis_prefix_error,
    regex_error,
)


@pytest.mark.parametrize("pattern", ["a", "(v1|v2).*", r"user-\d+", "a" * 96, "é+"])
def test_a_regex_that_envoy_accepts_has_no_error(pattern: str) -> None:
    assert regex_error(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "cause"),
    [
        ("", "the pattern is empty"),
        ("[A-Z", "missing ]: [A-Z"),
        ("(?=a)", "invalid perl operator: (?="),
        (r"(a)\1", r"invalid escape sequence: \1"),
        ("[é", "missing ]: [é"),
        ("a" * 97, "its program size 101 exceeds Envoy's limit of 100"),
        ("\ud800", "the pattern is not valid Unicode"),
    ],
)
def test_a_regex_that_envoy_refuses_has_its_cause(pattern: str, cause: str) -> None:
    assert regex_error(pattern) == cause


@pytest.mark.parametrize(
    "pattern", [pytest.param(".{1,20}", id="utf-8"), pytest.param(r"\x{263a}", id="latin-1")]
)
def test_a_regex_that_only_one_envoy_version_accepts_is_refused(pattern: str) -> None:
    assert regex_error(pattern) is not None


@pytest.mark.parametrize("name", ["user", "User", "a b", ":method", "é"])
def test_a_name_that_envoy_matches_has_no_error(name: str) -> None:
    assert header_name_error(name) is None


@pytest.mark.parametrize("name", ["", "a\nb", "a\rb", "a\0b"])
def test_a_name_that_envoy_refuses_has_an_error(name: str) -> None:
    assert header_name_error(name) is not None


@pytest.mark.parametrize(("name", "value"), [("a" * 16_384, "b" * 16_384), ("A b", "")])
def test_a_header_that_envoy_adds_has_no_error(name: str, value: str) -> None:
    assert header_value_error(name, value) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [("", "b"), ("a\n", "b"), ("a", "b\r"), ("a", "b\0"), ("a" * 16_385, "b"), ("a", "ä" * 8_193)],
)
def test_a_header_that_envoy_refuses_to_add_has_an_error(name: str, value: str) -> None:
    assert header_value_error(name, value) is not None


@pytest.mark.parametrize("prefix", ["", "user:", "x" * 1000, "é" * 500])
def test_a_key_prefix_of_at_most_1000_bytes_has_no_error(prefix: str) -> None:
    assert redis_prefix_error(prefix) is None


def test_a_longer_key_prefix_is_measured_in_bytes() -> None:
    assert redis_prefix_error("é" * 501) == "the prefix has 1002 bytes, Envoy accepts 1000"


@pytest.mark.parametrize("text", ["10.0.0.1", "0.0.0.0", "::1", "::ffff:1.2.3.4"])
def test_addresses_of_both_versions_are_ips(text: str) -> None:
    assert is_ip(text)


@pytest.mark.parametrize(
    "text", ["", "localhost", "1.2.3", "010.0.0.1", "1.2.3.4 ", "10.0.0.0/8", "fe80::1%eth0"]
)
def test_what_envoy_cannot_bind_or_reach_is_no_ip(text: str) -> None:
    assert not is_ip(text)


@pytest.mark.parametrize(("pattern", "accepts"), [("a*", True), ("(a|)", True), ("a+", False)])
def test_a_regex_accepts_an_empty_value_or_not(pattern: str, *, accepts: bool) -> None:
    assert accepts_empty(pattern) is accepts
