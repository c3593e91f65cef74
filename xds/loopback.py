"""Which addresses only this machine reaches."""

from __future__ import annotations

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def require_loopback(address: str) -> None:
    """Of ``host:port``. Raises ValueError with a sentence for the user where others reach it."""
    host, _, port = address.rpartition(":")
    if not is_loopback(host.strip("[]")) or not port.isdecimal():
        raise ValueError(
            f"cannot listen on {address!r}: without TLS only a loopback address is allowed, "
            "such as 127.0.0.1:18000"
        )
