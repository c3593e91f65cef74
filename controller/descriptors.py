"""Every connection takes a file descriptor, and so does every file that is read: some are kept."""

from __future__ import annotations

import resource

RESERVE = 64
"""Descriptors that connections of proxies leave for files, logs and the admin port."""


def room_for(streams: int, reserve: int = RESERVE) -> int:
    """Let this process open more files, as far as it may by itself; gives how many streams there is
    room for beside the reserve, up to the number that is wanted.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = streams + reserve
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    if soft == resource.RLIM_INFINITY:
        return streams
    return max(1, min(streams, soft - reserve))
