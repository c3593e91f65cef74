"""Names in the words of Envoy and of gRPC."""

from __future__ import annotations

import pytest

from meltemi.xds.refusal import named_in

KNOWN = {"shop:80", "cart@::1", "outbound|80||shop"}


@pytest.mark.parametrize(
    ("message", "names"),
    [
        (
            "Error adding/updating listener(s) shop:80: Didn't find: it\ncart@::1: no\n",
            ("shop:80", "cart@::1"),
        ),
        (
            "Error adding/updating cluster(s) outbound|80||shop: why, shop:80: why",
            ("outbound|80||shop", "shop:80"),
        ),
        ("Error adding/updating listener(s) unknown: shop:80: why", ()),
        ("Error adding/updating listener(s) cart@::1: a\ncart@::1: b", ("cart@::1",)),
        (
            "xDS response validation errors: [resource index 0: cart@::1: INVALID_ARGUMENT: why; "
            "resource index 2: shop:80: why]",
            ("cart@::1", "shop:80"),
        ),
        ("resource index 0: unknown: why", ()),
        ("missing ]: [A-Z shop:80: why", ()),
        ("shop:80: why", ()),
        ("", ()),
    ],
)
def test_only_known_names_that_stand_as_the_subject_count(
    message: str, names: tuple[str, ...]
) -> None:
    assert named_in(message, KNOWN) == names
