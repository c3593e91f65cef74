"""Java libraries from Maven: coordinates to jars on this disk, without Maven and without Java.

Needs the extra ``meltemi[demo]``: the wheel ``jgo`` resolves as Maven does. Its own configuration
names a mirror (``~/.config/jgo.conf`` or ``$JGO_CONFIG_FILE``): ``central = URL`` in the section
``[repositories]``. Maven's own ``settings.xml`` is not read.
"""

from __future__ import annotations

import shutil
import zipfile
from typing import TYPE_CHECKING

from meltemi.testing.fetching import UnavailableError, cache_folder, fetched_once, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from jgo.maven import Artifact

TIMEOUT_S = 60
_RUNTIME_SCOPES = frozenset({"compile", "runtime"})


def classpath(
    *coordinates: str, progress: Callable[[str], None] = silent, cache: Path | None = None
) -> tuple[Path, ...]:
    """The jars of ``group:artifact:version`` coordinates with all that they need at runtime.

    They are resolved together, so that each library comes once, in one version. They are fetched
    at the first call and several processes may call at once. ``progress`` gets one sentence per
    step that takes time. Raises UnavailableError. Blocks; from an event loop use
    ``asyncio.to_thread``.
    """

    def fetch(folder: Path) -> None:
        progress(f"Resolving {' and '.join(coordinates)} in Maven (once)")
        needed = _resolve(coordinates, folder / "repository")
        progress(f"Fetching {len(needed)} jars from Maven (once)")
        _download(coordinates, needed, folder)
        shutil.rmtree(folder / "repository")

    # A colon separates the entries of a class path.
    name = "+".join(coordinates).replace(":", "@")
    folder = fetched_once((cache or cache_folder("jars")) / name, fetch)
    return tuple(sorted(folder.glob("*.jar")))


def _resolve(coordinates: Sequence[str], repository: Path) -> tuple[Artifact, ...]:
    try:
        from jgo.config import GlobalSettings
        from jgo.constants import MAVEN_CENTRAL_URL
        from jgo.maven import MavenContext
    except ImportError as error:
        raise UnavailableError(
            "Java libraries need the resolver jgo: `pip install meltemi[demo]`."
        ) from error
    repositories = {"central": MAVEN_CENTRAL_URL} | GlobalSettings.load().repositories
    # A repository of our own: the user's may be in the middle of somebody else's download.
    context = MavenContext(repo_cache=repository, remote_repos=repositories, timeout=TIMEOUT_S)
    wanted = [context.create_dependency(each) for each in coordinates]
    for dependency in wanted:
        dependency.scope = "compile"
    try:
        direct, transitive = context.resolver.resolve(wanted)
    except (OSError, RuntimeError, ValueError) as error:
        raise _failure(coordinates, error) from error
    needed = [*direct, *transitive]
    return tuple(each.artifact for each in needed if each.scope in _RUNTIME_SCOPES)


def _download(coordinates: Sequence[str], needed: Sequence[Artifact], folder: Path) -> None:
    for artifact in needed:
        try:
            jar = artifact.resolve()
        except (OSError, RuntimeError) as error:
            raise _failure(coordinates, error) from error
        # The resolver keeps a file whose checksum is wrong; a jar has checksums inside as well.
        if (damaged := _damage(jar)) is not None:
            raise UnavailableError(f"Maven brought a damaged {jar.name} ({damaged}): try again.")
        # Two groups may well use the same file name.
        jar.rename(folder / f"{artifact.groupId}.{jar.name}")


def _damage(jar: Path) -> str | None:
    try:
        with zipfile.ZipFile(jar) as archive:
            return archive.testzip()
    except zipfile.BadZipFile as error:
        return str(error)


def _failure(coordinates: Sequence[str], error: Exception) -> UnavailableError:
    words = " ".join(str(error).split())
    return UnavailableError(
        f"{' and '.join(coordinates)} cannot be fetched from Maven: check the network, or name a "
        f"mirror as `central` under `[repositories]` in ~/.config/jgo.conf (jgo says: {words})."
    )
