"""Rules by name: what is refused, what is dropped, where the first error lies, and that records keep it all."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm.curate import RULES, UNKNOWN, Counts, label, label_arrays, spell
from genprm.errors import InputError
from genprm.records import labels_from_dict, labels_to_dict
from genprm.records.lines import dump_line, parse_line
from tests.curate.worlds import Problem, Solved, chain, counts, patiently, rollouts, row, worlds

ONE = chain((4, 8), (4, 8), (1, 8))


@pytest.mark.parametrize(
    ("rule", "parameters", "message"),
    [
        ("softest", {}, "no label rule 'softest'; the rules are orm, hard, soft, entropy, rpe_ratio, rpe_difference"),
        ("hard", {"eta": 1}, "'hard' has no parameter 'eta'; it takes 'threshold'"),
        ("soft", {"threshold": 1}, "'soft' has no parameter 'threshold'; it takes no parameter"),
        ("hard", {"threshold": 1}, "threshold of 'hard' is 1; it must be at least 0 and below 1"),
        ("rpe_ratio", {"threshold": 0}, "threshold of 'rpe_ratio' is 0; it must be above 0"),
        ("rpe_ratio", {"threshold": "high"}, "is 'high'; it must be a finite number"),
        ("entropy", {"eta": math.inf}, "eta of 'entropy' is inf; it must be a finite number"),
        ("soft", {"confidence": 0.9}, "'soft' has no labels at a confidence; .* hard, rpe_ratio, rpe_difference"),
        ("hard", {"confidence": 1.0}, "confidence is 1.0; it must be above 0.5 and below 1"),
    ],
)
def test_what_cannot_be_labelled_is_refused_by_name(rule: str, parameters: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        label(ONE, rule, **parameters)


def test_counts_of_an_adaptive_sampler_are_read_by_its_own_rule_alone() -> None:
    adaptive = chain((4, 8), (1, 2), (0, 8), rule="rpe_ratio")
    assert label(adaptive, "rpe_ratio", threshold="0.80")[0].values == (1, 0, 0)
    for rule in RULES:
        if rule != "rpe_ratio":
            with pytest.raises(
                InputError, match=f"early under the rule 'rpe_ratio', so these counts are biased for '{rule}'"
            ):
                label(adaptive, rule)
    with pytest.raises(InputError, match=r"biased for 'rpe_ratio\(threshold=0.5\)'; label them with 'rpe_ratio'"):
        label(adaptive, "rpe_ratio", threshold=0.5)
    with pytest.raises(InputError, match="but sampling stopped early"):
        label(adaptive, "rpe_ratio", confidence=0.95)


def test_one_row_that_stopped_early_is_enough_to_refuse() -> None:
    rows = rollouts([Problem((4, 8), (Solved(((4, 8), (1, 8)), True),))])
    mixed = Counts.from_rollouts([*rows[:2], row("p0s0", 1, 0, 3, rule="hard(threshold=0.5)"), *rows[3:]])
    with pytest.raises(InputError, match="biased for 'hard'"):
        label(mixed, "hard")
    assert label(mixed, "hard", threshold=0.5)[0].values == (0, 0, 1)


def test_a_rule_is_spelled_with_what_differs_from_its_default() -> None:
    assert spell("rpe_ratio", threshold=0.8) == spell("rpe_ratio") == "rpe_ratio"
    assert spell("hard", threshold="1/4") == "hard(threshold=0.25)"
    assert spell("soft") == "soft"


def test_steps_that_an_adaptive_sampler_skipped_have_no_label_but_behind_an_end() -> None:
    """Total 0 says that nothing was sampled."""
    skipped = chain((4, 8), (4, 8), (0, 8), (0, 0), (0, 0), rule="rpe_ratio")
    assert label(skipped, "rpe_ratio")[0].values == (1, 0, 0, 0, 0)
    gap = chain((4, 8), (4, 8), (0, 0), (4, 8), rule="rpe_ratio")
    assert label(gap, "rpe_ratio")[0].values == (1, None, None, 1)
    assert label(chain((4, 8), (0, 0), rule="hard"), "hard")[0].values == (None, 1)


def test_a_problem_that_is_never_solved_is_dropped_by_name() -> None:
    world = counts([Problem((0, 8), (Solved(((4, 8),), True),)), Problem((1, 8), (Solved(((4, 8),), True),))])
    for rule in ("rpe_ratio", "rpe_difference"):
        found = label_arrays(world, rule)
        assert found.dropped_problems == ("p0",)
        assert found.dropped.tolist() == [True, False]
        assert [one.values for one in found.records()] == [(None, None), (1, 1)]
        assert found.first_errors().tolist() == [UNKNOWN, -1]
    assert label_arrays(world, "hard").dropped_problems == ()


def test_relative_progress_needs_pass_at_1_and_says_of_which_problems() -> None:
    rows = [one for one in rollouts([Problem((1, 8), (Solved(((4, 8),), True),))] * 7) if one.step >= 0]
    with pytest.raises(
        InputError, match=r"needs Pass@1 .*step -1.*, which 7 problems lack: 'p0', .*'p4', \.\.\.; sample"
    ):
        label(Counts.from_rollouts(rows), "rpe_ratio")
    assert len(label(Counts.from_rollouts(rows), "hard")) == 7


@patiently
@given(worlds())
def test_the_first_error_is_the_first_label_of_0(world: list[Problem]) -> None:
    for rule in RULES:
        found = label_arrays(counts(world), rule)
        for one, first in zip(found.records(), found.first_errors().tolist(), strict=True):
            if None in one.values:
                assert first == UNKNOWN
            else:
                assert first == (one.values.index(0) if 0 in one.values else -1)


def test_a_first_error_behind_a_step_without_label_is_unknown() -> None:
    world = counts([Problem((4, 8), (Solved(((1, 8), (0, 8)), True), Solved(((0, 8), (1, 8)), True)))])
    found = label_arrays(world, "hard", threshold="0.05", confidence=0.9)
    assert found.records()[0].values == (None, None, 1)
    assert found.first_errors().tolist() == [UNKNOWN, UNKNOWN]
    sure = label_arrays(chain((8, 8), (0, 64), (3, 8)), "hard", threshold="0.05", confidence=0.9)
    assert sure.first_errors().tolist() == [0]


@patiently
@given(worlds(), st.floats(-5, 5))
def test_entropy_labels_rank_steps_as_soft_ones_do(world: list[Problem], eta: float) -> None:
    """So whatever only ranks (AUROC, the best at a threshold of one's own) cannot tell them apart, whatever eta is."""
    soft, entropy = (
        label_arrays(counts(world), rule, **given).values for rule, given in (("soft", {}), ("entropy", {"eta": eta}))
    )
    known = ~np.isnan(soft)
    one, other = soft[known], entropy[known]
    assert np.array_equal(np.sign(np.subtract.outer(one, one)), np.sign(np.subtract.outer(other, other)))


def test_labels_come_back_from_their_records(tmp_path: Path) -> None:
    for rule in RULES:
        for one in label(ONE, rule):
            line = dump_line(labels_to_dict(one)).encode()
            assert labels_from_dict(parse_line(line, "labels", 1)) == one
    (confident,) = label(ONE, "rpe_ratio", confidence=0.95)
    assert confident.parameters == {"threshold": 0.8, "confidence": 0.95}


def test_values_are_arrays_of_every_step() -> None:
    assert np.array_equal(label_arrays(ONE, "soft").values, [0.5, 0.125, 1.0])
