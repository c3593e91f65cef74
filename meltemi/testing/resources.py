"""Resources and a type table for tests of the xDS engine, which never looks into a body.

A body is ``name=content``, so that a test can tell what it received.
"""

from __future__ import annotations

from meltemi.xds.resource import (
    CLUSTER,
    ENDPOINT,
    LISTENER,
    RUNTIME,
    SECRET,
    Key,
    Missing,
    Removal,
    Resource,
    TypeRules,
    TypeUrl,
    content_version,
)

ROUTE: TypeUrl = "type.googleapis.com/test.Routes"


def empty(name: str) -> bytes:
    """The body of what is made for a name that does not exist."""
    return f"{name}=".encode()


RULES = (
    TypeRules(RUNTIME, missing_sotw=empty, missing_delta=empty),
    TypeRules(SECRET),
    TypeRules(
        CLUSTER,
        full_state=True,
        wildcard=True,
        missing_delta=Missing.REMOVED,
        removal=Removal.LINGER,
    ),
    TypeRules(
        ENDPOINT,
        missing_sotw=empty,
        missing_delta=Missing.REMOVED,
        removal=Removal.WITH_PARENT,
    ),
    TypeRules(
        LISTENER,
        full_state=True,
        wildcard=True,
        missing_delta=Missing.REMOVED,
        removal=Removal.AT_ONCE,
        gated=True,
    ),
    TypeRules(ROUTE, gated=True),
)
"""A small table with every kind of behaviour, in push order."""


def cluster(name: str, content: str = "1", *, warming: float = 0.0) -> Resource:
    """A cluster that names its assignment."""
    return _make(CLUSTER, name, content, frozenset({Key(ENDPOINT, name)}), warming)


def endpoint(name: str, content: str = "1") -> Resource:
    """The assignment of the cluster of that name."""
    return _make(ENDPOINT, name, content)


def listener(name: str, *clusters: str, content: str = "1") -> Resource:
    """A listener that names clusters."""
    return _make(LISTENER, name, content, frozenset(Key(CLUSTER, each) for each in clusters))


def route(name: str, *clusters: str, content: str = "1") -> Resource:
    """A route table that names clusters."""
    return _make(ROUTE, name, content, frozenset(Key(CLUSTER, each) for each in clusters))


def plain(type_url: TypeUrl, name: str, content: str = "1") -> Resource:
    """A resource that names nothing."""
    return _make(type_url, name, content)


def _make(
    type_url: TypeUrl,
    name: str,
    content: str,
    references: frozenset[Key] = frozenset(),
    warming: float = 0.0,
) -> Resource:
    body = f"{name}={content}".encode()
    origins = (f"origin of {name}",)
    return Resource(type_url, name, content_version(body), body, references, warming, origins)
