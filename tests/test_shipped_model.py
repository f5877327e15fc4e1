"""The model that ships: an ordinary folder, small enough, and really a verifier."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from genprm import Verifier, resources
from genprm.engines.tokenizers import HFTokenizer
from genprm.records import read_solutions
from genprm.types import Solution, Verification

FOLDER = Path(resources.model("genprm-tiny"))
SOLUTIONS = read_solutions(str(resources.path("recipes", "demo.jsonl"))).solutions


@pytest.fixture(scope="module")
def judged() -> dict[str, Verification]:
    with Verifier(votes=4) as verifier:
        return {item.id: item for item in verifier.verify_many(SOLUTIONS)}


def test_it_is_an_ordinary_folder_within_its_size() -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(FOLDER)
    assert sum(parameter.numel() for parameter in model.parameters()) <= 20_000_000
    assert model.config.model_type in ("llama", "qwen2")
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 40 * 2**20


@pytest.mark.parametrize("name", resources.names("models"))
def test_every_shipped_model_is_small_and_says_where_it_comes_from_and_what_it_can(name: str) -> None:
    folder = Path(resources.model(name))
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 20 * 2**20
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"`{name}`, seed" in card and "genprm train" in card
    assert "## Measured" in card and "Nothing has been measured" not in card


def test_a_card_says_what_it_was_trained_on() -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "trained on truth" in card.lower() and "seed" in card and "genprm train" in card


def test_the_judgement_is_a_token_of_its_own() -> None:
    tokenizer = HFTokenizer.from_folder(str(FOLDER))
    for word in ("Yes", "No"):
        (token,) = tokenizer.encode(word)
        assert token in tokenizer.encode("**Judgement**: $\\boxed{" + word + "}$\n")


def test_every_step_is_judged_by_code_that_ran(judged: dict[str, Verification]) -> None:
    for item in judged.values():
        for vote in item.votes:
            assert all(step.status == "judged" and step.code for step in vote.steps)


def test_it_finds_the_slip_and_accepts_the_clean_solution(judged: dict[str, Verification]) -> None:
    right = {s.id: judged[s.id].predicted_label == s.label for s in SOLUTIONS}
    assert right["school-slip"] and right["school-clean"]
    assert sum(right.values()) >= 6, right


def test_the_judgement_follows_the_code_output() -> None:
    """With the output of a right step swapped for its opposite, the judgement turns."""
    from genprm.engines import TransformersEngine
    from genprm.execution import LocalSandbox
    from genprm.lab.teacher import swap_verdicts
    from genprm.rationale.settings import Settings
    from genprm.verify import Judge, run_vote
    from genprm.verify.replay import replay_step

    async def flips(solution: Solution) -> bool:
        async with aclosing(TransformersEngine(str(FOLDER))) as engine, aclosing(LocalSandbox()) as sandbox:
            judge = Judge(engine, sandbox, Settings(), run_seed=0)
            vote = await run_vote(solution, 0, judge)
            again = await replay_step(
                solution, vote, 0, engine=engine, settings=judge.settings, sampling=judge.sampling,
                edit_output=lambda run: swap_verdicts(run.output),
            )  # fmt: skip
            return again.judgement != vote.steps[0].judgement

    assert asyncio.run(flips(next(s for s in SOLUTIONS if s.id == "school-clean")))


@pytest.mark.slow
def test_the_policy_solves_some_of_its_problems_and_is_sometimes_right_for_a_wrong_reason() -> None:
    from tests.benchmarks import policy_world

    parser = policy_world.arguments()
    found = asyncio.run(policy_world.measure(parser.parse_args(["--problems", "60", "--samples", "2", "--k", "0"])))
    right, spoiled = (float(found[name].split()[0]) for name in ("answers right", "right answers with a wrong process"))
    assert 40 <= right <= 75 and 5 <= spoiled <= 45
