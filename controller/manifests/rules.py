"""What Meltemi may do in a cluster: as much as its own tables make it do, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meltemi.controller.crds.definitions import DEFINITIONS
from meltemi.controller.kube.kinds import WATCHED
from meltemi.controller.manifests.wish import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meltemi.controller.kube.kinds import Kind
    from meltemi.controller.kube.mirror import Body

WEBHOOK_SECRET = f"{NAME}-webhook-tls"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a Role: what may be done with which resources of an API group, by ``names`` only
    if there are any, and ``why``.
    """

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    why: str
    names: tuple[str, ...] = ()

    def to_dict(self) -> Body:
        """As RBAC has it."""
        names = {"resourceNames": [*self.names]} if self.names else {}
        return {
            "apiGroups": [self.group],
            "resources": [*self.resources],
            **names,
            "verbs": [*self.verbs],
        }


def reading(*, namespaced: bool, whole: bool = False) -> tuple[Rule, ...]:
    """Following every such kind that is watched, and writing the status of those that have one."""
    by_group: defaultdict[str, list[Kind]] = defaultdict(list)
    for kind in WATCHED:
        if (kind.namespaced, kind.whole) == (namespaced, whole):
            by_group[kind.group].append(kind)
    return tuple(rule for group, kinds in by_group.items() for rule in _of_group(group, kinds))


_WITH_STATUS = frozenset((each.group, each.plural) for each in DEFINITIONS if each.decoded)


def _of_group(group: str, kinds: list[Kind]) -> Iterator[Rule]:
    told = tuple(kind.plural for kind in kinds if (group, kind.plural) in _WITH_STATUS)
    only_read = tuple(kind.plural for kind in kinds if kind.plural not in told)
    if only_read:
        yield Rule(group, only_read, ("list", "watch"), "Objects that are read.")
    if told:
        verbs = ("get", "list", "watch")
        yield Rule(group, told, verbs, "Rules; one is got where somebody else has changed it.")
        status = tuple(f"{plural}/status" for plural in told)
        yield Rule(group, status, ("patch",), "Their status, and nothing else of them.")


EVENTS = Rule("", ("events",), ("create", "patch"), "Events about rules.")

REVIEWS = Rule(
    "authentication.k8s.io",
    ("tokenreviews",),
    ("create",),
    "Asking whose token a proxy has. Nothing can be read or changed by that.",
)

CONFIGURATION = Rule(
    "admissionregistration.k8s.io",
    ("validatingwebhookconfigurations",),
    ("get", "patch"),
    "The one configuration of our own webhook: its authority, and whether it must be asked.",
    names=(NAME,),
)

OWN = (
    Rule(
        "coordination.k8s.io",
        ("leases",),
        ("get", "update"),
        "Who of the replicas writes.",
        names=(NAME,),
    ),
    Rule(
        "coordination.k8s.io",
        ("leases",),
        ("create",),
        "The same when there is none yet: to create cannot be granted by name.",
    ),
    Rule(
        "",
        ("configmaps",),
        ("list", "watch", "create", "update", "delete"),
        "What each replica reports to the one that writes.",
    ),
)

CERTIFICATE = Rule(
    "",
    ("secrets",),
    ("get", "update"),
    "The webhook's certificate. The Secret is there already, so that none need be created.",
    names=(WEBHOOK_SECRET,),
)


def secrets(names: tuple[str, ...]) -> Rule:
    """Following Secrets that rules refer to."""
    return Rule("", ("secrets",), ("get", "watch"), "Passwords that rules refer to.", names=names)
