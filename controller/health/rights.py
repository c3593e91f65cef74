"""What Meltemi must be allowed to do: asked one by one, from the table that grants it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from meltemi.controller.health.result import error, fine
from meltemi.controller.kube.mirror import mapping
from meltemi.controller.manifests.rbac import rbac

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from meltemi.controller.health.result import Result
    from meltemi.controller.kube.mirror import Body
    from meltemi.controller.manifests.wish import Wish

ACCOUNT = "system:serviceaccount:"
"""What the names of service accounts begin with; a namespace and a name follow."""


class Thing(NamedTuple):
    """What something is done to. ``namespace`` and ``name`` are empty for all of them."""

    group: str
    resource: str
    namespace: str
    name: str

    def __str__(self) -> str:
        base, slash, part = self.resource.partition("/")
        found = f"{base}.{self.group}" if self.group else base
        found += f"{slash}{part}" + (f"/{self.name}" if self.name else "")
        return f"{found} in namespace {self.namespace}" if self.namespace else found


class Right(NamedTuple):
    """``why`` it is needed, as a sentence."""

    thing: Thing
    verb: str
    why: str


def rights(wish: Wish) -> tuple[Right, ...]:
    """Everything that such an installation does, in stable order."""
    found = {
        (thing, verb): Right(thing, verb, rule.why)
        for manifest in rbac(wish)
        for rule in manifest.rules
        for resource in rule.resources
        for name in rule.names or ("",)
        for verb in rule.verbs
        for thing in [Thing(rule.group, resource, _namespace(manifest.body), name)]
    }
    return (*found.values(),)


def _namespace(role: Body) -> str:
    return str(mapping(role.get("metadata")).get("namespace", ""))


def review(right: Right, user: str) -> tuple[str, Body]:
    """Path and object of the review that asks for it: for ``user``, or for whoever asks."""
    group, resource, namespace, name = right.thing
    base, _, part = resource.partition("/")
    attributes = {
        "group": group,
        "resource": base,
        "subresource": part,
        "verb": right.verb,
        "namespace": namespace,
        "name": name,
    }
    spec: Body = {"resourceAttributes": attributes}
    kind = "SelfSubjectAccessReview"
    if user:
        kind, spec = "SubjectAccessReview", {**spec, "user": user, "groups": groups(user)}
    root = "authorization.k8s.io/v1"
    return f"/apis/{root}/{kind.lower()}s", {"apiVersion": root, "kind": kind, "spec": spec}


def groups(user: str) -> list[str]:
    """Those that the API server counts everybody of that name among."""
    found = ["system:authenticated"]
    if user.startswith(ACCOUNT):
        namespace = user.removeprefix(ACCOUNT).partition(":")[0]
        found += ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    return found


def allowed(answer: Body) -> bool:
    """What a review says."""
    return mapping(answer.get("status")).get("allowed") is True


def right_results(
    who: str, denied: Iterable[Right], asked: int, *, apply: str, other: str = ""
) -> Iterator[Result]:
    """``apply`` grants everything that was ``asked``; ``other``: whom else to ask about."""
    verbs: defaultdict[tuple[Thing, str], list[str]] = defaultdict(list)
    for right in denied:
        verbs[right.thing, right.why].append(right.verb)
    if not verbs:
        hint = f"this was about {who}; for Meltemi's pods add --as {other}" if other else ""
        yield fine("rbac", f"{who} may do all {asked} things that Meltemi does", hint)
    for (thing, why), lacking in verbs.items():
        text = f"{who} may not {' or '.join(lacking)} {thing}, which is for: {why}"
        yield error("rbac", text, apply, str(thing))
