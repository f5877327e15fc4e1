"""A search in its run directory: what it leaves, how it goes on, and who may read it."""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genprm.engines import Completion, GenerationRequest, ScriptedEngine
from genprm.errors import EngineUnavailable, IdentityError, InputError, RecordError
from genprm.evaluate.best_of_n import best_of_n
from genprm.rollout import Given
from genprm.search import Plan, Progress, Searcher, Summary
from genprm.types import Problem
from tests.rollout import policies
from tests.search.worlds import SETTINGS, Checker
from tests.verify.test_killed import in_a_child, watch

PLAN = Plan("beam", n=4, branch=2)


def run(out: Path, count: int = 6, *, given: Given | None = None, on: Any = None, **more: Any) -> Summary:
    options: dict[str, Any] = {"engine": policies.engine, "scorer": Checker, "plan": PLAN, "settings": SETTINGS} | more
    return Searcher("solver", **options).run(given or policies.problems(count), out, on_progress=on)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def same(first: Path, second: Path) -> bool:
    """Derived files byte for byte, finished units line for line."""
    derived = ("items.jsonl", "candidates/solutions.jsonl", "candidates/items.jsonl")
    units = [Counter((folder / "searches.jsonl").read_bytes().splitlines()) for folder in (first, second)]
    return units[0] == units[1] and all((first / n).read_bytes() == (second / n).read_bytes() for n in derived)


def test_a_run_leaves_what_was_taken_and_of_what(tmp_path: Path) -> None:
    heard: list[Progress] = []
    summary = run(tmp_path / "run", on=heard.append)
    items = lines(tmp_path / "run/items.jsonl")
    assert [one["id"] for one in items] == [f"p{n}" for n in range(6)]
    for item, found in zip(items, summary.found, strict=True):
        by_id = {one["id"]: one for one in item["candidates"]}
        assert len(by_id) == len(item["candidates"]) == len(found.candidates)
        if item["chosen"] is not None:
            assert (by_id[item["chosen"]]["answer"], by_id[item["chosen"]]["score"]) == (item["answer"], item["score"])
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["right"] == sum(one["correct"] for one in items) and metrics["owed"] == 0
    assert metrics["accuracy"]["value"] == pytest.approx(100 * metrics["right"] / 6)
    spent = {part: sum(one[f"{part}_tokens"] for one in items) for part in ("policy", "scorer")}
    assert metrics["tokens"] == {**spent, "per_problem": sum(spent.values()) / 6}
    assert sorted(beat.done for beat in heard) == list(range(1, 7)) and heard[-1].tokens == sum(spent.values())
    assert lines(tmp_path / "run/problems.jsonl")[0] == {"id": "p0", "problem": policies.problem(0).problem,
                                                         "answer": "14"}  # fmt: skip


def test_evaluate_reads_the_candidates(tmp_path: Path) -> None:
    """Best-of-n taken by the search is best-of-n as evaluate has it, but for ties."""
    summary = run(tmp_path / "run", 12, plan=Plan(n=6))
    (found,) = best_of_n([tmp_path / "run/candidates"], resamples=100).runs
    assert (found.problems, found.samples) == (12, 72)
    assert found.curves["min"][-1].value == pytest.approx(summary.metrics["accuracy"]["value"])
    right = [one["final_answer_correct"] for one in lines(tmp_path / "run/candidates/solutions.jsonl")]
    assert found.mean.value == pytest.approx(100 * sum(right) / 72)


def test_a_run_goes_on_where_it_was_and_more_problems_join(tmp_path: Path) -> None:
    run(tmp_path / "run", 3)
    assert run(tmp_path / "run", 6, concurrency=1).reused == 3
    assert run(tmp_path / "run", 6).reused == 6
    run(tmp_path / "calm", 6, concurrency=5)
    assert same(tmp_path / "run", tmp_path / "calm")


class Dying(ScriptedEngine):
    """Serves a number of requests and is then gone."""

    left = 30

    async def generate(self, request: GenerationRequest) -> Completion:
        self.left -= 1
        if self.left < 0:
            raise EngineUnavailable("the engine went away")
        return await super().generate(request)


def test_what_was_lost_is_searched_again_and_the_run_ends_as_a_calm_one(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match=r"went away; \d problems are owed in .*run the same command again"):
        run(tmp_path / "run", engine=lambda: Dying(policies.solve, name="solver"), concurrency=1)
    kept = lines(tmp_path / "run/items.jsonl")
    assert 0 < len(kept) < 6 and lines(tmp_path / "run/errors.jsonl")[0]["failure"] == "engine"
    run(tmp_path / "run")
    run(tmp_path / "calm")
    assert same(tmp_path / "run", tmp_path / "calm")


def killed_at(moment: int, out: Path) -> bool:
    """Run until the ``moment``-th write or rename, then die. Whether it came to that."""

    def job() -> None:
        left = moment

        def tick() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        watch(tick)
        run(out, 3)

    return os.WIFSIGNALED(os.waitpid(in_a_child(job), 0)[1])


def test_killed_at_random_writes_and_run_again_it_ends_as_a_calm_one(tmp_path: Path) -> None:
    run(tmp_path / "calm", 3)
    for moment in random.Random(0).sample(range(1, 30), 8):
        out = tmp_path / str(moment)
        assert killed_at(moment, out), moment
        run(out, 3)
        assert same(out, tmp_path / "calm"), moment


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"plan": Plan("dvts", n=4, branch=2)}, "strategy"),
        ({"plan": replace(PLAN, budget=99)}, "budget"),
        ({"seed": 1}, "seed"),
        ({"engine": policies.other_engine}, "policy.engine.model"),
    ],
)
def test_another_search_is_refused_by_name(more: Any, key: str, tmp_path: Path) -> None:
    run(tmp_path / "run", 2)
    before = (tmp_path / "run/items.jsonl").read_bytes()
    with pytest.raises(IdentityError, match=f"another .*{key}"):
        run(tmp_path / "run", 2, **more)
    assert (tmp_path / "run/items.jsonl").read_bytes() == before
    run(tmp_path / "run", 2, plan=replace(PLAN, tries=9))  # it means nothing to a beam


def test_a_problem_that_does_not_fit_is_said_before_anything_is_written(tmp_path: Path) -> None:
    given = Given((Problem("long", "1 + 1? " * 200, "2"),), source="in.jsonl", lines={"long": 7})

    def small() -> ScriptedEngine:
        return policies.engine(context_length=900)

    with pytest.raises(RecordError, match=r"in\.jsonl, line 7, field 'problem': of 'long' makes a prompt of"):
        run(tmp_path / "run", given=given, engine=small)
    assert not (tmp_path / "run").exists()


def test_what_was_given_open_stays_open_and_the_rest_is_closed(tmp_path: Path) -> None:
    mine, theirs = Checker(), Checker()
    run(tmp_path / "a", 1, scorer=mine)
    run(tmp_path / "b", 1, scorer=lambda: theirs)
    assert (mine.closed, theirs.closed) == (False, True)
    with pytest.raises(InputError, match=r"concurrency \(--max-in-flight\) is 0"):
        run(tmp_path / "c", concurrency=0)
