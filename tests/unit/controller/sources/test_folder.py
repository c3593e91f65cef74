"""Whose object counts, and what stays in force while files are broken."""

from __future__ import annotations

import pytest

from meltemi.controller.sources import Place
from meltemi.controller.sources.folder import Folder
from meltemi.controller.store.objects import Change, Delete, Identity, Invalid, Upsert
from meltemi.controller.store.store import Store
from meltemi.protocols.model import Ref
from meltemi.protocols.problem import Problem

BROKEN = "kind: [\n"


def pod(name: str, version: str = "v1") -> str:
    return (
        f"apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels: {{version: {version}}}\n"
    )


def documents(*texts: str) -> bytes:
    return "---\n".join(texts).encode()


def shown(changes: tuple[Change, ...]) -> list[str]:
    """``+pod``, ``-pod``, ``!pod`` for objects; files by their path."""
    signs: list[str] = []
    for change in changes:
        match change:
            case Upsert(decoded):
                signs.append(f"+{decoded.identity.name}")
            case Delete(identity):
                signs.append(f"-{identity.name}")
            case Invalid(identity):
                signs.append(f"!{identity.name}")
    return signs


def codes(changes: tuple[Change, ...]) -> list[str]:
    problems = [p for change in changes if isinstance(change, Invalid) for p in change.problems]
    return [problem.code for problem in problems]


def test_only_what_differs_is_a_change() -> None:
    folder = Folder()
    assert shown(folder.update({"f.yaml": documents(pod("a"), pod("b"))})) == ["+a", "+b"]
    assert folder.update({"f.yaml": documents(pod("a"), pod("b"))}) == ()
    assert shown(folder.update({"f.yaml": documents(pod("a"), pod("b", "v2"))})) == ["+b"]


def test_a_document_that_is_taken_out_deletes_its_object() -> None:
    folder = Folder()
    folder.update({"f.yaml": documents(pod("a"), pod("b"))})
    assert shown(folder.update({"f.yaml": documents(pod("b"))})) == ["-a"]


def test_a_file_that_goes_takes_its_objects_along() -> None:
    folder = Folder()
    folder.update({"f.yaml": documents(pod("a")), "g.yaml": documents(pod("b"))})
    assert shown(folder.update({"f.yaml": None})) == ["-a"]
    assert folder.paths == {"g.yaml"}


def test_an_object_that_moves_between_files_is_never_deleted() -> None:
    folder = Folder()
    folder.update({"f.yaml": documents(pod("a")), "g.yaml": documents(pod("b"))})
    moved = folder.update({"f.yaml": documents(), "g.yaml": documents(pod("b"), pod("a"))})
    assert moved == ()


def test_a_broken_document_keeps_the_object_that_it_was_and_its_neighbours_are_read() -> None:
    folder = Folder()
    folder.update({"f.yaml": documents(pod("a"), pod("b"))})
    changes = folder.update({"f.yaml": documents(BROKEN, pod("b", "v2"), pod("c"))})
    assert shown(changes) == ["+b", "+c", "!f.yaml"]
    assert codes(changes) == ["MEL0101"]


def test_what_was_kept_goes_when_the_file_is_whole_again() -> None:
    folder = Folder()
    folder.update({"f.yaml": documents(pod("a"), pod("b"))})
    folder.update({"f.yaml": documents(pod("a"), BROKEN)})
    assert shown(folder.update({"f.yaml": documents(pod("a"))})) == ["-b", "-f.yaml"]


def test_a_file_that_cannot_be_read_at_all_keeps_everything() -> None:
    folder = Folder()
    folder.update({"f.yaml": documents(pod("a"))})
    assert shown(folder.update({"f.yaml": b"a: \xff\n"})) == ["!f.yaml"]
    problem = Problem("MEL0101", Ref("File", "", "f.yaml"), "permission denied", "allow it")
    assert shown(folder.update({"f.yaml": problem})) == ["!f.yaml"]
    assert shown(folder.update({"f.yaml": documents(pod("a"))})) == ["-f.yaml"]


