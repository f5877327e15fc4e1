"""Trees of prefixes: parents, averages and exact ratios, and the real file under every rule."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm.curate import Tree, best_candidates, label, label_arrays, read_trees, tree_counts
from genprm.curate.trees import _parents
from genprm.errors import InputError, RecordError
from tests.conftest import shared_data
from tests.curate.worlds import patiently

TREE = {
    "question": "Q",
    "question_id": 7,
    "reasoning_steps": [
        {"solution_prefix": "Q\na\nb", "mc_value": 0.0},
        {"solution_prefix": "Q", "mc_value": 0.5},
        {"solution_prefix": "Q\na", "mc_value": 0.3},
        {"solution_prefix": "Q\na", "mc_value": 0.5},
        {"solution_prefix": "Q\nc", "mc_value": 0.3333},
    ],
}


def read(tmp_path: Path, *records: dict[str, Any]) -> list[Tree]:
    path = tmp_path / "trees.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return read_trees(path)


def test_a_tree_is_read_with_parents_averages_and_exact_ratios(tmp_path: Path) -> None:
    (tree,) = read(tmp_path, TREE)
    assert tree == Tree(
        "7@1",
        ("Q", "Q\na", "Q\na\nb", "Q\nc"),
        (Fraction(1, 2), Fraction(2, 5), Fraction(0), Fraction(1, 3)),
        (-1, 0, 1, 0),
    )
    assert tree.leaves == (2, 3)
    assert tree.path(2) == (1, 2)


def test_its_paths_are_solutions_under_every_rule_of_ratios(tmp_path: Path) -> None:
    counts = tree_counts(read(tmp_path, TREE))
    assert counts.ids == ("7@1/2", "7@1/3")
    assert [one.values for one in label(counts, "hard")] == [(1, 0), (1,)]
    assert [one.values for one in label(counts, "rpe_ratio")] == [(1, 0), (0,)]
    assert [one.values for one in label(counts, "rpe_difference")] == [(1, 0), (1,)]
    assert [one.values for one in label(counts, "soft")] == [(0.4, 0), (1 / 3,)]
    with pytest.raises(
        InputError, match=r"'orm' needs to know whether answers are right, .* 2 solutions, the first '7@1/2'"
    ):
        label(counts, "orm")
    with pytest.raises(InputError, match="unknown whether these answers are right"):
        best_candidates(label_arrays(counts, "soft"))


@patiently
@given(st.lists(st.text("ab\n", max_size=6), min_size=1, max_size=20, unique=True))
def test_a_parent_is_the_longest_proper_prefix(texts: list[str]) -> None:
    ordered = sorted(texts)
    for place, parent in enumerate(_parents(ordered)):
        shorter = [text for text in ordered if text != ordered[place] and ordered[place].startswith(text)]
        assert (ordered[parent] if parent >= 0 else None) == max(shorter, key=len, default=None)


@patiently
@given(st.integers(1, 1024).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_a_ratio_with_all_its_digits_is_the_share_it_was(pair: tuple[int, int]) -> None:
    assert Fraction(pair[0] / pair[1]).limit_denominator(1024) == Fraction(*pair)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": None}, "line 1, field 'question': must be the problem's text"),
        ({"reasoning_steps": []}, "field 'reasoning_steps': must be a list of prefixes"),
        ({"reasoning_steps": [{"solution_prefix": "Qx", "mc_value": 0.5}]}, "no prefix that is the question alone"),
        ({"reasoning_steps": [{"mc_value": 0.5}]}, "field 'solution_prefix': must be a text"),
        ({"reasoning_steps": [{"solution_prefix": "Q", "mc_value": 1.5}]}, "field 'mc_value': is 1.5; it must be"),
        ({"reasoning_steps": [{"solution_prefix": "Q"}]}, "field 'mc_value': is a null; it must be"),
        (
            {"reasoning_steps": [{"solution_prefix": "Q", "mc_value": 1}, {"solution_prefix": "R", "mc_value": 1}]},
            "a prefix that does not begin with the question",
        ),
    ],
)
def test_a_tree_that_cannot_be_is_refused(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=message):
        read(tmp_path, TREE | change)


def test_a_question_without_steps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no step beyond their questions"):
        tree_counts(read(tmp_path, TREE | {"reasoning_steps": [{"solution_prefix": "Q", "mc_value": 0.5}]}))


def test_real_trees_of_a_search_are_labelled_by_every_rule_of_ratios() -> None:
    trees = read_trees(shared_data("mc_tree/omegaprm_samples.jsonl"))
    assert [len(tree.prefixes) for tree in trees] == [86, 10, 39]
    assert [tree.shares[0] for tree in trees] == [Fraction(3, 4), Fraction(3, 16), Fraction(3, 8)]
    counts = tree_counts(trees)
    assert len(counts.ids) == 81 + 7 + 36
    soft, hard = label_arrays(counts, "soft").values, label_arrays(counts, "hard").values
    graded = label_arrays(counts, "entropy").values
    assert np.all((soft <= graded) & (graded <= hard))
    ratio = label_arrays(counts, "rpe_ratio")
    assert np.all(ratio.values <= hard)
    assert not ratio.dropped_problems
    assert {int(first) for first in ratio.first_errors()} >= {-1, 0}
