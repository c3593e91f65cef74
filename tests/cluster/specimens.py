"""Objects of every kind that we define, which together have every field, and how they go wrong."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import yaml

Object = dict[str, Any]

_AERAKI = """
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: aeraki-routes}
spec:
  hosts: [orders.shop.svc.cluster.local]
  gateways: [istio-system/entrance]
  exportTo: [.]
  routes:
  - name: canary
    match:
      attributes:
        interface: {exact: com.example.Orders}
        method: {prefix: list}
        user: {regex: 'a.*'}
        anything: {exact: ''}
        traced: {}
    route:
    - destination: {host: orders.shop.svc.cluster.local, subset: v1, port: {number: 20880}}
      weight: 80
    - destination: {host: orders.shop.svc.cluster.local, subset: v2}
      weight: 20
    mirror: {host: orders.shop.svc.cluster.local, subset: v3, port: {number: 20880}}
    mirrorPercentage: {value: 12.5}
    requestMutation: [{key: from, value: mesh}]
    responseMutation: [{key: by, value: v1}]
  - route: [{destination: {host: Orders.Shop.SVC.cluster.local.}}]
---
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: aeraki-limits}
spec:
  hosts: [orders.shop.svc.cluster.local]
  localRateLimit:
    tokenBucket: {maxTokens: 10, tokensPerFill: 10, fillInterval: 60s}
    conditions:
    - match: {attributes: {method: {exact: pay}}}
      tokenBucket: {maxTokens: 2, tokensPerFill: null, fillInterval: 1s}
  globalRateLimit:
    match: {attributes: {method: {exact: pay}}}
    domain: production
    denyOnFail: true
    requestTimeout: 100ms
    rateLimitService: outbound|8081||limits.shop.svc.cluster.local
    descriptors: [{property: method, descriptorKey: method}]
---
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: ApplicationProtocol
metadata: {name: aeraki-protocol}
spec: {protocol: trpc, codec: aeraki.meta_protocol.codec.trpc}
---
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {name: aeraki-redis}
spec:
  host: [cache.shop.svc.cluster.local, other.shop.svc.cluster.local]
  settings:
    auth: {secret: {name: password, passwordField: pass, usernameField: user}}
    opTimeout: 3s
    bufferFlushTimeout: 0.003s
    maxBufferSizeBeforeFlush: 1024
    maxUpstreamUnknownConnections: null
    caseInsensitive: true
    enableCommandStats: true
    enableHashtagging: true
    enableRedirection: true
    readPolicy: PREFER_REPLICA
  redis:
  - match: {key: {prefix: cart, removePrefix: true}}
    route: {host: carts.shop.svc.cluster.local, port: 6379}
    mirror:
    - route: {host: copy.shop.svc.cluster.local, port: 6380}
      percentage: {value: 30}
      excludeReadCommands: true
  - route: {host: cache.shop.svc.cluster.local}
  faults:
  - {type: DELAY, percentage: {value: 5}, delay: 2s, commands: [GET]}
  - {type: ERROR, percentage: {value: 1}}
---
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisDestination
metadata: {name: aeraki-destination}
spec:
  host: cache.shop.svc.cluster.local
  trafficPolicy:
    connectionPool:
      tcp:
        maxConnections: 100
        connectTimeout: 5s
        tcpKeepalive: {probes: 3, time: 60s, interval: 10s}
      redis:
        mode: CLUSTER
        auth: {plain: {username: reader, password: open-sesame}}
        discoveryEndpoints: ['cache.shop.svc.cluster.local:6379', '10.0.0.1:6379']
---
apiVersion: dubbo.aeraki.io/v1alpha1
kind: DubboAuthorizationPolicy
metadata: {name: aeraki-policy}
spec:
  action: DENY
  rules:
  - from: [{source: {namespaces: [shop], notNamespaces: [], principals: [a], notPrincipals: [b]}}]
    to: [{operation: {interfaces: [c], notInterfaces: [], methods: [list*], notMethods: [pay]}}]
"""

_OURS = """
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {name: routes}
spec:
  hosts: [orders]
  routes:
  - match:
      attributes:
        a: {suffix: z, invert: true}
        b: {present: false}
        c: {range: {start: -5, end: 5}}
        d: null
    route: [{destination: {host: orders}}]
    mirrors:
    - {destination: {host: copy}, percentage: 5}
    - {destination: {host: copy, subset: v1}, percentage: {value: 7.5}}
    timeout: 1m30s
    retries: {attempts: 2}
