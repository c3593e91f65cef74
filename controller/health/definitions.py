"""The kinds of the cluster: whether ours are defined as this version needs them, and Istio's."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from meltemi.controller.crds import DEFINITIONS, OURS, VERSION
from meltemi.controller.health.result import error, fine, listed, warning
from meltemi.controller.kube.kinds import WATCHED
from meltemi.controller.kube.mirror import mapping, mappings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meltemi.controller.crds import Definition
    from meltemi.controller.health.result import Result
    from meltemi.controller.kube.mirror import Body

APPLY = "meltemi manifests crds | kubectl apply --server-side -f -"
TAKE_OVER = f"{APPLY} --force-conflicts (objects stay as they are)"
ISTIO_GROUP = "networking.istio.io"
ISTIO = tuple(kind for kind in WATCHED if kind.group == ISTIO_GROUP)
INSTALL_ISTIO = "install the definitions of an Istio that is not older than 1.18"

_PATH_ONLY = frozenset({"schema", "openAPIV3Schema", "properties"})
_SAYS_NOTHING = frozenset({"description"})
"""What has no effect on objects."""


def definition_results(found: Mapping[str, Body | None]) -> Iterator[Result]:
    """``found``: the CustomResourceDefinitions by name, None where there is none."""
    wrong = [
        result
        for each in DEFINITIONS
        if (result := _judged(each, found.get(each.name))) is not None
    ]
    if not wrong:
        yield fine("crds", f"{len(DEFINITIONS)} definitions are as this version needs them")
    yield from wrong


def _judged(definition: Definition, found: Body | None) -> Result | None:
    name = definition.name
    if found is None:
        tell = error if definition.decoded else warning
        return tell("crds", f"{name} is not defined, so nobody can write such objects", APPLY, name)
    if (why := _not_established(found)) is not None:
        return error("crds", f"{name} is not served: {why}", APPLY, name)
    version = served(found)
    if version is None:
        return error("crds", f"{name} is not served as {VERSION}, which is read", TAKE_OVER, name)
    (ours,) = mappings(mapping(definition.to_dict()["spec"])["versions"])
    differences = [*_differences(ours, version, "")]
    if not differences:
        return None
    by = "" if _labels(found).get("app.kubernetes.io/part-of") == OURS else ", but somebody else's"
    text = f"{name} is not the one of this version{by}: {listed(differences)}"
    return warning("crds", text, TAKE_OVER if by else APPLY, name)


def _labels(found: Body) -> Body:
    return mapping(mapping(found.get("metadata")).get("labels"))


def _not_established(found: Body) -> str | None:
    """Why, where it is not."""
    conditions = mappings(mapping(found.get("status")).get("conditions"))
    by_type = {each.get("type"): each for each in conditions}
    for wanted in ("NamesAccepted", "Established"):
        condition = by_type.get(wanted, {})
        if condition.get("status") != "True":
            return str(condition.get("message") or f"it is not {wanted} yet")
    return None


def served(found: Body) -> Body | None:
    """The version that is read, of those that a definition serves."""
    for each in mappings(mapping(found.get("spec")).get("versions")):
        if each.get("name") == VERSION and each.get("served"):
            return each
    return None


def _differences(ours: object, theirs: object, path: str) -> Iterator[str]:
    """Clauses, for what has an effect on objects."""
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        if ours != theirs:
            yield f"{path} differs"
        return
    mine, others = cast("Body", ours), cast("Body", theirs)
    for key in sorted((mine.keys() | others.keys()) - _SAYS_NOTHING):
        at = _joined(path, key)
        if key not in others:
            yield f"{at} is missing"
        elif key not in mine:
            yield f"{at} is unknown here"
        else:
            yield from _differences(mine[key], others[key], at)


def _joined(path: str, key: str) -> str:
    """As users write it: ``spec.routes[].name``."""
    if key in _PATH_ONLY:
        return path or key
    if key == "items":
        return f"{path}[]"
    return key if not path or path in _PATH_ONLY else f"{path}.{key}"


def istio_results(found: Mapping[str, frozenset[str]]) -> Iterator[Result]:
    """``found``: the plurals that the API server serves in Istio's group, by version."""
    if not found:
        yield fine("istio", "Istio's kinds are not installed: Services and our own kinds are read")
        return
    absent = [
        kind.plural
        for kind in ISTIO
        if not any(kind.plural in found.get(version, ()) for version in kind.versions)
    ]
    if absent:
        versions = " or ".join(ISTIO[0].versions)
        text = f"Istio's {listed(absent)} cannot be read: they are not served as {versions}"
        yield warning("istio", text, INSTALL_ISTIO)
    else:
        yield fine("istio", f"{listed((kind.plural for kind in ISTIO), 9)} of Istio can be read")
