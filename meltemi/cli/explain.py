"""``meltemi explain``: where a request goes, and why."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from meltemi.cli.inputs import NodeOption, PathArgument, PresetOption, group_key, pairs, read
from meltemi.cli.output import Exit, OutputOption, fail, note, print_data, print_table
from meltemi.cli.validate import plural

if TYPE_CHECKING:
    from meltemi.controller.offline.explanation import Explanation
    from meltemi.controller.offline.offline import Offline


def explain(
    path: PathArgument,
    host: Annotated[str, typer.Option(help="The service; a short name is one of the namespace.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port that clients connect to.")],
    attributes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="The request, such as method=hello."),
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="Where the client is; else what the proxy says.")
    ] = None,
    node: NodeOption = None,
    preset: PresetOption = None,
    output: OutputOption = "table",
) -> None:
    """Say where a request goes, and why.

    KEY=VALUE are the request's attributes, which `meltemi plugins` lists for each protocol.
    """
    request = _request(attributes or [])
    offline = read(path)
    from dataclasses import replace

    from meltemi.controller.offline import explanation
    from meltemi.controller.store.hosts import expand

    key = group_key(offline, node, preset)
    key = key if namespace is None else replace(key, namespace=namespace)
    group = offline.group(key)
    try:
        answer = explanation.explain(
            offline.mesh, group, expand(host, key.namespace), port, request
        )
    except explanation.NotFound as error:
        fail(str(error), Exit.ERRORS)
    if output == "table":
        _print(answer)
    else:
        print_data(_data(answer, offline), output)
    point_to_errors(offline, path)


def _request(texts: list[str]) -> dict[str, str]:
    found = pairs("attribute", texts)
    request = dict(found)
    if len(request) != len(found):
        twice = next(key for key, _ in found if [k for k, _ in found].count(key) > 1)
        fail(f"attribute {twice!r} is given twice")
    return request


def _data(answer: Explanation, offline: Offline) -> dict[str, object]:
    from meltemi.controller.findings import findings

    told = [finding.to_dict() for finding in findings(answer.findings, offline.place)]
    return {**asdict(answer), "findings": told}


def _print(answer: Explanation) -> None:
    typer.echo(f"{answer.host}:{answer.port} ({answer.protocol}, {answer.engine or 'no engine'})")
    if answer.rule:
        rule = answer.rule
        typer.echo(f"decided by {rule.kind} {rule.namespace}/{rule.name}, route {rule.route}")
    else:
        typer.echo(
            {
                "error": "no route matches: the caller gets the protocol's error",
                "default": "no rule decides: the service's own endpoints",
                "route": "a route decides",
            }[answer.outcome]
        )
    if answer.destinations:
        print_table(
            ("destination", "subset", "share", "endpoints"),
            (
                (f"{d.host}:{d.port}", d.subset, f"{d.weight} %", ", ".join(d.endpoints) or "none")
                for d in answer.destinations
            ),
        )
    for mirror in answer.mirrors:
        subset = f" subset {mirror.subset}" if mirror.subset else ""
        typer.echo(f"mirrored: {mirror.percentage:g} % to {mirror.host}:{mirror.port}{subset}")
    if answer.timeout is not None:
        typer.echo(f"timeout: {answer.timeout:g} s")
    if answer.considered:
        print_table(
            ("route", "matched", "because"),
            ((s.rule, "yes" if s.matched else "no", s.reason) for s in answer.considered),
        )
    for problem in answer.findings:
        note(f"{problem.severity.value} {problem.code}: {problem.cause}; {problem.next_step}")


def point_to_errors(offline: Offline, path: str) -> None:
    """An answer may come from what is left of objects that cannot be read."""
    from meltemi.controller.findings import count
    from meltemi.protocols.problem import Severity

    if errors := count(offline.findings())[Severity.ERROR]:
        note(f"{plural(errors, 'error')}: see `meltemi validate {path}`")
