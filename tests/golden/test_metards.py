"""What Aeraki made of the same objects, recorded from its own binary, means what ours means."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from meltemi.protocols.naming import SplitName, parse_cluster
from meltemi.xds.resource import ENDPOINT, PREFIX
from tests.golden.cases import CASES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.golden.cases import Case

Object = dict[str, Any]

METARDS = f"{PREFIX}envoy.config.route.v3.RouteConfiguration"
RECORDED = [case for case in CASES if case.file(".metards.json").exists()]


def written(case: Case) -> tuple[Object, Mapping[str, Object]]:
    """Our route table and its endpoints by cluster, as the golden file has them."""
    golden: dict[str, list[Object]] = yaml.safe_load(case.file(".out.yaml").read_text())
    (table,) = golden[METARDS]
    return table["resource"], {each["name"]: each["resource"] for each in golden[ENDPOINT]}


def recorded(case: Case) -> Object:
    """Aeraki's route table."""
    table: Object = json.loads(case.file(".metards.json").read_text())
    return table


def meaning(table: Object, endpoints: Mapping[str, Object]) -> Object:
    """The table in one spelling for everything that has several."""
    (host,) = table["virtualHosts"]
    routes = [
        {
            **route,
            "match": {**route["match"], "headers": headers(route["match"].get("headers", []))},
            "route": {**mirrors(route["route"]), "to": weights(route["route"], endpoints)},
        }
        for route in host["routes"]
    ]
    return {**table, "virtualHosts": [{**host, "routes": routes}]}


def headers(matchers: Sequence[Object]) -> list[Object]:
    """Sorted, because all must hold; with the matchers of today."""
    return sorted((header(matcher) for matcher in matchers), key=lambda found: str(found["name"]))


def header(matcher: Object) -> Object:
    exact = matcher.get("exactMatch")
    if exact is None:
        return matcher
    test: Object = {"stringMatch": {"exact": exact}} if exact else {"presentMatch": True}
    return {"name": matcher["name"], **test}


def mirrors(action: Object) -> Object:
    """Everything but the destination."""
    return {key: value for key, value in action.items() if key not in {"cluster", DESTINATIONS}}


DESTINATIONS = "weightedClusters"


def weights(action: Object, endpoints: Mapping[str, Object]) -> dict[str, int]:
    """Clusters and their shares, whether they are clusters of the route or parts of a split."""
    if (weighted := action.get(DESTINATIONS)) is not None:
        return {each["name"]: each["weight"] for each in weighted["clusters"]}
    cluster: str = action["cluster"]
    if not isinstance(parse_cluster(cluster), SplitName):
        return {cluster: 100}
    parts: list[Object] = endpoints[cluster]["endpoints"]
    return {part["locality"]["subZone"]: part["loadBalancingWeight"] for part in parts}


@pytest.mark.parametrize(
    "case", [case for case in RECORDED if "odd-values" not in case.path], ids=str
)
def test_our_routes_mean_what_aerakis_mean(case: Case) -> None:
    ours, endpoints = written(case)
    assert meaning(ours, endpoints) == meaning(recorded(case), {})


def test_only_the_test_that_aeraki_drops_is_different() -> None:
    (case,) = (case for case in RECORDED if "odd-values" in case.path)
    aerakis = recorded(case)
    dropped = aerakis["virtualHosts"][0]["routes"][1]["match"]
    assert "headers" not in dropped
    dropped["headers"] = [{"name": "foo", "presentMatch": True}]
    ours, endpoints = written(case)
    assert meaning(ours, endpoints) == meaning(aerakis, {})
