"""A watched folder, edited in the ways in which people, editors and Kubernetes edit one."""

from __future__ import annotations

import asyncio
import os
import shutil
from contextlib import aclosing, asynccontextmanager
from threading import get_ident
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from meltemi.controller.decode import decode
from meltemi.controller.sources import Place, SourceError, Synced
from meltemi.controller.sources.files import FilesSource
from meltemi.controller.store.objects import Delete, Invalid, Upsert
from meltemi.protocols.model import Ref
from meltemi.protocols.problem import Problem

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator
    from pathlib import Path

    from meltemi.controller.decode import Outcome
    from meltemi.controller.sources import Event

PATIENCE = 20.0  # s; only a hang takes that long
SETTLE = 0.05
NEVER = 600.0  # a settle that no test reaches: nothing that waits for it happens


def pod(name: str, version: str = "v1") -> str:
    return (
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{version: {version}}}}}\n"
    )


class Reader:
    """What a source says, as ``+pod``, ``-pod``, ``!pod``, batch by batch."""

    def __init__(self, events: AsyncIterator[Event]) -> None:
        self._events = events

    async def next(self) -> list[str]:
        """The next batch of changes."""
        async with asyncio.timeout(PATIENCE):
            event = await anext(self._events)
        return ["synced"] if isinstance(event, Synced) else [_sign(change) for change in event]

    async def until(self, *wanted: str) -> list[str]:
        """All changes up to the one that completes these; a write may come as several."""
        seen: list[str] = []
        while not set(wanted) <= set(seen):
            seen += await self.next()
        return seen


def _sign(change: Upsert | Delete | Invalid) -> str:
    match change:
        case Upsert(decoded):
            return f"+{decoded.identity.name}"
        case Delete(identity):
            return f"-{os.path.basename(identity.name)}"
        case Invalid(identity):
            return f"!{os.path.basename(identity.name)}"


@asynccontextmanager
async def watched(path: Path, settle: float = SETTLE) -> AsyncGenerator[Reader]:
    async with aclosing(FilesSource(path, settle=settle).events()) as events:
        reader = Reader(events)
        await reader.until("synced")
        yield reader


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "rules"
    path.mkdir()
    (path / "a.yaml").write_text(pod("a"))
    return path


async def test_everything_comes_before_synced(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "b.json").write_text(
        '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b"}}'
    )
    async with aclosing(FilesSource(folder).events()) as events:
        reader = Reader(events)
        assert [await reader.next(), await reader.next()] == [["+a", "+b"], ["synced"]]


async def test_a_change_right_after_the_first_reading_is_not_missed(folder: Path) -> None:
    async with aclosing(FilesSource(folder, settle=SETTLE).events()) as events:
        reader = Reader(events)
        await reader.next()
        (folder / "b.yaml").write_text(pod("b"))
        assert await reader.until("+b") == ["synced", "+b"]


async def test_a_saved_file_takes_effect(folder: Path) -> None:
    async with watched(folder) as reader:
        (folder / "a.yaml").write_text(pod("a", "v2"))
        assert await reader.until("+a") == ["+a"]


async def test_files_that_test_the_rules_are_not_rules(folder: Path) -> None:
    (folder / "a.routes.yaml").write_text(pod("case"))
    async with watched(folder) as reader:
        (folder / "a.routes.yaml").write_text(pod("case", "v2"))
        (folder / "b.routes.yml").write_text(pod("case"))
        (folder / "routes.yaml").write_text(pod("rule"))
        assert await reader.next() == ["+rule"]


async def test_an_editors_atomic_rename_is_one_change(folder: Path) -> None:
    async with watched(folder) as reader:
        (folder / ".a.yaml.swp").write_text("swap")
        (folder / "a.yaml~").write_text(pod("backup"))
        (folder / "#a.yaml#").write_text(pod("autosave"))
        (folder / "4913").write_text("vim tries whether it may write")
        (folder / "a.tmp").write_text(pod("a", "v2"))
        (folder / "a.tmp").replace(folder / "a.yaml")
        assert await reader.next() == ["+a"]


async def test_a_file_that_is_deleted_and_written_again_is_never_gone(folder: Path) -> None:
    async with watched(folder, settle=NEVER) as reader:
        (folder / "a.yaml").unlink()
        (folder / "b.yaml").write_text(pod("b"))
        assert await reader.next() == ["+b"]  # the deletion has been seen, too
        (folder / "a.yaml").write_text(pod("a", "v2"))
        assert await reader.next() == ["+a"]


