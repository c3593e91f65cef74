"""ApplicationProtocols as Aeraki's users write them."""

from __future__ import annotations

import pytest

from meltemi.controller.store.objects import Identity
from meltemi.protocols.model import Application, Ref
from tests.written import decoded, rejected, told, value

CODEC = "aeraki.meta_protocol.codec.trpc"


def application(spec: str) -> str:
    return f"""\
        apiVersion: metaprotocol.aeraki.io/v1alpha1
        kind: ApplicationProtocol
        metadata: {{name: trpc, namespace: anywhere}}
        spec: {spec}
        """


def test_a_protocol_has_a_codec() -> None:
    text = application(f"{{protocol: trpc, codec: {CODEC}}}")
    ref = Ref("ApplicationProtocol", "", "trpc")
    assert value(text, Application) == Application(ref, "trpc", CODEC)
    assert told(text) == []


def test_it_belongs_to_no_namespace() -> None:
    text = application(f"{{protocol: trpc, codec: {CODEC}}}")
    assert decoded(text).identity == Identity(
        "metaprotocol.aeraki.io", "ApplicationProtocol", "", "trpc"
    )


def test_the_protocols_case_is_no_difference_as_in_the_name_of_a_port() -> None:
    text = application(f"{{protocol: tRPC, codec: {CODEC}}}")
    assert value(text, Application).protocol == "trpc"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (f"{{codec: {CODEC}}}", ("MEL0109", "spec.protocol")),
        ("{protocol: trpc}", ("MEL0109", "spec.codec")),
        ("{protocol: trpc, codec: ''}", ("MEL0102", "spec.codec")),
        (f"{{protocol: '', codec: {CODEC}}}", ("MEL0102", "spec.protocol")),
        # A port's name has room for one word.
        (f"{{protocol: my-rpc, codec: {CODEC}}}", ("MEL0102", "spec.protocol")),
    ],
)
def test_what_no_port_can_use_is_refused(spec: str, expected: tuple[str, str]) -> None:
    assert rejected(application(spec)) == [expected]
