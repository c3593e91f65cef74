"""The benchmark of the xDS server works: a tiny slice of each case. Nothing here is about time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.xds import __main__ as command
from benchmarks.xds import cases
from benchmarks.xds.cases import Extent
from benchmarks.xds.child import ChildError
from benchmarks.xds.rig import Measured, Setting, rigs
from benchmarks.xds.world import World, to_line

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.xds.proxy import DialectName

SERVICES = 10
TINY = Extent(rounds=1, storms=1, streams=2, services=SERVICES)


@pytest.mark.parametrize(("dialect", "sent_again"), [("sotw", 2 * SERVICES + 20), ("delta", 0)])
def test_proxies_hear_of_changes_and_come_back(
    tmp_path: Path, dialect: DialectName, sent_again: int
) -> None:
    world, file = World(SERVICES), tmp_path / "world"
    world.write(file)
    with rigs(["engine", "floor"], Setting(file, 2, dialect)) as running:
        for rig in running.values():
            storm, _ = rig.connect()
            assert storm.resources == 2 * SERVICES + 20
            for number in (1, 2):
                assert rig.push(to_line(world.route(number)), Measured()) == 2
                assert rig.push(to_line(world.endpoint(number)), Measured()) == 2
        engine = running["engine"]
        assert engine.reconnect().resources == sent_again
        assert engine.push(to_line(world.route(3)), Measured()) == 2


def test_a_server_that_cannot_do_something_says_so(tmp_path: Path) -> None:
    file = tmp_path / "world"
    World(SERVICES).write(file)
    with rigs(["engine"], Setting(file, 1)) as running, pytest.raises(ChildError, match="KeyError"):
        running["engine"].server.ask(nothing="")


def test_nobody_hears_of_what_does_not_concern_him() -> None:
    (table,) = cases.silence(TINY)
    assert [row[-1] for row in table.rows] == ["0", "0"]


def test_the_whole_product_is_measured_over_mutual_tls_or_in_plaintext(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cases, "PRODUCTS", (("delta", SERVICES, 2), ("sotw", SERVICES, 1)))
    product, beneath = cases.product(TINY)
    assert [row[4] for row in product.rows] == ["route", "endpoint"] * 2
    assert [row[:1] + row[3:4] for row in beneath.rows] == [("sotw", "engine"), ("sotw", "floor")]
    (idle,) = cases.idle(TINY)
    assert [row[0] for row in idle.rows] == ["plaintext"] * 2 + ["mutual TLS"] * 2


def test_the_tables_go_between_the_marks_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{command.BEGIN}old\n{command.END}after\n")
    monkeypatch.setattr(command, "PAGE", page)
    command.write("new")
    command.write("newer")
    assert page.read_text() == f"before\n{command.BEGIN}\nnewer\n{command.END}after\n"
