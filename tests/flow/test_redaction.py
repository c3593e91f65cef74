"""No secret is on any page, in the log, in a finding or in what tools are told of proxies."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from meltemi.protocols.dubbo import Dubbo
from meltemi.protocols.registry import Registry, load
from meltemi.testing.standalone import embedded_meltemi
from meltemi.testing.xds_client import sotw_request
from meltemi.xds.csds import SERVICE
from meltemi.xds.resource import CLUSTER, LISTENER
from tests.flow.operated import PATIENCE, Operated, introduce, operated

if TYPE_CHECKING:
    from pathlib import Path

    from meltemi.protocols.api import Compiled, Engine, Scope
    from tests.flow.xds_rig import Client

# xds-protos has no type stubs.
official: Any = import_module("envoy.service.status.v3.csds_pb2")

PLAIN, REFERRED, UPSTREAM = 'pla"in-password', "referred-password", "upstream-password"
KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n"
SECRETS = (PLAIN, REFERRED, UPSTREAM, "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC")

REDIS = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{name}.example]
  resolution: STATIC
  ports: [{{number: {port}, name: tcp-redis}}]
  endpoints: [{{address: 10.9.8.7}}]
---
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {{name: {name}}}
spec:
  host: [{name}.example]
  settings: {{auth: {auth}}}
---
"""
RULES = (
    REDIS.format(name="plain", port=6379, auth=json.dumps({"plain": {"password": PLAIN}}))
    + REDIS.format(name="referred", port=6380, auth="{secret: {name: referred}}")
    + f"""\
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisDestination
metadata: {{name: referred}}
spec:
  host: referred.example
  trafficPolicy: {{connectionPool: {{redis: {{auth: {{plain: {{password: {UPSTREAM}}}}}}}}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: referred}}
stringData: {{password: {REFERRED}}}
---
apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata: {{name: certificate}}
stringData: {{tls.key: {json.dumps(KEY)}}}
"""
)
QUOTED = (
    "Error adding/updating listener(s) plain.example_6379: downstream_auth_passwords "
    f'{{ inline_string: "{PLAIN.replace(chr(34), chr(92) + chr(34))}" }} and "{REFERRED}" '
    f"and {json.dumps(KEY)}"
)


async def refuse(client: Client) -> None:
    """A proxy that quotes every secret in its refusal of its listeners."""
    await client.say(introduce(sotw_request(CLUSTER), "edge"))
    clusters = await client.hear()
    await client.say(sotw_request(CLUSTER, nonce=clusters.nonce, version=clusters.version))
    await client.say(sotw_request(LISTENER))
    listeners = await client.hear()
    sent = b"".join(listeners.bodies)
    assert PLAIN.encode() in sent
    assert REFERRED.encode() in sent
    assert UPSTREAM.encode() in sent + b"".join(clusters.bodies)
    await client.say(sotw_request(LISTENER, nonce=listeners.nonce, error=QUOTED))


async def refused(meltemi: Operated) -> None:
    """Wait until the refusal is known."""
    async with asyncio.timeout(PATIENCE):
        while True:
            (proxy,) = (await meltemi.ask("/proxies")).data
            if proxy["types"][LISTENER]["state"] == "NACKED":
                return


def shown(text: str) -> list[str]:
    """The secrets in a text."""
    return [secret for secret in (*SECRETS, json.dumps(PLAIN)[1:-1]) if secret in text]


async def test_no_page_shows_a_secret_and_no_entry_of_the_log(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    with capture_logs() as logs:
        async with operated(tmp_path) as meltemi, meltemi.client() as client:
            await refuse(client)
            await refused(meltemi)
            for page in ("/proxies", "/findings", "/config", "/config?proxy=edge", "/metrics"):
                answer = await meltemi.ask(page)
                assert (answer.status, shown(answer.body)) == (200, [])
            findings = (await meltemi.ask("/findings")).data
            told = [each["cause"] for each in findings if each["code"] == "MEL0503"]
            assert told
            assert all(cause.count("<redacted>") == 3 for cause in told)
    assert any(entry["event"] == "proxy.nacked" for entry in logs)
    assert shown(str(logs)) == []


async def test_tools_that_ask_what_proxies_hold_see_no_secret(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    async with operated(tmp_path) as meltemi, meltemi.client() as client:
        await refuse(client)
        await refused(meltemi)
        async with meltemi.client(f"/{SERVICE}/StreamClientStatus") as asking:
            await asking.call.write(official.ClientStatusRequest().SerializeToString())
            raw: bytes = await asking.call.read()
        assert shown(raw.decode(errors="replace")) == []
        (config,) = official.ClientStatusResponse.FromString(raw).config
        held = {
            each.name: each for each in config.generic_xds_configs if "Listener" in each.type_url
        }
        assert held.keys() == {"plain.example_6379", "referred.example_6380"}
        assert not any(each.HasField("xds_config") for each in held.values())
        refusal = held["plain.example_6379"].error_state.details
        assert refusal.startswith("Error adding/updating listener(s) plain.example_6379: ")


async def test_a_password_that_was_replaced_is_still_not_shown(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    async with operated(tmp_path) as meltemi, meltemi.client() as client:
        await client.say(introduce(sotw_request(CLUSTER), "edge"))
        clusters = await client.hear()
        await client.say(sotw_request(CLUSTER, nonce=clusters.nonce, version=clusters.version))
        await client.say(sotw_request(LISTENER))
        old = await client.hear()
        rules.write_text(RULES.replace(REFERRED, "another-password"))
        async with asyncio.timeout(PATIENCE):
            while REFERRED in passwords(meltemi):
                await meltemi.ask("/healthz")
        await client.say(sotw_request(LISTENER, nonce=old.nonce, error=QUOTED))
        await refused(meltemi)
        assert shown((await meltemi.ask("/proxies")).body) == []


def passwords(meltemi: Operated) -> list[str]:
    """The passwords that are in force."""
    return [
        value
        for secret in meltemi.plane.store.mesh.secrets.values()
        for value in secret.data.values()
    ]


class Telltale(Dubbo):
    """Says in its exception what it was told."""

    def compile(self, scope: Scope, engine: Engine) -> Compiled:
        raise ValueError(f"cannot serve {REFERRED}")


async def test_a_plugin_that_quotes_a_secret_in_its_exception_tells_nobody(tmp_path: Path) -> None:
    others = [entry for entry in load() if entry.plugin.name != "dubbo"]
    (dubbo,) = [entry for entry in load() if entry.plugin.name == "dubbo"]
    registry = Registry([*others, replace(dubbo, plugin=Telltale())])
    service = REDIS.format(name="cart", port=20880, auth="{}").partition("---")[0]
    (tmp_path / "rules.yaml").write_text(
        RULES + "---\n" + service.replace("tcp-redis", "tcp-dubbo")
    )
    with capture_logs() as logs:
        async with embedded_meltemi(tmp_path, registry) as meltemi:
            (finding,) = [f for f in meltemi.plane.findings if f.problem.code == "MEL0502"]
    assert "cannot serve <redacted>" in finding.problem.cause
    (failed,) = [entry for entry in logs if entry["event"] == "plugin.failed"]
    assert "cannot serve <redacted>" in failed["traceback"]
    assert shown(str(logs)) == []


@pytest.mark.parametrize("secret", SECRETS)
def test_the_rules_of_these_tests_hold_their_secrets(secret: str) -> None:
    assert secret in RULES or json.dumps(secret)[1:-1] in RULES
