"""``meltemi demo``: all of it on this machine, from files or in a Kubernetes cluster."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  (typer reads annotations)
from typing import Annotated

import typer

from meltemi.cli.output import fail


def demo(
    stay: Annotated[bool, typer.Option("--stay", help="Keep it up until Ctrl-C.")] = False,
    kube: Annotated[
        bool, typer.Option("--kube", help="Have the rules in a Kubernetes cluster.")
    ] = False,
    local: Annotated[
        bool,
        typer.Option("--local", help="In one of its own: a kube-apiserver and etcd on loopback."),
    ] = False,
    kubeconfig: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="How to reach one that is there.  [as kubectl does]"),
    ] = None,
    context: Annotated[
        str, typer.Option(metavar="NAME", help="Which of its contexts.  [the current one]")
    ] = "",
    namespace: Annotated[
        str,
        typer.Option(metavar="NAME", help="A new namespace, deleted afterwards.  [a random name]"),
    ] = "",
    yes: Annotated[
        bool, typer.Option("--yes", help="Also in a cluster that is not on this machine.")
    ] = False,
) -> None:
    """Watch rules take effect on live calls.

    Starts sample services, a real Envoy and clients, edits rules while calls run, and takes about
    a minute. The exit code is 0 only if all that it claims was observed.
    """
    there = kubeconfig or context or yes
    if not kube and (there or local or namespace):
        fail("--local, --kubeconfig, --context, --namespace and --yes go with --kube")
    if local and there:
        fail("--local is a cluster of the demo's own: drop --kubeconfig, --context and --yes")
    _require_name(namespace)
    try:
        from meltemi.demo import Wanted, main

        wanted = Wanted(str(kubeconfig or ""), context, namespace, local=local, yes=yes)
        code = main(stay=stay, kube=wanted if kube else None)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("meltemi"):
            raise
        fail(f"the demo needs {error.name}, which is not installed: pip install 'meltemi[demo]'")
    raise typer.Exit(code)


def _require_name(namespace: str) -> None:
    """Before anything is started, for which a name that no cluster takes would be too late."""
    from meltemi.controller.manifests.wish import NAME, Wish

    if namespace:
        try:
            Wish(image=NAME, namespace=namespace)
        except ValueError as error:
            fail(str(error))