def test_a_document_that_does_not_say_which_object_it_is_counts_as_broken() -> None:
    folder = Folder()
    folder.update({"f.yaml": documents(pod("a"))})
    changes = folder.update({"f.yaml": b"kind: Pod\nmetadata: {name: a}\n"})
    assert (shown(changes), codes(changes)) == (["!f.yaml"], ["MEL0102"])


def test_a_cut_off_file_takes_nothing_away_until_it_has_been_quiet() -> None:
    folder = Folder()
    whole = documents(pod("a"), pod("b"))
    folder.update({"f.yaml": whole})
    assert folder.update({"f.yaml": documents(pod("a"))}, final=False) == ()
    assert folder.waiting == {"f.yaml"}
    assert folder.update({"f.yaml": whole}, final=False) == ()
    assert folder.waiting == set()


def test_a_file_that_is_deleted_or_emptied_waits_for_its_successor() -> None:
    folder = Folder()
    folder.update({"f.yaml": documents(pod("a")), "g.yaml": documents(pod("b"))})
    assert folder.update({"f.yaml": None, "g.yaml": b""}, final=False) == ()
    assert folder.waiting == {"f.yaml", "g.yaml"}
    assert shown(folder.update({"f.yaml": documents(pod("a", "v2"))}, final=False)) == ["+a"]
    assert shown(folder.update({"g.yaml": b""})) == ["-b"]


def test_a_text_without_its_last_line_break_waits() -> None:
    folder = Folder()
    folder.update({"f.yaml": documents(pod("a"))})
    half = pod("a", "v22").encode().rstrip()
    assert folder.update({"f.yaml": half}, final=False) == ()
    assert shown(folder.update({"f.yaml": half})) == ["+a"]


def test_what_is_saved_together_waits_together_for_what_it_takes_away() -> None:
    """A subset that goes at once would leave nothing of a rule that goes a moment later."""
    folder = Folder()
    folder.update({"f.yaml": documents(pod("a"), pod("b"))})
    saved = documents(pod("a", "v2"), pod("c"))
    assert folder.update({"f.yaml": saved}, final=False) == ()
    assert folder.waiting == {"f.yaml"}
    assert shown(folder.update({"f.yaml": saved})) == ["+a", "-b", "+c"]


def test_of_two_documents_of_one_name_the_first_by_path_and_place_counts() -> None:
    folder = Folder()
    contents = {"b.yaml": documents(pod("x", "v2")), "a.yaml": documents(pod("x", "v1"), pod("x"))}
    changes = folder.update(contents)
    assert shown(changes) == ["+x", "!a.yaml", "!b.yaml"]
    assert codes(changes) == ["MEL0106", "MEL0106"]
    store = Store()
    store.apply(changes)
    assert store.count == 1


def test_the_error_is_where_the_second_one_stands_and_names_the_first() -> None:
    folder = Folder()
    changes = folder.update(
        {"a.yaml": documents(pod("x")), "b.yaml": documents(pod("y"), pod("x"))}
    )
    (change,) = (change for change in changes if isinstance(change, Invalid))
    (problem,) = change.problems
    assert folder.place(problem) == Place("b.yaml", 7)
    assert "a.yaml:1" in problem.cause
    assert (problem.about.kind, problem.about.name) == ("Pod", "x")


def test_when_the_first_one_goes_the_second_one_counts() -> None:
    folder = Folder()
    folder.update({"a.yaml": documents(pod("x", "v1")), "b.yaml": documents(pod("x", "v2"))})
    assert shown(folder.update({"a.yaml": None})) == ["+x", "-b.yaml"]


def test_a_new_first_one_takes_over() -> None:
    folder = Folder()
    folder.update({"b.yaml": documents(pod("x", "v2"))})
    assert shown(folder.update({"a.yaml": documents(pod("x", "v1"))})) == ["+x", "!b.yaml"]


