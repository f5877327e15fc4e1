"""The filters of a verification: which items each shows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from genprm.evaluate.calibration import BINS as CALIBRATION_BINS
from genprm.evaluate.calibration import bin_of as calibration_bin
from genprm.evaluate.calibration import known_steps
from genprm.types import Solution, StepVerdict
from genprm.view.frame import BINS, Tag, bin_of, bin_tags

FILTERS = (
    Tag("wrong", "Wrong", "the prediction is not the label"),
    Tag("split", "Votes disagree", "votes say Yes and No of the same step"),
    Tag("error", "Error found", "a first wrong step is predicted"),
    Tag("clean", "No error found", "no wrong step is predicted"),
    Tag("failed", "Failed", "a vote failed at a step"),
    Tag("code-failed", "Code failed", "code ended in an error, or there was none to run"),
    Tag("conflict", "Code conflict", "code printed the opposite of the judgement"),
    Tag("unsettled", "Unsettled", "not finished, or without a verdict"),
)
SORTS = (
    ("lowest", "Lowest reward"), ("margin", "Least sure"), ("split", "Votes most divided"), ("steps", "Steps"),
    ("tokens", "Tokens"),
)  # fmt: skip
"""What the list can be sorted by; the numbers of an entry follow it."""
_UNFAILED = ("ok", "not_run")


def further(failures: Iterable[str], code: Iterable[str]) -> Iterator[Tag]:
    """What figures link to, besides the filters."""
    yield from (
        Tag("right", "Right", "the prediction is the label"), Tag("labelled", "With a label"),
        Tag("erroneous", "Labelled with an error"), Tag("correct", "Labelled without an error"),
        Tag("hit-error", "First error found exactly"), Tag("hit-clean", "Correct solution accepted"),
        Tag("finished", "Finished"), Tag("voted", "With a vote"), Tag("judged", "With a judged step"),
        Tag("code", "With code"), Tag("early", "Voting ended early"),
    )  # fmt: skip
    yield from (Tag(f"failed-{name}", f"Failed: {name}") for name in failures)
    yield from (Tag(f"code-{name}", f"Code: {name}") for name in code)
    yield from bin_tags("r", BINS, "Step reward")
    yield from bin_tags("c", CALIBRATION_BINS, "Step of known truth, reward")


def tags(
    solution: Solution, item: Mapping[str, Any] | None, rewards: Sequence[float | None],
    verdicts: Sequence[StepVerdict], *, divided: bool, conflict: bool,
) -> Iterator[str]:  # fmt: skip
    """The filters that show an item; some more than once."""
    predicted = None if item is None else item.get("predicted_label")
    if item is not None:
        yield "finished"
    if predicted is None or (item or {}).get("settled", "all") is None:
        yield "unsettled"
    elif (item or {}).get("settled", "all") != "all":
        yield "early"
    if predicted is not None:
        yield "error" if predicted >= 0 else "clean"
    if solution.label is not None and item is not None:
        right = predicted == solution.label
        yield from ("labelled", "right" if right else "wrong", "erroneous" if solution.label >= 0 else "correct")
        if right:
            yield "hit-error" if solution.label >= 0 else "hit-clean"
        yield from (
            f"c{calibration_bin(reward)}"
            for step in known_steps(solution.label, len(rewards))
            if (reward := rewards[step]) is not None
        )
    named = {"split": divided, "voted": bool(verdicts), "conflict": conflict}
    yield from (name for name, holds in named.items() if holds)
    yield from (f"r{bin_of(reward)}" for reward in rewards if reward is not None)
    for verdict in verdicts:
        yield from _tags_of_step(verdict)


def _tags_of_step(verdict: StepVerdict) -> Iterator[str]:
    if verdict.status == "judged":
        yield "judged"
    if verdict.failure:
        yield from ("failed", f"failed-{verdict.failure}")
    for run in verdict.code:
        yield f"code-{run.status}"
        if run.status != "not_run":
            yield "code"
        if run.status not in _UNFAILED:
            yield "code-failed"
