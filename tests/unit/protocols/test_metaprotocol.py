"""Aeraki's meta_protocol_proxy: which ports it serves, with which codec, and what it lacks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest
from envoy_data_plane.envoy.config.listener.v3 import Filter, Listener
from envoy_data_plane.envoy.config.route.v3 import Route as HttpRoute
from envoy_data_plane.envoy.config.route.v3 import RouteConfiguration

from meltemi.protocols._pb.meta_protocol_proxy_pb2 import MetaProtocolProxy
from meltemi.protocols.foreign import META_PROTOCOL_PROXY
from meltemi.protocols.meta_protocol_proxy import MAX_MUTATIONS
from meltemi.protocols.metaprotocol import MetaProtocol
from meltemi.protocols.model import (
    Application,
    Dirty,
    Matcher,
    MatchKind,
    Mirror,
    Mutation,
    Ref,
)
from meltemi.xds.resource import LISTENER, Key
from tests import make

if TYPE_CHECKING:
    from meltemi.protocols.api import Capability
    from meltemi.protocols.model import Mesh, Route, Service
    from meltemi.xds.snapshot import Snapshot

(ENGINE,) = MetaProtocol.engines
AERAKI = make.capability("GenericProxy", "ThriftProxy")
TRPC = Application(Ref("ApplicationProtocol", "", "trpc"), "trpc", "codec.trpc")


def application_port(protocol: str) -> Service:
    """A service whose port is named ``tcp-metaprotocol-<protocol>``."""
    service = make.service(protocol=protocol)
    return replace(service, ports=(replace(service.ports[0], application=protocol),))


def mesh(service: Service, *routes: Route, applications: tuple[Application, ...] = ()) -> Mesh:
    things = (service, make.policy(), make.rule(*routes)) if routes else (service,)
    by_protocol = {each.protocol: applications for each in applications}
    endpoints = (make.endpoint(1, "v1"), make.endpoint(2, "v2"))
    return replace(make.mesh(*things, endpoints=endpoints), applications=by_protocol)


def snapshot(mesh: Mesh, proxy: Capability = AERAKI) -> Snapshot:
    return make.snapshot(mesh, make.group(proxy=proxy))


def codes(mesh: Mesh) -> list[str]:
    return make.codes(mesh, make.group(proxy=AERAKI))


def filter_of(snapshot: Snapshot) -> Filter:
    """The one filter of the one listener."""
    (resource,) = snapshot.of_type(LISTENER).values()
    ((found,),) = (chain.filters for chain in Listener.parse(resource.body).filter_chains)
    return found


def proxy_of(snapshot: Snapshot) -> MetaProtocolProxy:
    config = filter_of(snapshot).typed_config
    assert config is not None
    assert config.type_url == f"type.googleapis.com/{META_PROTOCOL_PROXY}"
    return MetaProtocolProxy.FromString(config.value)


def routes_of(snapshot: Snapshot) -> list[HttpRoute]:
    (resource,) = snapshot.of_type(ENGINE.route_type).values()
    (host,) = RouteConfiguration.parse(resource.body).virtual_hosts
    return host.routes


# -- which ports it serves ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "without", "served"),
    [
        (application_port("dubbo"), (), "generic_proxy"),
        (application_port("dubbo"), ("GenericProxy",), "meta_protocol_proxy"),
        (application_port("dubbo"), ("GenericProxy", "MetaProtocol"), "tcp_proxy"),
        (make.service(protocol="dubbo"), ("GenericProxy",), "tcp_proxy"),
        (application_port("thrift"), (), "thrift_proxy"),
        (application_port("thrift"), ("ThriftProxy",), "meta_protocol_proxy"),
        (make.service(protocol="thrift"), ("ThriftProxy",), "tcp_proxy"),
    ],
)
def test_dubbo_and_thrift_have_it_on_ports_that_ask_for_it_and_nothing_better(
    service: Service, without: tuple[str, ...], served: str
) -> None:
    found = filter_of(snapshot(mesh(service), make.capability(*without)))
    assert found.name == f"envoy.filters.network.{served}"


@pytest.mark.parametrize("service", [application_port("trpc"), make.service(protocol="trpc")])
def test_any_other_application_needs_an_application_protocol(service: Service) -> None:
    known = mesh(service, applications=(TRPC,))
    assert proxy_of(snapshot(known)).codec.name == TRPC.codec
    assert codes(known) == []
    unknown = mesh(service)
    assert filter_of(snapshot(unknown)).name == "envoy.filters.network.tcp_proxy"
    (problem,) = make.problems(unknown)
    assert problem.code == "MEL0202"
    assert "metaprotocol" not in problem.next_step


def test_a_plugin_of_its_own_comes_before_a_codec() -> None:
    plugins = make.plugins(make.FakePlugin("trpc"), MetaProtocol())
    known = mesh(application_port("trpc"), applications=(TRPC,))
    found = make.snapshot(known, make.group(proxy=AERAKI), plugins)
    assert filter_of(found).name == "envoy.filters.network.tcp_proxy"


def test_metaprotocol_is_the_protocol_of_no_port() -> None:
    assert codes(mesh(make.service(protocol="metaprotocol"))) == ["MEL0202"]


def test_an_application_protocol_that_a_proxy_cannot_serve_is_told_on_the_port() -> None:
    known = mesh(application_port("trpc"), applications=(TRPC,))
    stock = make.group(proxy=make.capability("MetaProtocol"))
    (problem,) = make.problems(known, stock)
    assert problem.code == "MEL0501"
    assert "trpc's engines (meta_protocol_proxy)" in problem.cause


# -- its codec ------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["dubbo", "thrift"])
def test_the_proxys_own_codecs_need_no_object(protocol: str) -> None:
    proxy = proxy_of(snapshot(mesh(application_port(protocol))))
    assert proxy.application_protocol == protocol
    assert proxy.codec.name == f"aeraki.meta_protocol.codec.{protocol}"


def test_an_application_protocol_replaces_a_codec_of_the_proxys_own() -> None:
    mine = replace(TRPC, protocol="dubbo", codec="mine")
    found = snapshot(mesh(application_port("dubbo"), applications=(mine,)))
    assert proxy_of(found).codec.name == "mine"
    (listener,) = found.of_type(LISTENER).values()
    assert mine.ref in listener.origins


def test_the_second_application_protocol_of_a_protocol_is_told_that_it_does_not_count() -> None:
    second = replace(TRPC, ref=Ref("ApplicationProtocol", "", "zzz"), codec="other")
    known = mesh(application_port("trpc"), applications=(TRPC, second))
    assert proxy_of(snapshot(known)).codec.name == TRPC.codec
    (problem,) = make.problems(known, make.group(proxy=AERAKI))
    assert (problem.code, problem.about) == ("MEL0309", second.ref)


def test_an_application_protocol_reaches_the_ports_that_wait_for_it_and_no_others() -> None:
    draft, group = make.Draft(), make.group(proxy=AERAKI)
    draft.put(make.service("shop", "trpc", port=1))
    draft.put(make.service("cart", "brpc", port=2))
    compiler = make.compiler(draft.mesh, group)
    cast("dict[str, tuple[Application, ...]]", draft.mesh.applications)["trpc"] = (TRPC,)
    make.run(compiler.update(Dirty(applications=frozenset({"trpc"}))))
    table = f"{make.host('shop')}_1"
    changed = compiler.group(group).take_changed()
    assert {Key(LISTENER, table), Key(ENGINE.route_type, table)} <= changed
    assert not [key for key in changed if make.host("cart") in key.name]


# -- its routes -----------------------------------------------------------------------------------


def served(route: Route, service: Service | None = None) -> HttpRoute:
    """The one route, as the proxy gets it."""
    (found,) = routes_of(snapshot(mesh(service or application_port("dubbo"), route)))
    return found


def test_attributes_have_one_order() -> None:
    match = {name: make.exact("x") for name in ("b", "c", "a")}
    found = served(make.route(0, make.to("v1"), **match)).match
    assert found is not None
    assert [header.name for header in found.headers] == ["a", "b", "c"]


def test_a_service_without_a_rule_has_aerakis_default_route() -> None:
    (route,) = routes_of(snapshot(mesh(application_port("dubbo"))))
    assert route.name == "default"
    assert route.route is not None
    assert route.route.cluster == make.OWN


def test_an_unnamed_route_of_a_rule_is_not_called_the_default() -> None:
    assert served(make.route(0, make.to("v1"))).name == ""


@pytest.mark.filterwarnings("ignore:RegexMatcher.google_re2 is deprecated")
def test_a_regex_names_its_engine_for_older_images() -> None:
    match = served(make.route(0, make.to("v1"), user=make.regex("b.*"))).match
    assert match is not None
    (header,) = match.headers
    assert header.string_match is not None
    assert header.string_match.safe_regex is not None
    assert header.string_match.safe_regex.google_re2 is not None


def test_a_mirrors_percentage_is_the_default_value_which_is_all_that_the_proxy_reads() -> None:
    mirrored = replace(make.route(0, make.to("v1")), mirrors=(Mirror(make.to("v2"), 12.5),))
    action = served(mirrored).route
    assert action is not None
    (policy,) = action.request_mirror_policies
    assert policy.cluster == make.OWN.replace("||", "|v2|")
    assert policy.runtime_fraction is not None
    assert policy.runtime_fraction.default_value is not None
    assert policy.runtime_fraction.default_value.numerator == 125_000
    assert policy.runtime_fraction.runtime_key == ""


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        (Mutation("", "x"), "the name is empty"),
        (Mutation("a\nb", "x"), "the name contains a line break"),
        (Mutation("a", "x\0"), "the value contains a line break or a zero"),
        (Mutation("a" * 16_385, "x"), "the name has 16385 bytes"),
        (Mutation("a", "ä" * 8_193), "the value has 16386 bytes"),
    ],
)
def test_a_mutation_that_the_proxy_would_refuse_is_left_out_and_told(
    wrong: Mutation, cause: str
) -> None:
    mutated = replace(
        make.route(0, make.to("v1")),
        request_mutations=(wrong, Mutation("a", "x")),
        response_mutations=(Mutation("b", "y"), wrong),
    )
    known = mesh(application_port("dubbo"), mutated)
    found = served(mutated)
    added = [*found.request_headers_to_add, *found.response_headers_to_add]
    assert [each.header.key for each in added if each.header] == ["a", "b"]
    problems = make.problems(known, make.group(proxy=AERAKI))
    assert [(problem.code, problem.about.field) for problem in problems] == [
        ("MEL0307", "spec.routes[0].requestMutation[0]"),
        ("MEL0307", "spec.routes[0].responseMutation[1]"),
    ]
    assert all(cause in problem.cause for problem in problems)


def test_more_mutations_than_the_proxy_takes_are_cut_and_told() -> None:
    mutations = tuple(Mutation(f"k{number}", "x") for number in range(MAX_MUTATIONS + 1))
    mutated = replace(make.route(0, make.to("v1")), request_mutations=mutations)
    assert len(served(mutated).request_headers_to_add) == MAX_MUTATIONS
    (problem,) = make.problems(mesh(application_port("dubbo"), mutated), make.group(proxy=AERAKI))
    assert (problem.code, problem.about.field) == ("MEL0307", "spec.routes[0].requestMutation")


def test_what_thrifts_codec_does_not_show_cannot_be_matched() -> None:
    known = mesh(
        application_port("thrift"),
        make.route(0, make.to("v1"), user=make.exact("bob")),
        make.route(1, make.to("v2"), method=make.prefix("get")),
    )
    assert codes(known) == ["MEL0306"]
    (route,) = routes_of(snapshot(known))
    assert route.match is not None
    assert [header.name for header in route.match.headers] == ["method"]


def test_thrifts_codec_cannot_mutate() -> None:
    mutated = replace(make.route(0, make.to("v1")), request_mutations=(Mutation("a", "x"),))
    assert codes(mesh(application_port("thrift"), mutated)) == ["MEL0307"]
    assert served(mutated, application_port("thrift")).request_headers_to_add == []


def test_an_inverted_regex_that_would_miss_absent_attributes_is_not_served() -> None:
    inverted = Matcher(MatchKind.REGEX, "(bob)?", inverted=True)
    known = mesh(application_port("dubbo"), make.route(0, make.to("v1"), user=inverted))
    assert codes(known) == ["MEL0306", "MEL0315"]
