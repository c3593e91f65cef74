"""Protocols that a proxy cannot speak are found in what was compiled for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meltemi.controller.unsupported import unsupported
from meltemi.protocols.api import Capability, Target
from meltemi.protocols.group import GroupKey
from meltemi.protocols.tcp import TCP_PROXY
from tests import make

if TYPE_CHECKING:
    from meltemi.controller.unsupported import Unsupported
    from meltemi.protocols.model import Mesh


def lacks(mesh: Mesh, key: GroupKey) -> tuple[Unsupported, ...]:
    return unsupported(make.compiler(mesh, key).group(key), mesh)


def test_a_proxy_without_an_engine_is_told_by_protocol_with_the_ports() -> None:
    mesh = make.mesh(make.service("shop", "dubbo"), make.service("cart", "thrift"))
    bare = GroupKey(Target(Capability(TCP_PROXY.requires, (1, 40))))
    dubbo, thrift = lacks(mesh, bare)
    assert (dubbo.protocol, thrift.protocol) == ("dubbo", "thrift")
    assert "none of dubbo's engines" in dubbo.reason
    assert [str(origin) for origin in thrift.origins] == ["Service default/cart spec.ports[0]"]


def test_a_proxy_that_has_an_engine_lacks_nothing() -> None:
    mesh = make.mesh(make.service("shop", "dubbo"))
    assert lacks(mesh, make.group()) == ()
