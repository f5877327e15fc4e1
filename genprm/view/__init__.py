"""Reports of run directories: one self-contained HTML file that opens anywhere, with no network and no server."""

from __future__ import annotations

from genprm.view.report import report

__all__ = ["report"]
