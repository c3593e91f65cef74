"""Flags, hypothesis profiles, and what the tests drove and saw: the summary names the real servers,
and what works on them is compared with ``docs/abilities.json``.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from meltemi.testing import evidence
from meltemi.testing.evidence import Ability
from tests import abilities, calls

if TYPE_CHECKING:
    from collections.abc import Generator

    from _pytest.fixtures import FixtureDef, SubRequest


class Told:
    """What the reports of tests tell, wherever they ran. ``left_out``: tests with an Envoy that
    did not pass.
    """

    def __init__(self) -> None:
        self.tests_by_server = defaultdict[str, set[str]](set)
        self.seen: set[Ability] = set()
        self.left_out: set[str] = set()
        self._passed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = report.nodeid
        if report.when == "call" and report.passed:
            self._passed.add(test)
        if report.when != "teardown":
            return
        if test not in self._passed and "envoy" in report.keywords:
            self.left_out.add(test)
        said: dict[str, Any] = dict(report.user_properties)
        for server in said.get(SERVERS, ()):
            self.tests_by_server[server].add(test)
        if test in self._passed:
            self.seen.update(Ability(*fields) for fields in said.get(ABILITIES, ()))


# No deadline: a timed assertion would measure the machine. --hypothesis-profile=ci looks longer.
settings.register_profile("default", deadline=None, max_examples=50)
settings.register_profile("ci", deadline=None, max_examples=500)
settings.load_profile("default")

_servers_by_fixture = pytest.StashKey[dict[str, set[str]]]()
_driven = pytest.StashKey[tuple[set[str], set[Ability]]]()
_told = pytest.StashKey[Told]()
_surprises = pytest.StashKey[list[str]]()
_skipped_cluster = pytest.StashKey[bool]()

SERVERS, ABILITIES = "real servers", "abilities"
"""What the last report of a test says of it: the names, and the fields of each ability."""

CLUSTER = Path(__file__).parent / "cluster"

NARROWING = ("keyword", "markexpr", "deselect", "lf", "collectonly", "maxfail")
"""Options with which not every test runs."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write what is compiled as the golden files"
    )
    parser.addoption(
        "--update-abilities",
        action="store_true",
        help="write what the tests saw to work into docs/abilities.json and README.md",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The cluster suite needs servers that take minutes to build: it runs when it is asked for."""
    if collection_path != CLUSTER or any("cluster" in argument for argument in config.args):
        return None
    config.stash[_skipped_cluster] = True
    return True


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_servers_by_fixture] = {}
    config.stash[_surprises] = []
    told = config.stash[_told] = Told()
    config.pluginmanager.register(told)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: FixtureDef[object], request: SubRequest
) -> Generator[None, object, object]:
    with evidence.collecting() as servers:
        result = yield
    request.config.stash[_servers_by_fixture][fixturedef.argname] = servers
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test drove what was started for it, and what a shared fixture of it had started before."""
    with evidence.collecting() as servers, evidence.collecting_abilities() as seen:
        item.stash[_driven] = servers, seen
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    if call.when == "teardown":
        servers, seen = item.stash[_driven]
        for fixture in getattr(item, "fixturenames", ()):
            servers |= item.config.stash[_servers_by_fixture].get(fixture, set())
        item.user_properties += [
            (SERVERS, sorted(servers)),
            (ABILITIES, [[*map(str, astuple(each))] for each in seen]),
        ]
    return (yield)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What works is what the last complete run saw: the file follows it, or the run fails."""
    config = session.config
    if hasattr(config, "workerinput"):  # whoever shares the work out knows everything
        return
    seen = config.stash[_told].seen
    complete = _is_complete(config)
    if config.getoption("--update-abilities"):
        abilities.write(seen if complete else seen | abilities.read())
    elif session.exitstatus == pytest.ExitCode.OK:
        config.stash[_surprises] = abilities.differences(seen, abilities.read(), complete=complete)
        if config.stash[_surprises]:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _is_complete(config: pytest.Config) -> bool:
    """Whether every test ran that can see an ability."""
    everything = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    chosen = any(config.getoption(name, None) for name in NARROWING)
    return everything and not chosen and not config.stash[_told].left_out


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    tests_by_server = config.stash[_told].tests_by_server
    drove = [f"{server} ({_tests(tests_by_server[server])})" for server in sorted(tests_by_server)]
    terminalreporter.write_line(f"real servers: {', '.join(drove) or 'none'}")
    reports = terminalreporter.getreports("passed")
    if counted := calls.totals(each for report in reports for each in report.user_properties):
        terminalreporter.write_line(f"none failed of: {counted}")
    if config.stash.get(_skipped_cluster, False):
        terminalreporter.write_line("Kubernetes API server: not run; `make test-cluster` does")
    if surprises := config.stash[_surprises]:
        terminalreporter.section("docs/abilities.json is not what the tests saw", red=True)
        terminalreporter.write_line("\n".join(surprises))
        terminalreporter.write_line("If that is right: make test ARGS=--update-abilities")


def _tests(nodes: set[str]) -> str:
    return f"{len(nodes)} test" if len(nodes) == 1 else f"{len(nodes)} tests"
