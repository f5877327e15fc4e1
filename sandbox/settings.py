"""What the owner of a supervisor chooses."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """The JSON object of the supervisor's command line."""

    scratch: str
    memory_bytes: int = 1 << 30
    """Of a session: private data of each process, and resident memory of all of them together."""
    output_kept: int = 64 << 10
    output_limit: int = 4 << 20
    file_bytes: int = 64 << 20
    open_files: int = 256
    lifetime_s: float = math.inf
    """When we end, whatever runs: the last net under an owner that died unseen."""

    first_uid: int | None = None
    """In a container: sessions get this user id and the following ones. What is below holds only there."""
    max_sessions: int = 64
    """How many user ids; a session beyond them is refused."""
    processes: int = 128
    """Of a session, threads included (RLIMIT_NPROC: the kernel counts all processes of the user id)."""
    scratch_bytes: int = 128 << 20
    """Of a session, in all file systems in memory together."""
    scratch_files: int = 4096

    def rlimits(self) -> dict[str, int]:
        limits = {"DATA": self.memory_bytes, "FSIZE": self.file_bytes, "CORE": 0, "NOFILE": self.open_files}
        return limits if self.first_uid is None else {**limits, "NPROC": self.processes, "MSGQUEUE": 0}
