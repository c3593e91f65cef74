"""What a replica tells the leader: of every object what its own proxies say, in a few kilobytes."""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from meltemi.controller.statuses.board import GROUP_OF
from meltemi.controller.statuses.tally import Tally, Words
from meltemi.controller.store.objects import Identity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LARGEST = 900_000
"""Bytes of an encoded report: a ConfigMap may have 1 MiB."""

UID = 8
"""Characters of a uid that tell two objects of one name apart."""

UNPACKED = 16 * 1024 * 1024
"""Bytes that a report of others may take."""


class ReportError(ValueError):
    """Something else than a report."""


@dataclass(frozen=True, slots=True)
class Report:
    """``proxies`` are all streams of the replica. An object that is not in ``tallies`` is one that
    it has not seen yet.
    """

    proxies: int
    tallies: Mapping[Identity, Tally]

    def tally(self, identity: Identity, uid: str = "") -> Tally:
        """What the replica's proxies say of an object. All of them may be concerned by one that it
        has not seen, be it that it knows another of that name.
        """
        found = self.tallies.get(identity)
        if found is None or found.uid not in {"", uid[:UID]}:
            return Tally(pending=self.proxies)
        return found

    def encode(self) -> str:
        """As a value of ``binaryData``: base64 of compressed JSON, the same for the same report.
        When too many proxies have too much to say, numbers must do.
        """
        rows = sorted(_rows(self.tallies))
        encoded = _packed(_Wire(self.proxies, rows))
        if len(encoded) > LARGEST:
            bare = [msgspec.structs.replace(row, words=()) for row in rows]
            encoded = _packed(_Wire(self.proxies, bare))
        return encoded

    @classmethod
    def decode(cls, text: object) -> Report:
        """Raises ReportError. Objects of unknown kinds are those of a later version of us."""
        unpacker = zlib.decompressobj()
        try:
            content = unpacker.decompress(b64decode(str(text)), UNPACKED)
            wire = msgspec.json.decode(content, type=_Wire)
        except (Base64Error, zlib.error, msgspec.DecodeError) as error:
            raise ReportError(str(error)) from error
        found = {
            Identity(GROUP_OF[each.kind], each.kind, each.namespace, each.name): each.tally()
            for each in wire.rows
            if each.kind in GROUP_OF
        }
        return cls(wire.proxies, found)


class _Row(msgspec.Struct, array_like=True, order=True, omit_defaults=True):
    """One object. Names first: so sorted, rows have much in common."""

    kind: str
    namespace: str
    name: str
    generation: int
    acked: int = 0
    nacked: int = 0
    pending: int = 0
    unsupported: int = 0
    words: tuple[str, ...] = ()
    uid: str = ""

    def tally(self) -> Tally:
        words = Words(*self.words) if len(self.words) == 2 else None
        numbers = self.acked, self.nacked, self.pending, self.unsupported
        return Tally(self.generation, *numbers, words, self.uid)


class _Wire(msgspec.Struct):
    proxies: int
    rows: list[_Row]


def _packed(wire: _Wire) -> str:
    return b64encode(zlib.compress(msgspec.json.encode(wire))).decode()


def _rows(tallies: Mapping[Identity, Tally]) -> Iterator[_Row]:
    for identity, tally in tallies.items():
        words = () if tally.words is None else (tally.words.proxy, tally.words.message)
        numbers = tally.generation, tally.acked, tally.nacked, tally.pending, tally.unsupported
        what = identity.kind, identity.namespace, identity.name
        yield _Row(*what, *numbers, words, tally.uid[:UID])
