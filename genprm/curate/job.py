"""A curation: what is known of each solution is gathered, sifted and exported; its directory is continued.

    solutions.jsonl      the solutions, as the rollouts left them
    annotations.jsonl    every critique of an annotator, appended
    judgements.jsonl     every vote of a judge, appended
    labels.jsonl         derived: the labels of every rule
    items.jsonl          derived: one line a solution, what each source says and what became of it
    metrics.json         derived: the funnel, the rules' answer candidates, tokens
    export/FORMAT        derived: the data sets

Models are asked once. The rest is made anew each time, so filters and rules may change between runs of a directory.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genprm.curate.annotation import Critique
from genprm.curate.asking import Opening, Opinion, Question, Terms
from genprm.curate.assembly import Assembled, assemble, known
from genprm.curate.data_card import Card, Source, StageCost
from genprm.curate.export import Conversations, ExtraTokens, Format, StepTags, export
from genprm.curate.filters import Sifted, Stage, sift
from genprm.curate.options import Curation
from genprm.engines import Tokenizer
from genprm.errors import EngineUnavailable, InputError
from genprm.records import labels_to_dict, read_rollouts, read_solutions, write_lines
from genprm.records.lines import read_lines
from genprm.rollout.job import SAMPLED
from genprm.runs import RunDirectory, environment
from genprm.runs.configuration import Configuration
from genprm.runs.directory import begun
from genprm.runs.held import OneOpen
from genprm.runs.keys import digest
from genprm.runs.owed import Unavailable, work_off
from genprm.runs.ray import RayCluster
from genprm.runs.units import UnitFile
from genprm.runs.workers import Worker
from genprm.types import Rollout, Solution

log = logging.getLogger(__name__)

UNITS = {"annotator": "annotations.jsonl", "judge": "judgements.jsonl"}
FORMATS: Mapping[str, Callable[[], Format]] = {
    "conversations": Conversations,
    "step-tags": StepTags,
    "extra-tokens": ExtraTokens,
}
OnAnswer = Callable[[str, int, int], None]
"""Task, answers there, answers wanted."""
Asking = Worker[Question, Critique | Opinion, Terms]
Answers = dict[str, list[Mapping[str, Any]]]
"""The units of one task by solution id, in the order of their index."""


@dataclass(frozen=True, slots=True)
class Curated:
    """What a curation left in its directory."""

    path: Path
    assembled: Assembled
    sifted: Sifted
    metrics: Mapping[str, Any]


def read_rollout_run(folder: Path) -> tuple[tuple[Solution, ...], tuple[Rollout, ...]]:
    """The selected solutions of a rollout run and the counts of their prefixes. Raises ``InputError``."""
    if not (folder / "selected.jsonl").exists() or not (folder / "rollouts.jsonl").exists():
        raise InputError(f"{folder} is no rollout run (no selected.jsonl and rollouts.jsonl); run genprm rollout first")
    solutions = read_solutions(str(folder / "selected.jsonl")).solutions
    ids = {solution.id for solution in solutions} | {str(solution.problem_id) for solution in solutions}
    return solutions, tuple(one for one in read_rollouts(folder / "rollouts.jsonl") if one.id in ids)


def read_samples(folder: Path) -> tuple[Solution, ...]:
    """Every sample of a rollout run, kept or not; none where solutions were given to it."""
    path = folder / SAMPLED
    return read_solutions(str(path)).solutions if path.exists() else ()


async def curate(
    source: Path,
    out: Path,
    options: Curation,
    chain: Sequence[Stage],
    openings: Sequence[Opening],
    *,
    ray: RayCluster | None = None,
    on_answer: OnAnswer | None = None,
) -> Curated:
    """Curate a rollout run into a directory; ``openings``: of the models to ask, at most one a task.

    Raises ``InputError`` before anything is written; ``EngineUnavailable`` or ``SandboxUnavailable``, with all answers
    kept, when infrastructure lost some. Then nothing is sifted or exported.
    """
    solutions, rollouts = read_rollout_run(source)
    before = known(solutions, rollouts, options, read_samples(source))
    elsewhere = None if options.answers is None else _curation(Path(options.answers))
    plain = options.model_dump(mode="json")
    extent = {**plain, **({} if ray is None else {"ray": asdict(ray)})}
    stored = begun(out)
    held = OneOpen(ray)
    answers: dict[str, Answers] = {}
    tokenizer: Tokenizer | None = None
    try:
        identity: dict[str, Any] = {name: plain[name] for name in ("annotator", "judge", "seed")}
        if stored is not None:
            openings = [one.following(stored.identity.get(one.task) or {}) for one in openings]
        # The first to be asked is opened last and stays open.
        for opening in reversed(openings):
            terms = (await held.get(opening)).facts
            identity[opening.task] = {**plain[opening.task], "resolved": terms.identity}
        configuration = Configuration("curate", identity, extent, str(source))
        with RunDirectory.open(out, configuration, solutions, units=UNITS["annotator"], by_id=True) as run:
            run.write_environment(environment(**identity))
            spent = _spent(run.path)
            for opening in openings:
                units = run.units if opening.task == "annotator" else run.open_units(UNITS["judge"])
                worker = await held.get(opening)
                samples = plain[opening.task]["samples"]
                wanted = _questions(worker.facts, solutions, samples)
                if elsewhere is not None:
                    _take_over(units, elsewhere / UNITS[opening.task], wanted)
                begun_asking = time.monotonic()
                answers[opening.task] = await _ask(run, units, worker, wanted, on_answer)
                spent[opening.task] = spent.get(opening.task, 0.0) + time.monotonic() - begun_asking
                if opening.task == "annotator":
                    tokenizer = worker.facts.tokenizer
            assembled = assemble(solutions, before, answers.get("annotator", {}), answers.get("judge", {}), tokenizer)
            sifted = sift(assembled.candidates, chain)
            costs = _costs(source, assembled, spent)
            return Curated(run.path, assembled, sifted, _write(run, assembled, sifted, options, costs, spent))
    finally:
        await held.aclose()


def _spent(folder: Path) -> dict[str, float]:
    """Seconds that earlier runs which came to their end asked each model for."""
    path = folder / "metrics.json"
    timing = json.loads(path.read_text(encoding="utf-8"))["timing"] if path.exists() else {}
    return dict(timing.get("asking_seconds", {}))


def _costs(source: Path, assembled: Assembled, spent: Mapping[str, float]) -> tuple[StageCost, ...]:
    """What each stage took; of the rollouts what their run says, else the tokens of their completions alone."""
    path, tokens = source / "metrics.json", dict(assembled.tokens)
    rollouts = StageCost("rollouts", "genprm rollout", tokens.pop("rollouts"))
    if path.exists():
        metrics = json.loads(path.read_text(encoding="utf-8"))
        generated = metrics["samples"]["tokens"] + metrics["completions"]["tokens"]
        rollouts = StageCost("rollouts", "genprm rollout", generated, metrics["timing"]["seconds_all_runs"])
    return (rollouts, *(StageCost(name, "genprm curate", count, spent.get(name)) for name, count in tokens.items()))


def _curation(folder: Path) -> Path:
    if not any((folder / name).exists() for name in UNITS.values()):
        raise InputError(
            f"{folder} is no curation (neither {' nor '.join(UNITS.values())}); name one under answers, or leave it out"
        )
    return folder


def _take_over(units: UnitFile, source: Path, wanted: Sequence[Question]) -> None:
    """Copy what is owed: a key says all that an answer depends on, so equal keys are equal questions."""
    owed = {question.key for question in wanted if question.key not in units}
    for _, unit in read_lines(source) if owed and source.exists() else ():
        if unit.get("key") in owed:
            units.append(unit)


async def _ask(
    run: RunDirectory, units: UnitFile, worker: Asking, wanted: Sequence[Question], on_answer: OnAnswer | None
) -> Answers:
    """Every answer that is wanted, those of earlier runs included."""
    terms = worker.facts
    owed = [question for question in wanted if question.key not in units]
    log.info("%s: %d of %d answers are there", terms.task, len(wanted) - len(owed), len(wanted))
    left = len(owed)

    def keep(question: Question, answer: Critique | Opinion) -> None:
        nonlocal left
        left -= 1
        units.append({"key": question.key, "id": question.solution.id, "n": question.index, **_unit(answer)})
        if on_answer is not None:
            on_answer(terms.task, len(wanted) - left, len(wanted))

    lost = await work_off(worker, owed, keep, lambda question, error: run.append_error(_lost(question, error)))
    if lost is not None:
        raise type(lost)(
            f"{lost}; {left} of {len(wanted)} answers are owed in {run.path}: run the same command again to continue"
        )
    found: Answers = {}
    for question in wanted:
        found.setdefault(question.solution.id, []).append(units[question.key])
    return found


def _questions(terms: Terms, solutions: Sequence[Solution], samples: int) -> list[Question]:
    identity = json.dumps({**terms.identity, "seed": terms.run_seed}, sort_keys=True)
    return [
        Question(digest(terms.task, identity, one.id, one.problem, list(one.steps), index)[:32], one, index)
        for one in solutions
        for index in range(samples)
    ]


def _lost(question: Question, error: Unavailable) -> dict[str, Any]:
    failure = "engine" if isinstance(error, EngineUnavailable) else "sandbox"
    where = {"key": question.key, "id": question.solution.id, "index": question.index}
    return {**where, "failure": failure, "message": str(error)}


def _unit(answer: Critique | Opinion) -> dict[str, Any]:
    """An answer as the fields of its line."""
    if isinstance(answer, Opinion):
        return asdict(answer)
    return {
        "votes": list(answer.votes),
        "ended": answer.ended,
        "tokens": answer.tokens,
        "segments": [[segment.author, segment.text] for segment in answer.segments],
        "runs": [asdict(one) for one in answer.runs],
    }


def _write(
    run: RunDirectory, assembled: Assembled, sifted: Sifted, options: Curation, costs: tuple[StageCost, ...],
    spent: Mapping[str, float],
) -> Mapping[str, Any]:  # fmt: skip
    """Everything that is derived."""
    started = time.monotonic()
    write_lines(run.path / "labels.jsonl", (labels_to_dict(one) for one in assembled.labels))
    kept, dropped = {one.id: one for one in sifted.kept}, {one.id: one for one in sifted.dropped}
    run.write_items(
        {
            **item,
            "agreed": kept[item["id"]].agreed if item["id"] in kept else None,
            "kept": item["id"] in kept,
            "dropped_by": dropped[item["id"]].stage if item["id"] in dropped else None,
            "reason": dropped[item["id"]].reason if item["id"] in dropped else None,
        }
        for item in assembled.items
    )
    shutil.rmtree(run.path / "export", ignore_errors=True)
    sources = tuple(Source(name, licence) for name, licence in options.sources)
    seeds = {"curation": options.seed}
    card = Card(options.title, options.licence, sifted.funnel, sources=sources, stages=costs, seeds=seeds)
    rows = {}
    for name in options.formats if sifted.kept else ():
        rows[name] = export(sifted.kept, run.path / "export" / name, FORMATS[name](), card).rows
    metrics = {
        "solutions": len(assembled.candidates),
        "kept": len(sifted.kept),
        "funnel": [asdict(row) for row in sifted.funnel.rows],
        "malformed": dict(assembled.malformed),
        "answer_candidates": dict(assembled.accuracies),
        "dropped_problems": list(assembled.dropped_problems),
        "exported": rows,
        "tokens": dict(assembled.tokens),
        "timing": {"asking_seconds": dict(spent), "derive_seconds": time.monotonic() - started},
    }
    run.write_metrics(metrics)
    log.info("%s", metrics)
    return metrics
