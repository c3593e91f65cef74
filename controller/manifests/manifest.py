"""An object of a cluster with what its reader should know, and how it is printed."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import yaml

from meltemi.controller.manifests.wish import NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meltemi.controller.kube.mirror import Body
    from meltemi.controller.manifests.rules import Rule

LABELS: Mapping[str, str] = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": NAME}
WIDTH = 100


@dataclass(frozen=True, slots=True)
class Manifest:
    """``body`` without the ``rules`` of a role; ``comment`` stands above it."""

    body: Body
    comment: str = ""
    rules: tuple[Rule, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """The object as it is applied."""
        rules = {"rules": [rule.to_dict() for rule in self.rules]} if self.rules else {}
        found: dict[str, object] = msgspec.to_builtins({**self.body, **rules})
        return found

    def to_yaml(self) -> str:
        """A document that begins with its separator, with all comments."""
        parts = ["---\n", _comment(self.comment), _yaml(msgspec.to_builtins(self.body))]
        if self.rules:
            parts.append("rules:\n")
            for rule in self.rules:
                parts += (_comment(rule.why), _yaml([rule.to_dict()]))
        return "".join(parts)


def metadata(name: str, namespace: str = "") -> Body:
    """``metadata`` with our labels."""
    inside = {"namespace": namespace} if namespace else {}
    return {"name": name, **inside, "labels": {**LABELS}}


def _comment(text: str) -> str:
    lines = textwrap.wrap(text, WIDTH - 2)
    return "".join(f"# {line}\n" for line in lines)


def _yaml(data: object) -> str:
    return yaml.dump(data, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=WIDTH)


class _Plain(yaml.SafeDumper):
    """Writes equal parts out instead of referring to them."""

    def ignore_aliases(self, data: object) -> bool:
        return True
