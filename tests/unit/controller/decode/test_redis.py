"""RedisServices and RedisDestinations as Aeraki's users write them."""

from __future__ import annotations

import pytest

from meltemi.controller.store.objects import Invalid
from meltemi.protocols.model import (
    Destination,
    Matcher,
    MatchKind,
    Mirror,
    PlainCredentials,
    RedisFault,
    RedisSettings,
    RedisUpstream,
    Ref,
    Rule,
    SecretRef,
    UnreadableCredentials,
)
from tests.written import decoded, outcomes, problems, rejected, told, value

OBJECT = Ref("RedisService", "redis", "cache")
OBJECT_OF_UPSTREAM = Ref("RedisDestination", "redis", "cache")
CACHE = "cache.redis.svc.cluster.local"


def service(*lines: str) -> str:
    return (
        "apiVersion: redis.aeraki.io/v1alpha1\nkind: RedisService\n"
        "metadata: {name: cache, namespace: redis}\nspec:\n  host: [cache]\n"
        + "".join(f"  {line}\n" for line in lines)
    )


def destination(policy: str) -> str:
    return (
        "apiVersion: redis.aeraki.io/v1alpha1\nkind: RedisDestination\n"
        "metadata: {name: cache, namespace: redis}\n"
        f"spec: {{host: cache, trafficPolicy: {{connectionPool: {policy}}}}}\n"
    )


def test_settings_have_aerakis_defaults() -> None:
    assert value(service(), RedisSettings) == RedisSettings(OBJECT, (CACHE,))


def test_without_routes_there_is_no_rule() -> None:
    assert not any(isinstance(entry, Rule) for entry in decoded(service()).values)


def test_every_setting_arrives() -> None:
    text = service(
        "settings:",
        "  {opTimeout: 5s, bufferFlushTimeout: 3ms, maxBufferSizeBeforeFlush: 1024,",
        "   maxUpstreamUnknownConnections: 9, caseInsensitive: true, enableCommandStats: true,",
        "   enableHashtagging: true, enableRedirection: true, readPolicy: PREFER_REPLICA}",
        "faults: [{type: ERROR, percentage: {value: 5}, delay: 2s, commands: [GET]},",
        "  {percentage: {value: 1}}]",
    )
    assert value(text, RedisSettings) == RedisSettings(
        OBJECT,
        (CACHE,),
        op_timeout=5.0,
        buffer_flush_timeout=0.003,
        max_buffer_size_before_flush=1024,
        max_upstream_unknown_connections=9,
        case_insensitive=True,
        enable_command_stats=True,
        enable_hashtagging=True,
        enable_redirection=True,
        read_policy="PREFER_REPLICA",
        faults=(RedisFault("ERROR", 5.0, 2.0, ("GET",)), RedisFault("DELAY", 1.0)),
    )


def test_routes_are_prefixes_the_longest_first_and_the_catch_all_last() -> None:
    text = service(
        "redis:",
        "- route: {host: main}",
        "- {match: {key: {prefix: a}}, route: {host: short, port: 6380}}",
        "- {match: {key: {prefix: ab, removePrefix: true}}, route: {host: long}}",
    )
    routes = value(text, Rule).routes
    assert [route.match for route in routes] == [
        {"key": Matcher(MatchKind.PREFIX, "ab")},
        {"key": Matcher(MatchKind.PREFIX, "a")},
        {},
    ]
    assert [route.ref.field for route in routes] == [
        "spec.redis[2]",
        "spec.redis[1]",
        "spec.redis[0]",
    ]
    assert [route.remove_prefix for route in routes] == [True, False, False]
    assert routes[1].destinations == (Destination("short.redis.svc.cluster.local", 6380),)


@pytest.mark.parametrize(
    ("settings", "prefixes", "left"),
    [("{}", "aa", 1), ("{}", "aA", 2), ("{caseInsensitive: true}", "aA", 1)],
)
def test_of_two_equal_prefixes_the_first_stays(settings: str, prefixes: str, left: int) -> None:
    text = service(
        f"settings: {settings}",
        "redis:",
        *(
            f"- {{match: {{key: {{prefix: {p}}}}}, route: {{host: x{i}}}}}"
            for i, p in enumerate(prefixes)
        ),
    )
    served = [route.ref.field for route in value(text, Rule).routes if not route.flaw]
    assert sorted(served) == ["spec.redis[0]", "spec.redis[1]"][:left]
    expected = [] if left == 2 else [("MEL0310", "spec.redis[1]")]
    assert told(text) == expected
    assert all(problem.unserved for problem in problems(text))


def test_fixed_defect_a_second_catch_all_does_not_replace_the_first() -> None:
    text = service("redis: [{route: {host: one.x}}, {route: {host: two.x}}]")
    first, second = value(text, Rule).routes
    assert (first.destinations, first.flaw) == ((Destination("one.x"),), "")
    assert (second.destinations, bool(second.flaw)) == ((Destination("two.x"),), True)


