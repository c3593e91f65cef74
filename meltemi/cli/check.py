"""``meltemi check``: whether an installation is sound, line by line, and what to do where not."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path  # noqa: TC003  (typer reads annotations)
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypedDict

import typer

from meltemi.cli.inputs import host_and_port
from meltemi.cli.output import Exit, OutputOption, fail, print_data, visible
from meltemi.cli.proxies import CaOption, TokenFileOption  # noqa: TC001

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from meltemi.controller.health.cluster import Seen
    from meltemi.controller.health.ports import PortName
    from meltemi.controller.health.result import HealthRecord, Result, ResultRecord
    from meltemi.controller.manifests.wish import Wish
    from meltemi.controller.settings import Settings

ASKED_S = 30.0
"""Seconds for a server to look at itself and its cluster."""

START = "start it, or correct --server; give --ca and --token-file if it has TLS and tokens"
UPDATE = "let it run this version of Meltemi"

ServersOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="URL",
        envvar="MELTEMI_SERVER",
        help="Ask the admin port of this server as well; several for several replicas.",
    ),
]


def check(
    kube: Annotated[
        bool, typer.Option("--kube", help="Look at the cluster.  [unless something else is said]")
    ] = False,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="How to reach it.  [the pod's service account]"),
    ] = None,
    context: Annotated[
        str, typer.Option(metavar="NAME", help="Which of its contexts.  [the current one]")
    ] = "",
    namespace: Annotated[
        str, typer.Option(metavar="NAME", help="Where Meltemi runs.")
    ] = "meltemi-system",
    watch_namespace: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="It reads this namespace only; may be repeated."),
    ] = None,
    webhook: Annotated[
        bool | None,
        typer.Option(
            "--webhook/--no-webhook",
            help="Whether it has rules checked before they are stored.  [unless --watch-namespace]",
            show_default=False,
        ),
    ] = None,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Proxies come with service account tokens as well.")
    ] = False,
    as_: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="USER",
            help="Whose rights are asked for: system:serviceaccount:NAMESPACE:NAME.  [your own]",
        ),
    ] = "",
    server: ServersOption = None,
    token_file: TokenFileOption = None,
    ca: CaOption = None,
    xds: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Look at this port of this machine.")
    ] = "",
    admin: Annotated[str, typer.Option(metavar="HOST:PORT", help="And at this one.")] = "",
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Look at these files, as serve takes them.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="The key.")] = None,
    client_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Who signs for Envoys.")
    ] = None,
    output: OutputOption = "table",
) -> None:
    """Say whether an installation is sound.

    Looks at a cluster, at running servers (--server), and at ports and files of this machine
    before something is started there. Each line is fine, a warning or an error, with what to do
    next. docs/check.md says more about each.
    """
    given = {
        "MELTEMI_TLS_CERT": tls_cert,
        "MELTEMI_TLS_KEY": tls_key,
        "MELTEMI_CLIENT_CA": client_ca,
    }
    import asyncio

    here = any((xds, admin, *given.values()))
    of_cluster = (kube, kubeconfig, context, watch_namespace, webhook is not None, tokens, as_)
    sections: list[Section] = []
    reached = True
    if any(of_cluster) or not (here or server):
        wish = _wish(namespace, watch_namespace or (), webhook, tokens=tokens)
        seen = asyncio.run(_cluster(kubeconfig, context, wish, as_))
        reached = seen.reached
        sections.append(Section("", _records(seen.results)))
    if here:
        set_here = {name: str(value) for name, value in given.items() if value is not None}
        results = asyncio.run(_here(_settings(set_here), {"xds": xds, "admin": admin}))
        sections.append(Section("", _records(results)))
    if server:
        answered = _servers(server, token_file, ca)
        reached = reached and not answered.silent
        sections += answered.sections
    _print(sections, output)
    failed = any(each["state"] == "error" for section in sections for each in section.records)
    raise typer.Exit(Exit.UNREACHABLE if not reached else Exit.ERRORS if failed else Exit.FINE)


@dataclass(frozen=True, slots=True)
class Section:
    """What was found from one place; ``server`` is empty for this one. ``title`` says more."""

    server: str
    records: Sequence[ResultRecord]
    title: str = ""


class RowRecord(TypedDict):
    """A line as programs read it."""

    server: str
    check: str
    about: str
    state: str
    text: str
    hint: str
    doc: str


def _records(results: Iterable[Result]) -> list[ResultRecord]:
    return [each.to_dict() for each in results]


# -- the cluster -----------------------------------------------------------------------------------


def _wish(namespace: str, watched: Sequence[str], webhook: bool | None, *, tokens: bool) -> Wish:
    """As ``meltemi manifests`` understands these options."""
    from meltemi.controller.manifests.wish import NAME, Wish

    has_webhook = not watched if webhook is None else webhook
    try:
        return Wish(
            image=NAME,
            namespace=namespace,
            watched=tuple(dict.fromkeys(watched)),
            webhook=has_webhook,
            tokens=tokens,
        )
    except ValueError as error:
        fail(str(error))


async def _cluster(kubeconfig: Path | None, context: str, wish: Wish, user: str) -> Seen:
    from functools import partial

    from meltemi.controller.health.cluster import IDLE_S, Cluster
    from meltemi.controller.kube.api import Api, configuration
    from meltemi.controller.sources import SourceError
    from meltemi.controller.sources.kube import configured

    connect = partial(configuration, str(kubeconfig or ""), context)
    try:
        api = Api(await configured(connect), idle=IDLE_S)
    except SourceError as error:
        fail(str(error))
    try:
        return await Cluster(api, wish, user=user).look()
    finally:
        await api.close()


# -- this machine ----------------------------------------------------------------------------------


def _settings(given: Mapping[str, str]) -> Settings:
    from meltemi.controller import settings

    try:
        return settings.read(given=given)
    except settings.ConfigError as error:
        fail(str(error))


async def _here(settings: Settings, addresses: Mapping[PortName, str]) -> tuple[Result, ...]:
    from meltemi.controller.health.local import local_checks
    from meltemi.controller.health.ports import Port
    from meltemi.controller.health.running import run

    tls = {"xds": settings.security.tls, "admin": settings.admin.certificate}
    ports = [
        Port(name, *host_and_port(f"--{name}", text), tls=tls[name] is not None)
        for name, text in addresses.items()
        if text
    ]
    return await run(local_checks(settings, ports, running=False))


# -- running servers -------------------------------------------------------------------------------


class Answered(NamedTuple):
    """``silent``: whether some of them did not answer."""

    sections: list[Section]
    silent: bool


def _servers(servers: Sequence[str], token_file: Path | None, ca: Path | None) -> Answered:
    from meltemi.cli.asking import ask_once
    from meltemi.controller.health.leading import version_results
    from meltemi.controller.health.result import error

    asked = ask_once(servers, "check", {}, token_file, ca, patience=ASKED_S)
    found: list[Section] = []
    versions: dict[str, str] = {}
    for url in dict.fromkeys(servers):
        if (silence := asked.silences.get(url)) is not None:
            hint = UPDATE if silence.startswith("404") else START
            wrong = error("server", f"{url} cannot be asked: {silence}", hint)
            found.append(Section(url, [wrong.to_dict()], url))
        elif (record := _understood(asked.answers[url])) is None:
            wrong = error("server", f"{url} does not answer as this version of Meltemi", UPDATE)
            found.append(Section(url, [wrong.to_dict()], url))
        else:
            versions[url] = record["version"]
            title = f"{url} ({record['replica']}, version {record['version']})"
            found.append(Section(url, record["results"], title))
    if together := _records(version_results(versions)):
        found.append(Section("", together, "all of these"))
    return Answered(found, asked.silent)


def _understood(answer: object) -> HealthRecord | None:
    import msgspec

    from meltemi.controller.health.result import HealthRecord

    try:
        return msgspec.convert(answer, HealthRecord)
    except msgspec.ValidationError:
        return None


# -- what is printed -------------------------------------------------------------------------------


def _print(sections: Sequence[Section], output: str) -> None:
    if output == "table":
        typer.echo("\n".join(visible(line) for line in _lines(sections)))
        return
    found = [RowRecord(server=s.server, **each) for s in sections for each in s.records]
    print_data(found, "json" if output == "json" else "yaml")


def _lines(sections: Sequence[Section]) -> Iterator[str]:
    for section in sections:
        if section.title:
            yield f"\n{section.title}" if section is not sections[0] else section.title
        # What has the same remedy has it once.
        for _, alike in groupby(section.records, key=itemgetter("check", "hint", "doc")):
            yield from _group([*alike])
    states = [each["state"] for section in sections for each in section.records]
    errors, warnings = states.count("error"), states.count("warning")
    yield f"\n{_counted(errors, 'error')}, {_counted(warnings, 'warning')}"


def _group(alike: Sequence[ResultRecord]) -> Iterator[str]:
    from meltemi.controller.health.result import NAMES, State

    width = max(map(len, NAMES))
    indent = " " * (width + 4)
    for each in alike:
        yield f"{State[each['state'].upper()].value} {each['check']:<{width}}  {each['text']}"
    if hint := alike[0]["hint"]:
        yield f"{indent}→ {hint}"
    if any(each["state"] != "fine" for each in alike):
        yield f"{indent}  {alike[0]['doc']}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
