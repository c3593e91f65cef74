"""Flags, hypothesis profiles, and the summary that says which real servers the tests drove."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from meltemi.testing import evidence

if TYPE_CHECKING:
    from collections.abc import Generator

    from _pytest.fixtures import FixtureDef, SubRequest

# No deadline: a timed assertion would measure the machine. --hypothesis-profile=ci looks longer.
settings.register_profile("default", deadline=None, max_examples=50)
settings.register_profile("ci", deadline=None, max_examples=500)
settings.load_profile("default")

_tests_by_server = pytest.StashKey[dict[str, set[str]]]()
_servers_by_fixture = pytest.StashKey[dict[str, set[str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write what is compiled as the golden files"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_tests_by_server] = defaultdict[str, set[str]](set)
    config.stash[_servers_by_fixture] = {}


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
    with evidence.collecting() as servers:
        result = yield
    for fixture in getattr(item, "fixturenames", ()):
        servers |= item.config.stash[_servers_by_fixture].get(fixture, set())
    for server in servers:
        item.config.stash[_tests_by_server][server].add(item.nodeid)
    return result


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    tests_by_server = config.stash[_tests_by_server]
    drove = [f"{server} ({_tests(tests_by_server[server])})" for server in sorted(tests_by_server)]
    terminalreporter.write_line(f"real servers: {', '.join(drove) or 'none'}")


def _tests(nodes: set[str]) -> str:
    return f"{len(nodes)} test" if len(nodes) == 1 else f"{len(nodes)} tests"
