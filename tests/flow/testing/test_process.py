from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from meltemi.testing.process import ServerProcess, ServerProcessError

if TYPE_CHECKING:
    from pathlib import Path


async def never() -> bool:
    return False


async def start(script: str, folder: Path) -> ServerProcess:
    return await ServerProcess.start("Demo", ["/bin/sh", "-c", script], folder / "demo.log")


async def test_a_process_that_ends_early_is_reported_with_its_last_words(tmp_path: Path) -> None:
    async with await start("echo port taken >&2; exit 3", tmp_path) as process:
        with pytest.raises(ServerProcessError, match=r"(?s)ended with code 3.*port taken"):
            await process.wait_until(never, "answer", timeout_s=10)


async def test_a_process_that_never_answers_is_reported(tmp_path: Path) -> None:
    async with await start("exec sleep 60", tmp_path) as process:
        with pytest.raises(ServerProcessError, match=r"did not answer within 0\.05 s"):
            await process.wait_until(never, "answer", timeout_s=0.05)
    assert process.returncode == -signal.SIGTERM


async def test_nobody_listening_yet_counts_as_not_yet(tmp_path: Path) -> None:
    tries = iter([ConnectionRefusedError("not yet"), None])

    async def answers() -> bool:
        if error := next(tries):
            raise error
        return True

    async with await start("exec sleep 60", tmp_path) as process:
        await process.wait_until(answers, "answer", timeout_s=10)
        assert next(tries, "both tries were used") == "both tries were used"


async def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    ready = tmp_path / "ready"

    async def trapped() -> bool:
        return ready.exists()

    script = f"trap '' TERM; touch {ready}; while :; do sleep 0.1; done"
    async with await start(script, tmp_path) as process:
        await process.wait_until(trapped, "set its trap", timeout_s=10)
        assert await process.stop(grace_s=0.05) == -signal.SIGKILL
        assert await process.kill() == -signal.SIGKILL


async def test_a_program_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ServerProcessError, match="Demo cannot be started"):
        await ServerProcess.start("Demo", [tmp_path / "absent"], tmp_path / "demo.log")
