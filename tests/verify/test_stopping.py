"""The exact early stop: the same answer as all votes give, from the fewest votes that can give it."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from genprm.types import Settled, StepVerdict, Verification, Vote
from genprm.verdicts import THRESHOLD, VoteRule, values
from genprm.verify.aggregate import aggregate
from genprm.verify.course import Course, Unit
from genprm.verify.stopping import Stop, least_more, surely_no, surely_yes
from genprm.verify.store import MemoryVotes
from tests.verify.test_aggregate import Cell, solution, votes

CELLS: st.SearchStrategy[Cell] = st.one_of(
    st.sampled_from([0.0, 0.5, 1.0, 1e-9, 1 - 1e-9]), st.floats(0, 1), st.just("budget")
)


@st.composite
def solutions_with_all_votes(draw: st.DrawFn) -> list[Vote]:
    """2 to 9 votes on 1 to 4 steps; after a failed step a vote ends."""
    steps = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(CELLS, min_size=steps, max_size=steps), min_size=2, max_size=9))
    for row in rows:
        if "budget" in row:
            row[row.index("budget") + 1 :] = [None] * (steps - row.index("budget") - 1)
    return votes(*rows)


def run(every: list[Vote], settle: Settled, rule: VoteRule = "mean", stored: list[Vote] | None = None) -> Course:
    """A course to its end, each unit answered by what the vote of that index says of the steps asked for."""
    store = MemoryVotes({vote.key: vote for vote in stored or []})
    course = Course(
        solution(len(every[0].steps)), len(every), store, stop=Stop(settle), vote_rule=rule,
        key=lambda _, index: str(index),
    )  # fmt: skip
    units = course.start()
    while units:
        units = [more for unit in units for more in course.add(answer(every, unit))]
    assert course.finished
    return course


def answer(every: list[Vote], unit: Unit) -> Vote:
    vote = every[unit.vote]
    rest = [StepVerdict("not_run", "direct")] * (len(vote.steps) - unit.steps)
    return Vote(vote.key, vote.id, vote.vote, vote.seed, (*vote.steps[: unit.steps], *rest))


def labels(item: Verification) -> list[bool | None]:
    return [None if reward is None else reward >= THRESHOLD for reward in item.rewards]


@given(solutions_with_all_votes(), st.sampled_from(["mean", "majority"]))
def test_labels_are_those_of_all_votes(every: list[Vote], rule: VoteRule) -> None:
    full = aggregate(solution(len(every[0].steps)), every, rule)
    item = run(every, "labels", rule).result()
    assert labels(item) == labels(full)
    assert item.predicted_label == full.predicted_label
    assert item.settled == ("all" if len(item.votes) == len(every) else "labels")


@given(solutions_with_all_votes(), st.sampled_from(["mean", "majority"]))
def test_the_first_error_is_that_of_all_votes(every: list[Vote], rule: VoteRule) -> None:
    full = aggregate(solution(len(every[0].steps)), every, rule)
    item = run(every, "first-error", rule).result()
    assert item.predicted_label == full.predicted_label
    if item.settled == "first-error" and item.predicted_label not in (None, -1):
        assert set(item.rewards[item.predicted_label + 1 :]) <= {None}


@given(solutions_with_all_votes())
def test_no_vote_is_run_beyond_the_shortest_beginning_that_settles(every: list[Vote]) -> None:
    taken = len(run(every, "labels").votes())
    for shorter in range(1, taken):
        remaining = len(every) - shorter
        columns = [
            values([vote.steps[step] for vote in every[:shorter]], "mean") for step in range(len(every[0].steps))
        ]
        assert not all(surely_yes(said, remaining) or surely_no(said, remaining) for said in columns)


@given(solutions_with_all_votes(), st.sampled_from(["labels", "first-error"]))
@example(votes([1.0, 0.0, 1.0], [1.0, 0.0, 1.0], [1.0, 0.0, 1.0]), "first-error")
def test_what_was_skipped_is_run_when_it_is_asked_for(every: list[Vote], settle: Settled) -> None:
    few = every[: len(every) // 2 + 1]
    early = run(few, settle)
    later = run(every, "all", stored=early.votes())
    assert later.votes() == every
    assert run(every, settle, stored=early.votes()).result() == run(every, settle).result()


@given(solutions_with_all_votes(), st.sampled_from(["labels", "first-error"]))
def test_votes_of_an_earlier_run_change_no_answer(every: list[Vote], settle: Settled) -> None:
    course = run(every, settle, stored=every)
    assert course.reused == len(course.votes())
    assert course.result().predicted_label == run(every, settle).result().predicted_label


def test_eight_votes_that_agree_are_settled_by_five() -> None:
    """Soft votes are never quite 1, so four of eight do not settle a Yes: 37.5 % is the most that can be saved."""
    assert len(run(votes(*[[0.999, 0.999]] * 8), "labels").votes()) == 5
    assert len(run(votes(*[[0.001]] * 8), "labels").votes()) == 5
    assert len(run(votes(*[[1.0]] * 8), "labels").votes()) == 4
    assert least_more([[0.9] * 4], 4, "labels") == 1


def test_behind_a_step_that_is_surely_no_nothing_more_is_run() -> None:
    every = votes(*[[0.6, 0.01, 0.9]] * 8)
    course = run(every, "first-error")
    assert [sum(step.status == "judged" for step in vote.steps) for vote in course.votes()] == [3, 3, 3, 3, 3, 3, 2]
    assert course.result().predicted_label == aggregate(solution(3), every).predicted_label == 1
