"""``meltemi wait`` against a running control plane with simulated proxies."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import yaml

from meltemi.controller.admin.security import AdminSecurity
from tests.flow.operated import Operated, operated
from tests.flow.test_statuses import SERVICE, rule
from tests.simulated import PEER, Proxy, node

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

    from tests.command import Run

ALL, BANK = "root-token-0123456789", "bank-token-0123456789"


async def wait(run: Run, meltemi: Operated, *args: object) -> Result:
    """In a thread, as another process would."""
    server = f"http://127.0.0.1:{meltemi.admin}"
    return await asyncio.to_thread(run, "wait", *args, "--server", server)


async def joined(meltemi: Operated, number: int = 1000) -> Proxy:
    described = node("edge")
    proxy = Proxy(meltemi.plane, number, described, await meltemi.plane.join(described, PEER))
    proxy.begin()
    return proxy


def write(folder: Path, *documents: object) -> None:
    (folder / "rules.yaml").write_text(yaml.safe_dump_all(documents))


async def test_it_ends_when_the_last_proxy_has_accepted(run: Run, tmp_path: Path) -> None:
    write(tmp_path, SERVICE, rule(1))
    async with operated(tmp_path) as meltemi:
        proxy = await joined(meltemi)
        pending = await wait(run, meltemi, "mr/orders", "--timeout", "0s")
        assert (pending.exit_code, "Pending" in pending.stdout) == (1, True)
        waiting = asyncio.create_task(wait(run, meltemi, "metarouter/orders"))
        proxy.live()
        assert (await waiting).exit_code == 0


async def test_in_vain_it_says_what_is_with_the_proxys_words_and_the_next_step(
    run: Run, tmp_path: Path
) -> None:
    write(tmp_path, SERVICE, rule(1))
    async with operated(tmp_path) as meltemi:
        proxy = await joined(meltemi)
        while proxy.heard or proxy.listen():
            proxy.refuse(proxy.heard[0], "not that")
            proxy.now += 10
        refused = await wait(run, meltemi, "mr/orders", "--timeout", "0s", "-o", "json")
        assert refused.exit_code == 1
        (row,) = json.loads(refused.stdout)
        assert (row["reason"], row["object"]) == ("ProxyRejected", "MetaRouter default/orders")
        assert "edge says: not that; correct the object" in row["message"]
        no = await wait(run, meltemi, "mr/orders", "--for", "condition=Programmed=False")
        assert no.exit_code == 0


async def test_an_object_that_goes_is_waited_for_until_it_is_gone(run: Run, tmp_path: Path) -> None:
    write(tmp_path, SERVICE, rule(1))
    async with operated(tmp_path) as meltemi:
        args = ("mr/orders", "--for", "deleted")
        assert (await wait(run, meltemi, *args, "--timeout", "0s")).exit_code == 1
        waiting = asyncio.create_task(wait(run, meltemi, *args))
        write(tmp_path, SERVICE)
        assert (await waiting).exit_code == 0
        unknown = await wait(run, meltemi, "mr/orders", "--timeout", "0s")
        assert (unknown.exit_code, "NotFound" in unknown.stdout) == (1, True)


async def test_a_token_of_another_namespace_learns_nothing(run: Run, tmp_path: Path) -> None:
    rules, tokens = tmp_path / "rules", tmp_path / "tokens"
    rules.mkdir()
    write(rules, SERVICE, rule(1))
    tokens.write_text(f"{ALL} *\n{BANK} bank\n")
    async with operated(rules, AdminSecurity(tokens)) as meltemi:
        every = (await meltemi.ask("/objects", ALL)).data
        assert [(each["kind"], each["name"]) for each in every] == [("MetaRouter", "orders")]
        assert every[0]["status"]["rollout"]["proxies"] == 0
        assert (await meltemi.ask("/objects", BANK)).data == []
        assert (await meltemi.ask("/objects?namespace=default", BANK)).status == 403
        assert (await meltemi.ask("/objects?kind=RedisService", ALL)).data == []
        own = tmp_path / "own"
        own.write_text(BANK)
        result = await wait(run, meltemi, "mr/orders", "--for", "deleted", "--token-file", own)
        assert result.exit_code == 2
