"""Pages of documentation as their reader uses them: files to save, commands to type."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DOCS = Path(__file__).parents[1] / "docs"

_BLOCK = re.compile(
    r"^(?P<before>[^\n]*)\n\n?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S
)
_FILE = re.compile(r"`([\w./-]+)`:$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block. ``file``: the text before it ends with this name and a colon."""

    language: str
    text: str
    file: str = ""


def blocks(page: str) -> list[Block]:
    """All fenced blocks of a page in ``docs/``, in their order."""
    found: list[Block] = []
    for match in _BLOCK.finditer((DOCS / page).read_text()):
        named = _FILE.search(match["before"])
        found.append(Block(match["language"], match["text"], named[1] if named else ""))
    return found


def files(found: Iterable[Block]) -> dict[str, str]:
    """What a reader saves, by name."""
    return {block.file: block.text for block in found if block.file}


def elsewhere(text: str, ports: Mapping[str, int]) -> str:
    """The text with other port numbers: those of the page may be taken on this machine."""
    return re.sub(r"(?<!\d)\d{4,5}(?!\d)", lambda match: str(ports.get(match[0], match[0])), text)
