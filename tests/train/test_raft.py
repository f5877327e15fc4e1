"""Reward-ranked fine-tuning on a real policy and a real reward model: it goes on after a kill, and says what it did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from genprm.errors import IdentityError, InputError, RecipeError
from genprm.rollout.samples import Sample
from genprm.stepformats import write_reading
from genprm.train.policy_rewards import Reward
from genprm.train.raft import best
from genprm.train.training import train
from tests.engines.models import save_model

OPTIONS: dict[str, Any] = {
    "kind": "raft",
    "model": {"base": "policy-tiny"},
    "iterations": 2,
    "problems": {"count": 3, "seed": 3},
    "heldout": {"count": 3, "samples": 2},
    "sampling": {"samples": 3, "max_tokens": 160, "engine": "transformers"},
    "reward": {"kind": "scorer", "model": "filled in"},
    "epochs": 2,
    "rows_per_batch": 2,
    "max_length": 1024,
    "optimizer": {"learning_rate": 0.0003},
    "precision": "fp32",
}


def write_recipe(folder: Path, options: dict[str, Any]) -> Path:
    path = folder / "raft.yaml"
    stages = [{"name": "train", "verb": "train", "options": options}]
    path.write_text(yaml.safe_dump({"name": "raft-test", "stages": stages}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a small random reward model that reads two tokens at step tags."""
    folder = tmp_path_factory.mktemp("raft")
    model = save_model(folder / "reward", context=2048)
    write_reading(model, "token", "math-shepherd")
    return write_recipe(folder, {**OPTIONS, "reward": {"kind": "scorer", "model": str(model)}})


