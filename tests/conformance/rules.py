"""What a correct xDS server does, rule by rule: the specification, and what real clients need."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Strength(Enum):
    """Who asks for it."""

    MUST = "the specification demands it"
    SHOULD = "the specification advises it"
    PRACTICE = "real clients depend on it"


class Status(Enum):
    """What we do about it."""

    APPLIES = "applies"
    DEVIATION = "deviation"
    NOT_OFFERED = "not offered"


@dataclass(frozen=True, slots=True)
class Rule:
    """``source`` is public. ``why``: for what does not apply as it stands."""

    number: int
    strength: Strength
    sentence: str
    source: str
    status: Status = Status.APPLIES
    why: str = ""


MUST, SHOULD, PRACTICE = Strength
DEVIATION, NOT_OFFERED = Status.DEVIATION, Status.NOT_OFFERED

SECTIONS: dict[str, range] = {
    "Streams and requests": range(1, 16),
    "State of the world: versions, nonces, ACK and NACK": range(16, 41),
    "Wildcard": range(41, 51),
    "Delta": range(51, 70),
    "TTL, errors, order and lifecycle": range(70, 86),
}

ROUTES_HARM = (
    "for route tables, extensions and secrets: an empty or removed one makes a proxy fail calls "
    "or refuse the response, so their subscribers hear nothing until the resource exists"
)

_STREAMS = (
    Rule(
        1,
        MUST,
        "The aggregated service offers both its methods, and streams of both kinds live on one "
        "port at the same time.",
        "xDS protocol, RPC services and methods",
    ),
    Rule(
        2,
        MUST,
        "On an aggregated stream a request without `type_url` ends the stream with "
        "INVALID_ARGUMENT; on a service of one type it means that type.",
        "discovery.proto, DiscoveryRequest.type_url",
    ),
    Rule(
        3,
        MUST,
        "Only the first request of a stream carries the node, whichever type it is for.",
        "xDS protocol, Basic protocol overview",
    ),
    Rule(
        4,
        PRACTICE,
        "A first request without `node.id` ends the stream with INVALID_ARGUMENT and leaves "
        "nothing behind.",
        "Istio, pkg/xds/server.go",
    ),
    Rule(
        5,
        SHOULD,
        "A later request that names another node ends the stream.",
        "xDS protocol, Basic protocol overview; Kuma, pkg/xds/auth",
    ),
    Rule(
        6,
        MUST,
        "Each type is a stream of its own: its nonce, version, names and answers touch no other.",
        "xDS protocol, Aggregated discovery service; envoyproxy/envoy#37835",
    ),
    Rule(
        7,
        MUST,
        "A nonce dies with its stream: on a new stream an old nonce makes a request an initial "
        "one, not a stale one.",
        "xDS protocol, ACK/NACK; Istio, pkg/xds/server.go",
    ),
    Rule(
        8,
        MUST,
        "Every response has a nonce that is new on its stream, and the `type_url` of all its "
        "resources.",
        "discovery.proto, DiscoveryResponse",
    ),
    Rule(
        9,
        MUST,
        "No response carries a name twice.",
        "xDS protocol, Duplicate resource names",
    ),
    Rule(
        10,
        PRACTICE,
        "A type that is not served neither ends the stream nor disturbs other types.",
        "Istio, pilot/pkg/xds/xdsgen.go; go-control-plane, mux cache",
    ),
    Rule(
        11,
        PRACTICE,
        "A probe for a type that is not served may come first; the first real request is still "
        "an initial one.",
        "Istio, pkg/xds/server.go",
    ),
    Rule(
        12,
        MUST,
        "Fields that the server does not know are ignored, beside names that it does.",
        "discovery.proto, resource_locators",
    ),
    Rule(
        13,
        MUST,
        "A request may name several resources of any type.",
        "xDS protocol, Requesting multiple resources; envoyproxy/envoy#7529",
    ),
    Rule(
        14,
        PRACTICE,
        "An empty name and a repeated name in a list do no harm.",
        "ii/xds-test-harness, unsubscribing",
    ),
    Rule(
        15,
        SHOULD,
        "When the client closes its side, the server ends the stream well and forgets it.",
        "gRPC; go-control-plane, pkg/server",
    ),
)

_SOTW = (
    Rule(
        16,
        MUST,
        "An ACK is not answered.",
        "xDS protocol, When to send an update",
    ),
    Rule(
        17,
        MUST,
        "A NACK is told by `error_detail`, never by comparing versions.",
        "xDS protocol, ACK/NACK; envoyproxy/envoy#14841",
    ),
    Rule(
        18,
        MUST,
        "What was refused is not sent again; the next change is sent at once.",
        "xDS protocol, ACK/NACK; envoyproxy/go-control-plane#46",
    ),
    Rule(
        19,
        PRACTICE,
        "Also a NACK of the very first response, without any version, is not answered.",
        "go-control-plane, linear cache",
    ),
    Rule(
        20,
        MUST,
        "The names in a NACK count.",
        "xDS protocol, How the client specifies what resources to return",
    ),
    Rule(
        21,
        MUST,
        "A type's version belongs to the content: equal for all streams, other when anything "
        "changes.",
        "xDS protocol, ACK/NACK and resource type instance version",
    ),
    Rule(
        22,
        PRACTICE,
        "A replica or a restarted server never uses a version for other content.",
        "go-control-plane, WithVersionPrefix; Contour, snapshot versions",
    ),
    Rule(
        23,
        MUST,
        "A request with an old nonce is not answered as such.",
        "xDS protocol, Resource updates",
    ),
    Rule(
        24,
        PRACTICE,
        "The names in a request with an old nonce count, and new ones are answered.",
        "envoyproxy/envoy#10363",
    ),
    Rule(
        25,
        MUST,
        "A newly named resource is sent, though the version is the same, and though it was sent "
        "before.",
        "xDS protocol, How the client specifies what resources to return",
    ),
    Rule(
        26,
        MUST,
        "A name that is dropped and asked for again is sent again.",
        "xDS protocol, Unsubscribing from resources; envoyproxy/go-control-plane#431",
    ),
    Rule(
        27,
        MUST,
        "Fewer names are not answered for types whose responses are partial.",
        "xDS protocol, Unsubscribing from resources; Istio, pkg/xds/server.go",
    ),
    Rule(
        28,
        PRACTICE,
        "Where a response carries the full state, fewer names may be answered with what remains, "
        "and with nothing else.",
        "ii/xds-test-harness, unsubscribing",
    ),
    Rule(
        29,
        MUST,
        "Only a client's latest list of names counts.",
        "xDS protocol, How the client specifies what resources to return",
    ),
    Rule(
        30,
        MUST,
        "A response of listeners or clusters carries all that are subscribed; what it lacks is "
        "deleted, all if it is empty.",
        "xDS protocol, Grouping resources into responses; Deleting resources",
    ),
    Rule(
        31,
        MUST,
        "A response of any other type carries what changed; what it lacks stays.",
        "xDS protocol, Deleting resources",
    ),
    Rule(
        32,
        MUST,
        "A name that does not exist yet is remembered, and sent when it appears.",
        "xDS protocol, Knowing when a requested resource does not exist",
    ),
    Rule(
        33,
        PRACTICE,
        "A cluster without endpoints gets an empty assignment, for its proxy waits for one.",
        "xDS protocol, Resource warming; observed with Envoy 1.40",
    ),
    Rule(
        34,
        PRACTICE,
        "After a changed cluster its assignment is sent again, though it did not change and the "
        "request for it is the old one.",
        "envoyproxy/envoy#13009; Istio, pilot/pkg/xds",
    ),
    Rule(
        35,
        MUST,
        "Nothing waits for the answer to something that the client never asked for: such "
        "responses are not sent.",
        "xDS protocol, Unsubscribing from resources; observed with Envoy 1.40",
    ),
    Rule(
        36,
        MUST,
        "The first request of a reconnect is answered, whatever version it claims.",
        "xDS protocol, ACK/NACK and resource type instance version",
    ),
    Rule(
        37,
        SHOULD,
        "Content that did not change is not sent.",
        "xDS protocol, When to send an update",
    ),
    Rule(
        38,
        PRACTICE,
        "A late answer covers all responses before it, and its error may be about any of them; "
        "endpoints never wait for the answer about clusters.",
        "envoyproxy/envoy#9447; observed with Envoy 1.40",
    ),
    Rule(
        39,
        PRACTICE,
        "After a NACK part of the response may be in force: what was good in it is not sent "
        "again, and the version that is in force is the client's, not ours to assume.",
        "observed with Envoy 1.40",
    ),
    Rule(
        40,
        PRACTICE,
        "The text of a NACK names the resource that is at fault, where it does; it is kept as it "
        "is, with a bound.",
        "google.rpc.Status; observed with Envoy 1.40 and grpcio 1.85",
    ),
)

_WILDCARD = (
    Rule(
        41,
        MUST,
        "Subscribing to `*` asks for all that the server has for this node.",
        "xDS protocol, How the client specifies what resources to return",
    ),
    Rule(
        42,
        MUST,
        "No names at all, while none were ever named, mean `*`.",
        "xDS protocol, How the client specifies what resources to return",
    ),
    Rule(
        43,
        MUST,
        "Once something was named, no names mean nothing, for the rest of the stream.",
        "xDS protocol, How the client specifies what resources to return",
    ),
    Rule(
        44,
        MUST,
        "State of the world: a list without `*` drops the wildcard and keeps what it names.",
        "xDS protocol, Unsubscribing from resources",
    ),
    Rule(
        45,
        MUST,
        "Delta: a name added to the implied wildcard is asked for beside everything.",
        "xDS protocol, How the client specifies what resources to return",
    ),
    Rule(
        46,
        MUST,
        "Delta: dropping `*` keeps what was named.",
        "xDS protocol, Unsubscribing from resources",
    ),
    Rule(
        47,
        MUST,
        "Delta: a dropped name that the wildcard still covers is answered: sent again or removed.",
        "xDS protocol, Unsubscribing from resources",
    ),
    Rule(
        48,
        SHOULD,
        "Delta: a first request that adds and drops `*` subscribes to nothing.",
        "Istio, pilot/pkg/xds/delta.go",
    ),
    Rule(
        49,
        PRACTICE,
        "The implied wildcard is for listeners and clusters only.",
        "Istio, IsWildcardTypeURL; go-control-plane, DeactivateLegacyWildcardForTypes",
        DEVIATION,
        "the specification implies it for every type; for the others a first request without "
        "names is no wish for the world",
    ),
    Rule(
        50,
        SHOULD,
        "A glob collection is a plain name where collections are not served.",
        "cncf/xds, TP1",
    ),
)

_DELTA = (
    Rule(
        51,
        MUST,
        "Requests and responses are paired by the nonce alone.",
        "discovery.proto, DeltaDiscoveryResponse.nonce",
    ),
    Rule(
        52,
        MUST,
        "Each resource has its own version, and only what changed is sent.",
        "xDS protocol, Incremental xDS",
    ),
    Rule(
        53,
        MUST,
        "A request with an old nonce still subscribes and unsubscribes.",
        "discovery.proto, DeltaDiscoveryRequest.response_nonce; envoyproxy/envoy#16659",
    ),
    Rule(
        54,
        MUST,
        "One request may answer and change the subscription; empty lists change nothing.",
        "discovery.proto, DeltaDiscoveryRequest",
    ),
    Rule(
        55,
        MUST,
        "Every subscribed name is answered, though it was subscribed before at this version.",
        "xDS protocol, Subscribing to resources",
        DEVIATION,
        f"what exists is always answered; what does not is met with silence {ROUTES_HARM}",
    ),
    Rule(
        56,
        MUST,
        "A subscribed name that does not exist is answered by a removal, and stays subscribed.",
        "xDS protocol, Knowing when a requested resource does not exist",
        DEVIATION,
        f"the subscription stays; the removal is left out {ROUTES_HARM}",
    ),
    Rule(
        57,
        MUST,
        "A deleted resource is removed from every subscriber, once.",
        "xDS protocol, Deleting resources",
    ),
    Rule(
        58,
        MUST,
        "Dropping a name that was not subscribed does nothing; dropping names is not answered.",
        "xDS protocol, Unsubscribing from resources",
    ),
    Rule(
        59,
        MUST,
        "On a reconnect only what differs from `initial_resource_versions` is sent, and what is "
        "gone is removed.",
        "discovery.proto, DeltaDiscoveryRequest.initial_resource_versions",
        DEVIATION,
        "clusters that are gone are removed after they have lingered, since connections that are "
        "being drained still use them",
    ),
    Rule(
        60,
        MUST,
        "Names in `initial_resource_versions` alone are no subscription.",
        "xDS protocol, Subscribing to resources",
    ),
    Rule(
        61,
        MUST,
        "`initial_resource_versions` in a later request are ignored.",
        "discovery.proto, DeltaDiscoveryRequest.initial_resource_versions",
    ),
    Rule(
        62,
        PRACTICE,
        "A first wildcard request is answered, though there is nothing.",
        "go-control-plane, linear cache",
    ),
    Rule(
        63,
        PRACTICE,
        "With every changed cluster its assignment is sent unasked.",
        "envoyproxy/envoy#33607; observed with Envoy 1.40",
    ),
    Rule(
        64,
        PRACTICE,
        "On a reconnect types come in any order, and each is answered by itself.",
        "observed with Envoy 1.40",
    ),
    Rule(
        65,
        PRACTICE,
        "Extensions and secrets are never removed: the resource that names them drops them.",
        "envoyproxy/envoy#32823, envoyproxy/envoy#32832",
    ),
    Rule(
        66,
        PRACTICE,
        "Versions come from the content, so that a reconnect to another replica sends nothing.",
        "go-control-plane, HashResource",
    ),
    Rule(
        67,
        MUST,
        "Aliases match like names.",
        "xDS protocol, Aliases",
        NOT_OFFERED,
        "only virtual host discovery has them, which is for HTTP",
    ),
    Rule(
        68,
        MUST,
        "A NACK is told by `error_detail`; nothing is sent again but the next change.",
        "xDS protocol, Incremental xDS",
    ),
    Rule(
        69,
        PRACTICE,
        "A reconnect may list a hundred thousand versions in one request.",
        "envoyproxy/envoy#46072; Envoy Gateway, xDS server options",
    ),
)

NO_TTL = "what Meltemi serves is true until it changes; Envoy 1.40 does not announce the ability"

_LIFECYCLE = (
    Rule(70, MUST, "Resources may have a TTL.", "xDS protocol, TTL", NOT_OFFERED, NO_TTL),
    Rule(
        71,
        MUST,
        "A heartbeat renews a TTL without the resource.",
        "xDS protocol, TTL",
        NOT_OFFERED,
        NO_TTL,
    ),
    Rule(
        72,
        PRACTICE,
        "A state-of-the-world stream gets no heartbeats of listeners and clusters.",
        "observed with Envoy 1.40",
        NOT_OFFERED,
        "there are no heartbeats",
    ),
    Rule(
        73,
        MUST,
        "Errors of single resources are sent as `resource_errors`.",
        "cncf/xds, TP3; gRPC proposal A88",
        NOT_OFFERED,
        "Envoy 1.40 does not read them",
    ),
    Rule(
        74,
        MUST,
        "Make before break: clusters, their endpoints, listeners, routes, and removals last.",
        "xDS protocol, Eventual consistency considerations",
    ),
    Rule(
        75,
        PRACTICE,
        "What adds and what removes clusters are two responses, and the second waits until "
        "nothing names them.",
        "kumahq/kuma#4556; envoyproxy/go-control-plane#353",
    ),
    Rule(
        76,
        SHOULD,
        "Types that are due at once are sent in one order.",
        "go-control-plane, pkg/cache/types; Istio, PushOrder",
    ),
    Rule(
        77,
        PRACTICE,
        "The order holds under load, and what a changed subscription made void is not sent.",
        "go-control-plane, WithOrderedADS; envoyproxy/go-control-plane#1498",
    ),
    Rule(
        78,
        PRACTICE,
        "One response of a type is unanswered at most, for a bounded time; then the newest state "
        "follows.",
        "istio/istio#28261",
    ),
    Rule(
        79,
        PRACTICE,
        "Nobody is served before the configuration is complete.",
        "istio/istio#25495",
    ),
    Rule(
        80,
        SHOULD,
        "The server finishes what is due before it ends a stream.",
        "gRPC proposal A57",
    ),
    Rule(
        81,
        MUST,
        "The status of an ended stream says why: UNAUTHENTICATED, PERMISSION_DENIED, "
        "RESOURCE_EXHAUSTED, UNAVAILABLE.",
        "gRPC status codes; Istio, Envoy Gateway",
    ),
    Rule(
        82,
        PRACTICE,
        "A request for some of what there is is answered.",
        "go-control-plane, simple cache",
    ),
    Rule(
        83,
        SHOULD,
        "Unknown fields in resources pass unchanged.",
        "xDS protocol, Protoc-gen-validate annotations",
    ),
    Rule(
        84,
        PRACTICE,
        "Responses carry `control_plane.identifier`.",
        "discovery.proto, ControlPlane; observed with Envoy 1.40",
    ),
    Rule(
        85,
        SHOULD,
        "What is asked for on demand is answered at once, found or not.",
        "xDS protocol, On-demand; observed with Envoy 1.40",
    ),
)

RULES = {rule.number: rule for rule in (*_STREAMS, *_SOTW, *_WILDCARD, *_DELTA, *_LIFECYCLE)}
"""The catalogue, by number."""
