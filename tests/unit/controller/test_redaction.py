"""Secrets are found however they are spelled, and as long as the process lives."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from meltemi.controller.dump import REDACTED
from meltemi.controller.redaction import Redactor
from meltemi.xds.wire import MESSAGE_LIMIT

PASSWORD = 'päss"word\\ of\nmine'
KEY = "-----BEGIN PRIVATE KEY-----\n" + "\n".join(f"MIIEvQ{n:04d}" * 4 for n in range(20))


def knowing(*secrets: str) -> Redactor:
    redactor = Redactor()
    redactor.learn(secrets)
    return redactor


@pytest.mark.parametrize("secret", [PASSWORD, KEY, "pw"])
def test_a_secret_is_hidden_in_every_spelling(secret: str) -> None:
    redactor = knowing(secret)
    spellings = [
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        b64encode(secret.encode()).decode(),
    ]
    text = str(StringValue(value=secret))  # protobuf's own text, as a proxy quotes it
    assert text.startswith('value: "')
    assert redactor.text(text) == f'value: "{REDACTED}"\n'
    for spelling in spellings:
        assert redactor.text(f"before {spelling} after") == f"before {REDACTED} after"


def test_a_secret_that_was_replaced_is_still_one() -> None:
    redactor = knowing("the old one")
    redactor.learn(["the new one"])
    assert redactor.text("not the old one but the new one") == f"not {REDACTED} but {REDACTED}"


def test_a_text_that_was_cut_within_a_secret_does_not_show_its_beginning() -> None:
    quoted = "x" * (MESSAGE_LIMIT - 10) + "correct horse"
    shown = knowing("correct horse battery").text(quoted[:MESSAGE_LIMIT])
    assert shown == "x" * (MESSAGE_LIMIT - 10) + REDACTED


def test_a_text_that_was_not_cut_may_end_like_a_secret_begins() -> None:
    assert knowing("correct horse").text("it is correct") == "it is correct"


def test_nothing_is_no_secret() -> None:
    redactor = knowing("", "")
    assert redactor.text("anything") == "anything"
    assert not redactor.is_in(b"anything")


@pytest.mark.parametrize("secret", [PASSWORD, KEY, "pw"])
def test_an_encoded_message_that_holds_a_secret_is_found_out(secret: str) -> None:
    redactor = knowing("another", secret)
    assert redactor.is_in(StringValue(value=secret).SerializeToString())
    assert not redactor.is_in(StringValue(value="greeter").SerializeToString())


def test_a_short_secret_counts_as_a_whole_field_only() -> None:
    assert not knowing("a").is_in(StringValue(value="a name").SerializeToString())
    assert knowing("a").is_in(StringValue(value="a").SerializeToString())