async def test_a_deleted_file_deletes_its_objects(folder: Path) -> None:
    async with watched(folder) as reader:
        (folder / "a.yaml").unlink()
        assert await reader.next() == ["-a"]


async def test_a_half_written_file_takes_nothing_away(folder: Path) -> None:
    async with watched(folder, settle=NEVER) as reader:
        with (folder / "a.yaml").open("w") as file:
            file.write(pod("new"))
            file.flush()
            (folder / "b.yaml").write_text(pod("b"))
            assert await reader.next() == ["+b"]  # the other was read as well, without a
            file.write("---\n" + pod("a", "v2"))
        assert await reader.next() == ["+a", "+new"]


async def test_a_line_that_is_cut_off_is_not_taken_for_a_whole_one(folder: Path) -> None:
    async with watched(folder, settle=NEVER) as reader:
        with (folder / "a.yaml").open("w") as file:
            file.write(
                "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels:\n    version: v2"
            )
            file.flush()
            (folder / "b.yaml").write_text(pod("b"))
            assert await reader.next() == ["+b"]
            file.write("0\n")
        assert await reader.next() == ["+a"]


async def test_a_broken_file_keeps_its_objects_and_is_told_until_it_is_whole(folder: Path) -> None:
    async with watched(folder) as reader:
        (folder / "a.yaml").write_text("kind: [\n")
        assert await reader.next() == ["!a.yaml"]
        (folder / "a.yaml").write_text(pod("a", "v2"))
        assert await reader.until("-a.yaml") == ["+a", "-a.yaml"]


async def test_new_and_deleted_folders_are_part_of_it(folder: Path) -> None:
    async with watched(folder) as reader:
        (folder / "x" / "y").mkdir(parents=True)
        (folder / "x" / "y" / "b.yaml").write_text(pod("b"))
        assert await reader.next() == ["+b"]
        (folder / "x" / "y" / "b.yaml").write_text(pod("b", "v2"))
        assert await reader.next() == ["+b"]
        shutil.rmtree(folder / "x")
        assert await reader.next() == ["-b"]


async def test_a_folder_that_is_moved_away_and_back_is_followed(folder: Path) -> None:
    (folder / "x").mkdir()
    (folder / "x" / "b.yaml").write_text(pod("b"))
    async with watched(folder) as reader:
        (folder / "x").rename(folder.parent / "x")
        assert await reader.next() == ["-b"]
        (folder.parent / "x").rename(folder / "x")
        assert await reader.next() == ["+b"]


