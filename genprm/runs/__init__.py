"""Run directories: append-only, keyed, resumable, self-explaining. Every long job is one."""

from __future__ import annotations

from genprm.runs.directory import RunDirectory
from genprm.runs.environment import environment

__all__ = ["RunDirectory", "environment"]
