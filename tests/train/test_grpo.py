"""Group-relative policy optimisation on a real policy and a real reward model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from genprm import resources
from genprm.engines.tokenizers import HFTokenizer
from genprm.errors import RecipeError
from genprm.rollout import styles
from genprm.stepformats import write_reading
from genprm.train.grpo import curve
from genprm.train.grpo_groups import Prompts, Reader, token_places
from genprm.train.grpo_trainer import padded
from genprm.train.options.policies import GrpoTraining
from genprm.train.training import train
from genprm.types import Problem
from tests.engines.models import save_model

OPTIONS: dict[str, Any] = {
    "kind": "grpo",
    "model": {"base": "policy-tiny"},
    "problems": {"count": 4, "seed": 3},
    "heldout": {"count": 2, "samples": 2},
    "sampling": {"samples": 4, "max_tokens": 120, "engine": "transformers"},
    "reward": {"kind": "scorer", "model": "filled in"},
    "problems_per_step": 2,
    "max_steps": 3,
    "optimizer": {"learning_rate": 0.0003, "weight_decay": 0.0},
    "schedule": {"kind": "constant", "warmup_share": 0.0},
    "precision": "fp32",
    "log_every": 1,
}
PROBLEM = Problem("p", "Tom has 3 apples and eats one. How many are left?", "2")
WRITTEN = (
    "Tom has 3 apples.",
    "\n\nStep 2: He eats 1, so 3 - 1 = 2 are left.",
    "\n\nStep 3: The answer is \\boxed{2}.",
)


@pytest.fixture(scope="module")
def reward(tmp_path_factory: pytest.TempPathFactory) -> str:
    model = save_model(tmp_path_factory.mktemp("reward") / "model", context=2048)
    write_reading(model, "token", "math-shepherd")
    return str(model)


@pytest.fixture(scope="module")
def recipe(reward: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grpo") / "grpo.yaml"
    options = {**OPTIONS, "reward": {"kind": "scorer", "model": reward}}
    stages = [{"name": "train", "verb": "train", "options": options}]
    path.write_text(yaml.safe_dump({"name": "grpo-test", "stages": stages}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tokenizer() -> HFTokenizer:
    return HFTokenizer.from_folder(resources.model("policy-tiny"))


@pytest.fixture(scope="module")
def whole(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    trained = train(recipe, out)
    assert trained is not None and trained.steps == 3
    return out


def reader(reward: dict[str, Any], tokenizer: HFTokenizer, **options: Any) -> Reader:
    made = GrpoTraining.model_validate({**OPTIONS, "reward": reward, **options})
    return Reader(made, [PROBLEM], tokenizer, {tokenizer.hf.eos_token_id})


def completion(tokenizer: HFTokenizer, text: str, *, ended: bool = True) -> list[int]:
    return [*tokenizer.encode(text), *([tokenizer.hf.eos_token_id] if ended else [])]


def test_each_token_of_a_completion_has_the_advantage_of_its_step(reward: str, tokenizer: HFTokenizer) -> None:
    good = [token for piece in WRITTEN for token in tokenizer.encode(piece)] + [tokenizer.hf.eos_token_id]
    wrong = completion(tokenizer, "".join(WRITTEN).replace("{2}", "{3}"))
    read_by = reader({"kind": "scorer", "model": reward}, tokenizer, credit="sum", beta=1.0)
    read = read_by.read(["p"] * 4, [good, good, wrong, wrong])
    assert [one.right for one in read] == [True, True, False, False]
    advantages = read_by.advantages(read)
    sizes = [len(tokenizer.encode(piece)) for piece in WRITTEN]
    first = advantages[0]
    assert len(first) == len(good)
    spans = [first[: sizes[0]], first[sizes[0] : sizes[0] + sizes[1]], first[sizes[0] + sizes[1] :]]
    assert all(len(set(span)) == 1 for span in spans) and len({span[0] for span in spans}) == 3
    batch = padded(advantages, max(map(len, advantages)) + 2)
    assert batch.shape == (4, max(len(good), len(wrong)) + 2) and not batch[:, -2:].any()
    read_by.close()


def test_a_completion_without_the_right_format_is_one_step_worth_nothing(reward: str, tokenizer: HFTokenizer) -> None:
    whole = completion(tokenizer, "".join(WRITTEN))
    cut = completion(tokenizer, "".join(WRITTEN[:2]), ended=False)
    bare = completion(tokenizer, "\\boxed{2}")
    read_by = reader({"kind": "scorer", "model": reward}, tokenizer)
    read = read_by.read(["p"] * 4, [whole, cut, bare, whole])
    assert [one.reward is None for one in read] == [False, True, True, False]
    assert [one.worth().steps for one in read[1:3]] == [(0.0,), (0.0,)] and read[1].worth().outcome == 0
    advantages = read_by.advantages(read)
    assert len(set(advantages[1])) == 1 and advantages[1][0] < 0 < advantages[0][0]
    read_by.close()


def test_controls_know_no_steps(tokenizer: HFTokenizer) -> None:
    good, wrong = (completion(tokenizer, "".join(WRITTEN).replace("{2}", box)) for box in ("{2}", "{3}"))
    outcome = reader({"kind": "outcome"}, tokenizer)
    read = outcome.read(["p"] * 4, [good, wrong, good, wrong])
    assert [outcome.score(one) for one in read] == [1, 0, 1, 0]
    assert [len(set(one)) for one in outcome.advantages(read)] == [1, 1, 1, 1]
    drawn = reader({"kind": "random"}, tokenizer)
    first = [drawn.score(one) for one in drawn.read(["p"] * 4, [good, wrong, good, wrong])]
    assert first == [drawn.score(one) for one in drawn.read(["p"] * 4, [good, wrong, good, wrong])]
    assert len(set(first)) == 4
    outcome.close()
    drawn.close()


def test_places_of_tokens_are_where_their_text_begins(tokenizer: HFTokenizer) -> None:
    for text in ("".join(WRITTEN), "3 € für Zoë ≤ 4"):
        ids = tokenizer.encode(text)
        places = token_places(ids, tokenizer, 8)
        assert places == [8 + len(tokenizer.decode(ids[:place])) for place in range(len(ids))]


def test_a_batch_depends_on_its_number_and_holds_whole_groups() -> None:
    problems = tuple(Problem(str(number), f"p{number}", "1") for number in range(3))
    source = Prompts(problems, per_step=2, group=2, repeats=2)
    stream = source.iterate()
    batches = [[row["id"] for row in next(stream)] for _ in range(6)]
    assert batches == [["0", "0", "1", "1"]] * 2 + [["2", "2", "0", "0"]] * 2 + [["1", "1", "2", "2"]] * 2
    assert [row["id"] for row in next(source.iterate(first=3))] == batches[3]


def test_prompts_are_the_ids_that_sampling_begins_with(tokenizer: HFTokenizer) -> None:
    from genprm.prompts import encode, render_policy

    segments = render_policy(PROBLEM.problem, styles.opening("step-forced"), tokenizer)
    assert reader({"kind": "outcome"}, tokenizer).prompt(PROBLEM.problem) == list(encode(segments, tokenizer).ids)


def test_a_training_leaves_its_curve_both_held_out_figures_and_a_model(whole: Path) -> None:
    from transformers import AutoModelForCausalLM

    metrics = json.loads((whole / "metrics.json").read_text(encoding="utf-8"))
    assert [line["step"] for line in metrics["curve"]] == [1, 2, 3]
    for name in ("reward", "accuracy", "process_reward", "format", "length", "loss"):
        assert all(isinstance(line[name], float | int) for line in metrics["curve"]), name
    assert metrics["heldout_before"]["solutions"] == metrics["heldout_after"]["solutions"] == 4
    assert metrics["accuracy_before"] is not None and metrics["heldout_after"]["reward"] is not None
    assert metrics["curve"] == curve(whole / "log/train.jsonl")
    assert AutoModelForCausalLM.from_pretrained(whole / "model").dtype == torch.bfloat16
    assert "| after |" in (whole / "model/README.md").read_text(encoding="utf-8")


def test_a_killed_training_draws_the_same_groups_and_ends_the_same(recipe: Path, whole: Path, tmp_path: Path) -> None:
    def kill(said: str) -> None:
        if said.startswith("step 3 "):
            raise KeyboardInterrupt

    out, overrides = tmp_path / "out", ["checkpoint_minutes=0.000001"]
    with pytest.raises(KeyboardInterrupt):
        train(recipe, out, overrides=overrides, report=kill)
    said: list[str] = []
    train(recipe, out, overrides=overrides, report=said.append)
    assert any(line.startswith("continuing from step 2") for line in said)
    here, there = curve(out / "log/train.jsonl"), curve(whole / "log/train.jsonl")
    for name in ("loss", "reward", "accuracy", "length"):
        assert [line[name] for line in here] == pytest.approx([line[name] for line in there], abs=1e-3), name


@pytest.mark.slow
def test_what_is_rewarded_becomes_likelier(tmp_path: Path, recipe: Path) -> None:
    """One problem again and again: the policy comes to solve it."""
    out = tmp_path / "out"
    overrides = ["reward={kind: outcome}", "problems.count=1", "problems.seed=5", "problems_per_step=1", "max_steps=8",
                 "sampling.samples=8"]  # fmt: skip
    train(recipe, out, overrides=overrides)
    found = [line["accuracy"] for line in curve(out / "log/train.jsonl")]
    assert sum(found[-3:]) > sum(found[:3])


def test_a_recipe_that_makes_no_sense_is_refused(recipe: Path, tmp_path: Path) -> None:
    for override, words in (
        ("sampling.samples=1", "a group that is compared has two solutions or more"),
        ("accumulate=3", "accumulate 3 does not divide the 8 solutions"),
        ("beta=1.5", "beta"),
        ("credit=max", "credit"),
    ):
        with pytest.raises(RecipeError, match=words):
            train(recipe, tmp_path / "out", overrides=[override])
    said: list[str] = []
    train(recipe, tmp_path / "out", dry_run=True, report=said.append)
    assert "32 solutions in all" in said[0] and "credit min" in said[0]
    assert not (tmp_path / "out").exists()
