"""Is the difference of two systems on the same problems chance? Permutation per problem, Holm over several pairs. Pure.

If the systems do not differ, exchanging their results on any one problem changes nothing but chance. So each
permutation exchanges them on every problem with chance 1/2, with all solutions of the problem together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from genprm.evaluate.statistics import Floats

PERMUTATIONS = 10_000
_CELLS = 4_000_000
_EQUAL = 1e-12
"""Differences so close are the same: sums in another order differ by rounding."""


def permutation_p(
    a: Floats, b: Floats, figure: Callable[[Floats], Floats], *, seed: int = 0, permutations: int = PERMUTATIONS
) -> float:
    """Two-sided p of figure(sum of a) - figure(sum of b), paired by row.

    ``a``, ``b``: (problems, columns) of what adds up; ``figure`` takes (permutations, columns) of sums. The p-value is
    (1 + permutations whose difference is at least as large in absolute value) / (1 + permutations): never 0.
    """
    change, rng = b - a, np.random.default_rng(seed)
    total = a.sum(axis=0), b.sum(axis=0)
    found = float(np.abs(figure(total[0][None]) - figure(total[1][None]))[0])
    extreme, largest = 0, max(1, _CELLS // max(1, len(a)))
    for start in range(0, permutations, largest):
        size = min(largest, permutations - start)
        moved = rng.integers(0, 2, (size, len(a))).astype(float) @ change
        extreme += int((np.abs(figure(total[0] + moved) - figure(total[1] - moved)) >= found - _EQUAL).sum())
    return (1 + extreme) / (1 + permutations)


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """p-values adjusted for their number (Holm 1979): the i-th smallest of m, counted from 0, times m - i, at most 1,
    and at least as large as those before it."""
    order = sorted(range(len(p)), key=lambda place: p[place])
    adjusted, largest = [0.0] * len(p), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = largest
    return tuple(adjusted)
