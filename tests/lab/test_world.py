"""The micro-world: deterministic, truthful, split by construction, hard in the ways it says."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from genprm.errors import InputError
from genprm.lab.families import FAMILIES
from genprm.lab.world import KINDS, WorldSolution, make_problem, solutions, solve, test_set

# pytest would collect the imported function as a test of its own.
labelled_test_set = test_set
del test_set


def drawn(count: int, split: str = "train") -> list[WorldSolution]:
    return list(islice(solutions(3, split), count))  # type: ignore[arg-type]


def test_the_same_seed_gives_the_same_world() -> None:
    assert make_problem(5) == make_problem(5)
    assert [s.record("x") for s in drawn(20)] == [s.record("x") for s in drawn(20)]
    assert make_problem(5) != make_problem(6)


def test_a_clean_solution_states_only_true_values_and_ends_in_the_answer() -> None:
    for seed in range(100):
        problem = make_problem(seed)
        solution = solve(problem, "clean", seed)
        assert solution is not None and solution.label == -1
        assert all(step.holds and step.prefix_ok and not step.new_error for step in solution.steps)
        assert solution.steps[-1].claimed == problem.answer


def test_a_wrong_solution_has_one_new_error_and_a_spoiled_prefix_from_there() -> None:
    for solution in drawn(600):
        if solution.kind == "clean":
            continue
        wrong = [index for index, step in enumerate(solution.steps) if step.new_error]
        assert wrong == [solution.label]
        assert [step.prefix_ok for step in solution.steps] == [i < solution.label for i in range(len(solution.steps))]
        assert not solution.steps[solution.label].holds


def test_errors_are_survived_unless_they_are_propagated() -> None:
    later = {
        kind: [step.holds for s in drawn(600) if s.kind == kind for step in s.steps[s.label + 1 :]] for kind in KINDS
    }
    assert all(later["slip"]) and all(later["operand"])
    assert not all(later["propagated"])


def test_a_side_step_is_true_and_nothing_builds_on_it() -> None:
    problems = [make_problem(seed) for seed in range(300)]
    sides = [(p, node) for p in problems for node in p.nodes[:-1] if node.side]
    assert len(sides) > 10
    for problem, node in sides:
        assert all(node.name not in other.expression.names() for other in problem.nodes)


def test_steps_that_lead_nowhere_are_as_frequent_as_asked() -> None:
    def count(share: float) -> int:
        problems = [make_problem(seed, side_share=share) for seed in range(80)]
        return sum(any(node.side for node in problem.nodes) for problem in problems)

    assert count(0.0) == 0
    assert count(1.0) > 2 * count(0.25) > 0


def test_every_kind_takes_an_equal_share_and_every_operation_occurs() -> None:
    found = drawn(600)
    assert set(Counter(s.kind for s in found).values()) == {100}
    operations = Counter(op for s in found for node in s.problem.nodes for op in node.expression.operations)
    assert min(operations[op] for op in "+-*/") > 50
    assert {len(s.steps) for s in found} == set(range(2, 9))


def test_problems_of_the_three_splits_never_meet() -> None:
    train, curate, test = (
        {make_problem(seed, split).text for seed in range(400)} for split in ("train", "curate", "test")
    )
    assert train.isdisjoint(test) and curate.isdisjoint(train | test)


def test_two_whole_families_exist_in_the_test_split_only() -> None:
    held_out = {family.name for family in FAMILIES if family.held_out}
    assert len(held_out) == 2 and len(FAMILIES) - len(held_out) >= 8
    assert {make_problem(seed, "test", held_out=True).family for seed in range(40)} == held_out
    assert held_out.isdisjoint(make_problem(seed).family for seed in range(100))
    with pytest.raises(InputError, match="test split only"):
        make_problem(0, "train", held_out=True)


def test_a_record_shows_texts_and_label_and_nothing_of_the_program() -> None:
    record = labelled_test_set(1, seed=1)[0]
    assert set(record.extra) == {"kind", "family", "held_out"}
    assert record.final_answer_correct == (record.predicted_answer == record.answer)


def test_the_test_set_has_a_problem_of_its_own_for_each_solution() -> None:
    records = labelled_test_set(60, seed=1)
    assert len({record.problem for record in records}) == 60
    assert set(Counter(record.extra["kind"] for record in records).values()) == {10}
