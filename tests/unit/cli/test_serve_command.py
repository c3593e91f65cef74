"""``meltemi serve``: what cannot be served is said before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.command import Run


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "write either a PATH or --kube"),
        (("rules", "--kube"), "write either a PATH or --kube"),
        (("rules", "--selector", "team=a"), "go with --kube"),
        (("--kube", "--selector", "team a"), "--selector is 'team a': write labels such as team=a"),
        (("--kube", "--namespace", "../x"), "--namespace is '../x': write the name of a namespace"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    run: Run, options: tuple[str, ...], told: str
) -> None:
    result = run("serve", *options)
    assert result.exit_code == 2
    assert told in result.stderr
