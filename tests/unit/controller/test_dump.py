"""What is shown of encoded resources, and what is never shown."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from meltemi.controller.dump import REDACTED, SENSITIVE, conceal, dump, redacted, secrets_of
from meltemi.protocols.model import (
    PlainCredentials,
    RedisSettings,
    RedisUpstream,
    Secret,
    SecretRef,
)
from meltemi.xds.resource import CLUSTER, LISTENER, Resource
from meltemi.xds.snapshot import Snapshot
from tests import make

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor

    from meltemi.protocols.model import Mesh

# xds-protos has no types.
SENSITIVE_OPTION = import_module("udpa.annotations.sensitive_pb2").sensitive
FILES = [
    import_module(f"envoy.extensions.{name}_pb2").DESCRIPTOR
    for name in (
        "filters.network.redis_proxy.v3.redis_proxy",
        "transport_sockets.tls.v3.common",
        "transport_sockets.tls.v3.secret",
    )
]

PASSWORD = "correct horse battery staple"
REF = make.service().ref


def redis_mesh() -> Mesh:
    """A Redis service whose clients and whose servers have passwords, one by reference."""
    shop = make.service(protocol="redis", resp=3)
    secret = Secret(replace(REF, kind="Secret", name="auth"), {"password": PASSWORD})
    settings = RedisSettings(REF, (shop.host,), auth=SecretRef("default", "auth", REF))
    upstream = RedisUpstream(REF, shop.host, auth=PlainCredentials(REF, "plain", "somebody"))
    return make.mesh(shop, secret, settings, upstream)


def marked_sensitive(messages: Iterator[Descriptor]) -> Iterator[str]:
    """Proto-JSON names of the fields that Envoy's API marks as sensitive."""
    for message in messages:
        for field in message.fields:
            if field.GetOptions().Extensions[SENSITIVE_OPTION]:
                yield field.json_name
        yield from marked_sensitive(iter(message.nested_types))


def test_a_resource_is_shown_with_version_origins_and_unpacked_extensions() -> None:
    shop = make.service()
    shown = dump(make.snapshot(make.mesh(shop, make.rule(make.route(0, make.to())))))
    (listener,) = shown[LISTENER]
    assert listener["name"] == f"{shop.host}_{make.PORT}"
    assert (
        listener["version"]
        == make.snapshot(make.mesh(shop, make.rule(make.route(0, make.to()))))
        .of_type(LISTENER)[f"{shop.host}_{make.PORT}"]
        .version
    )
    assert {
        "kind": "Service",
        "namespace": "default",
        "name": "shop",
        "generation": 0,
        "field": "spec.ports[0]",
    } in listener["origins"]  # type: ignore[operator]
    assert "generic_proxy.v3.GenericProxy" in json.dumps(listener["resource"])


def test_types_and_names_are_sorted() -> None:
    shown = dump(make.snapshot(make.mesh(make.service("b", port=2), make.service("a", port=1))))
    assert list(shown) == sorted(shown)
    names = [str(entry["name"]) for entry in shown[CLUSTER]]
    assert len(names) == 2
    assert names == sorted(names)


def test_no_password_and_no_user_name_is_shown() -> None:
    mesh = redis_mesh()
    text = json.dumps(dump(make.snapshot(mesh), secrets_of(mesh)))
    assert PASSWORD not in text
    assert '"plain"' not in text
    assert "somebody" not in text
    assert json.dumps({"inlineString": REDACTED}) in text


def test_passwords_are_hidden_by_field_when_nobody_says_which_values_are_secret() -> None:
    text = json.dumps(dump(make.snapshot(redis_mesh())))
    assert PASSWORD not in text
    assert '"plain"' not in text


def test_every_field_of_ours_that_envoy_marks_as_sensitive_is_redacted() -> None:
    messages = (message for file in FILES for message in file.message_types_by_name.values())
    # GenericSecret is hidden as a whole; a key provider's configuration is not for us to give.
    inside = {"secret", "secrets", "keys", "typedConfig"}
    assert set(marked_sensitive(messages)) - inside <= SENSITIVE


def test_a_secret_is_hidden_wherever_it_stands() -> None:
    assert redacted({"a": ["x", "xy"]}, frozenset({"x"})) == {"a": [REDACTED, "xy"]}
    assert conceal(f"user:{PASSWORD}@host", {PASSWORD}) == f"user:{REDACTED}@host"


def test_a_short_secret_does_not_make_names_unreadable() -> None:
    assert conceal("envoy.filters.network.redis_proxy", {"redis"}) == (
        "envoy.filters.network.redis_proxy"
    )


def test_plain_passwords_and_referenced_ones_count_as_secrets() -> None:
    assert set(secrets_of(redis_mesh())) == {PASSWORD, "plain"}


def test_a_field_that_the_message_classes_lack_is_shown() -> None:
    (listener,) = dump(make.snapshot(redis_mesh()))[LISTENER]
    assert '"protocolVersion": "RESP3"' in json.dumps(listener["resource"])
    two = make.mesh(make.service(protocol="redis"))
    assert "protocolVersion" not in json.dumps(dump(make.snapshot(two)))


def test_a_type_that_nobody_can_decode_is_named_with_its_size() -> None:
    resource = Resource("example.com/Unknown", "x", "1", b"\x01\x02")
    (entry,) = dump(Snapshot.of([resource]))["example.com/Unknown"]
    assert entry["resource"] == {"undecodedBytes": 2}