@pytest.mark.parametrize(
    ("match", "field"),
    [
        ("matches: {key: {prefix: a}}", "matches"),
        ("match: {keys: {prefix: a}}", "match.keys"),
        ("match: {key: {prefixes: a}}", "match.key.prefixes"),
    ],
)
def test_a_match_that_is_misspelt_never_takes_every_key(match: str, field: str) -> None:
    text = service("redis:", f"- {{{match}, route: {{host: a.x}}}}", "- {route: {host: all.x}}")
    (problem,) = problems(text)
    assert (problem.code, problem.about.field) == ("MEL0316", f"spec.redis[0].{field}")
    flawed, rest = value(text, Rule).routes
    assert (flawed.flaw, rest.flaw) == (problem.cause, "")


def test_fixed_defect_a_mirror_goes_to_its_own_port() -> None:
    text = service(
        "redis:",
        "- route: {host: main.x, port: 1}",
        "  mirror: [{route: {host: copy.x, port: 2}, percentage: {value: 0},",
        "    excludeReadCommands: true}]",
    )
    (route,) = value(text, Rule).routes
    assert route.mirrors == (Mirror(Destination("copy.x", 2), 0.0, exclude_reads=True),)


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("redis: [{match: {key: {prefix: a}}}]", "spec.redis[0].route"),
        ("redis: [{route: {host: a.x}, mirror: [{route: {host: b.x}}]}]",
         "spec.redis[0].mirror[0].percentage"),
        ("faults: [{type: DELAY}]", "spec.faults[0].percentage"),
    ],
)  # fmt: skip
def test_fixed_defect_what_made_aeraki_crash_is_reported(line: str, field: str) -> None:
    assert rejected(service(line)) == [("MEL0109", field)]


def test_credentials_by_reference_have_default_keys_and_the_objects_namespace() -> None:
    text = service("settings: {auth: {secret: {name: s}}}")
    where = OBJECT.at("spec.settings.auth.secret")
    assert value(text, RedisSettings).auth == SecretRef("redis", "s", where)
    assert told(text) == []


def test_fixed_defect_both_keys_of_a_secret_can_be_named() -> None:
    text = service("settings: {auth: {secret: {name: s, passwordField: p, usernameField: u}}}")
    auth = value(text, RedisSettings).auth
    assert isinstance(auth, SecretRef)
    assert (auth.password_key, auth.username_key) == ("p", "u")


def test_a_password_in_plain_text_is_taken_with_a_warning_that_does_not_show_it() -> None:
    text = service("settings: {auth: {plain: {username: u, password: hush}}}")
    auth = value(text, RedisSettings).auth
    assert isinstance(auth, PlainCredentials)
    assert (auth.username, auth.password) == ("u", "hush")
    assert told(text) == [("MEL0404", "spec.settings.auth.plain")]
    assert "hush" not in repr((decoded(text), problems(text)))


UNREADABLE = [
    ("{}", ""),
    ("", ""),
    ("[]", ""),
    ("hush", ""),
    ("{plain: {password: x}, secret: {name: s}}", ""),
    ("{plain: {password: 1234}}", ".plain.password"),
    ("{plain: {password: ' '}}", ".plain.password"),
    ("{plain: {username: u}}", ".plain.password"),
    ("{plain: {password: x, usename: u}}", ".plain.usename"),
    ("{secret: {name: ''}}", ".secret.name"),
    ("{secret: {name: s, passwordKey: p}}", ".secret.passwordKey"),
    ("{secrets: {name: s}, plain: {password: x}}", ".secrets"),
]


@pytest.mark.parametrize(("auth", "member"), UNREADABLE)
def test_what_asks_for_a_password_and_cannot_be_read_locks(auth: str, member: str) -> None:
    text = service(f"settings: {{opTimeout: 5s, auth: {auth}}}")
    field = f"spec.settings.auth{member}"
    assert told(text) == [("MEL0409", field)]
    settings = value(text, RedisSettings)
    assert settings.auth == UnreadableCredentials(OBJECT.at(field))
    assert settings.op_timeout == 5.0


@pytest.mark.parametrize(("auth", "member"), UNREADABLE)
def test_what_the_servers_should_be_told_and_cannot_be_read_locks(auth: str, member: str) -> None:
    text = destination(f"{{redis: {{auth: {auth}}}}}")
    field = f"spec.trafficPolicy.connectionPool.redis.auth{member}"
    assert told(text) == [("MEL0409", field)]
    assert value(text, RedisUpstream).auth == UnreadableCredentials(OBJECT_OF_UPSTREAM.at(field))


def test_a_password_that_cannot_be_read_is_not_shown() -> None:
    text = service("settings: {auth: hush}")
    assert "hush" not in repr((decoded(text), problems(text)))


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("settings: {auht: {secret: {name: s}}}", "spec.settings.auht"),
        ("settings: {Auth: {secret: {name: s}}}", "spec.settings.Auth"),
        ("settings: {authentication: {secret: {name: s}}}", "spec.settings.authentication"),
        ("settings: {settings: {auth: {}}}", "spec.settings.settings"),
        ("setting: {auth: {secret: {name: s}}}", "spec.setting"),
        ("auth: {secret: {name: s}}", "spec.auth"),
    ],
)
def test_a_misspelt_way_to_ask_for_a_password_locks(line: str, field: str) -> None:
    assert told(service(line)) == [("MEL0409", field)]
    assert value(service(line), RedisSettings).auth == UnreadableCredentials(OBJECT.at(field))


