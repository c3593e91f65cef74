"""Folds the contents of files into changes of objects: whose object counts, and what stays.

Two documents of one name: the first by path and place in the file counts, the other is told.

What stays when a file is changed badly: a document that is broken keeps the object that it was,
and since a broken document does not say which object it is, **no object of a file goes while any
document of that file is broken**. A file that is cut off in the middle often parses all the same,
so what a reading would take away waits until the file has been quiet (``final``), and so does a
text that does not end in a line break. Additions and changes are never held back otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeAlias

from meltemi.controller.decode import Unnamed, decode
from meltemi.controller.objects import Change, Delete, Identity, Invalid, Upsert
from meltemi.controller.sources import Place
from meltemi.controller.sources.documents import Broken, read_documents
from meltemi.protocols.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from meltemi.controller.sources.documents import Document, Position
    from meltemi.protocols.model import Ref

TWICE = "MEL0106"

Content: TypeAlias = bytes | Problem | None
"""A file's bytes, why they cannot be had, or None: there is no such file."""


@dataclass(frozen=True, slots=True)
class _Claim:
    """A document that says it is this object. ``kept``: it is not in the file any more."""

    identity: Identity
    position: Position
    document: Document
    outcome: Upsert | Invalid
    kept: bool = False


@dataclass(frozen=True, slots=True)
class _File:
    """What the last readings of a file gave. Mistakes are about no object, so have their line."""

    digest: bytes = b""
    claims: tuple[_Claim, ...] = ()
    mistakes: tuple[tuple[Problem, int], ...] = ()


class Folder:
    """Files by path. ``waiting`` are those that want to be read again when they are quiet."""

    def __init__(self) -> None:
        self.waiting: set[str] = set()
        self._files: dict[str, _File] = {}
        self._claims: dict[Identity, dict[Position, _Claim]] = {}
        self._told: dict[Identity, Change] = {}
        self._reports: dict[str, dict[Problem, Place]] = {}
        self._by_ref: dict[Ref, Identity] = {}

    @property
    def paths(self) -> frozenset[str]:
        """The files that objects came from, or that something is wrong with."""
        return frozenset(self._files)

    def update(self, contents: Mapping[str, Content], *, final: bool = True) -> tuple[Change, ...]:
        """The changes that these new contents make, each object at most once."""
        touched: set[Identity] = set()
        for path in sorted(contents):
            self.waiting.discard(path)
            touched |= self._read(path, contents[path], final=final)
        changes = [change for identity in sorted(touched) for change in self._change(identity)]
        concerned = set(contents) | {
            claim.position.path for identity in touched for claim in self._ranked(identity)
        }
        return (*changes, *(c for path in sorted(concerned) for c in self._report(path)))

    def place(self, problem: Problem) -> Place | None:
        """Where a problem is: told with the file, or the field of its object's document."""
        for report in self._reports.values():
            if (place := report.get(problem)) is not None:
                return place
        return self.where(problem.about)

    def where(self, ref: Ref) -> Place | None:
        """Where a field of an object is, in the document that counts."""
        if (identity := self._by_ref.get(ref.object)) is None:
            return None
        claim = self._ranked(identity)[0]
        return Place(claim.position.path, claim.document.line(ref.field))

    def _read(self, path: str, content: Content, *, final: bool) -> set[Identity]:
        file = self._files.get(path, _File())
        if not final and _may_be_half(content):
            self.waiting.add(path)
            return set()
        if content is None:
            self._files.pop(path, None)
            return self._claim(file.claims, ())
        if isinstance(content, Problem):
            self._files[path] = replace(file, digest=b"", mistakes=((content, 0),))
            return set()
        digest = blake2b(content, digest_size=16).digest()
        if digest == file.digest:
            return set()
        claims, mistakes, broken = _interpret(path, content)
        vanished = _vanished(file.claims, claims)
        if vanished and not broken and not final:
            self.waiting.add(path)
        kept = vanished if broken or not final else ()
        self._files[path] = _File(b"" if kept else digest, (*claims, *kept), mistakes)
        return self._claim(file.claims, (*claims, *kept))

    def _claim(self, old: Iterable[_Claim], new: Iterable[_Claim]) -> set[Identity]:
        touched: set[Identity] = set()
        for claim in old:
            claims = self._claims[claim.identity]
            del claims[claim.position]
            if not claims:
                del self._claims[claim.identity]
            touched.add(claim.identity)
        for claim in new:
            self._claims.setdefault(claim.identity, {})[claim.position] = claim
            touched.add(claim.identity)
        return touched

    def _ranked(self, identity: Identity) -> list[_Claim]:
        """The document that counts comes first; one that still stands somewhere before others."""
        claims = self._claims.get(identity, {}).values()
        return sorted(claims, key=lambda claim: (claim.kept, claim.position))

    def _change(self, identity: Identity) -> Iterator[Change]:
        if ranked := self._ranked(identity):
            self._by_ref[identity.ref()] = identity
            if self._told.get(identity) != ranked[0].outcome:
                self._told[identity] = ranked[0].outcome
                yield ranked[0].outcome
        elif identity in self._told:
            del self._told[identity], self._by_ref[identity.ref()]
            yield Delete(identity)

    def _report(self, path: str) -> Iterator[Change]:
        """What is wrong with a file and with no object of it."""
        file = self._files.get(path, _File())
        before = self._reports.pop(path, {})
        mistakes = (*file.mistakes, *self._doubles(file))
        report = {problem: Place(path, line) for problem, line in mistakes}
        if report:
            self._reports[path] = report
            if report.keys() != before.keys():
                yield Invalid(Identity.of_file(path), tuple(report))
        elif before:
            yield Delete(Identity.of_file(path))

    def _doubles(self, file: _File) -> Iterator[tuple[Problem, int]]:
        for claim in file.claims:
            first = self._ranked(claim.identity)[0]
            if claim is not first and not claim.kept:
                yield _double(claim, first), claim.document.line()


