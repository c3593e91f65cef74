"""``meltemi manifests``: what a cluster needs before Meltemi runs in it, as YAML for kubectl."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from meltemi.cli.output import Document, fail

if TYPE_CHECKING:
    from meltemi.controller.manifests.wish import Wish

EVERYTHING = "all"


class _Names(TyperGroup):
    """Says what there is when something else is asked for."""

    # Any: some versions of typer bring their own click, others use the one that is installed.
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        found = super().get_command(ctx, cmd_name)
        if found is None:
            there_are = " or ".join(self.list_commands(ctx))
            fail(f"there are no manifests {cmd_name!r}: write {there_are}")
        return found


manifests = typer.Typer(
    name="manifests",
    cls=_Names,
    no_args_is_help=True,
    help="Print what a cluster needs for Meltemi, for `kubectl apply -f -`.",
)

Namespace = Annotated[str, typer.Option(metavar="NAME", help="Where Meltemi runs.")]
Image = Annotated[
    str | None, typer.Option(metavar="IMAGE", help="What it runs.  [meltemi: and this version]")
]
Replicas = Annotated[int, typer.Option(metavar="NUMBER", help="How many of it run.")]
Watched = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Read the objects of this namespace only, with a Role there; may be repeated.",
    ),
]
Webhook = Annotated[
    bool | None,
    typer.Option(
        "--webhook/--no-webhook",
        help="Have rules checked before they are stored.  [unless --watch-namespace]",
        show_default=False,
    ),
]
Tokens = Annotated[
    bool, typer.Option("--tokens", help="Let proxies come with service account tokens as well.")
]
Tls = Annotated[
    str,
    typer.Option(metavar="SECRET", help="What has the certificate of the ports for proxies."),
]
AdminTokens = Annotated[
    str,
    typer.Option(metavar="SECRET", help="What has the file `tokens` of the admin port.  [none]"),
]
Secrets = Annotated[
    list[str] | None,
    typer.Option(metavar="NAMESPACE/NAME", help="A Secret that rules refer to; may be repeated."),
]
Output = Annotated[Document, typer.Option("--output", "-o", help="JSON is one List.")]


def _add(name: str, description: str) -> None:
    """A command for a part of an installation; all take the same options, for they must agree."""

    def command(
        namespace: Namespace = "meltemi-system",
        image: Image = None,
        replicas: Replicas = 2,
        watch_namespace: Watched = None,
        webhook: Webhook = None,
        tokens: Tokens = False,
        tls_secret: Tls = "meltemi-tls",
        admin_tokens_secret: AdminTokens = "",
        secret: Secrets = None,
        output: Output = "yaml",
    ) -> None:
        from importlib.metadata import version

        from meltemi.controller.manifests.wish import Wish

        try:
            wish = Wish(
                image=f"meltemi:{version('meltemi')}" if image is None else image,
                namespace=namespace,
                replicas=replicas,
                watched=tuple(dict.fromkeys(watch_namespace or ())),
                webhook=_has_webhook(name, watch_namespace) if webhook is None else webhook,
                tokens=tokens,
                tls=tls_secret,
                admin_tokens=admin_tokens_secret,
                secrets=tuple(_namespace_and_name(each) for each in secret or ()),
            )
        except ValueError as error:
            fail(str(error))
        _print(name, wish, output)

    manifests.command(name, help=description)(command)


_add("crds", "The definitions of all kinds that Meltemi reads and Istio does not define.")
_add("rbac", "The namespace, the service account, and what it may do.")
_add("webhook", "The registration of the webhook that checks rules before they are stored.")
_add("deployment", "What runs, how it is reached, and by whom.")
_add(EVERYTHING, "All of these, in the order in which they are applied.")


def _has_webhook(name: str, watched: list[str] | None) -> bool:
    """Unless somebody says. It asks for rights in the whole cluster."""
    return name == "webhook" or not watched


def _namespace_and_name(text: str) -> tuple[str, str]:
    """Raises ValueError."""
    namespace, slash, name = text.partition("/")
    if not slash:
        raise ValueError(f"--secret is {text!r}: write NAMESPACE/NAME")
    return namespace, name


def _print(name: str, wish: Wish, form: Document) -> None:
    from meltemi.controller.manifests.parts import PARTS

    parts = PARTS.values() if name == EVERYTHING else (PARTS[name],)
    found = [manifest for part in parts for manifest in part(wish)]
    if form == "yaml":
        typer.echo("".join(manifest.to_yaml() for manifest in found), nl=False)
        return
    items = [manifest.to_dict() for manifest in found]
    typer.echo(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=2))
