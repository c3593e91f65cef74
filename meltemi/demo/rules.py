"""The rules of the story, where Meltemi reads them: in a folder of files, or wherever else."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from meltemi.demo.claims import Told, fixed_claim
from meltemi.testing.control_plane import MeltemiProcess

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from meltemi.demo.claims import Claim
    from meltemi.demo.story import Edit

    Serving: TypeAlias = Callable[
        [Path, Callable[[str], None]], AbstractAsyncContextManager["Rules"]
    ]
    """Serves the rules of a folder while its context lasts, and says what it starts."""

TOLD_IN_FILES: Final = "The mistake is told with file, line, cause and next step"


class Rules(Protocol):
    """Rules that a Meltemi serves. ``telling`` is what the demo claims of how it tells a mistake,
    ``namespace`` where the rules are.
    """

    @property
    def meltemi(self) -> MeltemiProcess: ...

    @property
    def namespace(self) -> str: ...

    @property
    def telling(self) -> str: ...

    async def save(self, edit: Edit) -> None:
        """Make an edit; it is in force a little later."""
        ...

    async def told(self, code: str) -> Told | None:
        """What is told now of the mistake with this code."""
        ...

    async def corrected(self) -> Claim:
        """Whether nothing is wrong with the rules now."""
        ...

    def directions(self) -> tuple[str, ...]:
        """How to edit the rules, and to see what is made of them."""
        ...


def save_file(folder: Path, edit: Edit) -> Path:
    """Save an edited file as an editor does: complete, by a rename. Returns the file."""
    target = folder / edit.file
    draft = target.with_name(f".{target.name}.new")
    draft.write_text(edit.apply(target.read_text()))
    return draft.replace(target)


@asynccontextmanager
async def from_folder(folder: Path, say: Callable[[str], None]) -> AsyncGenerator[Rules]:
    """Meltemi watches the folder itself."""
    say(f"Starting Meltemi on a copy of the examples: {folder}")
    async with MeltemiProcess(folder, folder=folder.parent) as meltemi:
        yield FolderRules(folder, meltemi)


class FolderRules:
    """Files that are edited where they are."""

    namespace = "default"
    telling = TOLD_IN_FILES

    def __init__(self, folder: Path, meltemi: MeltemiProcess) -> None:
        self.meltemi = meltemi
        self._folder = folder

    async def save(self, edit: Edit) -> None:
        save_file(self._folder, edit)

    async def told(self, code: str) -> Told | None:
        for finding in await self._findings():
            if finding["code"] == code:
                code, title, cause, step = (
                    str(finding[key]) for key in ("code", "title", "cause", "next_step")
                )
                return Told(code, title, self._place(finding), cause, step)
        return None

    async def corrected(self) -> Claim:
        return fixed_claim(sum(each["severity"] == "error" for each in await self._findings()))

    def directions(self) -> tuple[str, ...]:
        return (
            *(f"  {file}" for file in sorted(self._folder.rglob("routes.yaml"))),
            f"Why a call goes where it goes: meltemi explain {self._folder} "
            "--host orders.example --port 20880 method=refund region=eu",
        )

    async def _findings(self) -> list[dict[str, Any]]:
        findings: list[dict[str, Any]] = json.loads((await self.meltemi.get("/findings")).body)
        return findings

    def _place(self, finding: Mapping[str, Any]) -> str:
        """``file:line``, as seen from the folder."""
        file = Path(finding["file"])
        seen = file.relative_to(self._folder) if file.is_relative_to(self._folder) else file
        return f"{seen}:{finding['line']}"
