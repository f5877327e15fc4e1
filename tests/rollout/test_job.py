"""A rollout run in its directory: what it leaves, what it depends on, and how it goes on."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from genprm.engines import GenerationRequest, ScriptedEngine
from genprm.errors import EngineUnavailable, GraderUnavailable, IdentityError, InputError, RecordError
from genprm.records import read_rollouts, read_solutions
from genprm.rollout import Amounts, Budget, Given, Grader, Plan, Progress, Roller, Sample, Settings, Summary, rule_named
from genprm.types import Problem, Rollout, Solution
from tests.rollout import policies

PLAN = Plan(Budget(initial=8, batch=4, most=24, keep=4), Amounts.fixed(6))
SETTINGS = Settings(max_tokens=400)


def run(out: Path, *, given: Given | None = None, on: Any = None, extent: Any = None, **more: Any) -> Summary:
    options: dict[str, Any] = {"engine": policies.engine, "plan": PLAN, "settings": SETTINGS} | more
    return Roller("solver", **options).run(given or policies.problems(4), out, on_progress=on, extent=extent)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def same(first: Path, second: Path) -> bool:
    """Derived files byte for byte, finished units line for line."""
    return all(
        (first / n).read_bytes() == (second / n).read_bytes() for n in ("items.jsonl", "selected.jsonl")
    ) and all(
        Counter((first / n).read_bytes().splitlines()) == Counter((second / n).read_bytes().splitlines())
        for n in ("samples.jsonl", "rollouts.jsonl")
    )


class Dying(ScriptedEngine):
    """Answers a number of requests, then is down until it is revived."""

    left = 10**9

    async def generate(self, request: GenerationRequest) -> Any:
        self.left -= 1
        if self.left < 0:
            raise EngineUnavailable("the engine went away")
        return await super().generate(request)


def test_a_run_leaves_its_files_and_they_say_the_same(tmp_path: Path) -> None:
    summary = run(tmp_path)
    names = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert names == {
        *("problems.jsonl", "samples.jsonl", "selected.jsonl", "sampled.jsonl", "rollouts.jsonl", "items.jsonl"),
        *("config.yaml", "metrics.json", "environment.json", "log"),
    }
    samples = Counter(sample["outcome"] for sample in lines(tmp_path / "samples.jsonl"))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert {name: metrics["samples"][name] for name in samples} == samples
    assert metrics["samples"]["tokens"] == sum(sample["tokens"] for sample in lines(tmp_path / "samples.jsonl"))
    selected = read_solutions(str(tmp_path / "selected.jsonl")).solutions
    assert selected == summary.solutions and len(selected) > 8
    rollouts = list(read_rollouts(tmp_path / "rollouts.jsonl"))
    assert all(
        next(iter(line)) == "key" for name in ("samples", "rollouts") for line in lines(tmp_path / f"{name}.jsonl")
    )
    places = [(rollout.id, rollout.step) for rollout in rollouts]
    assert len(places) == len(set(places)) and set(places) == {
        *((f"p{number}", -1) for number in range(4)),
        *((solution.id, step) for solution in selected for step in range(len(solution.steps))),
    }
    assert metrics["completions"]["tokens"] == sum(rollout.tokens for rollout in rollouts)
    assert (metrics["samples_owed"], metrics["prefixes_owed"], metrics["prefixes"]) == (0, 0, len(rollouts))


def test_kept_solutions_are_half_right_and_half_wrong_and_never_invalid(tmp_path: Path) -> None:
    summary = run(tmp_path)
    kinds = {sample["id"]: sample for sample in lines(tmp_path / "samples.jsonl")}
    reasons = {sample["reason"] for sample in kinds.values() if sample["outcome"] == "invalid"}
    assert reasons == {"steps", "unfinished"}
    for solution in summary.solutions:
        sample = kinds[solution.id]
        assert sample["outcome"] == ("correct" if solution.final_answer_correct else "incorrect")
        assert (solution.generator, solution.predicted_answer) == ("solver", sample["predicted_answer"])
        assert solution.steps == tuple(sample["steps"]) and len(solution.steps) == 3
    for item in summary.items:
        right = [s.final_answer_correct for s in summary.solutions if s.problem_id == item["id"]]
        assert len(item["selected"]) == len(right) and item["difficulty"] == "medium" and {*right} == {True, False}
        counts = item["samples"]
        assert item["pass_at_1"] == counts["correct"] / sum(counts.values())


def test_every_sample_is_a_solution_record_for_best_of_n(tmp_path: Path) -> None:
    summary = run(tmp_path)
    samples = {sample["id"]: sample for sample in lines(tmp_path / "samples.jsonl")}
    sampled = read_solutions(str(tmp_path / "sampled.jsonl")).solutions
    assert {one.id for one in sampled} == set(samples) and all(one in sampled for one in summary.solutions)
    for one in sampled:
        outcome, reason = samples[one.id]["outcome"], samples[one.id]["reason"]
        assert one.steps and one.final_answer_correct == (None if reason == "steps" else outcome == "correct")
        assert (one.predicted_answer == "") == (reason == "unfinished")


def test_a_last_step_is_graded_and_a_prefix_that_went_wrong_stays_so(tmp_path: Path) -> None:
    summary = run(tmp_path, given=policies.solutions(3))
    assert not (tmp_path / "samples.jsonl").exists() and (tmp_path / "solutions.jsonl").exists()
    assert [solution.final_answer_correct for solution in summary.solutions] == [True, False] * 3
    found = {(one.id, one.step): one for one in read_rollouts(tmp_path / "rollouts.jsonl")}
    for number in range(3):
        right, wrong = f"p{number}-right", f"p{number}-wrong"
        assert (found[right, 2].correct, found[right, 2].total, found[right, 2].k) == (1, 1, 1)
        assert (found[wrong, 2].correct, found[wrong, 2].total) == (0, 1)
        assert found[right, 1].correct >= 4 and found[wrong, 0].correct == found[wrong, 1].correct == 0
        assert found[right, 0].total == found[right, 0].k == 6 == found[f"p{number}", -1].total


def test_neither_concurrency_nor_order_changes_a_result(tmp_path: Path) -> None:
    for limit in (1, 3, 64):
        run(tmp_path / str(limit), concurrency=limit)
    assert same(tmp_path / "1", tmp_path / "3") and same(tmp_path / "1", tmp_path / "64")
    run(tmp_path / "seed", seed=1)
    assert not same(tmp_path / "1", tmp_path / "seed")
    problems = policies.problems(4)
    run(tmp_path / "other", given=Given(problems.problems[::-1]))
    assert Counter(map(str, lines(tmp_path / "other/samples.jsonl"))) == Counter(
        map(str, lines(tmp_path / "1/samples.jsonl"))
    )


def test_a_run_that_was_cut_off_is_continued(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    for name in ("samples.jsonl", "rollouts.jsonl"):
        out = tmp_path / f"cut-{name}"
        run(out)
        written = (out / name).read_bytes()
        (out / name).write_bytes(written[: len(written) // 2])
        (out / "items.jsonl").unlink()
        summary = run(out)
        assert summary.reused > 0 and same(out, tmp_path / "whole")


def test_more_problems_and_more_samples_later_use_the_earlier_ones(tmp_path: Path) -> None:
    run(tmp_path / "run", given=policies.problems(2))
    first = (tmp_path / "run/samples.jsonl").read_bytes()
    larger = Plan(Budget(initial=12, batch=4, most=24, keep=6), PLAN.amounts)
    run(tmp_path / "run", plan=larger)
    run(tmp_path / "fresh", plan=larger)
    assert (tmp_path / "run/samples.jsonl").read_bytes().startswith(first)
    assert (tmp_path / "run/items.jsonl").read_bytes() == (tmp_path / "fresh/items.jsonl").read_bytes()
    again = run(tmp_path / "run", plan=larger)
    assert again.metrics["timing"]["tokens_per_s"] == 0


def test_k_by_difficulty_follows_the_completers_pass_at_1(tmp_path: Path) -> None:
    def sure(prompt: str, request: GenerationRequest) -> str:
        right = "What is 2 + 5" in prompt
        return "x\n\nStep 2: It is \\boxed{14}." if right else "x\n\nStep 2: It is \\boxed{1}."

    run(
        tmp_path, given=policies.solutions(2), plan=Plan(PLAN.budget, Amounts(12, 8, 4)),
        engine=lambda: ScriptedEngine(sure, name="sure"),
    )  # fmt: skip
    found = {(one.problem_id, one.step): one.k for one in read_rollouts(tmp_path / "rollouts.jsonl") if one.step < 2}
    assert found == {("p0", -1): 12, ("p0", 0): 4, ("p0", 1): 4, ("p1", -1): 12, ("p1", 0): 12, ("p1", 1): 12}
    again = run(
        tmp_path, given=policies.solutions(2), plan=Plan(PLAN.budget, Amounts(12, 8, 4)),
        engine=lambda: ScriptedEngine(sure, name="sure"),
    )  # fmt: skip
    assert again.reused == 14


def test_a_stop_rule_saves_completions_gives_the_same_hard_labels_and_signs_its_counts(tmp_path: Path) -> None:
    given, full = policies.solutions(4), Plan(PLAN.budget, Amounts.fixed(32))
    run(tmp_path / "full", given=given, plan=full)
    summary = run(tmp_path / "hard", given=given, plan=Plan(PLAN.budget, full.amounts, rule_named("hard")))
    whole = {one.key: one for one in read_rollouts(tmp_path / "full/rollouts.jsonl")}
    places = {(one.id, one.step): one for one in whole.values()}
    saved = 0
    for one in read_rollouts(tmp_path / "hard/rollouts.jsonl"):
        other = places[one.id, one.step]
        assert (one.correct > 0) == (other.correct > 0) and one.key not in whole
        assert one.rule == (None if one.step in (-1, 2) else "hard")
        assert one.total == (other.total if one.correct == 0 or one.step in (-1, 2) else 8)
        saved += one.k - one.total
    assert summary.metrics["completions_saved"] == saved > 100 and summary.metrics["share_saved"] >= 0.25


def test_another_identity_or_other_input_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    for change, key in (
        ({"seed": 1}, "seed"),
        ({"settings": Settings("blank-lines", max_tokens=400)}, "style"),
        ({"plan": Plan(PLAN.budget, Amounts.fixed(7))}, "k.easy"),
        ({"plan": Plan(PLAN.budget, PLAN.amounts, rule_named("hard"))}, "rule"),
        ({"completer": "strong", "completer_engine": policies.other_engine}, "completer.engine.model"),
        ({"settings": Settings(system="Think.", max_tokens=400)}, "system"),
    ):
        with pytest.raises(IdentityError, match=key):
            run(tmp_path, **change)
    with pytest.raises(IdentityError, match="its record 1 is 'p0', not the 'x' given"):
        run(tmp_path, given=Given((Problem("x", "What is 2 + 5, times 2?", "14"),)))
    with pytest.raises(IdentityError, match=r"policy\.engine|no solutions\.jsonl"):
        run(tmp_path, given=policies.solutions(1))


def test_policy_and_completer_may_be_two_models_that_are_never_open_together(tmp_path: Path) -> None:
    opened: list[str] = []

    class Counted(ScriptedEngine):
        async def aclose(self) -> None:
            opened.remove(self.identity["model"])

    def opening(name: str, slips: float) -> Any:
        def make() -> ScriptedEngine:
            assert not opened
            opened.append(name)
            return Counted(lambda prompt, request: policies.solve(prompt, request, slips=slips), name=name)

        return make

    summary = run(tmp_path, engine=opening("weak", 0.4), completer="strong", completer_engine=opening("strong", 0.0))
    assert not opened
    rollouts = [one for one in read_rollouts(tmp_path / "rollouts.jsonl") if one.step == -1]
    assert {one.policy for one in rollouts} == {"strong"}
    assert all(one.correct + one.invalid == one.total for one in rollouts)
    assert any(item["pass_at_1"] < 0.7 for item in summary.items)


def test_what_the_engine_lost_is_owed_again_and_never_counted(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    engine = Dying(policies.solve, name="solver")
    for left in (11, 40):
        engine.left = left
        with pytest.raises(
            EngineUnavailable, match=r"went away; \d+ samples and prefixes are owed .*same command again"
        ):
            run(tmp_path / "run", engine=engine, concurrency=1)
    lost = lines(tmp_path / "run/errors.jsonl")
    assert {error["failure"] for error in lost} == {"engine"} and len(lost) == 6
    assert {"sample", "step"} == {name for error in lost for name in error} & {"sample", "step"}
    engine.left = 10**9
    run(tmp_path / "run", engine=engine)
    assert same(tmp_path / "run", tmp_path / "whole")


def test_a_grader_that_is_down_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(self: object, reference: str, text: str) -> None:
        raise GraderUnavailable("the grader is gone")

    with monkeypatch.context() as broken:
        broken.setattr(Grader, "grade", down)
        with pytest.raises(GraderUnavailable, match=r"the grader is gone; \d+ samples and prefixes are owed"):
            run(tmp_path)
    if (tmp_path / "samples.jsonl").exists():
        assert {sample["reason"] for sample in lines(tmp_path / "samples.jsonl")} == {"unfinished"}
    assert {error["failure"] for error in lines(tmp_path / "errors.jsonl")} == {"grader"}
    assert run(tmp_path).metrics["lost"] == 0


def test_bad_input_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "run"
    long = Given((Problem("long", "What is 2 + 5, times 2?" + "x" * 300, "14"),), source="in.jsonl", lines={"long": 7})
    with pytest.raises(
        RecordError, match=r"in\.jsonl, line 7, field 'problem': of 'long' makes a prompt of \d+ tokens"
    ):
        run(out, given=long, engine=lambda: policies.engine(context_length=300))
    with pytest.raises(InputError, match=r"concurrency \(--max-in-flight\) is 0"):
        run(out, concurrency=0)
    with pytest.raises(InputError, match="style is 'x'"):
        run(out, settings=Settings("x"))  # type: ignore[arg-type]
    assert not out.exists()


def test_progress_tells_how_far_each_phase_is(tmp_path: Path) -> None:
    beats: list[Progress] = []
    prompts: list[tuple[str, str]] = []
    roller = Roller("solver", engine=policies.engine, plan=PLAN, settings=SETTINGS)
    roller.run(policies.problems(4), tmp_path, on_progress=beats.append, on_prompt=lambda *shown: prompts.append(shown))
    samples = [beat for beat in beats if beat.phase == "solutions"]
    rollouts = [beat for beat in beats if beat.phase == "completions"]
    assert all(isinstance(beat.result, Sample) for beat in samples)
    assert all(isinstance(beat.result, Rollout) for beat in rollouts)
    for phase in (samples, rollouts):
        assert [beat.done for beat in phase] == list(range(1, len(phase) + 1))
        assert phase[-1].done == phase[-1].total
    assert prompts[0][0].endswith("<|im_start|>assistant\nStep 1: ") and prompts[0][1] == "p0, a solution"


def test_what_is_finished_when_the_user_stops_is_written_and_used(tmp_path: Path) -> None:
    def stop(beat: Progress) -> None:
        if beat.phase == "completions" and beat.done == 5:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run", concurrency=1, on=stop)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(lines(tmp_path / "run/rollouts.jsonl")) < 20
    assert sum(item["owed"] for item in lines(tmp_path / "run/items.jsonl")) > 0
    run(tmp_path / "run")
    run(tmp_path / "whole")
    assert same(tmp_path / "run", tmp_path / "whole")


def test_easy_and_hard_problems_keep_nothing_unless_asked(tmp_path: Path) -> None:
    def never(prompt: str, request: GenerationRequest) -> str:
        return f"x\n\nStep 2: {request.seed} so \\boxed{{0}}."

    engine = {"engine": lambda: ScriptedEngine(never, name="never")}
    summary = run(tmp_path / "hard", **engine)
    assert summary.solutions == () and {item["difficulty"] for item in summary.items} == {"hard"}
    assert summary.metrics["samples"]["incorrect"] == 4 * PLAN.budget.most and summary.metrics["prefixes"] == 0
    everything = Plan(Budget(4, 4, 4, 4, ("easy", "medium", "hard")), PLAN.amounts)
    assert len(run(tmp_path / "all", plan=everything, **engine).solutions) == 16


def test_trajectories_conclude_behind_their_thinking(tmp_path: Path) -> None:
    def think(prompt: str, request: GenerationRequest) -> str:
        return "<think>\nMaybe \\boxed{1}.\n\nNo.\n</think>\n\nIt is \\boxed{14}."

    everything = Plan(Budget(1, 1, 1, 1, ("easy",)), Amounts.fixed(2))
    summary = run(
        tmp_path, given=policies.problems(1), plan=everything, settings=Settings("trajectory"),
        engine=lambda: ScriptedEngine(think, name="thinker"),
    )  # fmt: skip
    (solution,) = summary.solutions
    assert solution.steps == ("<think>\nMaybe \\boxed{1}.", "No.\n</think>", "It is \\boxed{14}.")
    assert (solution.predicted_answer, solution.final_answer_correct) == ("14", True)


def test_given_answers_are_read_where_the_record_does_not_say(tmp_path: Path) -> None:
    task = policies.problem(0)
    given = Given(
        (task,),
        (
            Solution(task.problem, ("a", "It is $\\frac{28}{2}$."), "extracted", task.id, answer="14"),
            Solution(task.problem, ("a", "b"), "stated", task.id, answer="14", predicted_answer="14.0"),
            Solution(task.problem, ("a", "\\boxed{14}"), "told", task.id, answer="14", final_answer_correct=False),
        ),
    )
    summary = run(tmp_path, given=given)
    assert [solution.final_answer_correct for solution in summary.solutions] == [True, True, False]


def test_what_several_solutions_begin_with_is_completed_once(tmp_path: Path) -> None:
    task = policies.problem(0)
    begin = ("2 + 5 = 7", "7 * 2 = 14")
    ends = ("It is \\boxed{14}.", "So it is \\boxed{14}.", "It is \\boxed{15}.")
    solutions = [Solution(task.problem, (*begin, end), f"s{n}", task.id, "", task.answer) for n, end in enumerate(ends)]
    given = Given((task,), (*solutions, *policies.solutions(1).solutions[1:]), source="in.jsonl")
    asked: list[str] = []

    def listening() -> ScriptedEngine:
        def solve(prompt: str, request: GenerationRequest) -> str:
            asked.append(prompt)
            return policies.solve(prompt, request)

        return ScriptedEngine(solve, name="solver")

    run(tmp_path / "run", given=given, engine=listening)
    found = {(one.id, one.step): one for one in read_rollouts(tmp_path / "run/rollouts.jsonl")}
    assert len(asked) == 6 * (1 + 2 + 2)  # the problem alone, the common steps, those of the other solution
    for step in (0, 1):
        counts = {(found[f"s{n}", step].correct, found[f"s{n}", step].total) for n in range(3)}
        assert len(counts) == 1 and sum(found[f"s{n}", step].shared is None for n in range(3)) == 1
    assert [found[f"s{n}", 2].correct for n in range(3)] == [1, 1, 0]
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["shared_prefixes"] == 4 and metrics["completions"]["tokens"] == sum(o.tokens for o in found.values())

    (tmp_path / "cut").mkdir()
    for name in ("config.yaml", "solutions.jsonl", "environment.json"):
        (tmp_path / "cut" / name).write_bytes((tmp_path / "run" / name).read_bytes())
    whole = (tmp_path / "run/rollouts.jsonl").read_text().splitlines(keepends=True)
    kept = [line for line in whole if json.loads(line)["shared"] is None]
    (tmp_path / "cut/rollouts.jsonl").write_text("".join(kept))  # ended before anybody took what others found
    before = len(asked)
    run(tmp_path / "cut", given=given, engine=listening)
    assert len(asked) == before and same_rollouts(tmp_path / "cut", tmp_path / "run")


def same_rollouts(first: Path, second: Path) -> bool:
    lines = [sorted((folder / "rollouts.jsonl").read_text().splitlines()) for folder in (first, second)]
    return lines[0] == lines[1]
