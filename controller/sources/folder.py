"""Folds the contents of files into changes of objects: whose object counts, and what stays.

Two documents of one name: the first by path and place in the file counts, the other is told.

What stays when a file is changed badly: a document that is broken keeps the object that it was,
and since a broken document does not say which object it is, **no object of a file goes while any
document of that file is broken**. A file that is cut off in the middle often parses all the same,
so a reading that would take something away waits as a whole until the file has been quiet
(``final``): what is saved together is in force together, a rule that goes and the subset that it
used. A text that does not end in a line break waits as well. Nothing else is held back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeAlias

from meltemi.controller.decode import Unnamed, decode, is_read
from meltemi.controller.sources import Place
from meltemi.controller.sources.documents import Broken, read_documents
from meltemi.controller.store.objects import Change, Delete, Identity, Invalid, Upsert, identity_of
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


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file's bytes say. ``half``: they may go on; ``broken``: a document does not say what
    it is. Of a text that is half, or that was read before, only this is known.
    """

    digest: bytes
    half: bool = False
    broken: bool = False
    claims: tuple[_Claim, ...] = ()
    mistakes: tuple[tuple[Problem, int], ...] = ()


class Folder:
    """Files by path. ``waiting`` are those that want to be read again when they are quiet."""

    def __init__(self) -> None:
        self.waiting: set[str] = set()
        self._files: dict[str, _File] = {}
        self._claims: dict[Identity, dict[Position, _Claim]] = {}
        self._told: dict[Identity, Upsert | Invalid] = {}
        self._reports: dict[str, dict[Problem, Place]] = {}
        self._by_ref: dict[Ref, set[Identity]] = {}
        self._in_doubt = False

    @property
    def paths(self) -> frozenset[str]:
        """The files that objects came from, or that something is wrong with."""
        return frozenset(self._files)

    def update(self, contents: Mapping[str, Content], *, final: bool = True) -> tuple[Change, ...]:
        """The changes that these new contents make, each object at most once."""
        return self.fold(self.interpret(contents, final=final), final=final)

    def interpret(
        self, contents: Mapping[str, Content], *, final: bool = True
    ) -> dict[str, Reading | Problem | None]:
        """What contents say, for ``fold``: the long part, which changes nothing here."""
        return {
            path: self._interpret(path, content, final=final)
            if isinstance(content, bytes)
            else content
            for path, content in contents.items()
        }

    def fold(
        self, readings: Mapping[str, Reading | Problem | None], *, final: bool = True
    ) -> tuple[Change, ...]:
        """The changes that these readings make, each object at most once."""
        touched = set(self._told) if self._in_doubt else set[Identity]()
        concerned = {*readings, *(self._reports if self._in_doubt else ())}
        for path in sorted(readings):
            self.waiting.discard(path)
            touched |= self._read(path, readings[path], final=final)
        for identity in touched:
            concerned |= {claim.position.path for claim in self._ranked(identity)}
        changes = [change for identity in sorted(touched) for change in self._change(identity)]
        reports = {path: self._report(path) for path in sorted(concerned)}
        told = (*changes, *(c for path in reports for c in self._reported(path, reports[path])))
        # From here on nothing can fail: either all of it is told or nothing.
        for change in changes:
            self._remember(change)
        for path, report in reports.items():
            self._reports.pop(path, None)
            if report:
                self._reports[path] = report
        self._in_doubt = False
        return told

    def recover(self) -> None:
        """Put things in order after a ``fold`` that failed halfway. What it did not tell is told
        by the next one; every file counts as unread.
        """
        self.waiting.clear()
        self._claims.clear()
        for path, file in self._files.items():
            self._files[path] = replace(file, digest=b"")
            for claim in file.claims:
                self._claims.setdefault(claim.identity, {})[claim.position] = claim
        self._in_doubt = True

    def place(self, problem: Problem) -> Place | None:
        """Where a problem is: told with the file, or the field of its object's document."""
        for report in self._reports.values():
            if (place := report.get(problem)) is not None:
                return place
        return self._place(problem.about, problem)

    def where(self, ref: Ref) -> Place | None:
        """Where a field of an object is, in the document that counts."""
        return self._place(ref, None)

    def _place(self, ref: Ref, problem: Problem | None) -> Place | None:
        """A ref does not say the API's group: it is who has the problem, or else who is read."""
        candidates = self._by_ref.get(ref.object)
        if not candidates:
            return None
        meant = max(
            sorted(candidates),
            key=lambda identity: (problem in _problems(self._told[identity]), is_read(identity)),
        )
        claim = self._ranked(meant)[0]
        return Place(claim.position.path, claim.document.line(ref.field))

    def _interpret(self, path: str, content: bytes, *, final: bool) -> Reading:
        digest = blake2b(content, digest_size=16).digest()
        if not final and not content.endswith(b"\n"):
            return Reading(digest, half=True)
        known = self._files.get(path)
        if known is not None and known.digest == digest:
            return Reading(digest)
        return _interpret(path, content, digest)

    def _read(self, path: str, reading: Reading | Problem | None, *, final: bool) -> set[Identity]:
        file = self._files.get(path, _File())
        if isinstance(reading, Problem):
            self._files[path] = replace(file, digest=b"", mistakes=((reading, 0),))
            return set()
        if not final and (reading is None or reading.half):
            # A file that is just being written, or replaced by deleting it first, looks like this.
            self.waiting.add(path)
            return set()
        if reading is None:
            self._files.pop(path, None)
            return self._claim(file.claims, ())
        if reading.digest == file.digest:
            return set()
        vanished = _vanished(file.claims, reading.claims)
        if vanished and not reading.broken and not final:
            self.waiting.add(path)
            return set()
        kept = vanished if reading.broken else ()
        claims = (*reading.claims, *kept)
        self._files[path] = _File(b"" if kept else reading.digest, claims, reading.mistakes)
        return self._claim(file.claims, claims)

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
            if self._told.get(identity) != ranked[0].outcome:
                yield ranked[0].outcome
        elif identity in self._told:
            yield Delete(identity)

    def _remember(self, change: Change) -> None:
        identity = identity_of(change)
        if not isinstance(change, Delete):
            self._told[identity] = change
            self._by_ref.setdefault(identity.ref(), set()).add(identity)
            return
        del self._told[identity]
        others = self._by_ref[identity.ref()]
        others.remove(identity)
        if not others:
            del self._by_ref[identity.ref()]

    def _report(self, path: str) -> dict[Problem, Place]:
        """What is wrong with a file and with no object of it."""
        file = self._files.get(path, _File())
        mistakes = (*file.mistakes, *self._doubles(file))
        return {problem: Place(path, line) for problem, line in mistakes}

    def _reported(self, path: str, report: dict[Problem, Place]) -> Iterator[Change]:
        before = self._reports.get(path, {})
        if report and report != before:
            yield Invalid(Identity.of_file(path), tuple(report))
        elif before and not report:
            yield Delete(Identity.of_file(path))

    def _doubles(self, file: _File) -> Iterator[tuple[Problem, int]]:
        for claim in file.claims:
            first = self._ranked(claim.identity)[0]
            if claim is not first and not claim.kept:
                yield _double(claim, first), claim.document.line()


def _interpret(path: str, content: bytes, digest: bytes) -> Reading:
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
        claims.append(_Claim(identity_of(outcome), entry.position, entry, outcome))
    return Reading(digest, False, broken, tuple(claims), tuple(_told_apart(mistakes)))


def _told_apart(mistakes: Iterable[tuple[Problem, int]]) -> Iterator[tuple[Problem, int]]:
    """A problem is known by what it says: only of two that say the same the line is a part."""
    seen: set[Problem] = set()
    for problem, line in mistakes:
        again = problem in seen
        told = replace(problem, cause=f"line {line}: {problem.cause}") if again else problem
        seen.add(told)
        yield told, line


def _problems(outcome: Upsert | Invalid) -> tuple[Problem, ...]:
    return outcome.decoded.problems if isinstance(outcome, Upsert) else outcome.problems


def _nameless(path: str, document: Document, problem: Problem) -> tuple[Problem, int]:
    """What does not say which object it is can only be found by its line."""
    about = Identity.of_file(path).ref().at(problem.about.field)
    return replace(problem, about=about), document.line(problem.about.field)


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
