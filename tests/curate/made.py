"""Candidates for tests: a few by hand, any by hypothesis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from genprm.curate.evidence import Candidate
from genprm.rationale.grammar import CodeRound, Rationale
from genprm.types import Judgement, Solution


def rationale(judgement: Judgement | None = "Yes", output: str = "True\n") -> Rationale:
    return Rationale("It adds up.", (CodeRound("print(2 + 3 == 5)", output),), judgement)


def candidate(labels: Sequence[int | None] = (1, 1), id: str = "s", **more: Any) -> Candidate:
    """A candidate whose rationales say what its labels say, unless told otherwise."""
    steps = more.pop("steps", tuple(f"Step {number}: it is {number}." for number in range(1, len(labels) + 1)))
    problem = more.pop("problem", "What is 2 + 3?")
    solution = Solution(problem, steps, id=id, problem_id=more.pop("problem_id", "p"))
    written = tuple(rationale("Yes" if label else "No", f"{bool(label)}\n") for label in labels)
    more.setdefault("rationales", written)
    return Candidate(solution, labels=tuple(labels), **more)


_indices = st.none() | st.integers(-1, 3)
_label = st.sampled_from([1, 1, 1, 0, None])


@st.composite
def candidates(draw: st.DrawFn, id: str = "s") -> Candidate:
    labels = draw(st.lists(_label, min_size=1, max_size=4))
    judged = draw(st.lists(st.sampled_from(["Yes", "Yes", "No", None]), max_size=len(labels)))
    return candidate(
        labels,
        id,
        problem_id=draw(st.sampled_from(["p", "q", "r"])),
        steps=tuple(draw(st.sampled_from(["a b c d e f g", "a b c d e f h", "x", "y z"])) for _ in labels),
        problem=draw(st.sampled_from(["How many apples does Ann have left?", "What is 2 + 3?"])),
        rationales=tuple(rationale(judgement) for judgement in judged),
        votes=tuple(draw(st.lists(_indices, max_size=4))),
        judge=draw(_indices),
        human=draw(_indices),
        code=draw(st.sampled_from([(), tuple("conflict" if one == "No" else "consistent" for one in judged)])),
        tokens=draw(st.sampled_from([(), (100,) * len(labels), (3,) * len(labels)])),
    )


pools = st.integers(0, 12).flatmap(lambda size: st.tuples(*(candidates(id=f"s{number}") for number in range(size))))
