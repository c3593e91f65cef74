"""Label selectors as the API server takes them."""

from __future__ import annotations

import re

_LABEL = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_KEY = rf"([a-z0-9]([-a-z0-9.]{{0,251}}[a-z0-9])?/)?{_LABEL}"
_VALUE = rf"({_LABEL})?"
_REQUIREMENT = (
    rf"\s*(!\s*{_KEY}|{_KEY}(\s*(=|==|!=)\s*{_VALUE}"
    rf"|\s+(in|notin)\s*\(\s*{_VALUE}(\s*,\s*{_VALUE})*\s*\))?)\s*"
)
_SELECTOR = re.compile(rf"{_REQUIREMENT}(,{_REQUIREMENT})*")


def is_selector(text: str) -> bool:
    """Whether it is one, and not empty; comparisons of numbers are not taken."""
    return _SELECTOR.fullmatch(text) is not None
