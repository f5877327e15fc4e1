"""The micro-world in files: problems to sample solutions of, and the truth of the solutions of a rollout run.

A problem's record says where it comes from, never what its steps are::

    {"id": "world-...", "problem": "...", "answer": "17", "world": {"seed": 3, "split": "curate"}}

(a problem of the families that training never saw also has ``"held_out": true`` there). ``label_run`` draws the problem
again and checks every step. Labels are written into a copy of the run: whoever samples, completes, annotates or judges
works on files that hold none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from genprm.errors import InputError
from genprm.lab.policy import policy_problem
from genprm.lab.truth import StepTruth, check, first_error
from genprm.lab.world import Split, WorldProblem
from genprm.records import read_solutions, solution_to_dict
from genprm.records.lines import read_lines, write_lines
from genprm.rollout.job import SAMPLED, SELECTED
from genprm.rollout.store import ROLLOUTS
from genprm.types import Solution

SEEDS = 100_000
"""Problems of one seed are drawn from so many seeds of their own."""


def problem_records(count: int, seed: int, split: Split, *, held_out: bool = False) -> list[dict[str, Any]]:
    """``count`` different problems of the size that policies are made for, as records."""
    made: dict[str, dict[str, Any]] = {}
    for own in range(seed * SEEDS, (seed + 1) * SEEDS):
        if len(made) == count:
            break
        problem = policy_problem(own, split, held_out=held_out)
        world = {"seed": own, "split": split, **({"held_out": True} if held_out else {})}
        made.setdefault(
            problem.id, {"id": problem.id, "problem": problem.text, "answer": str(problem.answer), "world": world}
        )
    return list(made.values())


def write_problems(out: Path, count: int, seed: int, split: Split, *, held_out: bool = False) -> int:
    """``problems.jsonl`` in ``out``; how many there are. Raises ``InputError`` for a folder that holds other things."""
    _refuse_others(out, {"problems.jsonl"}, needed="problems.jsonl")
    records = problem_records(count, seed, split, held_out=held_out)
    out.mkdir(parents=True, exist_ok=True)
    write_lines(out / "problems.jsonl", records)
    return len(records)


TRUTH = "truth.jsonl"
_COPIED = ("metrics.json", ROLLOUTS)


def label_run(run: Path, problems: Path, out: Path) -> Counter[str]:
    """Copy a rollout run of such problems to ``out``, with the truth of its solutions; what their steps are, counted.

    Written are ``selected.jsonl`` and ``sampled.jsonl`` with ``label`` (the first wrong step) in every solution, and
    ``truth.jsonl``, what each step of the selected ones is; the rest is the run's. Raises ``InputError`` where the run
    is none, or of other problems.
    """
    if not (run / SELECTED).exists() or not (run / ROLLOUTS).exists():
        raise InputError(f"{run} is no rollout run (no selected.jsonl and rollouts.jsonl); run genprm rollout first")
    _refuse_others(out, {SELECTED, SAMPLED, TRUTH, *_COPIED}, needed=TRUTH)
    worlds = {
        str(record.get("id")): _world_problem(record, f"{problems}:{line}") for line, record in read_lines(problems)
    }
    judged = {name: _judged(run, name, worlds, problems) for name in (SELECTED, SAMPLED) if (run / name).exists()}
    copied = {name: (run / name).read_bytes() for name in _COPIED if (run / name).exists()}
    out.mkdir(parents=True, exist_ok=True)
    write_lines(out / TRUTH, [_truth_record(solution, truth) for solution, truth in judged[SELECTED]])
    for name, pairs in judged.items():
        write_lines(out / name, [solution_to_dict(replace(one, label=first_error(truth))) for one, truth in pairs])
    for name, content in copied.items():
        (out / name).write_bytes(content)
    return Counter(step.finding for _, truth in judged[SELECTED] for step in truth)


Judged = tuple[Solution, tuple[StepTruth, ...]]


def _judged(run: Path, name: str, worlds: Mapping[str, WorldProblem], problems: Path) -> list[Judged]:
    """Every solution of a file with its truth."""
    solutions = read_solutions(str(run / name)).solutions
    unknown = sorted({str(solution.problem_id) for solution in solutions} - set(worlds))
    if unknown:
        raise InputError(
            f"{problems} has no problem '{unknown[0]}', which {run} has; give the file that the run was made of"
        )
    for solution in solutions:
        if solution.problem != worlds[str(solution.problem_id)].text:
            raise InputError(f"solution '{solution.id}' of {run} has another problem text than {problems} has")
    return [(one, check(worlds[str(one.problem_id)], one.steps)) for one in solutions]


def _truth_record(solution: Solution, truth: Sequence[StepTruth]) -> dict[str, Any]:
    return {"id": solution.id, "findings": [s.finding for s in truth], "prefix_ok": [s.prefix_ok for s in truth]}


def _refuse_others(out: Path, own: set[str], needed: str) -> None:
    """Refuse a folder that holds anything but what is written there; ``needed`` tells an earlier copy from a run."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give a folder")
    there = {entry.name for entry in out.iterdir()} if out.exists() else set()
    if there and (not there <= own or needed not in there):
        raise InputError(f"{out} holds other things ({sorted(there)[0]}); give a folder of its own")


def _world_problem(record: Mapping[str, Any], place: str) -> WorldProblem:
    world = record.get("world")
    if not isinstance(world, Mapping) or not isinstance(world.get("seed"), int):
        raise InputError(f"{place}: 'world' is missing or no seed; make problems with genprm lab --problems")
    if world.get("split") not in get_args(Split):
        raise InputError(f"{place}: 'world.split' is {world.get('split')!r}; it is one of {', '.join(get_args(Split))}")
    problem = policy_problem(world["seed"], world["split"], held_out=bool(world.get("held_out")))
    if problem.text != record.get("problem"):
        raise InputError(
            f"{place}: seed {world['seed']} draws another problem here; make the problems and the run again"
        )
    return problem
