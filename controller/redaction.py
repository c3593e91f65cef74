"""No secret leaves the process but to the proxy that it is for: not in a log, nor in any answer.

Every secret that users ever gave is remembered while the process lives: a proxy may quote one that
has been replaced meanwhile.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING

import re2
from google.protobuf.text_encoding import CEscape

from meltemi.controller.dump import LONG, REDACTED
from meltemi.xds.wire import MESSAGE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_FINGERPRINT = 48
"""How many bytes of a long secret are looked for, from its middle: PEM begins alike."""

_CUT = 4
"""From this length on the beginning of a secret is not shown at the end of a text that was cut."""

_MEMORY = 256 * 1024 * 1024


class Redactor:
    """Knows the secrets that it has learned, and finds them again."""

    def __init__(self) -> None:
        self._learned: set[str] = set()
        self._spellings: list[str] = []
        self._search: Callable[[bytes], object | None] | None = None

    def learn(self, secrets: Iterable[str]) -> None:
        """Remember these as well; an empty one is none."""
        new = {secret for secret in secrets if secret} - self._learned
        if not new:
            return
        self._learned |= new
        spelled = {spelling for secret in self._learned for spelling in _spellings(secret)}
        self._spellings = sorted(spelled, key=len, reverse=True)
        self._search = None

    def text(self, text: str) -> str:
        """The text without any secret, however it is spelled in it."""
        whole = len(text) < MESSAGE_LIMIT
        for spelling in self._spellings:
            if spelling in text:
                text = text.replace(spelling, REDACTED)
        return text if whole else self._uncut(text)

    def _uncut(self, text: str) -> str:
        """A text that was cut may end within a secret."""
        for spelling in self._spellings:
            for length in range(min(len(spelling), len(text)) - 1, _CUT - 1, -1):
                if text.endswith(spelling[:length]):
                    return text[:-length] + REDACTED
        return text

    def is_in(self, body: bytes) -> bool:
        """Whether an encoded message holds one: a long one anywhere, a short one as a field."""
        if not self._learned:
            return False
        if self._search is None:
            options = re2.Options()
            options.max_mem = _MEMORY
            parts = (re2.escape(_fingerprint(secret)) for secret in sorted(self._learned))
            self._search = re2.compile(b"|".join(parts), options).search
        return self._search(body) is not None


def _spellings(secret: str) -> Iterable[str]:
    """As it is, and as protobuf's text format, JSON and a field of bytes in JSON have it."""
    encoded = secret.encode()
    return {
        secret,
        CEscape(encoded, as_utf8=False),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        b64encode(encoded).decode(),
    }


def _fingerprint(secret: str) -> bytes:
    encoded = secret.encode()
    if len(encoded) < LONG:
        return bytes((len(encoded),)) + encoded
    start = max(0, (len(encoded) - _FINGERPRINT) // 2)
    return encoded[start : start + _FINGERPRINT]
