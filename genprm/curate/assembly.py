"""What all sources say of each solution, brought together. Pure.

Sources: Monte Carlo labels, other samples of the problem, an annotator, a judge, people. Hidden truth is none of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genprm import prompts
from genprm.curate.answers import best_candidates
from genprm.curate.counts import Counts
from genprm.curate.evidence import Candidate
from genprm.curate.human import read_annotations
from genprm.curate.judge import majority
from genprm.curate.labels import RULES, Labelled, label_arrays
from genprm.curate.options import Curation
from genprm.curate.posterior import LEAST
from genprm.curate.reformat import Malformed, Reformatted, reformat
from genprm.curate.siblings import Contradicted, contradicted
from genprm.engines import Tokenizer
from genprm.errors import InputError
from genprm.rationale.conflict import code_verdicts
from genprm.rationale.grammar import Rationale, render
from genprm.types import Labels, Rollout, Segment, Solution

Units = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Assembled:
    """Candidates, and what there is to say about their sources."""

    candidates: tuple[Candidate, ...]
    labels: tuple[Labels, ...]
    """Of every rule, rule by rule."""
    items: tuple[Mapping[str, Any], ...]
    malformed: Mapping[str, int]
    """Critiques without rationales, by reason."""
    accuracies: Mapping[str, float | None]
    """By rule, how often the best-scored solution of a problem has the right answer; the last step is not looked at."""
    dropped_problems: tuple[str, ...]
    """Problems that the completion model never solves: relative progress says nothing of them."""
    tokens: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known before a model is asked."""

    compared: Labelled
    targets: Labelled
    every: tuple[Labelled, ...]
    people: Mapping[str, int | None]
    counts: Mapping[str, tuple[tuple[int, int], ...]]
    """By solution: (correct, total) of the problem alone, then after each step."""
    siblings: Mapping[str, Contradicted]
    rollout_tokens: int


def known(
    solutions: Sequence[Solution], rollouts: Sequence[Rollout], options: Curation, samples: Sequence[Solution] = ()
) -> Known:
    """The labels of the counts, of other ``samples`` (default: the solutions), and people's.

    Raises ``InputError`` for what cannot be labelled so.
    """
    counts = Counts.from_rollouts(rollouts, steps={solution.id: len(solution.steps) for solution in solutions})
    if options.consensus == "belief" and counts.rules:
        raise InputError(
            f"these counts were sampled until '{sorted(counts.rules)[0]}' was settled, which consensus 'belief' "
            "cannot weigh; sample without --adaptive, or take another consensus"
        )
    if options.consensus == "belief" and len(solutions) < LEAST:
        raise InputError(
            f"consensus 'belief' learns what each source is worth, which takes {LEAST} solutions or more, and here are "
            f"{len(solutions)}; keep more, or take another consensus"
        )
    compared = label_arrays(counts, options.rule, confidence=options.confidence, **options.parameters)
    targets = label_arrays(counts, options.targets, confidence=None, **options.target_parameters)
    people = {} if options.human is None else read_annotations(Path(options.human))
    every = tuple(_every_rule(counts, compared, targets))
    tokens = sum(rollout.tokens for rollout in rollouts)
    siblings = contradicted(solutions, samples or solutions)
    return Known(compared, targets, every, people, counts.by_solution(), siblings, tokens)


def assemble(
    solutions: Sequence[Solution],
    known: Known,
    annotations: Units,
    judgements: Units,
    tokenizer: Tokenizer | None,
) -> Assembled:
    """Bring the sources together. ``tokenizer``: whose tokens are counted, if any are."""
    labels = {one.id: one.values for one in known.compared.records()}
    values = {one.id: one.values for one in known.targets.records()}
    critiques = {solution.id: _critique(solution, annotations.get(solution.id, ())) for solution in solutions}
    candidates = []
    for solution in solutions:
        made, votes = critiques[solution.id]
        judged = tuple(unit["index"] for unit in judgements.get(solution.id, ()))
        rationales = made.rationales if isinstance(made, Reformatted) else ()
        candidates.append(
            Candidate(
                solution,
                labels=tuple(None if value is None else int(value) for value in labels[solution.id]),
                values=values[solution.id],
                rationales=rationales,
                votes=votes,
                judge=majority(judged).index,
                judge_votes=judged,
                counts=known.counts[solution.id],
                human=known.people.get(solution.id),
                siblings=known.siblings[solution.id].step,
                siblings_sure=known.siblings[solution.id].sure,
                code=code_verdicts(rationales),
                tokens=() if tokenizer is None else _tokens(solution, rationales, tokenizer),
            )
        )
    reasons = Counter(made.reason for made, _ in critiques.values() if isinstance(made, Malformed))
    return Assembled(
        candidates=tuple(candidates),
        labels=tuple(one for labelled in known.every for one in labelled.records()),
        items=tuple(_item(one, critiques[one.id][0]) for one in candidates),
        malformed=dict(sorted(reasons.items())),
        accuracies={one.rule: best_candidates(one, before_answer=True).accuracy for one in known.every},
        dropped_problems=tuple(known.compared.dropped_problems),
        tokens={
            "rollouts": known.rollout_tokens,
            "annotator": sum(unit["tokens"] for units in annotations.values() for unit in units),
            "judge": sum(unit["tokens"] for units in judgements.values() for unit in units),
        },
    )


def _every_rule(counts: Counts, *chosen: Labelled) -> list[Labelled]:
    """The labels of every rule: as chosen where it was, else with its defaults. Biased counts allow the chosen only."""
    found = {labelled.rule: labelled for labelled in chosen}
    if not counts.rules:
        found = {name: found.get(name) or label_arrays(counts, name) for name in RULES} | found
    return list(found.values())


def _critique(solution: Solution, units: Sequence[Mapping[str, Any]]) -> tuple[Reformatted | Malformed | None, Any]:
    """The first well-formed critique with its index votes, else the first malformed one; ``None`` without any."""
    first: tuple[Reformatted | Malformed | None, Any] = (None, ())
    for unit in units:
        votes = tuple(unit["votes"])
        segments = [Segment(author, text) for author, text in unit["segments"]]
        made = reformat(segments, votes, len(solution.steps))
        if isinstance(made, Reformatted):
            return made, votes
        first = first if first[0] is not None else (made, votes)
    return first


def _tokens(solution: Solution, rationales: Sequence[Rationale], tokenizer: Tokenizer) -> tuple[int, ...]:
    def count(text: str) -> int:
        return len(tokenizer.encode(text))

    sizes = [count(step) for step in solution.steps]
    for index, rationale in enumerate(rationales):
        sizes[index] += count(render(rationale, index + 1))
    sizes[0] += count(solution.problem) + count(prompts.fill("system.critique.jinja"))
    return tuple(sizes)


def _item(candidate: Candidate, made: Reformatted | Malformed | None) -> dict[str, Any]:
    return {
        "id": candidate.id,
        "problem_id": candidate.solution.problem_id,
        "labels": list(candidate.labels),
        "first_error": candidate.first_error,
        "annotator": made.index if isinstance(made, Reformatted) else None,
        "malformed": made.reason if isinstance(made, Malformed) else None,
        "judge": candidate.judge,
        "human": candidate.human,
        "siblings": candidate.siblings,
        "code": list(candidate.code),
    }
