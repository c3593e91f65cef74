"""What is wrong with the kinds of a cluster."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from meltemi.controller.crds.definitions import DEFINITIONS
from meltemi.controller.health.definitions import ISTIO, definition_results, istio_results
from meltemi.controller.health.result import Result, State

ROUTERS = "metarouters.metaprotocol.aeraki.io"
POLICIES = "dubboauthorizationpolicies.dubbo.aeraki.io"
READY = [{"type": each, "status": "True"} for each in ("NamesAccepted", "Established")]


def cluster() -> dict[str, Any]:
    """As the API server has them once they are applied."""
    return {
        each.name: {**deepcopy(each.to_dict()), "status": {"conditions": READY}}
        for each in DEFINITIONS
    }


def judged(found: dict[str, Any]) -> Result:
    (result,) = definition_results(found)
    return result


def version(found: dict[str, Any], name: str = ROUTERS) -> dict[str, Any]:
    made: dict[str, Any] = found[name]["spec"]["versions"][0]
    return made


def schema(found: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = version(found)["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return made


def test_the_ones_of_this_version_are_fine() -> None:
    assert judged(cluster()).state is State.FINE


def test_one_that_is_missing_is_an_error_if_it_is_read() -> None:
    missing, unread = (judged(cluster() | {name: None}) for name in (ROUTERS, POLICIES))
    assert (missing.state, missing.about) == (State.ERROR, ROUTERS)
    assert unread.state is State.WARNING
    assert missing.hint == "meltemi manifests crds | kubectl apply --server-side -f -"


def test_each_that_is_wrong_has_a_line_and_the_fine_one_is_gone() -> None:
    found = [*definition_results({})]
    assert {each.about for each in found} == {each.name for each in DEFINITIONS}


def test_names_that_another_kind_has_taken_are_an_error_with_the_servers_words() -> None:
    found = cluster()
    taken = {"type": "NamesAccepted", "status": "False", "message": '"mr" is already in use'}
    found[ROUTERS]["status"]["conditions"] = [taken]
    assert judged(found).text == f'{ROUTERS} is not served: "mr" is already in use'
    found[ROUTERS]["status"] = {}
    assert judged(found).text == f"{ROUTERS} is not served: it is not NamesAccepted yet"


@pytest.mark.parametrize("change", [{"name": "v1beta1"}, {"served": False}])
def test_a_version_that_is_not_served_is_an_error(change: dict[str, Any]) -> None:
    found = cluster()
    version(found).update(change)
    assert judged(found).state is State.ERROR
    assert "is not served as v1alpha1" in judged(found).text


def test_another_version_of_ours_is_a_warning_that_says_what_it_lacks_and_has() -> None:
    found = cluster()
    del schema(found)["properties"]["routes"]["items"]["properties"]["name"]
    schema(found)["properties"]["colour"] = {"type": "string"}
    del version(found)["subresources"]
    result = judged(found)
    assert result.state is State.WARNING
    assert result.text == (
        f"{ROUTERS} is another version's: it lacks subresources, spec.routes[].name; "
        "it also has spec.colour"
    )


def test_somebody_elses_is_taken_over_by_force() -> None:
    found = cluster()
    found[ROUTERS]["metadata"]["labels"] = {}
    schema(found).pop("x-kubernetes-preserve-unknown-fields", None)
    version(found)["additionalPrinterColumns"] = []
    result = judged(found)
    assert "is somebody else's, such as Aeraki's: " in result.text
    assert "it differs in additionalPrinterColumns" in result.text
    assert "--force-conflicts" in result.hint


def test_what_has_no_effect_on_objects_is_no_difference() -> None:
    found = cluster()
    found[ROUTERS]["metadata"]["labels"]["app"] = "x"
    schema(found)["description"] = "other words"
    version(found)["schema"]["openAPIV3Schema"]["properties"].pop("metadata")
    assert judged(found).state is State.FINE


def test_istio_may_be_absent_whole_or_in_part() -> None:
    plurals = frozenset(kind.plural for kind in ISTIO)
    (absent,) = istio_results({})
    (whole,) = istio_results({"v1": plurals - {"workloadentries"}, "v1beta1": plurals})
    (part,) = istio_results({"v1": plurals - {"workloadentries"}})
    assert [each.state for each in (absent, whole, part)] == [
        *(State.FINE, State.FINE, State.WARNING)
    ]
    assert "workloadentries cannot be read" in part.text
    assert "are not installed" in absent.text


def test_a_version_of_istio_that_is_not_read_does_not_count() -> None:
    (found,) = istio_results({"v9": frozenset(kind.plural for kind in ISTIO)})
    assert found.state is State.WARNING
