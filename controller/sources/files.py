"""A file or a folder of YAML and JSON, read once or watched.

Watching only says when to look; what is there is always read from the disk. A folder that is
deleted as a whole keeps its last state in force until it is there again: it may be a volume that
is being mounted. What nobody expected to go wrong does not end the source either.
"""

from __future__ import annotations

import asyncio
import os
import stat
from typing import TYPE_CHECKING, Any

import structlog

from meltemi.controller.sources import SourceError, Synced
from meltemi.controller.sources.documents import MAX_FILE, too_large
from meltemi.controller.sources.folder import Folder
from meltemi.controller.sources.watch import Watch
from meltemi.controller.store.objects import FILE
from meltemi.protocols.model import Ref
from meltemi.protocols.problem import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator
    from pathlib import Path

    from meltemi.controller.sources import Event, Followed, Place
    from meltemi.controller.sources.folder import Content, Reading
    from meltemi.controller.store.objects import Change

UNREADABLE = "MEL0101"
SUFFIXES = (".yaml", ".yml", ".json")
CASES = (".routes.yaml", ".routes.yml")
"""Files that test the rules beside them: in a folder they are not read as rules."""

STDIN = "<stdin>"
"""What to call documents that came from standard input."""

SETTLE = 0.2
"""Seconds without a change after which a file counts as completely written."""

_ALL = ""  # stands for every file
_CHECK = 2.0  # seconds between two looks whether the watched folder is still the same one
_MANY = 20  # files, or
_LARGE = 64 * 1024  # bytes, from which on reading them would hold up everybody else

log: Any = structlog.get_logger("meltemi")


class FilesSource:
    """The files below ``path``, or that one file. ``settle`` in seconds."""

    def __init__(self, path: str | Path, *, settle: float = SETTLE) -> None:
        self._path = os.fspath(path)
        self._root = os.path.abspath(self._path)
        self._is_folder = os.path.isdir(self._root)
        self._watch = Watch(self._root)
        self._failed = False
        self._settle = settle
        self._folder = Folder()
        self._due: dict[str, float] = {}

    def require(self) -> None:
        """Raises SourceError if the path is not there."""
        if not os.path.exists(self._root):
            raise SourceError(f"{self._path}: there is no such file or folder")

    def read(self) -> tuple[Change, ...]:
        """Everything that is there now. Raises SourceError if the path is not there."""
        self.require()
        return self._folder.update(self._everything())

    def place(self, problem: Problem) -> Place | None:
        """The file and line that a problem is about."""
        return self._folder.place(problem)

    def followed(self) -> tuple[Followed, ...]:
        """Files are of no kind."""
        return ()

    def where(self, ref: Ref) -> Place | None:
        """The file and line of a field of an object."""
        return self._folder.where(ref)

    async def events(self) -> AsyncGenerator[Event]:
        """Everything, then ``Synced``, then what changes. Raises SourceError."""
        try:
            await self._watch.begin()
            self.require()
            while (first := await self._attempt({_ALL}, final=True)) is None:
                await self._changed()
            yield first
            yield Synced()
            while True:
                if changes := await self._look(await self._changed()):
                    yield changes
        finally:
            await self._watch.end()

    async def _changed(self) -> set[str]:
        """The paths that changed, or none when it is time to look for other reasons."""
        changed = await self._watch.wait(self._patience())
        if self._watch.is_sound():
            return changed
        await self._watch.end()
        self._watch = Watch(self._root)
        await self._watch.begin()
        return {self._root}

    def _patience(self) -> float:
        """How long to wait for a change, in seconds."""
        now = asyncio.get_running_loop().time()
        return max(0.0, min([_CHECK, *(due - now for due in self._due.values())]))

    async def _look(self, changed: Iterable[str]) -> tuple[Change, ...]:
        """What changed paths mean, and files that have been quiet for long enough."""
        clock = asyncio.get_running_loop().time
        if self._is_gone():
            return await self._look_for_nothing(clock())
        touched = {path for found in changed for path in self._concerned(found)}
        if touched and self._failed:
            touched = {_ALL}
        quiet = {path for path, due in self._due.items() if due <= clock()} - touched
        new = await self._attempt(touched | (quiet & {_ALL}), final=False)
        old = () if new is None else await self._attempt(quiet - {_ALL}, final=True)
        # A whole folder is looked at once more: a file may have come before its own watch did.
        again = set[str]() if new is None else touched & {_ALL}
        later = clock() + self._settle
        self._due = {
            path: later if path in touched else self._due.get(path, later)
            for path in self._folder.waiting | again
        }
        return (*(new or ()), *(old or ()))

    async def _look_for_nothing(self, now: float) -> tuple[Change, ...]:
        """It is told only if it is not back after a moment."""
        due = self._due.get(_ALL, now + self._settle)
        self._due = {_ALL: due if now < due else now + self._settle}
        return () if now < due else await self._attempt({_ALL}, final=True) or ()

    async def _attempt(self, paths: Collection[str], *, final: bool) -> tuple[Change, ...] | None:
        """Read these. None when that failed: what was told last stays, and the next change is a
        reason to read everything again.
        """

        def interpret() -> dict[str, Reading | Problem | None]:
            return self._folder.interpret(self._contents(paths), final=final)

        if not paths:
            return ()
        try:
            # The thread changes nothing, and until it is done nothing changes here.
            readings = await asyncio.to_thread(interpret) if _is_much(paths) else interpret()
            changes = self._folder.fold(readings, final=final)
        except Exception:
            log.exception("source.failed", path=self._path)
            self._folder.recover()
            self._failed = True
            return None
        self._failed = False
        return changes

    def _is_gone(self) -> bool:
        """Whether the whole folder is; a file is gone only if its folder is still there."""
        if os.path.exists(self._root):
            self._is_folder = os.path.isdir(self._root)
            return False
        return self._is_folder or not os.path.isdir(os.path.dirname(self._root))

    def _concerned(self, changed: str) -> Iterator[str]:
        """The files that a changed path stands for."""
        if changed == self._root:
            yield _ALL if self._is_folder else self._path
            return
        top = self._root if self._is_folder else os.path.dirname(self._root)
        parts = os.path.relpath(changed, top).split("/")
        if any(part.startswith("..") for part in parts):
            yield _ALL  # a ConfigMap's volume: `..data` is a link to its current state
        elif not self._is_folder or any(part.startswith(".") for part in parts):
            return
        elif os.path.isdir(changed) or self._was_folder("/".join(parts)):
            yield _ALL
        elif _is_source(parts[-1]):
            yield os.path.join(self._path, *parts)

    def _was_folder(self, relative: str) -> bool:
        prefix = os.path.join(self._path, relative, "")
        return any(path.startswith(prefix) for path in self._folder.paths)

    def _contents(self, paths: Iterable[str]) -> dict[str, Content]:
        contents: dict[str, Content] = {}
        for path in paths:
            contents |= self._everything() if path == _ALL else {path: _content(path)}
        return contents

    def _everything(self) -> dict[str, Content]:
        """All files, and None for those that are gone. If nothing is there, that is all."""
        if self._is_gone():
            cause = "it is gone; what it last said stays in force"
            return {self._path: Problem(UNREADABLE, Ref(FILE, "", self._path), cause, "restore it")}
        if os.path.isdir(self._path):
            found = dict(_tree(self._path, _is_source, set()))
        else:
            found = {self._path: _content(self._path)}
        closed = tuple(
            os.path.join(path, "") for path, c in found.items() if isinstance(c, Problem)
        )
        gone = (path for path in self._folder.paths - found.keys() if not path.startswith(closed))
        return {**found, **dict.fromkeys(gone)}


