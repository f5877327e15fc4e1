"""The page of a verification: every solution with its votes, and the figures of the run.

One pass, in the order of solutions.jsonl: an item's votes are read when it is its turn and forgotten afterwards.
Rewards come from the item records. Where a run was interrupted before an item was written, the reward shown is the mean
over the votes finished so far, and the item says that it is unfinished. Votes of a cascade are those of the mode that
decided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from genprm.errors import RecordError
from genprm.rationale.conflict import verdict_of_outputs
from genprm.types import Solution, StepVerdict, Vote
from genprm.verdicts import VoteRule, said, values
from genprm.view import reading
from genprm.view.blocks import cut
from genprm.view.bundle import Bundle, Entry
from genprm.view.figures import Curve, Measured
from genprm.view.filters import FILTERS, SORTS, further, tags
from genprm.view.frame import BINS, bars, bin_of, page

_FACTS = (
    ("engine.model", "model"),
    ("engine.revision", "revision"),
    ("engine.engine", "engine"),
    ("mode", "mode"),
    ("votes", "votes"),
    ("vote_rule", "vote rule"),
    ("read_out", "read-out"),
    ("prompt_style", "prompt style"),
    ("history", "history"),
    ("sandbox.kind", "sandbox"),
    ("sampling.temperature", "temperature"),
    ("seed", "seed"),
)


class Found(NamedTuple):
    """A vote, and where it stands."""

    vote: Vote
    place: str
    counted: bool
    """Whether the item's verdict rests on it: the run may hold more votes than that."""
    conflicts: tuple[bool, ...]
    """Of each step, whether its code printed the opposite of its judgement."""


@dataclass(slots=True)
class Totals:
    """Counts over the whole run, one item after another."""

    items: int = 0
    finished: int = 0
    votes: int = 0
    tokens: int = 0
    labelled: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    """Steps of votes by status."""
    failures: Counter[str] = field(default_factory=Counter)
    code: Counter[str] = field(default_factory=Counter)
    """Code rounds by how they ended."""
    histogram: list[int] = field(default_factory=lambda: [0] * BINS)
    """Steps by reward."""
    measured: Measured = field(default_factory=Measured)
    """Against the labels, where there are some."""

    @property
    def code_run(self) -> int:
        return self.code.total() - self.code["not_run"]

    @property
    def curve(self) -> Curve | None:
        return self.measured.curve() if self.finished == self.items else None


def render(run_dir: Path, title: str, config: Mapping[str, Any], bundle: Bundle) -> tuple[str, Totals]:
    """The page as text, its items in the bundle. Raises ``InputError``."""
    totals = Totals()
    vote_rule: VoteRule = "majority" if config.get("vote_rule") == "majority" else "mean"
    bundle.extend(_entries(run_dir, totals, vote_rule))
    bundle.finish()
    text = page(
        "verification.html.jinja", title, config, _FACTS, bundle, what="solutions", filters=FILTERS,
        tags=(*FILTERS, *further(totals.failures, totals.code)),
        sorts=SORTS, totals=totals, bars=bars(totals.histogram, "r"), calibration=totals.measured.calibration(),
        curve=totals.curve,
    )  # fmt: skip
    return text, totals


def _entries(run_dir: Path, totals: Totals, vote_rule: VoteRule) -> Iterator[Entry]:
    from genprm.records.solutions import solution_from_dict

    name = reading.needed(run_dir, "solutions.jsonl")
    with reading.indices() as open_index:
        items = open_index(run_dir, "items.jsonl", rewards=list, predicted_label=int | None)
        for line, record in reading.records(run_dir, name, id=str):
            solution = solution_from_dict(record, source=name, line=line)
            found = items.last(solution.id)
            item = None if found is None else _item(found, solution, run_dir / items.name)
            places = [f"{name}:{line}", *(f"items.jsonl:{one.number}" for one in (found,) if one)]
            yield _entry(solution, _votes(run_dir, solution.id, item, open_index), item, places, totals, vote_rule)


def _item(line: reading.Line, solution: Solution, path: Path) -> Mapping[str, Any]:
    """The item record, once its rewards are known to be one a step."""
    rewards = line.record["rewards"]
    if len(rewards) == len(solution.steps) and all(
        one is None or (isinstance(one, int | float) and 0 <= one <= 1) for one in rewards
    ):
        return line.record
    message = f"must be {len(solution.steps)} numbers from 0 to 1, or null; remove the file and run genprm verify again"
    raise RecordError(message, source=str(path), line=line.number, field="rewards")


def _votes(run_dir: Path, name: str, item: Mapping[str, Any] | None, open_index: reading.Open) -> list[Found]:
    from genprm.records.results import vote_from_dict

    mode = (item or {}).get("mode")
    file = f"{mode}/votes.jsonl" if mode in ("direct", "analyze", "code") else "votes.jsonl"
    rests_on = (item or {}).get("votes")
    found = []
    for line, record in open_index(run_dir, file, part="vote").of(name):
        vote = vote_from_dict(record, source=str(run_dir / file), line=line)
        counted = not isinstance(rests_on, int) or vote.vote < rests_on
        found.append(Found(vote, f"{file}:{line}", counted, tuple(_conflict(step) for step in vote.steps)))
    return found


