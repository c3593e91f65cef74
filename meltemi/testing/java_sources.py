"""Java sources of ours as classes, compiled once, whether or not the machine has a compiler."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

from meltemi.testing.fetching import UnavailableError, cache_folder, fetched_once, silent
from meltemi.testing.jars import classpath
from meltemi.testing.java import MINIMUM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from meltemi.testing.java import JavaRuntime

ECJ = "org.eclipse.jdt:ecj:3.41.0"
"""Eclipse's compiler: one jar, which any Java from 17 on runs and which takes javac's options."""


def compiled(
    sources: Iterable[Path],
    jars: Sequence[Path],
    java: JavaRuntime,
    progress: Callable[[str], None] = silent,
    cache: Path | None = None,
) -> Path:
    """The folder of classes of these sources against these jars; any Java from 17 on runs them.

    ``javac`` compiles if it is there beside ``java``, else Eclipse's compiler from Maven.
    ``progress`` gets one sentence per step that takes time. Raises UnavailableError, with what the
    compiler says if it refuses. Blocks; from an event loop use ``asyncio.to_thread``.
    """
    listed = sorted(sources)

    def compile_into(folder: Path) -> None:
        compiler = _compiler(java, progress)
        progress("Compiling Java sources (once)")
        options: list[str | Path] = ["-encoding", "UTF-8", "-proc:none", "-nowarn", "-g"]
        options += ["-source", str(MINIMUM), "-target", str(MINIMUM), "-d", folder]
        options += ["-classpath", ":".join(str(jar) for jar in jars)]
        command = [*compiler, *options, *listed]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise UnavailableError(f"Java sources cannot be compiled: {done.stderr.strip()}")

    name = _fingerprint(listed, jars)
    return fetched_once((cache or cache_folder("classes")) / name, compile_into)


def _compiler(java: JavaRuntime, progress: Callable[[str], None]) -> list[str | Path]:
    # What is on the PATH is often a link; its compiler stands beside the program itself.
    javac = java.path.resolve().with_name("javac")
    if javac.exists():
        return [javac]
    (jar,) = classpath(ECJ, progress=progress)
    return [java.path, "-XX:TieredStopAtLevel=1", "-jar", jar]


def _fingerprint(sources: Sequence[Path], jars: Sequence[Path]) -> str:
    """Another name for other sources or other jars."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"{source.name} {source.stat().st_size} ".encode() + source.read_bytes())
    digest.update(" ".join(jar.name for jar in jars).encode())
    return digest.hexdigest()[:16]
