"""The lab's labelled steps say what the world's own check says."""

from __future__ import annotations

from itertools import islice

from genprm.lab.steps import StepCorpus
from genprm.lab.truth import check

CORPUS = StepCorpus(seed=3, clean_share=0.3)


def test_the_value_of_a_step_is_the_truth_of_its_prefix() -> None:
    found = set()
    for index in range(60):
        made = CORPUS.example(index)
        truth = check(made.problem, made.steps)
        assert made.values == tuple(float(step.prefix_ok) for step in truth)
        found.add((made.values[-1], made.outcome))
    # Errors are survived: a solution may end rightly behind a wrong step, and never wrongly without one.
    assert {(1.0, 1.0), (0.0, 0.0), (0.0, 1.0)} == found


def test_an_example_depends_on_its_index_alone_and_problems_grow() -> None:
    assert CORPUS.example(7) == StepCorpus(seed=3, clean_share=0.3).example(7)
    first = StepCorpus(seed=3, grow_over=1000).example(0)
    assert len(first.steps) <= 3
    assert next(islice(CORPUS.texts(1), 1)) == CORPUS.example(0).problem.text
