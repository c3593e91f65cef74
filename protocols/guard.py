"""What Envoy would refuse, known before it is sent: a proxy rejects a whole listener or route
table for one value.

The bounds are the validation rules of Envoy's protos and the checks of its constructors. A function
whose name ends with ``error`` answers a cause, or None when there is nothing to object to.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

import re2

MAX_REGEX_PROGRAM = 100
"""Envoy's default of the runtime key ``re2.max_program_size.error_level``."""

MAX_REDIS_PREFIX = 1000
"""Bytes of ``RedisProxy.PrefixRoutes.Route.prefix``."""

MAX_HEADER = 16_384
"""Bytes of the name, and of the value, of a header that is added."""

_ENCODINGS = (re2.Options.Encoding.UTF8, re2.Options.Encoding.LATIN1)


@lru_cache(maxsize=4096)
def regex_error(pattern: str) -> str | None:
    """Why Envoy would refuse this regex.

    Envoy 1.40 reads patterns as Latin-1, 1.36 as UTF-8 with larger programs: both must do,
    so that a rule is valid or not whatever the proxy.
    """
    if not pattern:
        return "the pattern is empty"
    for encoding in _ENCODINGS:
        options = re2.Options()
        options.log_errors = False
        options.encoding = encoding
        try:
            size = re2.compile(pattern.encode(), options).programsize
        except re2.error as error:
            return _text(error)
        except UnicodeEncodeError:
            return "the pattern is not valid Unicode"
        if size > MAX_REGEX_PROGRAM:
            return f"its program size {size} exceeds Envoy's limit of {MAX_REGEX_PROGRAM}"
    return None


def accepts_empty(pattern: str) -> bool:
    """Whether a regex that has no error accepts an empty value."""
    return re2.compile(pattern.encode()).fullmatch("") is not None


def _text(error: re2.error) -> str:
    (message,) = error.args
    return message.decode(errors="replace") if isinstance(message, bytes) else str(message)


def header_name_error(name: str) -> str | None:
    """Why Envoy would refuse to match a header, or an attribute, of this name.

    Upper case is accepted; header matchers fold it.
    """
    if not name:
        return "the name is empty"
    if not {"\0", "\n", "\r"}.isdisjoint(name):
        return "the name contains a line break or a zero character"
    return None


def header_value_error(name: str, value: str) -> str | None:
    """Why Envoy would refuse to add a header, or set an attribute, of this name and value."""
    if (error := header_name_error(name)) is not None:
        return error
    if not {"\0", "\n", "\r"}.isdisjoint(value):
        return "the value contains a line break or a zero character"
    for what, text in (("name", name), ("value", value)):
        size = len(text.encode(errors="surrogatepass"))
        if size > MAX_HEADER:
            return f"the {what} has {size} bytes, Envoy accepts {MAX_HEADER}"
    return None


def redis_prefix_error(prefix: str) -> str | None:
    """Why Envoy would refuse to route this key prefix; the empty one matches every key.

    Two routes of one prefix in a listener are refused as well, which only their owner can see.
    """
    size = len(prefix.encode(errors="surrogatepass"))
    if size > MAX_REDIS_PREFIX:
        return f"the prefix has {size} bytes, Envoy accepts {MAX_REDIS_PREFIX}"
    return None


def is_ip(text: str) -> bool:
    """Whether an endpoint or listener may have this address.

    One with a zone (``fe80::1%eth0``) means something on one machine only.
    """
    try:
        return "%" not in str(ipaddress.ip_address(text))
    except ValueError:
        return False
