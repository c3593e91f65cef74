"""A queue of things to look at, with the clock in the test's hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meltemi.controller.kube.work_queue import WorkQueue


def test_what_is_put_twice_is_handed_out_once_at_the_earlier_time() -> None:
    queue = WorkQueue[str](1.0)
    queue.put("x", 5.0)
    queue.put("x", 3.0)
    queue.put("x", 4.0)
    assert queue.deadline() == 3.0
    assert queue.take(2.9) is None
    assert queue.take(3.0) == "x"
    assert queue.take(9.0) is None
    assert len(queue) == 1
    queue.done("x", 9.0, rest=False)
    assert len(queue) == 0


def test_the_thing_that_is_due_first_comes_first() -> None:
    queue = WorkQueue[str](1.0)
    for key, due in (("b", 2.0), ("a", 1.0), ("c", 2.0)):
        queue.put(key, due)
    assert [queue.take(2.0) for _ in range(4)] == ["a", "b", "c", None]


def test_what_is_put_while_it_is_worked_on_comes_again_after_that() -> None:
    queue = WorkQueue[str](1.0)
    queue.put("x", 0.0)
    assert queue.take(0.0) == "x"
    queue.put("x", 0.1)
    assert queue.take(0.5) is None
    queue.done("x", 0.5, rest=False)
    assert queue.take(0.5) == "x"


def test_after_work_that_cost_something_a_thing_rests() -> None:
    queue = WorkQueue[str](1.0)
    queue.put("x", 0.0)
    assert queue.take(0.0) == "x"
    queue.put("x", 0.1)
    queue.done("x", 0.5, rest=True)
    assert queue.take(1.4) is None
    assert queue.deadline() == 1.5
    assert queue.take(1.5) == "x"


def test_during_a_pause_nothing_is_due() -> None:
    queue = WorkQueue[str](1.0)
    queue.put("x", 0.0)
    queue.pause(7.0)
    queue.pause(3.0)
    assert queue.take(6.9) is None
    assert queue.deadline() == 7.0
    assert queue.take(7.0) == "x"


def test_what_was_forgotten_is_not_handed_out_and_may_be_put_anew() -> None:
    queue = WorkQueue[str](1.0)
    queue.put("x", 0.0)
    queue.clear()
    assert queue.deadline() is None
    assert queue.take(9.0) is None
    queue.put("x", 9.0)
    assert queue.take(9.0) == "x"


@given(
    st.lists(
        st.tuples(st.sampled_from(("put", "take", "done")), st.sampled_from("xyz"), st.floats(0, 3))
    )
)
def test_nothing_that_was_put_is_lost_and_nothing_is_out_twice(
    steps: list[tuple[str, str, float]],
) -> None:
    queue, now = WorkQueue[str](1.0), 0.0
    out: list[str] = []
    wanted: set[str] = set()
    for action, key, number in steps:
        now += number
        if action == "put":
            queue.put(key, now + number)
            wanted.add(key)
        elif action == "take" and (taken := queue.take(now)) is not None:
            assert taken not in out
            out.append(taken)
            wanted.discard(taken)
        elif action == "done" and out:
            queue.done(out.pop(), now, rest=number > 1)
        assert len(queue) == len({*wanted, *out})
    for each in out:
        queue.done(each, now, rest=False)
    left: set[str] = set()
    while (taken := queue.take(now + 100.0)) is not None:
        left.add(taken)
    assert left == wanted
