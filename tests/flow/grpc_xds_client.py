"""A program that calls ``xds:///greeter.example`` through gRPC's own xDS client, without a pause,
and prints a line per call: who answered, or ``failed: `` and why. ``GRPC_XDS_BOOTSTRAP`` says where
its control plane is.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import grpc

TARGET = "greeter.example"
METHOD = "/greeter.Greeter/Hello"
PAUSE_S = 0.005


def main() -> None:
    """Until somebody ends the process."""
    with grpc.insecure_channel(f"xds:///{TARGET}") as opened:
        channel: Any = opened  # grpc's stubs make a call generic in what the serializers would be
        call = channel.unary_unary(METHOD)
        while True:
            try:
                answer = call(b"", timeout=10.0, wait_for_ready=False).decode()
            except grpc.RpcError as error:
                status: Any = error
                answer = f"failed: {status.code()} {status.details()}"
            sys.stdout.write(f"{answer}\n")
            sys.stdout.flush()
            time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
