"""Reports of run directories: pages that open anywhere, with no network and no server.

``report``     report.html of one run directory      ``index``         index.html of several
``bundle``     the items of a page as data            ``reading``       the files of a run, one item at a time
``verification``, ``rollouts``, ``curation``          what the page of each kind of run shows
``agreement``  first errors held against each other   ``figures``       calibration and curves
"""

from __future__ import annotations

from genprm.view.index import index, runs_in
from genprm.view.report import report

__all__ = ["index", "report", "runs_in"]
