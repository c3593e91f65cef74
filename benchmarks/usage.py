"""What the kernel says a process uses."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
KIB = 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """Of the process of that number, while it lives."""

    pid: int

    def cpu(self) -> float:
        """CPU seconds of all its threads, user and system; a tick is 10 ms."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK

    def memory(self, field: str = "VmRSS") -> int:
        """Bytes of ``VmRSS``, or of ``VmHWM``: the most since ``forget_peak``."""
        for line in self._proc("status").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * KIB
        raise LookupError(f"/proc says nothing of {field}")

    def forget_peak(self) -> None:
        """Let ``VmHWM`` begin anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self.pid}/{name}").read_text()
