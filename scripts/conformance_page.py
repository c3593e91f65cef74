"""Print docs/conformance.md: python -m scripts.conformance_page > docs/conformance.md"""

from __future__ import annotations

import sys

from tests.conformance import scenario
from tests.conformance.rules import RULES, SECTIONS, Rule, Status, Strength
from tests.conformance.scenario import Scenario, Variant, all_scenarios

HEAD = """# Conformance of the xDS server

<!-- Written by scripts/conformance_page.py from tests/conformance/. -->

What a correct xDS server does, in {count} rules: what the
[specification](https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol) demands or
advises, and what real clients need beyond it. {applying} apply as they stand, {deviating} we keep
with a difference, {absent} are about what Meltemi does not offer.

Each rule is held by *scenarios*: a raw gRPC client talks to the real server over loopback, in each
variant in which the rule has a meaning: state of the world and delta, all types on one stream (ADS)
or a service of one type. The types behave as in the product. Time stands still unless a scenario
moves it, and silence is proven by a fence: the client asks for something else, and that answer must
come next.

A test is worth what it notices. So each scenario names its *mutants*, one changed behaviour of the
server each, under which it must fail. A mutant that survives is a failing test. {scenarios}
scenarios notice {mutants} mutants.

```console
$ make test ARGS=tests/conformance
```

Beyond single rules, `tests/properties/test_session.py` lets a model proxy subscribe, accept,
refuse, reconnect and wait in any order while its configuration changes. In the end it holds exactly
what it asks for, and the same in both dialects.

## Somebody else's harness

A harness that sets resources and version strings from outside can judge the engine too:

```console
$ .venv/bin/python tests/conformance/adapter.py --port 18000 --adapter-port 17000
```

serves, in plaintext on loopback, the aggregated service and each single one (LDS, RDS, CDS, EDS and
the others) in both dialects, and [adapter.proto](../tests/conformance/adapter.proto) beside them.
Versions are sent as they are given and bodies need not be valid. Names that do not exist are met
with silence, what is deleted is told, nothing is held and nothing lingers. These ports are the
defaults of [ii/xds-test-harness](https://github.com/ii/xds-test-harness), which is not part of this
repository. Its last run, at `f1a479f` against our commit `0b6faeb` on 2026-11-21, of all that it
has:

| variant | scenarios that pass |
|---|---|
| state of the world, one type | 24 of 24 |
| state of the world, ADS | 26 of 26 |
| delta, one type | 22 of 22 |
| delta, ADS | 26 of 26 |

## Where Meltemi differs

| | rule | Meltemi |
|---|---|---|
"""

TABLE = """
## {section}

| | rule | source | scenarios | notice |
|---|---|---|---|---|
"""

STRENGTHS = """
**M**: {MUST}. **S**: {SHOULD}. **P**: {PRACTICE}.
"""

VARIANTS: dict[tuple[Variant, ...], str] = {
    scenario.ALL: "all",
    scenario.SOTW: "SotW",
    scenario.DELTA: "delta",
    scenario.ADS: "ADS",
    scenario.SINGLE: "one type",
    (scenario.SOTW_ADS,): "SotW on ADS",
    (scenario.DELTA_ADS,): "delta on ADS",
    (scenario.SOTW_SINGLE,): "SotW, one type",
    (scenario.DELTA_SINGLE,): "delta, one type",
}


def page() -> str:
    """The whole document."""
    scenarios = all_scenarios()
    parts = [_head(scenarios)]
    parts += [
        f"| {rule.number} | {rule.sentence} | {rule.status.value}: {rule.why} |\n"
        for rule in RULES.values()
        if rule.status is not Status.APPLIES
    ]
    parts.append(STRENGTHS.format(**{each.name: each.value for each in Strength}))
    for section, rules in SECTIONS.items():
        parts.append(TABLE.format(section=section))
        parts += [_row(rule, scenarios) for rule in rules]
    return "".join(parts)


def _head(scenarios: list[Scenario]) -> str:
    statuses = [rule.status for rule in RULES.values()]
    return HEAD.format(
        count=len(RULES),
        applying=statuses.count(Status.APPLIES),
        deviating=statuses.count(Status.DEVIATION),
        absent=statuses.count(Status.NOT_OFFERED),
        scenarios=len(scenarios),
        mutants=len({mutant for each in scenarios for mutant in each.kills}),
    )


def _row(rule: Rule, scenarios: list[Scenario]) -> str:
    own = [each for each in scenarios if each.rule == rule.number]
    tests = [f"`{each.name}` ({VARIANTS[each.variants]})" for each in own]
    mutants = dict.fromkeys(f"`{mutant.__name__}`" for each in own for mutant in each.kills)
    status = "" if rule.status is Status.APPLIES else f" ({rule.status.value})"
    cells = (
        f"{rule.number} {rule.strength.name[0]}",
        rule.sentence + status,
        rule.source,
        "<br>".join(tests),
        "<br>".join(mutants),
    )
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
