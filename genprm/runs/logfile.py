"""What genprm logs while a run directory is open, in a file of that directory."""

from __future__ import annotations

import logging
from pathlib import Path

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class LogFile:
    """Writes the records of the ``genprm`` logger, from INFO on, until closed. The file appears with its first line."""

    def __init__(self, path: Path) -> None:
        self._logger = logging.getLogger("genprm")
        self._level = self._logger.level
        self._handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace", delay=True)
        self._handler.setFormatter(logging.Formatter(FORMAT))
        self._handler.setLevel(logging.INFO)
        self._logger.addHandler(self._handler)
        if self._logger.getEffectiveLevel() > logging.INFO:
            self._logger.setLevel(logging.INFO)

    def close(self) -> None:
        """Stop writing and leave the logger as it was. Idempotent."""
        if self._handler in self._logger.handlers:
            self._logger.removeHandler(self._handler)
            self._logger.setLevel(self._level)
        self._handler.close()