---
apiVersion: redis.aeraki.io/v1alpha1
kind: RedisService
metadata: {name: redis}
spec:
  host: [cache]
  settings:
    auth: {plain: {username: u, password: open-sesame}}
    opTimeout: 250ms
    maxUpstreamUnknownConnections: 7
---
apiVersion: meltemi.io/v1alpha1
kind: KafkaCluster
metadata: {name: ports}
spec:
  host: kafka.example
  listeners: {bootstrap: 9092, portBase: 19000}
  brokers: [{id: 0, host: 10.0.0.1, port: 9093}, {id: 7, host: 10.0.0.2}]
  advertised: [{id: 0, host: 10.9.0.1, port: 9092}, {id: 7, host: 10.9.0.2}]
  apiKeys: {allow: [Produce, 1, Metadata], deny: [CreateTopics]}
---
apiVersion: meltemi.io/v1alpha1
kind: KafkaCluster
metadata: {name: names}
spec:
  host: kafka.example
  listeners: {sni: {port: 9094, domain: kafka.example}}
  statefulSet: {name: kafka, replicas: 3, port: 9092}
  advertised: {host: 10.9.0.1, portBase: 9000}
"""


def of_aeraki() -> list[Object]:
    """As users of Aeraki write them: every field that its definitions have."""
    return list(yaml.safe_load_all(_AERAKI))


def all_objects() -> list[Object]:
    """Those, and what only Meltemi has."""
    return [*of_aeraki(), *yaml.safe_load_all(_OURS)]


def named(name: str) -> Object:
    """A copy of the one of that name."""
    return deepcopy(next(each for each in all_objects() if each["metadata"]["name"] == name))


def changed(name: str, change: Object) -> Object:
    """A copy in which fields are replaced: ``{"spec.routes.0.name": "x"}``. What is ``DROPPED`` is
    taken out.
    """
    found = named(name)
    for path, value in change.items():
        *steps, last = path.split(".")
        parent: Any = found
        for step in steps:
            parent = parent[int(step) if isinstance(parent, list) else step]
        key: Any = int(last) if isinstance(parent, list) else last
        if value is DROPPED:
            del parent[key]
        else:
            parent[key] = value
    return found


DROPPED = object()

_TWO = "spec.routes.0.route"
_KEYS = "spec.apiKeys.deny"

MISTAKES: tuple[tuple[str, Object, str, str], ...] = (
    # Which object, what is changed, the field that is named, and words of the sentence.
    ("routes", {"spec": DROPPED}, "spec", "Required value"),
    ("routes", {"spec.hosts": DROPPED}, "spec.hosts", "Required value"),
    ("routes", {"spec.hosts": []}, "spec.hosts", "at least 1 items"),
    ("routes", {"spec.hosts": ["a.b", "c.d"]}, "spec.hosts", "at most 1 item"),
    ("routes", {"spec.hosts": ["*.example"]}, "spec.hosts[0]", "should match"),
    ("routes", {"spec.hosts": ["10.0.0.1"]}, "spec.hosts[0]", "should match"),
    ("routes", {"spec.hosts": [f"{'a' * 60}." * 5]}, "spec.hosts[0]", "Too long"),
    ("routes", {"spec.routes": DROPPED}, "spec.routes", "needs routes or a rate limit"),
    ("routes", {"spec.routes": []}, "spec.routes", "needs routes or a rate limit"),
    ("routes", {_TWO: DROPPED}, _TWO, "Required value"),
    ("routes", {_TWO: []}, _TWO, "at least 1 items"),
    ("aeraki-routes", {f"{_TWO}.0.weight": 70}, _TWO, "make their sum 100"),
    ("aeraki-routes", {f"{_TWO}.0.weight": DROPPED}, _TWO, "make their sum 100"),
    ("aeraki-routes", {f"{_TWO}.0.weight": 101}, f"{_TWO}.0.weight", "less than or equal to 100"),
    ("aeraki-routes", {f"{_TWO}.0.weight": -1}, f"{_TWO}.0.weight", "greater than or equal to 0"),
    ("routes", {f"{_TWO}.0.destination": DROPPED}, f"{_TWO}.0.destination", "Required value"),
    ("routes", {f"{_TWO}.0.destination": {}}, f"{_TWO}.0.destination.host", "Required value"),
    (
        "aeraki-routes",
        {f"{_TWO}.0.destination.port.number": 65536},
        f"{_TWO}.0.destination.port.number",
        "less than or equal to 65535",
    ),
    ("aeraki-routes", {"spec.routes.0.mirror": DROPPED}, "spec.routes.0.mirrorPercentage", "alone"),
    (
        "aeraki-routes",
        {"spec.routes.0.mirrorPercentage.value": 100.5},
        "spec.routes.0.mirrorPercentage.value",
        "less than or equal to 100",
    ),
    (
        "aeraki-routes",
        {"spec.routes.0.requestMutation.0.key": ""},
        "spec.routes.0.requestMutation.0.key",
        "at least 1 chars long",
    ),
    (
        "aeraki-routes",
        {"spec.routes.0.match.attributes.user.exact": "b"},
        "spec.routes.0.match.attributes[user]",
        "exclude each other",
    ),
    (
        "aeraki-routes",
        {"spec.routes.0.match.attributes": {"": {"exact": "b"}}},
        "spec.routes.0.match.attributes",
        "name the attribute",
    ),
    (
        "routes",
        {"spec.routes.0.match.attributes.c.range.start": 5},
        "spec.routes.0.match.attributes[c].range.start",
        "make start less than end",
    ),
    ("routes", {"spec.routes.0.timeout": "90"}, "spec.routes.0.timeout", "a number and a unit"),
    ("routes", {"spec.routes.0.timeout": "10000h"}, "spec.routes.0.timeout", "to a year"),
    ("routes", {"spec.routes.0.timeout": "1us"}, "spec.routes.0.timeout", "from 1ms"),
    ("routes", {"spec.routes.0.retries.attempts": 101}, "spec.routes.0.retries.attempts", "100"),
    (
        "routes",
        {"spec.routes.0.mirrors.0.percentage": 101},
        "spec.routes.0.mirrors",
        "equal to 100",
    ),
    ("aeraki-redis", {"spec.redis.0.route": DROPPED}, "spec.redis.0.route", "Required value"),
    (
        "aeraki-redis",
        {"spec.redis.0.mirror.0.percentage": DROPPED},
        "spec.redis.0.mirror.0.percentage",
        "Required value",
    ),
    ("aeraki-redis", {"spec.faults.1.percentage": DROPPED}, "spec.faults.1.percentage", "Required"),
    ("aeraki-redis", {"spec.faults.1.type": "PANIC"}, "spec.faults.1.type", "Unsupported value"),
    ("aeraki-redis", {"spec.settings.opTimeout": "soon"}, "spec.settings.opTimeout", "match"),
    (
        "aeraki-redis",
        {"spec.settings.auth.plain": {"password": "x"}},
        "spec.settings.auth",
        "write one of them",
    ),
    (
        "aeraki-destination",
        {"spec.trafficPolicy.connectionPool.redis.mode": "SENTINEL"},
        "spec.trafficPolicy.connectionPool.redis.mode",
        "Unsupported value",
    ),
    ("ports", {"spec.host": "*.example"}, "spec.host", "should match"),
    ("ports", {"spec.brokers": DROPPED}, "spec.brokers", "exactly one of brokers and statefulSet"),
    ("ports", {"spec.brokers": []}, "spec.brokers", "exactly one of brokers and statefulSet"),
    (
        "ports",
        {"spec.statefulSet": {"name": "kafka", "replicas": 1}},
        "spec.brokers",
        "exactly one of brokers and statefulSet",
    ),
    ("ports", {"spec.brokers.1.id": 0}, "spec.brokers.1", "Duplicate value"),
    ("ports", {"spec.brokers.1.id": 60000}, "spec.listeners.portBase", "from 1 to 65535"),
    ("ports", {"spec.listeners.portBase": 9085}, "spec.listeners.portBase", "bootstrap"),
    ("ports", {"spec.listeners.portBase": DROPPED}, "spec.listeners", "exactly one of portBase"),
    (
        "names",
        {"spec.listeners": {"portBase": 9090}},
        "spec.listeners.portBase",
        "not the port of bootstrap",
    ),
    ("names", {"spec.listeners": {"portBase": 65534}}, "spec.listeners.portBase", "to 65535"),
    ("names", {"spec.listeners.bootstrap": 9092}, "spec.listeners.bootstrap", "remove bootstrap"),
    ("names", {"spec.listeners.sni.domain": ""}, "spec.listeners.sni.domain", "should match"),
    ("names", {"spec.statefulSet.replicas": 0}, "spec.statefulSet.replicas", "equal to 1"),
    ("names", {"spec.advertised": {"host": "10.9.0.1"}}, "spec.advertised.portBase", "Required"),
    ("ports", {_KEYS: ["Prodcue"]}, _KEYS, "no API key of Kafka"),
    ("ports", {_KEYS: [32768]}, _KEYS, "no API key of Kafka"),
    ("ports", {_KEYS: []}, _KEYS, "at least 1 items"),
)
