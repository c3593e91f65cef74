"""The real kubectl and helm, as an administrator runs them."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ran:
    """How a program ended, and what it said."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A program with the arguments that it always gets. ``home`` is for what it keeps."""

    program: Path
    kubeconfig: Path
    home: Path

    async def run(self, *arguments: str, stdin: str = "") -> str:
        """What it prints; it must succeed."""
        ran = await self.tried(*arguments, stdin=stdin)
        assert ran.code == 0, f"{self.program.name} {' '.join(arguments)}: {ran.err}"
        return ran.out

    async def tried(self, *arguments: str, stdin: str = "") -> Ran:
        """Whatever comes of it."""
        environment = {"KUBECONFIG": str(self.kubeconfig), "HOME": str(self.home)}
        process = await asyncio.create_subprocess_exec(
            self.program, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment
        )
        out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())
