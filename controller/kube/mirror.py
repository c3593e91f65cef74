"""What has been told of one kind, so that only real changes are told again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

Body: TypeAlias = "Mapping[str, object]"


class Name(NamedTuple):
    """Which object of a kind; ``namespace`` is empty for those of the cluster."""

    namespace: str
    name: str


class Seen(NamedTuple):
    """An object that is new or different. ``listed``: a listing says so, which counts anyway."""

    name: Name
    body: Body
    listed: bool = False


class Gone(NamedTuple):
    """An object that is there no more."""

    name: Name


class Mirror:
    """The objects of a kind by their resourceVersions.

    The API server may repeat itself after a broken watch, and a lagging replica of it may tell old
    news: resourceVersions of one resource are comparable as numbers. What a listing says counts,
    whatever the number: a cluster that was restored from a backup counts anew.
    """

    def __init__(self) -> None:
        self._versions: dict[Name, int] = {}
        self._listed: set[Name] | None = None

    def __len__(self) -> int:
        return len(self._versions)

    def begin(self) -> None:
        """A listing begins, again from the start if one was under way."""
        self._listed = set()

    def seen(self, body: Body) -> Seen | None:
        """The object exists: an item of a listing, ADDED or MODIFIED. None if that is no news."""
        name, version = identify(body)
        known = self._versions.get(name, -1)
        if self._listed is None:
            if version <= known:
                return None
        else:
            self._listed.add(name)
            if version == known:
                return None
        self._versions[name] = version
        return Seen(name, body, listed=self._listed is not None)

    def deleted(self, body: Body) -> Gone | None:
        """A DELETED event; None if the object is unknown, or was made anew since."""
        name, version = identify(body)
        if name not in self._versions or version < self._versions[name]:
            return None
        del self._versions[name]
        return Gone(name)

    def end(self) -> list[Gone]:
        """The listing is complete: what it did not show is gone."""
        listed, self._listed = self._listed, None
        gone = [name for name in self._versions if listed is not None and name not in listed]
        for name in gone:
            del self._versions[name]
        return [Gone(name) for name in gone]

    def clear(self) -> list[Gone]:
        """The kind itself is gone."""
        self.begin()
        return self.end()


def identify(body: Body) -> tuple[Name, int]:
    """An object's name and resourceVersion. Raises ValueError when it has none."""
    metadata = mapping(body.get("metadata"))
    name, namespace = metadata.get("name"), metadata.get("namespace", "")
    if not isinstance(name, str) or not isinstance(namespace, str):
        raise ValueError("an object without a name")  # noqa: TRY004
    return Name(namespace, name), revision_of(metadata)


def revision_of(metadata: Body) -> int:
    """The resourceVersion of an object or a list. Raises ValueError when there is none."""
    version = metadata.get("resourceVersion")
    if not isinstance(version, str) or not version.isdecimal():
        raise ValueError(f"resourceVersion is {version!r}")
    return int(version)


def mapping(value: object) -> Body:
    """The value if it is a JSON object, else an empty one."""
    return cast("Body", value) if isinstance(value, dict) else {}


def mappings(value: object) -> list[Body]:
    """The JSON objects of a JSON list."""
    items = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Body", item) for item in items if isinstance(item, dict)]
