"""Critique and refinement, round after round: what they depend on, what they count, and how a run goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genprm.critique import Plan, Summary, critique
from genprm.engines import Completion, GenerationRequest, ScriptedEngine
from genprm.errors import EngineUnavailable, IdentityError, InputError
from genprm.records import Loaded
from tests.critique import sums


def run(out: Path, plan: Plan = Plan(), loaded: Loaded | None = None, engine: Any = sums.solver) -> Summary:  # noqa: B008
    return critique(loaded or sums.given(9), out, sums.verifier(), sums.policy(engine), plan)


def items(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "items.jsonl").read_text().splitlines()]


def test_a_verifier_that_is_right_mends_what_is_wrong_and_leaves_the_rest(tmp_path: Path) -> None:
    found = run(tmp_path / "run", Plan(rounds=4, refinements=3))
    rights = [one.right for one in found.rounds]
    assert rights[0] == 3 and rights == sorted(rights) and rights[-1] == 9
    assert [one.criticised for one in found.rounds[1:]] == [9 - right for right in rights[:-1]]
    assert not any(one.false_alarms or one.right_to_wrong for one in found.rounds)
    assert sum(one.wrong_to_right for one in found.rounds) == 6
    assert all(one.final_answer_correct in (True, None) for one in found.solutions)
    assert found.rounds[1].policy_tokens > 0 and found.rounds[0].verifier_tokens > 0


def test_reference_answers_decide_nothing(tmp_path: Path) -> None:
    """They are counted with; another answer in every record leaves all that is said, written and taken as it is."""
    plan = Plan(rounds=2, refinements=2)
    run(tmp_path / "told", plan)
    lied = Loaded(tuple(replace(one, answer="-7") for one in sums.given(9).solutions), source="in.jsonl")
    assert [one.right for one in run(tmp_path / "lied", plan, lied).rounds] == [0, 0, 0]
    rounds = [[one["rounds"] for one in items(tmp_path / name)] for name in ("told", "lied")]
    assert rounds[0] == rounds[1]


class Dying(ScriptedEngine):
    """Serves a number of requests and is then gone."""

    left = 4

    async def generate(self, request: GenerationRequest) -> Completion:
        self.left -= 1
        if self.left < 0:
            raise EngineUnavailable("the engine went away")
        return await super().generate(request)


def test_what_was_lost_is_asked_again_and_the_run_ends_as_a_calm_one(tmp_path: Path) -> None:
    plan = Plan(rounds=2, refinements=2)
    with pytest.raises(EngineUnavailable, match=r"went away; \d+ answers are owed in .*run the same command again"):
        run(tmp_path / "run", plan, engine=lambda: Dying(sums.solve, name="solver"))
    kept = (tmp_path / "run/refinements.jsonl").read_text()
    assert kept and not (tmp_path / "run/items.jsonl").exists()
    run(tmp_path / "run", plan)
    run(tmp_path / "calm", plan)
    assert (tmp_path / "run/refinements.jsonl").read_text().startswith(kept)
    for name in ("items.jsonl", "refined.jsonl", "metrics.json"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "calm" / name).read_bytes()


def test_more_rounds_continue_a_run_and_another_critic_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "run", Plan(rounds=1, refinements=2))
    before = (tmp_path / "run/refinements.jsonl").read_text()
    run(tmp_path / "run", Plan(rounds=3, refinements=2))
    run(tmp_path / "calm", Plan(rounds=3, refinements=2))
    assert (tmp_path / "run/refinements.jsonl").read_text().startswith(before)
    assert items(tmp_path / "run") == items(tmp_path / "calm")
    with pytest.raises(IdentityError, match="critic"):
        run(tmp_path / "run", Plan(refinements=2, critic="sham"))


class Listening(ScriptedEngine):
    """Remembers the prompts it was given."""

    def __init__(self) -> None:
        self.heard: list[str] = []

        def solve(prompt: str, request: GenerationRequest) -> str:
            self.heard.append(prompt)
            return sums.solve(prompt, request)

        super().__init__(solve, name="solver")


@pytest.mark.parametrize(
    ("critic", "words", "quoted"),
    [("verifier", True, True), ("index", False, True), ("sham", True, True), ("resample", False, False)],
)
def test_a_control_tells_the_policy_less(critic: Any, words: bool, quoted: bool, tmp_path: Path) -> None:
    engine = Listening()
    run(tmp_path / "run", Plan(rounds=1, critic=critic), engine=engine)
    assert engine.heard
    for prompt in engine.heard:
        assert ("the sum must hold" in prompt) == words
        assert ("rethink and refine your answer:\n>Step" in prompt) == quoted
        assert prompt.count("Step 1: ") == (2 if quoted else 1) + prompt.count(">Step 1: ")
    said = [one["rounds"][0]["finding"] for one in items(tmp_path / "run")]
    wrong = [number % 3 - 1 if number % 3 else None for number in range(9)]
    assert [None if one is None else one["step"] for one in said] == (
        [None if step is None else 1 - step for step in wrong] if critic == "sham" else wrong
    )


def test_the_oracle_reads_labels_and_nobody_else_does(tmp_path: Path) -> None:
    labelled = Loaded(tuple(sums.solution(n, n % 3, label=1 if n == 0 else -1) for n in range(4)), source="in.jsonl")
    run(tmp_path / "oracle", Plan(rounds=1, critic="oracle"), labelled)
    assert [one["rounds"][0]["finding"] is not None for one in items(tmp_path / "oracle")] == [
        True,
        False,
        False,
        False,
    ]
    with pytest.raises(InputError, match="solution s0 has no 'label', which critic oracle reads"):
        run(tmp_path / "none", Plan(critic="oracle"))
    assert not (tmp_path / "none").exists()


def test_a_policy_can_be_its_own_critic(tmp_path: Path) -> None:
    def solve_or_judge(prompt: str, request: GenerationRequest) -> str:
        return "All of it looks wrong: \\boxed{0}" if "<paragraph_0>" in prompt else sums.solve(prompt, request)

    def engine() -> ScriptedEngine:
        return ScriptedEngine(solve_or_judge)

    found = run(tmp_path / "run", Plan(rounds=1, critic="self"), sums.given(30), engine)
    assert (found.rounds[1].criticised, found.rounds[1].false_alarms) == (30, 10)
    assert found.rounds[1].right_to_wrong > 0
    kept = run(tmp_path / "kept", Plan(rounds=1, critic="self", accept_if_better=True), sums.given(30), engine)
    assert kept.rounds[1].right_to_wrong == 0 and kept.rounds[1].wrong_to_right > 0


def test_opinions_of_a_solution_that_stands_are_paid_once(tmp_path: Path) -> None:
    """They are not asked for again in later rounds, nor counted."""
    nothing_wrong = lambda: ScriptedEngine(lambda prompt, request: "All is well: \\boxed{-1}", name="solver")  # noqa: E731
    found = run(tmp_path / "run", Plan(rounds=3, critic="self"), engine=nothing_wrong)
    assert [one.policy_tokens > 0 for one in found.rounds] == [False, True, False, False]


def test_without_a_reference_answer_nothing_is_counted_in_any_round(tmp_path: Path) -> None:
    """A record may say that its own answer is right; of what replaces it nobody can tell."""
    bare = [replace(one, answer=None, final_answer_correct=True) for one in sums.given(6).solutions[:3]]
    loaded = Loaded((*bare, *sums.given(6).solutions[3:]), source="in.jsonl")
    found = run(tmp_path / "run", Plan(rounds=2, refinements=2), loaded)
    assert [one.answered for one in found.rounds] == [3, 3, 3] and found.rounds[0].right == 1


def test_ids_that_refinements_would_get_are_refused(tmp_path: Path) -> None:
    one = sums.solution(0)
    both = Loaded((one, replace(sums.solution(1), id=f"{one.id}~1.0")), source="in.jsonl")
    with pytest.raises(InputError, match=r"in.jsonl: 's0~1.0' is what a refinement of 's0' may be called"):
        run(tmp_path / "run", Plan(), both)
    assert not (tmp_path / "run").exists()
    alone = Loaded(both.solutions[1:], source="in.jsonl")
    assert run(tmp_path / "alone", Plan(rounds=1), alone).rounds[0].problems == 1


@pytest.mark.parametrize("field", ["rounds", "refinements", "opinions"])
def test_amounts_below_one_are_refused(field: str) -> None:
    with pytest.raises(InputError, match=f"{field} is 0; it must be at least 1"):
        Plan(**{field: 0})
