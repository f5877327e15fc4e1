"""The strategies: who goes on, who is taken, and what neither order nor neighbours change."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from genprm.engines import Completion, GenerationRequest, ScriptedEngine
from genprm.errors import InputError
from genprm.rollout import Settings
from genprm.rollout.styles import prefix
from genprm.search import STRATEGIES, Found, Plan
from genprm.search.writing import draw_seed
from genprm.types import Problem
from tests.rollout import policies
from tests.search.worlds import PRICE, Checker, holds, search

ALL = [Plan(strategy, n=8, branch=2, tries=3) for strategy in STRATEGIES]
named = pytest.mark.parametrize("plan", ALL, ids=lambda plan: plan.strategy)


class Listening(ScriptedEngine):
    """Remembers what it was asked."""

    def __init__(self, script: Any = policies.solve, **options: Any) -> None:
        super().__init__(script, **options)
        self.asked: list[GenerationRequest] = []

    async def generate(self, request: GenerationRequest) -> Completion:
        self.asked.append(request)
        return await super().generate(request)


def texts(found: Found) -> list[tuple[str, ...]]:
    return [one.path.steps for one in found.candidates]


def test_a_beam_of_width_1_with_one_draw_is_greedy() -> None:
    """What a policy without dice writes in one go it also writes step by step, whoever scores it."""

    def solve(prompt: str, request: GenerationRequest) -> str:
        return policies.solve(prompt, replace(request, seed=5))

    engine = ScriptedEngine(solve)
    whole = search(Plan(n=1), engine=engine)
    for strategy in ("beam", "dvts", "resample"):
        found = search(Plan(strategy, n=1, branch=1, tries=1), engine=engine)
        assert {name: texts(one) for name, one in found.items()} == {name: texts(one) for name, one in whole.items()}
        assert all(len(one.candidates) == 1 and len(one.candidates[0].path.steps) == 3 for one in found.values())


@named
def test_neither_order_nor_neighbours_change_what_is_found(plan: Plan) -> None:
    problems = policies.problems(5).problems
    crowd = search(plan, problems)
    assert crowd == search(plan, problems[::-1])
    for problem in problems:
        assert search(plan, [problem]) == {problem.id: crowd[problem.id]}
    assert crowd != search(plan, problems, seed=1)


@named
def test_a_prefix_is_verified_once_and_everything_is_counted(plan: Plan) -> None:
    scorer, engine = Checker(), Listening()
    (found,) = search(plan, policies.problems(1).problems, scorer=scorer, engine=engine).values()
    assert found.judged == len(scorer.asked) == len(set(scorer.asked))
    assert found.scorer_tokens == PRICE * len(scorer.asked)
    assert found.draws == len(engine.asked) == len({request.seed for request in engine.asked})
    assert found.policy_tokens >= sum(one.path.tokens for one in found.candidates[:1])


@named
def test_with_a_scorer_that_is_right_a_right_answer_is_taken_where_there_is_one(plan: Plan) -> None:
    for one in search(plan, policies.problems(12).problems).values():
        assert one.correct == any(candidate.correct for candidate in one.candidates)
        if plan.strategy != "weighted" and one.taken is not None:
            scores = [c.score for c in one.candidates if c.answer and c.score is not None]
            assert one.taken.score == max(scores)
            assert one.taken is next(c for c in one.candidates if c.answer and c.score == max(scores))


@named
def test_a_scorer_that_keeps_tensors_gives_the_same(plan: Plan) -> None:
    """It reads whole solutions, and prefixes that no longer grow are freed."""
    light, heavy = search(plan, scorer=Checker()), search(plan, scorer=Checker(in_one_pass=True))
    for name, one in light.items():
        assert (one.candidates, one.chosen) == (heavy[name].candidates, heavy[name].chosen)


def test_subtrees_of_dvts_never_mix() -> None:
    """Each subtree is what it is alone: more of them beside it change none of its solutions."""
    few, many = search(Plan("dvts", n=2, branch=2)), search(Plan("dvts", n=8, branch=2))
    for name, found in many.items():
        own = {tree: [c for c in found.candidates if c.path.name[0] == tree] for tree in range(4)}
        assert own[0] == list(few[name].candidates)
        assert sum(map(len, own.values())) == len(found.candidates)
    assert any(len({c.path.name[0] for c in one.candidates}) == 4 for one in many.values())


def test_a_beam_goes_on_with_the_best_of_all_and_ties_go_to_the_first() -> None:
    for problem in policies.problems(8).problems:
        engine, scorer = Listening(), Checker()
        search(Plan("beam", n=6, branch=2), [problem], engine=engine, scorer=scorer)
        prompts = [engine.tokenizer.decode(request.prompt).rpartition("assistant\n")[2] for request in engine.asked]
        assert [text.count("Step ") for text in prompts][:7] == [1] * 6 + [2]
        drawn = [steps[0] for _, steps in scorer.asked if len(steps) == 1]
        best = sorted(drawn, key=lambda step: not holds(problem.problem, step))[:3]
        grown = Counter(text for text in prompts if text.count("Step ") == 2)
        assert grown == {f"{step}\n\nStep 2: ": 2 for step in best if "boxed" not in step}


def test_resampling_takes_the_first_step_that_is_good_enough_or_the_best_of_all() -> None:
    firsts = ["2 + 5 = 9", "2 + 5 = 7", "2 + 5 = 7"]

    def solve(prompt: str, request: GenerationRequest) -> str:
        tried = next(n for n in range(3) if request.seed in {draw_seed(0, "p0", (0, n)), draw_seed(0, "p0", (0, 1, n)),
                                                             draw_seed(0, "p0", (0, 0, n))})  # fmt: skip
        if prompt.endswith("Step 1: "):
            return f"{firsts[tried]}\n\nStep 2: and so on"
        return f"{(9, 8, 7)[tried]} * 2 = 3. The answer is \\boxed{{{tried}}}."

    problem = [policies.problem(0)]
    (found,) = search(Plan("resample", n=1, tries=3), problem, engine=ScriptedEngine(solve)).values()
    assert texts(found)[0][0] == "Step 1: 2 + 5 = 7" and found.draws == 2 + 3
    assert found.candidates[0].path.name == (0, 1, 0), "of three bad steps the first"
    (lax,) = search(Plan("resample", n=1, tries=3, threshold=0.05), problem, engine=ScriptedEngine(solve)).values()
    assert texts(lax)[0][0] == "Step 1: 2 + 5 = 9" and lax.draws == 2


@named
def test_a_budget_ends_the_search_with_the_best_so_far(plan: Plan) -> None:
    whole = search(plan)
    for budget in (1, 150, 400, 10**6):
        for name, one in search(replace(plan, budget=budget)).items():
            spent = one.policy_tokens + one.scorer_tokens
            full = whole[name].policy_tokens + whole[name].scorer_tokens
            assert (one.stopped == "budget") == (spent < full)
            assert spent >= min(budget, full) and set(texts(one)) <= set(texts(whole[name]))
            if one.stopped == "done":
                assert (one.candidates, one.chosen) == (whole[name].candidates, whole[name].chosen)
    assert all(len(one.candidates) <= 8 for one in search(replace(plan, budget=1)).values())


def test_a_budget_draws_solutions_one_by_one() -> None:
    (one,) = search(Plan(n=8, budget=1), policies.problems(1).problems).values()
    assert len(one.candidates) == 1 and one.stopped == "budget"


@named
def test_what_does_not_end_by_itself_is_never_taken(plan: Plan) -> None:
    engine = ScriptedEngine(lambda prompt, request: "2 + 5 = 7 and so on " * 100)
    for one in search(plan, engine=engine).values():
        assert one.taken is None and one.correct is False
        assert {candidate.path.end for candidate in one.candidates} == {"length"}


def test_the_policy_goes_on_in_its_own_turn() -> None:
    """Step by step, with the tokens that a rollout of the same prefix has; and one line break where it wrote one."""
    for gap in ("\n\n", "\n"):

        def solve(prompt: str, request: GenerationRequest, gap: str = gap) -> str:
            return policies.solve(prompt, request).replace("\n\n", gap)

        engine = Listening(solve)
        problem = policies.problem(0)
        (found,) = search(Plan("beam", n=1, branch=1), [problem], engine=engine).values()
        steps = found.candidates[0].path.steps
        assert found.candidates[0].path.separator == gap
        for place, request in enumerate(engine.asked):
            turn = prefix("step-forced", steps[:place], gap)
            assert engine.tokenizer.decode(request.prompt).endswith("".join(segment.text for segment in turn))


@pytest.mark.parametrize("style", ["blank-lines", "trajectory"])
def test_steps_end_at_blank_lines_and_one_at_the_opening_is_none(style: Any) -> None:
    def solve(prompt: str, request: GenerationRequest) -> str:
        written = prompt.rpartition("assistant\n")[2]
        if "7" not in written:
            return "2 + 5 = 7\n\nand so on" if written.endswith("\n\n") else "\n\n2 + 5 = 7\n\nand so on"
        return "So it is \\boxed{14}."

    settings = Settings(style, max_tokens=400)
    (found,) = search(
        Plan("beam", n=1, branch=1), [policies.problem(0)], engine=ScriptedEngine(solve), settings=settings
    ).values()
    assert texts(found) == [("2 + 5 = 7", "So it is \\boxed{14}.")] and found.correct


def test_a_draw_without_text_is_a_draw_that_ended() -> None:
    engine = ScriptedEngine(lambda prompt, request: "")
    for plan in ALL:
        (found,) = search(plan, [policies.problem(0)], engine=engine).values()
        assert found.taken is None and {one.path.end for one in found.candidates} == {"empty"}


def test_without_a_reference_nothing_is_right_or_wrong() -> None:
    bare = [replace(one, answer="") for one in policies.problems(3).problems]
    told = search(Plan("beam", n=4, branch=2))
    for name, one in search(Plan("beam", n=4, branch=2), bare).items():
        assert one.correct is None and {candidate.correct for candidate in one.candidates} == {None}
        assert (one.chosen, texts(one)) == (told[name].chosen, texts(told[name]))


def test_references_decide_nothing() -> None:
    lied = [Problem(one.id, one.problem, "-7") for one in policies.problems(4).problems]
    for plan in ALL:
        told = search(plan)
        for name, one in search(plan, lied).items():
            assert (one.chosen, texts(one)) == (told[name].chosen, texts(told[name])) and not one.correct


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n is 0; it must be at least 1"),
        ({"budget": 0}, "budget is 0; it must be at least 1"),
        ({"strategy": "mcts"}, "strategy is 'mcts'; it must be one of best-of-n, weighted"),
        ({"strategy": "beam", "n": 6, "branch": 4}, "n must be a multiple of branch"),
        ({"threshold": 1.5}, "threshold is 1.5; rewards lie between 0 and 1"),
        ({"score": "max"}, "score is 'max'; it must be one of min, mean"),
    ],
)
def test_plans_that_cannot_be_are_refused(options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Plan(**options)


def test_the_width_of_a_beam_is_what_dvts_has_of_trees() -> None:
    beam, dvts = Plan("beam", n=12, branch=3), Plan("dvts", n=12, branch=3)
    assert (beam.trees, beam.width, dvts.trees, dvts.width) == (1, 4, 4, 1)