def test_an_object_that_is_only_kept_gives_way_to_one_that_is_written() -> None:
    folder = Folder()
    folder.update({"a.yaml": documents(pod("x"), pod("y"))})
    folder.update({"a.yaml": documents(BROKEN, pod("y"))})
    assert shown(folder.update({"b.yaml": documents(pod("x", "v2"))})) == ["+x"]


def test_an_invalid_object_is_told_as_such_and_not_deleted() -> None:
    folder = Folder()
    folder.update({"f.yaml": documents(pod("a"))})
    changes = folder.update({"f.yaml": documents(pod("a").replace("{version: v1}", "7"))})
    (change,) = changes
    assert isinstance(change, Invalid)
    assert change.identity == Identity("", "Pod", "default", "a")
    assert folder.place(change.problems[0]) == Place("f.yaml", 5)


def test_the_place_of_a_problem_is_its_field_in_the_document_that_counts() -> None:
    folder = Folder()
    folder.update({"f.yaml": documents(pod("a"), pod("b"))})
    about = Ref("Pod", "default", "b", generation=3, field="metadata.labels[version]")
    assert folder.place(Problem("MEL0401", about, "cause", "next")) == Place("f.yaml", 11)


def test_a_problem_of_an_object_that_is_not_here_has_no_place() -> None:
    about = Ref("Pod", "default", "b")
    assert Folder().place(Problem("MEL0401", about, "cause", "next")) is None


KNATIVE = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: shop}
"""
CORE = """\
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {ports: [{name: tcp-dubbo, port: 1}]}
"""


@pytest.mark.parametrize("order", [("a.yaml", "b.yaml"), ("b.yaml", "a.yaml")])
def test_objects_of_two_groups_may_have_one_kind_and_name(order: tuple[str, str]) -> None:
    folder = Folder()
    folder.update({"a.yaml": documents(CORE), "b.yaml": documents(KNATIVE)})
    for path in order:
        assert shown(folder.update({path: None})) == ["-shop"]
    assert folder.paths == frozenset()


@pytest.mark.parametrize(("core", "foreign"), [("a.yaml", "b.yaml"), ("b.yaml", "a.yaml")])
def test_a_problem_is_where_the_object_of_the_group_is_that_it_is_about(
    core: str, foreign: str
) -> None:
    folder = Folder()
    changes = folder.update({core: documents(CORE), foreign: documents(KNATIVE)})
    (told,) = (
        p for change in changes if isinstance(change, Upsert) for p in change.decoded.problems
    )
    assert folder.place(told) == Place(foreign, 2)
    later = Problem("MEL0202", Ref("Service", "default", "shop", field="spec"), "cause", "next")
    assert folder.place(later) == Place(core, 4)


def test_after_a_failure_halfway_the_next_reading_tells_everything_that_is_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = Folder()
    folder.update({"f.yaml": documents(pod("a"), pod("b")), "g.yaml": documents(BROKEN)})

    def fails(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "_report", fails)
        with pytest.raises(ZeroDivisionError):
            folder.update({"f.yaml": documents(pod("a", "v2")), "g.yaml": None})
    folder.recover()
    assert shown(folder.update({"f.yaml": documents(pod("a", "v2"))})) == ["+a", "-b", "-g.yaml"]


def test_a_mistake_that_moves_to_another_line_is_told_again() -> None:
    folder = Folder()
    folder.update({"f.yaml": documents(BROKEN)})
    (change,) = folder.update({"f.yaml": b"# moved\n" + documents(BROKEN)})
    assert isinstance(change, Invalid)
    assert folder.place(change.problems[0]) == Place("f.yaml", 3)


@pytest.mark.parametrize("mistake", ["a: 1\n", "a: b: c\n"])
def test_two_documents_with_the_same_mistake_are_told_apart(mistake: str) -> None:
    folder = Folder()
    (change,) = folder.update({"f.yaml": documents(mistake, mistake)})
    assert isinstance(change, Invalid)
    first, second = change.problems
    assert "line" not in first.cause
    assert second.cause.endswith(first.cause)
    assert [folder.place(problem) for problem in change.problems] == [
        Place("f.yaml", 1),
        Place("f.yaml", 3),
    ]