def _interpret(
    path: str, content: bytes
) -> tuple[list[_Claim], tuple[tuple[Problem, int], ...], bool]:
    """Objects, mistakes with their lines, and whether some document does not say what it is."""
    claims: list[_Claim] = []
    mistakes: list[tuple[Problem, int]] = []
    broken = False
    for entry in read_documents(path, content):
        if isinstance(entry, Broken):
            broken = True
            mistakes.append((entry.problem, entry.line))
            continue
        outcome = decode(entry.value)
        if isinstance(outcome, Unnamed):
            broken = True
            mistakes += (_nameless(path, entry, problem) for problem in outcome.problems)
            continue
        identity = outcome.decoded.identity if isinstance(outcome, Upsert) else outcome.identity
        claims.append(_Claim(identity, entry.position, entry, outcome))
    return claims, tuple(mistakes), broken


def _nameless(path: str, document: Document, problem: Problem) -> tuple[Problem, int]:
    """What does not say which object it is can only be found by its line."""
    line = document.line(problem.about.field)
    about = Identity.of_file(path).ref().at(problem.about.field)
    return replace(problem, about=about, cause=f"line {line}: {problem.cause}"), line


def _may_be_half(content: Content) -> bool:
    """A file that is just being written, or replaced by deleting it first, may look like this."""
    return content is None or (isinstance(content, bytes) and not content.endswith(b"\n"))


def _vanished(old: Iterable[_Claim], new: Iterable[_Claim]) -> tuple[_Claim, ...]:
    present = {claim.identity for claim in new}
    return tuple(replace(claim, kept=True) for claim in old if claim.identity not in present)


def _double(claim: _Claim, first: _Claim) -> Problem:
    here = f"{claim.position.path}:{claim.document.line()}"
    there = f"{first.position.path}:{first.document.line()}"
    about = claim.identity.ref()
    return Problem(
        TWICE,
        about.at("metadata.name"),
        f"{here} is a second {about}; the one in {there} counts",
        "rename one of them, or delete it",
    )
