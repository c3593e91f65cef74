"""The kinds of the cluster: whether ours are defined as this version needs them, and Istio's."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from meltemi.controller.crds.definitions import DEFINITIONS, OURS, VERSION
from meltemi.controller.health.result import error, fine, listed, warning
from meltemi.controller.kube.kinds import WATCHED
from meltemi.controller.kube.mirror import mapping, mappings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from meltemi.controller.crds.definitions import Definition
    from meltemi.controller.health.result import Result
    from meltemi.controller.kube.mirror import Body

APPLY = "meltemi manifests crds | kubectl apply --server-side -f -"
TAKE_OVER = (
    "meltemi manifests crds | kubectl apply --server-side --force-conflicts -f - (objects stay as "
    "they are)"
)
ISTIO_GROUP = "networking.istio.io"
ISTIO = tuple(kind for kind in WATCHED if kind.group == ISTIO_GROUP)
INSTALL_ISTIO = "install the definitions of an Istio that is not older than 1.18"

_SCHEMA = "schema"
_PATH_ONLY = frozenset({_SCHEMA, "openAPIV3Schema", "properties"})
_SAYS_NOTHING = frozenset({"description"})
"""What has no effect on objects."""

_EVERYWHERE = _SAYS_NOTHING | {"apiVersion", "kind", "metadata"}
"""What every object has, whether or not its schema says so."""


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
    version = _served(found)
    if version is None:
        return error("crds", f"{name} is not served as {VERSION}, which is read", TAKE_OVER, name)
    (ours,) = mappings(mapping(definition.to_dict()["spec"])["versions"])
    differences = _differences(ours, version)
    if not differences:
        return None
    theirs = _labels(found).get("app.kubernetes.io/part-of") != OURS
    whose = "somebody else's, such as Aeraki's" if theirs else "another version's"
    text = f"{name} is {whose}: {differences}"
    return warning("crds", text, TAKE_OVER if theirs else APPLY, name)


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


def _served(found: Body) -> Body | None:
    """The version that is read, of those that a definition serves."""
    for each in mappings(mapping(found.get("spec")).get("versions")):
        if each.get("name") == VERSION and each.get("served"):
            return each
    return None


def _differences(ours: Body, theirs: Body) -> str:
    """What has an effect on objects, as clauses; empty where there is nothing."""
    found: dict[str, list[str]] = {}
    for clause, path in sorted(_compared(ours, theirs, ""), key=lambda each: _weight(each[1])):
        found.setdefault(clause, []).append(path)
    return "; ".join(f"{clause} {listed(paths)}" for clause, paths in found.items())


def _weight(path: str) -> tuple[bool, bool, int, str]:
    """Without its own subresource nobody can write a status; then come what users write."""
    parts = path.split(".")
    return parts[0] != "subresources", parts[0] != "spec", len(parts), path


def _compared(ours: object, theirs: object, path: str) -> Iterator[tuple[str, str]]:
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        if ours != theirs:
            yield "it differs in", path
        return
    mine, others = cast("Body", ours), cast("Body", theirs)
    ignored = _EVERYWHERE if path == _SCHEMA else _SAYS_NOTHING
    for key in (mine.keys() | others.keys()) - ignored:
        at = _joined(path, key)
        if key not in others:
            yield "it lacks", at
        elif key not in mine:
            yield "it also has", at
        else:
            yield from _compared(mine[key], others[key], at)


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
