"""What would be found is what ``meltemi validate`` finds once the object is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from meltemi.controller.crds.definitions import DEFINITIONS
from meltemi.controller.decode import decode
from meltemi.controller.offline.offline import compile_everything, read_text
from meltemi.controller.settings import Settings
from meltemi.controller.store.objects import Delete, Upsert, identity_of
from meltemi.controller.store.store import Store
from meltemi.controller.webhook.trial import LARGEST, PluginFailedError, Trial
from meltemi.protocols.model import Rule
from tests import make

if TYPE_CHECKING:
    from meltemi.controller.store.objects import Change, Decoded, Identity
    from meltemi.protocols.problem import Problem

ROOT = Path(__file__).parents[4]
FILES = sorted([*ROOT.glob("tests/golden/*/*.in.yaml"), *ROOT.glob("examples/*/*.yaml")])
KINDS = {each.kind for each in DEFINITIONS if each.decoded is not None}

OF_ADDRESSES = {"MEL0204", "MEL0205", "MEL0208"}
"""What depends on which addresses others have is not tried."""

SHOP = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: shop}
spec:
  hosts: [shop.example]
  resolution: STATIC
  ports: [{number: 20880, name: tcp-dubbo, protocol: TCP}]
  endpoints: [{address: 10.0.0.1, labels: {version: v1}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: shop}
spec: {host: shop.example, subsets: [{name: v1, labels: {version: v1}}]}
"""


def changes_of(text: str) -> list[Change]:
    found = [decode(body) for body in yaml.safe_load_all(text) if body is not None]
    return [change for change in found if isinstance(change, Upsert)]


def tried(store: Store, decoded: Decoded) -> tuple[Problem, ...]:
    running = Trial(store, make.registry(), Settings()).run(decoded)
    while True:
        try:
            next(running)
        except StopIteration as end:
            found: tuple[Problem, ...] = end.value
            return found


def router(subset: str = "v1", host: str = "shop.example", name: str = "shop") -> Decoded:
    (change,) = changes_of(f"""
apiVersion: metaprotocol.aeraki.io/v1alpha1
kind: MetaRouter
metadata: {{name: {name}}}
spec:
  hosts: [shop.example]
  routes: [{{route: [{{destination: {{host: {host}, subset: {subset}}}}}]}}]
""")
    assert isinstance(change, Upsert)
    return change.decoded


def codes(problems: tuple[Problem, ...]) -> list[str]:
    return [each.code for each in problems]


def live(text: str = SHOP) -> Store:
    store = Store()
    store.apply(changes_of(text))
    return store


def validated(text: str, identity: Identity) -> set[Problem]:
    """What the command finds wrong with one object."""
    offline = read_text(text.encode(), make.registry(), Settings())
    compile_everything(offline)
    problems = (finding.problem for finding in offline.findings())
    return {each for each in problems if each.about.object == identity.ref()}


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_each_object_is_found_as_wrong_as_validate_finds_it(file: Path) -> None:
    text = file.read_text()
    changes = changes_of(text)
    for change in changes:
        assert isinstance(change, Upsert)
        decoded = change.decoded
        if decoded.identity.kind not in KINDS:
            continue
        for others in (changes, [each for each in changes if each is not change]):
            store = Store()
            store.apply(others)
            found = {*tried(store, decoded), *decoded.problems}
            wanted = validated(text, decoded.identity)
            assert found == {each for each in wanted if each.code not in OF_ADDRESSES}


def test_the_files_have_something_wrong_in_them() -> None:
    """Else the test above compares nothing with nothing."""
    found = [
        problem.code
        for file in FILES
        for change in changes_of(file.read_text())
        if isinstance(change, Upsert) and change.decoded.identity.kind in KINDS
        for problem in tried(live(file.read_text()), change.decoded)
    ]
    assert len({*found}) >= 5


def test_a_subset_that_nobody_defines_is_found_and_one_that_is_defined_is_not() -> None:
    assert codes(tried(live(), router("v1"))) == []
    assert codes(tried(live(), router("v9"))) == ["MEL0302", "MEL0315"]


def test_a_host_that_nobody_has_is_found() -> None:
    assert codes(tried(Store(), router())) == ["MEL0308"]
    assert "MEL0301" in codes(tried(live(), router(host="nobody.example")))


def test_the_object_that_would_have_no_effect_is_told_who_rules_the_host() -> None:
    store = live()
    store.apply([Upsert(router(name="first"))])
    assert codes(tried(store, router(name="second"))) == ["MEL0309"]
    assert codes(tried(store, router(name="first"))) == []


def test_an_object_that_moves_to_another_host_is_judged_there() -> None:
    store = live()
    store.apply([Upsert(router("v9"))])
    assert codes(tried(store, router("v1"))) == []


def test_nothing_of_what_is_served_is_touched() -> None:
    store = live()
    before = {name: dict(getattr(store.mesh, name)) for name in ("rules", "services", "endpoints")}
    problems = dict(store.problems)
    tried(store, router("v9"))
    after = {name: dict(getattr(store.mesh, name)) for name in before}
    assert (after, dict(store.problems)) == (before, problems)
    deleted = store.apply([Delete(identity_of(Upsert(router())))])
    assert not deleted


def test_of_a_large_mesh_only_what_the_object_is_about_is_compiled() -> None:
    many = "---".join(SHOP.replace("shop", f"shop-{i}") for i in range(50))
    steps = Trial(live(f"{SHOP}---{many}"), make.registry(), Settings()).run(router())
    assert len(list(steps)) <= 2


def test_an_object_on_which_proxies_would_have_to_wait_is_not_tried() -> None:
    small = router()
    (rule,) = (value for value in small.values if isinstance(value, Rule))
    trial = Trial(live(), make.registry(), Settings())
    assert trial.fits(small)
    for routes, fits in ((LARGEST - 1, True), (LARGEST, False)):
        large = replace(small, values=(replace(rule, routes=rule.routes * routes),))
        assert trial.fits(large) is fits


def test_a_plugin_that_raises_is_told_without_its_words() -> None:
    running = Trial(
        live(), make.plugins(make.FakePlugin("dubbo", fails="a secret")), Settings()
    ).run(router())
    with pytest.raises(PluginFailedError, match=r"^shop\.example$"):
        list(running)
