"""What a stream asked for, by the examples of the specification."""

from __future__ import annotations

from meltemi.xds.subscription import Subscription, share

NOTHING = Subscription()


def sotw(*requests: list[str], legacy: bool = True) -> list[tuple[bool, set[str]]]:
    subscription, seen = NOTHING, list[tuple[bool, set[str]]]()
    for names in requests:
        subscription = subscription.replaced(frozenset(names), legacy=legacy)
        seen.append((subscription.wildcard, set(subscription.names)))
    return seen


def delta(
    *requests: tuple[list[str], list[str]], legacy: bool = True
) -> list[tuple[bool, set[str]]]:
    subscription, seen = NOTHING, list[tuple[bool, set[str]]]()
    for number, (subscribe, unsubscribe) in enumerate(requests):
        first = legacy and number == 0
        subscription = subscription.amended(subscribe, unsubscribe, legacy=first)
        seen.append((subscription.wildcard, set(subscription.names)))
    return seen


def test_naming_nothing_means_everything_until_something_was_named() -> None:
    assert sotw([], [], ["A"], []) == [(True, set()), (True, set()), (False, {"A"}), (False, set())]


def test_the_wildcard_can_be_dropped_and_the_name_kept() -> None:
    assert sotw(["*", "A"], ["A"], [], []) == [
        (True, {"A"}),
        (False, {"A"}),
        (False, set()),
        (False, set()),
    ]


def test_types_without_legacy_wildcard_start_with_nothing() -> None:
    assert sotw([], ["*"], legacy=False) == [(False, set()), (True, set())]
    assert delta(([], []), (["*"], []), legacy=False) == [(False, set()), (True, set())]


def test_an_empty_name_counts_as_naming_and_selects_nothing() -> None:
    assert sotw([""], [], ["", "A"]) == [(False, set()), (False, set()), (False, {"A"})]


def test_delta_keeps_the_legacy_wildcard_beside_names() -> None:
    assert delta(([], []), (["A"], []), ([], ["*"]), ([], ["A"]), ([], [])) == [
        (True, set()),
        (True, {"A"}),
        (False, {"A"}),
        (False, set()),
        (False, set()),
    ]


def test_delta_that_names_something_first_is_never_a_legacy_wildcard() -> None:
    assert delta((["A"], []), ([], [])) == [(False, {"A"}), (False, {"A"})]


def test_delta_that_adds_and_drops_the_wildcard_at_once_wants_nothing() -> None:
    assert delta((["*"], ["*"]), ([], [])) == [(False, set()), (False, set())]
    assert delta(([], ["*"])) == [(False, set())]


def test_delta_that_only_drops_names_at_first_is_a_legacy_wildcard() -> None:
    assert delta(([], ["A"])) == [(True, set())]


def test_delta_ignores_dropping_what_was_never_added() -> None:
    assert delta((["A"], []), ([], ["B", ""])) == [(False, {"A"}), (False, {"A"})]


def test_a_subscription_selects_by_name_or_wildcard() -> None:
    named = NOTHING.replaced(frozenset({"A"}), legacy=True)
    assert (named.selects("A"), named.selects("B"), bool(named)) == (True, False, True)
    assert NOTHING.replaced(frozenset(), legacy=True).selects("B")
    assert not NOTHING


def test_equal_names_are_one_object_and_forgotten_with_their_last_holder() -> None:
    first = share(frozenset({"a", "b"}))
    assert share(frozenset({"b", "a"})) is first
    one, two = (NOTHING.amended([name, "b"], [], legacy=True) for name in ("a", "a"))
    assert one.names is first
    assert two.names is first