def _entry(
    solution: Solution, votes: Sequence[Found], item: Mapping[str, Any] | None, places: Sequence[str], totals: Totals,
    vote_rule: VoteRule,
) -> Entry:  # fmt: skip
    counted = [one.vote for one in votes if one.counted]
    columns = [[vote.steps[step] for vote in counted if step < len(vote.steps)] for step in range(len(solution.steps))]
    rewards = [_mean(values(column, vote_rule)) for column in columns] if item is None else item["rewards"]
    predicted = None if item is None else item.get("predicted_label")
    _count(totals, solution, votes, item, rewards)
    if item is not None and solution.label is not None:
        table = [[said(step, vote_rule) for step in vote.steps] for vote in counted]
        totals.measured.add(solution.label, predicted, rewards, table, settled=item.get("settled") == "all")
    known = [reward for reward in rewards if reward is not None]
    verdicts = [step for one in votes for step in one.vote.steps]
    split = [_divided(column) for column in columns]
    conflict = any(any(one.conflicts) for one in votes)
    return Entry(
        id=solution.id,
        text=solution.problem,
        tags=list(dict.fromkeys(tags(solution, item, rewards, verdicts, divided=any(split), conflict=conflict))),
        chip=_chip(item, predicted),
        mark="" if solution.label is None or item is None else "same" if solution.label == predicted else "other",
        strip=rewards,
        numbers=(
            min(known, default=None), min((abs(one - 0.5) for one in known), default=None), max(split, default=0),
            len(solution.steps), sum(step.tokens for step in verdicts),
        ),
        steps=len(solution.steps),
        detail=_detail(solution, votes, item, rewards, places),
    )  # fmt: skip


def _chip(item: Mapping[str, Any] | None, predicted: int | None) -> tuple[str, str]:
    if item is None:
        return "unfinished", ""
    if predicted is None:
        return "not known", ""
    return ("no error", "yes") if predicted < 0 else (f"step {predicted}", "no")


def _conflict(verdict: StepVerdict) -> bool:
    outputs = [run.output for run in verdict.code if run.status != "not_run"]
    return verdict_of_outputs(outputs, verdict.judgement) == "conflict"


def _divided(column: Sequence[StepVerdict]) -> float:
    """Share of the smaller party among the judgements of a step."""
    judged = [step.judgement for step in column if step.judgement is not None]
    return min(judged.count("Yes"), judged.count("No")) / len(judged) if judged else 0


def _mean(known: Sequence[float]) -> float | None:
    return sum(known) / len(known) if known else None


def _count(
    totals: Totals, solution: Solution, votes: Sequence[Found], item: Mapping[str, Any] | None,
    rewards: Sequence[float | None],
) -> None:  # fmt: skip
    totals.items += 1
    totals.finished += item is not None
    totals.votes += len(votes)
    totals.labelled += item is not None and solution.label is not None
    for reward in rewards:
        if reward is not None:
            totals.histogram[bin_of(reward)] += 1
    for step in (step for one in votes for step in one.vote.steps):
        totals.tokens += step.tokens
        totals.steps[step.status] += 1
        totals.code.update(run.status for run in step.code)
        if step.failure:
            totals.failures[step.failure] += 1


def _detail(
    solution: Solution, votes: Sequence[Found], item: Mapping[str, Any] | None, rewards: Sequence[float | None],
    places: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    meta = [
        ("label", None if solution.label is None else "no error" if solution.label < 0 else f"step {solution.label}"),
        ("written by", solution.generator), ("reference answer", solution.answer),
        ("settled", None if item is None or item.get("settled") == "all" else str(item.get("settled"))),
    ]  # fmt: skip
    return {
        "problem": solution.problem,
        "meta": [[name, value] for name, value in meta if value is not None],
        "label": solution.label,
        "steps": [
            {"text": text, "reward": reward} for text, reward in zip(solution.steps, rewards, strict=True)
        ],
        "votes": [
            {"vote": vote.vote, "place": place, "counted": counted, "steps": [*map(_cell, vote.steps, conflicts)]}
            for vote, place, counted, conflicts in votes
        ],
        "places": list(places),
    }  # fmt: skip


def _cell(verdict: StepVerdict, conflict: bool) -> dict[str, Any]:
    """What one vote says of one step."""
    return {
        "status": verdict.status, "judgement": verdict.judgement, "reward": verdict.reward, "yes": verdict.p_yes,
        "no": verdict.p_no, "tokens": verdict.tokens, "failure": verdict.failure, "conflict": conflict,
        "blocks": [[block.kind, block.text, block.status] for block in cut(verdict.rationale, verdict.code)],
        "code": [run.status for run in verdict.code],
    }  # fmt: skip
