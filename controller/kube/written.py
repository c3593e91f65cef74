"""What stands in the API server of the objects that get a status, for whoever writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from meltemi.controller.crds.definitions import DEFINITIONS
from meltemi.controller.kube.mirror import Gone, identify, mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from meltemi.controller.kube.kinds import Kind
    from meltemi.controller.kube.mirror import Body
    from meltemi.controller.kube.reflector import News
    from meltemi.controller.store.objects import Identity

_WITH_STATUS = {(each.group, each.kind) for each in DEFINITIONS if each.decoded is not None}


@dataclass(frozen=True, slots=True)
class Written:
    """One object. ``status`` is JSON: there may be many, and few are looked at."""

    kind: Kind
    namespace: str
    name: str
    api_version: str
    uid: str
    revision: int
    status: bytes

    @property
    def path(self) -> str:
        """Where the API server has it."""
        version = self.api_version.rpartition("/")[2]
        return f"{self.kind.path(version, self.namespace)}/{self.name}"

    def read_status(self) -> Body:
        """What its status says; nothing when somebody made it something else than a mapping."""
        return mapping(msgspec.json.decode(self.status))


class WrittenStatuses:
    """``changed`` hears of every object that is new, different or gone."""

    def __init__(self) -> None:
        self.changed: Callable[[Identity], None] = lambda _: None
        self._objects: dict[Identity, Written] = {}

    def __iter__(self) -> Iterator[Identity]:
        return iter(tuple(self._objects))

    def get(self, identity: Identity) -> Written | None:
        """The object as it was last seen; None when it is gone, or of a kind without a status."""
        return self._objects.get(identity)

    def take(self, kind: Kind, identity: Identity, news: News) -> None:
        """What the watch tells of an object of any kind."""
        if (kind.group, kind.kind) not in _WITH_STATUS:
            return
        if isinstance(news, Gone):
            self._objects.pop(identity, None)
            self.changed(identity)
        else:
            self.put(kind, identity, news.body, certain=news.listed)

    def put(self, kind: Kind, identity: Identity, body: Body, *, certain: bool = False) -> None:
        """This is what the API server has. Without ``certain`` what is older than what is known
        does not count: our own writes come back late.
        """
        name, revision = identify(body)
        known = self._objects.get(identity)
        if known is not None and not certain and revision <= known.revision:
            return
        uid = str(mapping(body.get("metadata")).get("uid", ""))
        status = msgspec.json.encode(body.get("status"))
        self._objects[identity] = Written(
            kind, *name, str(body.get("apiVersion", "")), uid, revision, status
        )
        self.changed(identity)
