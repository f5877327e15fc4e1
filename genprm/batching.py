"""Rows of like length together, so that little of a batch is padding. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def by_length(lengths: Sequence[int]) -> list[int]:
    """Indices of ``lengths``, the shortest first."""
    return sorted(range(len(lengths)), key=lambda index: lengths[index])


def cut(order: Sequence[int], lengths: Sequence[int], size: int) -> list[list[int]]:
    """Consecutive groups of ``order`` whose padded size (rows x longest) stays within ``size``.

    ``order`` is by rising length; a row larger than ``size`` is a group alone.
    """
    groups: list[list[int]] = []
    for index in order:
        if groups and (len(groups[-1]) + 1) * lengths[index] <= size:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