@pytest.fixture(scope="module")
def whole(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole") / "out"
    trained = train(recipe, out)
    assert trained is not None and trained.folder == out / "model" and trained.steps > 0
    return out


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def results(out: Path) -> dict[str, Any]:
    """Everything but the clock."""
    found: dict[str, Any] = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    for part in (found, *found["iterations"]):
        del part["minutes"]
    return found


def test_it_keeps_the_best_of_each_problem_and_trains_on_them(whole: Path) -> None:
    metrics = results(whole)
    assert [one["iteration"] for one in metrics["iterations"]] == [0, 1, 2]
    for number in (1, 2):
        folder = whole / f"iteration-{number}"
        samples, kept = lines(folder / "samples.jsonl"), lines(folder / "kept.jsonl")
        assert len(samples) == 9 and len({one["problem_id"] for one in kept}) == len(kept) <= 3
        figures = metrics["iterations"][number]
        assert figures["kept"]["reward"] >= figures["sampled"]["reward"]
        assert kept[0]["score"] == min(kept[0]["reward"])
        assert (folder / "training/model/model.safetensors").exists()
    assert metrics["accuracy_after"] == metrics["iterations"][2]["heldout"]["accuracy"]
    assert lines(whole / "log/raft.jsonl")[1]["training"]["steps"] > 0
    assert "| iteration 2 |" in (whole / "model/README.md").read_text(encoding="utf-8")


def test_no_problem_comes_twice_and_none_is_held_out(whole: Path) -> None:
    first, second = (lines(whole / f"iteration-{number}/problems.jsonl") for number in (1, 2))
    texts = [one["problem"] for one in (*first, *second, *lines(whole / "problems.jsonl"))]
    assert len(texts) == len(set(texts)) == 9


def test_every_policy_solves_the_held_out_problems_from_the_same_seeds(whole: Path) -> None:
    seeds = [[one["seed"] for one in lines(whole / f"iteration-{number}/heldout.jsonl")] for number in range(3)]
    assert sorted(seeds[0]) == sorted(seeds[1]) == sorted(seeds[2]) and len(set(seeds[0])) == 6


def test_a_training_killed_again_and_again_goes_on_and_gives_the_same(
    recipe: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    for line in ("iteration 1: 9 solutions to be judged", "step ", "policy 1, held out: 6 solutions to be judged"):

        def kill(said: str, line: str = line) -> None:
            if said.startswith(line):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(recipe, out, report=kill)
    assert not (out / "metrics.json").exists()
    train(recipe, out)
    kept = "iteration-2/kept.jsonl"
    assert [one["steps"] for one in lines(out / kept)] == [one["steps"] for one in lines(whole / kept)]
    here, there = results(out), results(whole)
    assert here.pop("loss") == pytest.approx(there.pop("loss"), abs=1e-4)
    assert [one["heldout"]["accuracy"] for one in here["iterations"]] == [
        one["heldout"]["accuracy"] for one in there["iterations"]
    ]


def test_the_same_command_again_says_it_is_done_and_another_one_is_refused(recipe: Path, whole: Path) -> None:
    said: list[str] = []
    assert train(recipe, whole, report=said.append) is not None and "holds a finished training" in said[-1]
    with pytest.raises(IdentityError, match=r"epochs \(there 2\.0, here 3\.0\)"):
        train(recipe, whole, overrides=["epochs=3"])


def sample(problem: str, index: int) -> Sample:
    return Sample(
        f"{problem}{index}", f"{problem}/{index}", problem, index, 0, "correct", None, "", ("a",), "\n", "", 1
    )


def test_the_best_is_the_highest_score_and_what_has_none_is_never_kept() -> None:
    samples = [sample("a", 0), sample("a", 1), sample("b", 0), sample("c", 0)]
    rewards = {"a0": Reward(0.2), "a1": Reward(0.7), "b0": Reward(None), "c0": Reward(0.0)}
    assert [one.id for one in best(samples, rewards, 0.0, seed=0)] == ["a/1", "c/0"]
    assert [one.id for one in best(samples, rewards, 1.0, seed=0)] == []


def test_of_equals_the_seed_decides_and_no_place_is_preferred() -> None:
    samples = [sample("a", index) for index in range(4)]
    rewards = {one.key: Reward(1.0) for one in samples}
    chosen = [best(samples, rewards, 0.0, seed=seed)[0].index for seed in range(40)]
    assert chosen == [best(samples, rewards, 0.0, seed=seed)[0].index for seed in range(40)]
    assert set(chosen) == {0, 1, 2, 3}


def test_controls_where_only_the_answer_counts_only_right_ones_are_kept(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(recipe, out, overrides=["reward={kind: outcome}", "iterations=1", "sampling.temperature=0.6"])
    kept = lines(out / "iteration-1/kept.jsonl")
    assert kept and all(one["final_answer_correct"] for one in kept)
    assert not (out / "rewards.jsonl").exists()


def test_a_dry_run_plans_and_writes_nothing(recipe: Path, tmp_path: Path) -> None:
    said: list[str] = []
    assert train(recipe, tmp_path / "out", dry_run=True, report=said.append) is None
    assert "2 iterations" in said[0] and "36 solutions in all" in said[0] and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["model={shape: {hidden_size: 8, intermediate_size: 8, layers: 1, heads: 1, kv_heads: 1}}"],
            "give model.base",
        ),
        (["reward={kind: scorer}"], "reward: kind scorer needs a model"),
        (["reward={kind: random, model: x}"], "kinds outcome and random have none"),
        (["problems={source: file, count: 3}"], "problems: source file needs a place"),
        (["iterations=0"], "iterations"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(
    overrides: list[str], words: str, recipe: Path, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=words):
        train(recipe, tmp_path / "out", overrides=overrides)
    assert not (tmp_path / "out").exists()


def test_bad_requests_write_nothing(recipe: Path, tmp_path: Path) -> None:
    out, path = tmp_path / "out", tmp_path / "problems.jsonl"
    problems = [{"id": str(number), "problem": f"What is {number}?", "answer": str(number)} for number in range(4)]
    path.write_text("".join(json.dumps(one) + "\n" for one in problems), encoding="utf-8")
    place = f"source: file, place: {path}"
    for overrides, words in (
        ([f"problems={{{place}, count: 9}}"], "holds 4 problems, fewer than problems.count 9"),
        ([f"problems={{{place}, count: 4}}", f"heldout={{{place}, count: 2}}"], "is held out too"),
        (["reward.votes=4"], "reward.votes is of generative models"),
        (["problems={source: file, place: none.jsonl, count: 3}"], "no file or data set 'none.jsonl'"),
    ):
        with pytest.raises(InputError, match=words):
            train(recipe, out, overrides=overrides)
    with pytest.raises(InputError, match="--data names 'gsm8k', which a recipe of kind raft does not read"):
        train(recipe, out, data={"gsm8k": "x"})
    assert not out.exists()
