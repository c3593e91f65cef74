"""Which resources a refusal's text names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

_SUBJECT = re.compile(r"^Error adding/updating (?:listener|cluster)\(s\) ")
_SEPARATOR = re.compile(r"\n|, ")


def named_in(message: str, known: Container[str]) -> tuple[str, ...]:
    """The known names that the text accuses, in its order.

    Envoy writes ``Error adding/updating listener(s) A: why\\nB: why`` (clusters alike, with
    commas), and nothing that could be relied on for other types. Names may hold colons, and the
    reasons are free text: only what is known counts.
    """
    subject = _SUBJECT.match(message)
    if subject is None:
        return ()
    parts = _SEPARATOR.split(message[subject.end() :])
    return tuple(
        dict.fromkeys(name for part in parts if (name := part.partition(": ")[0]) in known)
    )
