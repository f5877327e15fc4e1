"""A recipe at many points: a grid of its options, times seeds. Pure but for ``folder``.

``grid`` says what varies, ``layout`` which stage has to be done for which values, ``choice`` which point is taken, and
``folder`` what is done. Stages are command lines, and who runs them is for ``genprm.cli.sweep``.
"""

from __future__ import annotations

from genprm.sweep.choice import Choice, Point, choose, figure_of
from genprm.sweep.folder import SweepFolder
from genprm.sweep.grid import Axis, axes, named, swept
from genprm.sweep.layout import Layout, Part

__all__ = [
    "Axis",
    "Choice",
    "Layout",
    "Part",
    "Point",
    "SweepFolder",
    "axes",
    "choose",
    "figure_of",
    "named",
    "swept",
]
