"""``meltemi serve``: the server."""

from __future__ import annotations

from functools import partial
from pathlib import Path  # noqa: TC003  (typer reads annotations)
from typing import TYPE_CHECKING, Annotated

import typer

from meltemi.cli.inputs import host_and_port
from meltemi.cli.output import fail

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from kubernetes.aio.client import Configuration

    from meltemi.controller.sources.files import FilesSource
    from meltemi.controller.sources.kube import KubeSource


def serve(
    path: Annotated[
        Path | None, typer.Argument(metavar="PATH", help="A file or folder of YAML, watched.")
    ] = None,
    kube: Annotated[
        bool, typer.Option("--kube", help="Serve what a Kubernetes cluster has, instead of PATH.")
    ] = False,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="How to reach it.  [the pod's service account]"),
    ] = None,
    context: Annotated[
        str, typer.Option(metavar="NAME", help="Which of its contexts.  [the current one]")
    ] = "",
    namespace: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Look at these namespaces only; may be repeated."),
    ] = None,
    selector: Annotated[
        str, typer.Option(metavar="LABELS", help="Read only rules with these labels.  [all]")
    ] = "",
    xds: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT", help="Where Envoys connect; without TLS on loopback only."
        ),
    ] = "127.0.0.1:18000",
    admin: Annotated[
        str,
        typer.Option(
            metavar="HOST:PORT",
            help="Health, metrics, proxies and findings; off loopback for those with tokens.",
        ),
    ] = "127.0.0.1:18080",
    webhook: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where the API server asks about objects."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The server's certificate and its chain.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its key, unencrypted.")
    ] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The authorities that sign certificates of Envoys."),
    ] = None,
    trust_domain: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of the Envoys' SPIFFE identities.  [cluster.local]"),
    ] = None,
    token_xds: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="With --kube and TLS: where Envoys connect with service account tokens.",
        ),
    ] = None,
    token_audience: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Whom their tokens must be for.  [meltemi]"),
    ] = None,
    plaintext: Annotated[
        bool,
        typer.Option("--plaintext", help="Serve whoever can connect, on any address: no secrets."),
    ] = False,
) -> None:
    """Serve the rules in PATH, or those of a cluster, to Envoys.

    What changes there takes effect at once. Ends with SIGTERM or Ctrl-C. Options of
    TLS are PEM files, read again whenever they change; docs/security.md says what they do.
    """
    if kube == (path is not None):
        fail("write either a PATH or --kube, to say whose rules are served")
    if not kube and (kubeconfig or context or namespace or selector or webhook):
        fail("--kubeconfig, --context, --namespace, --selector and --webhook go with --kube")
    addresses = host_and_port("--xds", xds), host_and_port("--admin", admin)
    reviews = None if webhook is None else host_and_port("--webhook", webhook)
    given = {
        "MELTEMI_TLS_CERT": tls_cert,
        "MELTEMI_TLS_KEY": tls_key,
        "MELTEMI_CLIENT_CA": client_ca,
        "MELTEMI_TRUST_DOMAIN": trust_domain,
        "MELTEMI_TOKEN_XDS": token_xds,
        "MELTEMI_TOKEN_AUDIENCE": token_audience,
        "MELTEMI_PLAINTEXT": "1" if plaintext else None,
    }
    from meltemi.controller.app import serve as run

    connect = None
    if path is None:
        connect = _connection(kubeconfig, context)
        source: FilesSource | KubeSource = _cluster(connect, namespace or (), selector)
    else:
        source = _files(path)
    set_here = {name: str(value) for name, value in given.items() if value is not None}
    code = run(
        source,
        xds=addresses[0],
        admin=addresses[1],
        given=set_here,
        connect=connect,
        webhook=reviews,
    )
    raise typer.Exit(code)


def _files(path: Path) -> FilesSource:
    from meltemi.controller.sources.files import FilesSource

    return FilesSource(path)


def _connection(kubeconfig: Path | None, context: str) -> Callable[[], Awaitable[Configuration]]:
    from meltemi.controller.kube.api import configuration

    return partial(configuration, str(kubeconfig or ""), context)


def _cluster(
    connect: Callable[[], Awaitable[Configuration]], namespaces: Sequence[str], selector: str
) -> KubeSource:
    from meltemi.controller.decode.metadata import is_name
    from meltemi.controller.kube.selectors import is_selector
    from meltemi.controller.sources.kube import KubeSource

    for each in namespaces:
        if not is_name(each):
            fail(f"--namespace is {each!r}: write the name of a namespace")
    if selector and not is_selector(selector):
        fail(f"--selector is {selector!r}: write labels such as team=a,tier!=old")
    return KubeSource(connect, namespaces=namespaces, selector=selector)
