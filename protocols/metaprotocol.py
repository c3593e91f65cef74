"""MetaProtocol: any application whose ApplicationProtocol names a codec of meta-protocol-proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.protocols.api import ANY_OTHER, Attribute
from meltemi.protocols.meta_protocol_proxy import meta_protocol_engine, serve
from meltemi.protocols.model import MatchKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meltemi.protocols.api import Compiled, Engine, Scope


class MetaProtocol:
    """Ports ``tcp-metaprotocol-<application>`` of an application without a plugin of its own."""

    name = "metaprotocol"
    attributes: Mapping[str, Attribute] = {
        ANY_OTHER: Attribute("What the application's codec exposes under that name."),
    }
    engines = (meta_protocol_engine({ANY_OTHER: frozenset(MatchKind)}, mutations=True),)

    def compile(self, scope: Scope, engine: Engine) -> Compiled:
        """A meta_protocol_proxy with the codec of the ApplicationProtocol."""
        return serve(scope)
