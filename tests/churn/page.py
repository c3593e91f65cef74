"""The page of the documentation with the last result: the command writes it."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.churn.cell import Result

PAGE = Path(__file__).parents[2] / "docs" / "churn.md"

HEADER = """\
| Envoy | dialect | mux | changes | snapshots | responses | accepted | cuts | killed, ended \
| Envoy restarted | checks | calls | on new connections | failed | complaints | seconds |
|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"""

TEXT = """\
# Real clients under churn

<!-- Written by `make churn`. -->

Each line of the table is a real Envoy that has everything from a real Meltemi, which watches a
folder, while {changes:,} random changes of the rules in it are saved within a minute and calls to
real servers never pause. `make churn` runs all of it, `make churn ARGS="--envoy 1.40 --dialect
delta --mux unified --changes 200 --seed 7"` a part.

**Changes.** Rules appear, change and disappear; weights, routes of other names (which are other
clusters), subsets; endpoints come, go, and are exchanged all at once, some of them refuse
connections or never answer; whole services come, speak another protocol, and go; Redis mirrors,
prefixes and settings; rules that cannot be read or cannot be served, and their repair. Between two
changes are 10 to 100 ms: some are merged on their way, most are not. **snapshots** are the rounds
of changes that Meltemi handed to its streams, **responses** what it wrote and **accepted** what
Envoy acknowledged, by Meltemi's own metrics over all its lives.

**Events.** The network between the two is cut, Meltemi is killed (SIGKILL) or ended (SIGTERM) and
started again, and changes go on meanwhile. Envoy is started anew; its clients know and their calls
end before.

**Checks**, at the start and the end of each Envoy, and in SotW before and after each outage: what
Envoy says that it holds (`/config_dump`, endpoints included, and `/runtime`) is what a second
Meltemi compiles of the same files, resource by resource and field by field, in delta the versions
of clusters too; no update was refused (`update_rejected` of every type is 0, and Meltemi has heard
of no refusal), nothing is warming (`warming_clusters` 0), nothing ever waited in vain for its
resource (`init_fetch_timeout` 0), and each service that has come answers.

**Calls** go to a Dubbo, a Thrift, a Redis and a plain TCP service, two kinds each, on connections
that stay and on new ones. Redis clients try again up to three times on a new connection (the
default of redis-py is more): a changed prefix is a changed listener, and that drains.

## The last result

Commit `{commit}`, {date}, seed {seed}. In all **{calls:,} calls, {new:,} of them on connections of
their own, {failed:,} failed**; {total:,} changes, {snapshots:,} snapshots, {responses:,} responses,
{accepted:,} acknowledged, {refused:,} refused; {good} of {cells} cells good.

{table}
{troubles}
## What is not asked of it

- While Meltemi cannot be reached, and for a moment before and after, endpoints come but none goes
  that answers: when it is back it cannot know which ones the proxy had, so it cannot bring new
  hosts in before the old ones go. Where all were exchanged meanwhile, calls may fail for
  about a millisecond, until the first check.
- In SotW no cluster that calls use disappears during an outage, none lingers when it begins, and
  the next change comes when the proxy has caught up: a proxy has no way to say in this dialect
  which clusters it still uses, so they go before the routes to new ones come, and calls fail
  until those are warm. In delta they linger.
- A file that is broken while Meltemi starts has no last good state. The rules in it are not in
  force until it is repaired; a service in it would not be there, so only files with rules are
  broken.
- While a file cannot be read as a whole, the rules in it are not changed further: the documents
  before the mistake are in force as they are, those behind it as they were.

## That the checks can fail

`make churn ARGS="--control NAME --envoy 1.40 --changes 100"` runs Meltemi with one thing left out,
and is not good as soon as the changes touch that (the test's own changes do):

| control | what is left out | what notices |
|---|---|---|
| `no-make-before-break` | routes wait for nothing, clusters go at once | failed calls |
| `no-assignment-again` | a changed cluster brings its endpoints again | `warming_clusters` |
| `a-change-forgotten` | streams do not hear of the endpoints of one service | what Envoy holds |
| `a-bad-rule-sent` | the check of regexes | `update_rejected` |

A test in the suite runs each of them, and one good cell.
"""


def page(results: Sequence[Result], seed: int, commit: str) -> str:
    """The whole document."""
    return TEXT.format(
        changes=results[0].changes,
        commit=commit,
        date=datetime.now(UTC).date().isoformat(),
        seed=seed,
        calls=sum(result.calls for result in results),
        new=sum(result.on_new for result in results),
        failed=sum(sum(result.failed.values()) for result in results),
        total=sum(result.changes for result in results),
        snapshots=sum(result.snapshots for result in results),
        responses=sum(result.responses for result in results),
        accepted=sum(result.accepted for result in results),
        refused=sum(result.refused for result in results),
        good=sum(result.good for result in results),
        cells=len(results),
        table="\n".join((HEADER, *map(row, results))),
        troubles=_troubles(results),
    )


def row(result: Result) -> str:
    """A cell's line of the table."""
    count = result.events.get
    cells = (
        result.envoy,
        result.dialect,
        result.mux,
        result.changes,
        result.snapshots,
        result.responses,
        result.accepted,
        count("cut", 0),
        f"{count('kill', 0)}, {count('terminate', 0)}",
        count("envoy", 0),
        result.checks,
        result.calls,
        result.on_new,
        sum(result.failed.values()),
        len(result.complaints),
        round(result.seconds),
    )
    return f"| {' | '.join(map(str, cells))} |"


def this_commit() -> str:
    """The commit that runs, and whether something differs from it."""
    described = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(described, capture_output=True, text=True, check=True).stdout.strip()


def _troubles(results: Sequence[Result]) -> str:
    lines = [
        f"- {result.envoy} {result.dialect} {result.mux}: {trouble}"
        for result in results
        for trouble in result.troubles
    ]
    return "".join(f"{line}\n" for line in ("", *lines)) if lines else ""
