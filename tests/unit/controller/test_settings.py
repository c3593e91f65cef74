"""What the environment sets."""

from __future__ import annotations

import pytest

from meltemi.controller.settings import ConfigError, Settings, read


def test_nothing_needs_to_be_set() -> None:
    assert read({}) == Settings()
    assert Settings().allowed == frozenset()


def test_everything_that_can_be_set() -> None:
    found = read(
        {
            "MELTEMI_HEALTH_CHECK_INTERVAL": "2.5",
            "MELTEMI_ALLOW_DUBBO_PROXY": "1",
            "MELTEMI_LOG_FORMAT": "json",
        }
    )
    assert found == Settings(2.5, allow_dubbo_proxy=True, log_format="json")
    assert found.allowed == {"dubbo_proxy"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MELTEMI_HEALTH_CHECK_INTERVAL", "often"),
        ("MELTEMI_HEALTH_CHECK_INTERVAL", "0"),
        ("MELTEMI_ALLOW_DUBBO_PROXY", "yes"),
        ("MELTEMI_LOG_FORMAT", "xml"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_name(name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=name):
        read({name: text})