async def test_a_config_map_is_swapped_as_a_whole(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    for name, version in (("..1", "v1"), ("..2", "v2")):
        (volume / name).mkdir(parents=True)
        for each in ("a", "b"):
            (volume / name / f"{each}.yaml").write_text(pod(each, version))
    (volume / "..data").symlink_to("..1")
    for each in ("a", "b"):
        (volume / f"{each}.yaml").symlink_to(f"..data/{each}.yaml")
    async with watched(volume) as reader:
        (volume / "..data_tmp").symlink_to("..2")
        (volume / "..data_tmp").replace(volume / "..data")
        assert await reader.next() == ["+a", "+b"]


async def test_the_whole_folder_may_go_and_come_back(folder: Path) -> None:
    async with watched(folder) as reader:
        os.rename(folder, folder.parent / "away")
        os.mkdir(folder)
        (folder / "a.yaml").write_text(pod("a", "v2"))
        assert await reader.next() == ["+a"]
        (folder / "b.yaml").write_text(pod("b"))
        assert await reader.next() == ["+b"]


async def test_a_folder_that_is_gone_keeps_its_last_state(folder: Path) -> None:
    async with watched(folder) as reader:
        said = asyncio.create_task(reader.next())
        os.rename(folder, folder.parent / "away")
        assert await said == ["!rules"]
        (folder.parent / "away" / "b.yaml").write_text(pod("b"))
        os.rename(folder.parent / "away", folder)
        assert await reader.until("+b", "-rules") == ["+b", "-rules"]


async def test_a_path_that_is_gone_is_told_until_it_is_back(folder: Path) -> None:
    source = FilesSource(folder, settle=SETTLE)
    async with aclosing(source.events()) as events:
        reader = Reader(events)
        await reader.until("synced")
        os.rename(folder, folder.parent / "away")
        async with asyncio.timeout(PATIENCE):
            event = await anext(events)
        assert isinstance(event, tuple)
        (change,) = event
        assert isinstance(change, Invalid)
        (problem,) = change.problems
        assert (problem.code, source.place(problem)) == ("MEL0101", Place(str(folder)))
        assert "stays in force" in problem.cause
        os.rename(folder.parent / "away", folder)
        assert await reader.next() == ["-rules"]


async def test_a_file_whose_folder_is_gone_keeps_its_last_state(folder: Path) -> None:
    async with watched(folder / "a.yaml") as reader:
        os.rename(folder, folder.parent / "away")
        assert await reader.next() == ["!a.yaml"]
        (folder.parent / "away" / "a.yaml").write_text(pod("a", "v2"))
        os.rename(folder.parent / "away", folder)
        assert await reader.next() == ["+a", "-a.yaml"]


async def test_what_nobody_expected_costs_a_reading_and_the_next_change_makes_up_for_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = asyncio.Event()

    def moody(value: object) -> Outcome:
        if "anger" in str(value):
            failed.set()
            raise ZeroDivisionError
        return decode(value)

    monkeypatch.setattr("meltemi.controller.sources.folder.decode", moody)
    with capture_logs() as logs:
        async with watched(folder) as reader:
            reading = asyncio.create_task(reader.next())
            (folder / "b.yaml").write_text(pod("anger"))
            async with asyncio.timeout(PATIENCE):
                await failed.wait()
            (folder / "b.yaml").write_text(pod("b"))
            (folder / "a.yaml").unlink()
            assert await reading == ["+b"]
            assert await reader.next() == ["-a"]
    assert (logs[0]["event"], logs[0]["log_level"]) == ("source.failed", "error")
    assert logs[0]["exc_info"]


@pytest.mark.parametrize(("padding", "elsewhere"), [(0, False), (100_000, True)])
async def test_only_what_is_much_is_read_beside_the_event_loop(
    folder: Path, monkeypatch: pytest.MonkeyPatch, padding: int, elsewhere: bool
) -> None:
    threads: list[int] = []

    def noted(value: object) -> Outcome:
        threads.append(get_ident())
        return decode(value)

    async with watched(folder) as reader:
        monkeypatch.setattr("meltemi.controller.sources.folder.decode", noted)
        (folder / "new").write_text(f"# {'x' * padding}\n{pod('a', 'v2')}")
        (folder / "new").replace(folder / "a.yaml")
        assert await reader.next() == ["+a"]
    assert {thread != get_ident() for thread in threads} == {elsewhere}


async def test_one_file_is_watched_alone_and_across_renames(folder: Path) -> None:
    async with watched(folder / "a.yaml") as reader:
        (folder / "b.yaml").write_text(pod("b"))
        (folder / "new").write_text(pod("a", "v2"))
        (folder / "new").replace(folder / "a.yaml")
        assert await reader.next() == ["+a"]
        (folder / "a.yaml").unlink()
        assert await reader.next() == ["-a"]
        (folder / "a.yaml").write_text(pod("a"))
        assert await reader.next() == ["+a"]


async def test_a_path_that_is_not_there_is_an_error_in_a_sentence(tmp_path: Path) -> None:
    source = FilesSource(tmp_path / "nothing")
    with pytest.raises(SourceError, match="there is no such file or folder"):
        source.read()
    with pytest.raises(SourceError, match="there is no such file or folder"):
        async with aclosing(source.events()) as events:
            await anext(events)


def test_reading_once_gives_everything_and_places(folder: Path) -> None:
    source = FilesSource(folder)
    (change,) = source.read()
    assert isinstance(change, Upsert)
    problem = Problem("MEL0401", Ref("Pod", "default", "a", field="metadata"), "cause", "next")
    assert source.place(problem) == Place(str(folder / "a.yaml"), 3)


def test_a_pipe_is_no_file_and_a_link_to_a_folder_above_ends(folder: Path) -> None:
    os.mkfifo(folder / "pipe.yaml")
    (folder / "loop").symlink_to(folder)
    assert len(FilesSource(folder).read()) == 1


def test_a_file_that_is_too_large_is_not_read(folder: Path) -> None:
    with (folder / "big.yaml").open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    _, change = FilesSource(folder).read()
    assert isinstance(change, Invalid)
    assert [problem.code for problem in change.problems] == ["MEL0107"]


def test_a_link_that_leads_nowhere_is_no_file(folder: Path) -> None:
    (folder / "gone.yaml").symlink_to(folder / "nothing.yaml")
    assert len(FilesSource(folder).read()) == 1
