"""What the API server wrote down about the requests of a service account."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from meltemi.controller.kube.mirror import Body

POLICY = """{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
"rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}]}"""


@dataclass(frozen=True, slots=True)
class Right:
    """To do something with objects of a resource, in a namespace or anywhere."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{'.' * bool(self.group)}{self.group}{where}"


class Audit:
    """The log of an API server that runs with ``flags``."""

    def __init__(self, folder: Path) -> None:
        policy = folder / "audit-policy.json"
        policy.write_text(POLICY)
        self._log = folder / "audit.log"
        self.flags = (f"--audit-policy-file={policy}", f"--audit-log-path={self._log}")

    def allowed(self, namespace: str, account: str) -> set[Right]:
        """What the account has done so far."""
        return {right for right, decision in self._asked(namespace, account) if decision}

    def forbidden(self, namespace: str, account: str) -> set[Right]:
        """What it tried to do and may not."""
        return {right for right, decision in self._asked(namespace, account) if not decision}

    def _asked(self, namespace: str, account: str) -> Iterator[tuple[Right, bool]]:
        user = f"system:serviceaccount:{namespace}:{account}"
        for line in self._log.read_text().splitlines():
            entry: dict[str, Any] = json.loads(line)
            about = entry.get("objectRef")
            if entry["user"]["username"] == user and about is not None:
                decision = entry["annotations"]["authorization.k8s.io/decision"]
                yield _right(entry["verb"], about), decision == "allow"


def _right(verb: str, about: dict[str, str]) -> Right:
    within = (about["resource"], about.get("subresource", ""))
    resource = "/".join(filter(None, within))
    return Right(verb, resource, about.get("apiGroup", ""), about.get("namespace", ""))


def rights(rule: Body, namespace: str = "") -> Iterator[Right]:
    """What a rule of a Role, or of a ClusterRole, gives."""
    parts: Any = rule
    for group in parts["apiGroups"]:
        for resource in parts["resources"]:
            for verb in parts["verbs"]:
                yield Right(verb, resource, group, namespace)