def test_other_misspelt_settings_are_a_warning_and_lock_nothing() -> None:
    text = service("settings: {opTimeouts: 5s}")
    assert told(text) == [("MEL0103", "spec.settings.opTimeouts")]
    assert value(text, RedisSettings).auth is None


@pytest.mark.parametrize(
    ("lines", "field"),
    [
        (("settings: {opTimeout: 5, auth: {secret: {name: s}}}",), "spec.settings.auth"),
        (("settings: {opTimeout: 5, auth: null}",), "spec.settings.auth"),
        (("settings: {auth: {secret: {name: s}}}", "redis: 7"), "spec.settings.auth"),
        (("settings: {auht: {secret: {name: s}}}", "redis: 7"), "spec.settings.auht"),
        (("settings: [auth]",), "spec.settings"),
    ],
)
def test_an_object_that_cannot_be_read_and_asks_for_a_password_locks(
    lines: tuple[str, ...], field: str
) -> None:
    (outcome,) = outcomes(service(*lines))
    assert isinstance(outcome, Invalid)
    locked = RedisSettings(OBJECT, (CACHE,), UnreadableCredentials(OBJECT.at(field)))
    assert outcome.stopgap == (locked,)


@pytest.mark.parametrize(
    ("old", "new", "hosts"),
    [
        ("[cache]", "cache", (CACHE,)),
        ("[cache]", "[cache, '*.x', 7]", (CACHE,)),
        ("v1alpha1", "v1", (CACHE,)),
        ("namespace: redis", "namespace: redis, labels: 7", (CACHE,)),
    ],
)
def test_the_hosts_that_can_be_read_are_locked(old: str, new: str, hosts: tuple[str, ...]) -> None:
    (outcome,) = outcomes(service("settings: {auth: {secret: {name: s}}}").replace(old, new))
    assert isinstance(outcome, Invalid)
    (locked,) = outcome.stopgap
    assert isinstance(locked, RedisSettings)
    assert locked.hosts == hosts


@pytest.mark.parametrize(
    "text",
    [
        service("settings: {opTimeout: 5}"),
        service("redis: 7"),
        service("settings: {opTimeout: 5, auth: {}}").replace("[cache]", "[]"),
    ],
)
def test_an_object_that_cannot_be_read_and_asks_for_nothing_locks_nothing(text: str) -> None:
    (outcome,) = outcomes(text)
    assert isinstance(outcome, Invalid)
    assert outcome.stopgap == ()


def test_a_destination_says_how_its_host_is_reached() -> None:
    policy = "{tcp: {maxConnections: 3, connectTimeout: 2s}, redis: {auth: {secret: {name: s}}}}"
    found = value(destination(policy), RedisUpstream)
    assert found.host == CACHE
    assert (found.policy.max_connections, found.policy.connect_timeout) == (3, 2.0)
    assert isinstance(found.auth, SecretRef)


def test_fixed_defect_keepalive_is_reported_and_harmless() -> None:
    pool = "spec.trafficPolicy.connectionPool"
    policy = "{tcp: {tcpKeepalive: {probes: 3}}}"
    assert told(destination(policy)) == [("MEL0110", f"{pool}.tcp.tcpKeepalive")]


def test_a_redis_cluster_may_say_where_its_nodes_are_learned() -> None:
    written = "[Redis.example, 'redis.example:7000', '10.0.0.1:7001', '[fd00::0001]:7002']"
    policy = f"{{redis: {{mode: CLUSTER, discoveryEndpoints: {written}}}}}"
    found = value(destination(policy), RedisUpstream)
    assert found.cluster
    assert found.seeds == (
        ("redis.example", 6379),
        ("redis.example", 7000),
        ("10.0.0.1", 7001),
        ("fd00::1", 7002),
    )


def test_where_nodes_are_learned_means_nothing_to_single_servers() -> None:
    where = "spec.trafficPolicy.connectionPool.redis.discoveryEndpoints"
    text = destination("{redis: {mode: PROXY, discoveryEndpoints: [redis.example]}}")
    assert told(text) == [("MEL0110", where)]
    found = value(text, RedisUpstream)
    assert (found.cluster, found.seeds) == (False, ())


@pytest.mark.parametrize("endpoint", ["'a:0'", "'a:70000'", "'a:b'", "'fd00::1'", "'*.a'", "''"])
def test_where_nodes_are_learned_must_be_an_endpoint(endpoint: str) -> None:
    where = "spec.trafficPolicy.connectionPool.redis.discoveryEndpoints[0]"
    text = destination(f"{{redis: {{mode: CLUSTER, discoveryEndpoints: [{endpoint}]}}}}")
    assert rejected(text) == [("MEL0102", where)]