def _is_much(paths: Collection[str]) -> bool:
    return _ALL in paths or len(paths) > _MANY or sum(map(_size, paths)) > _LARGE


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def case_files(path: Path) -> dict[str, Content]:
    """The files of cases below a folder, or that one file."""
    if path.is_dir():
        return dict(_tree(os.fspath(path), is_cases, set()))
    return {os.fspath(path): _content(os.fspath(path))}


def is_cases(name: str) -> bool:
    """Whether a file of that name tests rules and is none."""
    return name.endswith(CASES) and not name.startswith((".", "#"))


def _tree(
    folder: str, wanted: Callable[[str], bool], seen: set[str]
) -> Iterator[tuple[str, Content]]:
    """The contents of a folder and those below it; of one that cannot be listed, the reason."""
    if (real := os.path.realpath(folder)) in seen:
        return  # a link to a folder above
    seen.add(real)
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        yield folder, _unreadable(folder, error)
        return
    for name in names:
        path = os.path.join(folder, name)
        if name.startswith("."):
            continue
        if os.path.isdir(path):
            yield from _tree(path, wanted, seen)
        elif wanted(name):
            yield path, _content(path)


def _is_source(name: str) -> bool:
    """No hidden files, and nothing that editors leave beside a file (``x.yaml~``, ``#x.yaml#``)."""
    return name.endswith(SUFFIXES) and not name.startswith((".", "#")) and not is_cases(name)


def _content(path: str) -> Content:
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return None  # opening a pipe would wait for its writer
        if status.st_size > MAX_FILE:
            return too_large(path, "file", MAX_FILE)
        with open(path, "rb") as file:
            return file.read(MAX_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return _unreadable(path, error)


def _unreadable(path: str, error: OSError) -> Problem:
    cause = f"it cannot be read: {error.strerror}"
    return Problem(UNREADABLE, Ref(FILE, "", path), cause, "make it readable")
