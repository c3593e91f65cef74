"""The ways in which editors and tools save a file: no moment without rules, and the right end."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.envoy.rig import route, rule, share, staged, subsets, text_of, trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.envoy


def at_once(path: Path, text: str) -> Iterator[None]:
    """Under another name, then renamed: most editors, and every tool that is careful."""
    scratch = path.with_suffix(".new")
    scratch.write_text(text)
    yield
    os.replace(scratch, path)


def in_two_steps(path: Path, text: str) -> Iterator[None]:
    """Emptied, half written and completed. The half ends with a whole line and lacks the rule: as
    it stands it would take the routes away.
    """
    half, rest = text.split("---\n")
    with path.open("w") as file:
        file.flush()
        yield
        file.write(half)
        file.flush()
        yield
        file.write(f"---\n{rest}")


def deleted_and_made_again(path: Path, text: str) -> Iterator[None]:
    path.unlink()
    yield
    path.write_text(text)


def backed_up(path: Path, text: str) -> Iterator[None]:
    """The old file renamed away, the new one written, as vim does."""
    backup = path.with_suffix(".yaml~")
    path.rename(backup)
    yield
    path.write_text(text)
    backup.unlink()


SAVES: tuple[Callable[[Path, str], Iterator[None]], ...] = (
    at_once,
    in_two_steps,
    deleted_and_made_again,
    backed_up,
)


async def test_however_a_file_is_saved_there_is_never_a_gap(tmp_path: Path) -> None:
    """v3 has no route: only the service without its rules would send it calls."""
    routes = {"v1": route(v1=100), "v2": route(v2=100)}
    async with staged(tmp_path, "dubbo", routes["v1"], names=("v1", "v2", "v3")) as stage:
        for save, version in zip(SAVES, ("v2", "v1", "v2", "v1"), strict=True):
            text = text_of(subsets("v1", "v2"), rule(routes[version]))
            for _ in save(tmp_path / "rules.yaml", text):
                await stage.load.more(5)
            await stage.answered_by(version)
            assert share(await stage.calls(100), version) == 1
            assert await stage.findings() == []
        assert stage.servers["v3"].calls == 0
        assert trouble(stage.load.report()) == {}


async def test_rules_that_stay_away_leave_the_service_to_all_its_servers(tmp_path: Path) -> None:
    """The control of the one above: a deletion that is meant does take the routes away."""
    async with staged(tmp_path, "dubbo", route(v1=100), names=("v1", "v2", "v3")) as stage:
        (tmp_path / "rules.yaml").unlink()
        await stage.answered_by("v3")
        assert trouble(stage.load.report()) == {}
