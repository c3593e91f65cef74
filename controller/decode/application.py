"""Aeraki's ApplicationProtocol: which codec of meta-protocol-proxy decodes a protocol."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from meltemi.controller.decode.kubernetes import HEAD
from meltemi.controller.decode.schema import Spec
from meltemi.protocols.model import Application

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.decode.metadata import Metadata
    from meltemi.controller.decode.notes import Notes
    from meltemi.controller.store.objects import Value

_WORD = re.compile(r"[a-z0-9]{1,15}")
"""What a port's name can say between two hyphens."""


class ApplicationSpec(Spec, frozen=True):
    """``spec``."""

    protocol: str
    codec: str


class ApplicationObject(Spec, frozen=True):
    """An ApplicationProtocol."""

    spec: ApplicationSpec
    IGNORED: ClassVar[frozenset[str]] = HEAD


def application_protocol(
    written: ApplicationObject, meta: Metadata, notes: Notes
) -> Iterator[Value]:
    """The codec of one protocol, whose name is compared without case like that of a port."""
    protocol = written.spec.protocol.lower()
    if not _WORD.fullmatch(protocol):
        cause = f"{protocol!r} cannot stand in a port's name as tcp-metaprotocol-<protocol>"
        notes.wrong("spec.protocol", cause, "use letters and digits only")
    if not written.spec.codec:
        cause = "the name of the codec is empty"
        notes.wrong("spec.codec", cause, "name a codec of the proxy's image")
    yield Application(notes.ref, protocol, written.spec.codec, meta.creation_timestamp)
