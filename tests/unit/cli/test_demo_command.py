"""What the command line of the demo refuses before anything is started."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.command import Run


def test_a_namespace_that_no_cluster_takes_is_refused(run: Run) -> None:
    result = run("demo", "--kube", "--local", "--namespace", "Bad_X")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'Bad_X' is not the name of a namespace" in result.stderr
