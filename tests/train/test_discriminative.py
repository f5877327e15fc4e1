"""Real trainings of the discriminative kinds on a CPU: they learn, their folders are scored, killed ones continue."""

from __future__ import annotations

import json
import random
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import yaml

from genprm import recipes
from genprm.errors import Diverged, InputError, RecipeError, RecordError
from genprm.evaluate.processbench import score as f1_score
from genprm.records import read_solutions
from genprm.scorers import Synchronous, open_scorer
from genprm.scorers.discriminative import HeadScorer, OutcomeScorer, TokenScorer
from genprm.train.discriminative import prepare
from genprm.train.kinds import training
from genprm.train.options.rows import StepTraining
from genprm.train.training import train
from genprm.types import Solution
from genprm.verdicts import predicted_label
from tests.engines.models import save_model

KINDS = {"token": TokenScorer, "head": HeadScorer, "orm": OutcomeScorer}


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Solutions whose steps are right until one says "never"; the first such step decides those behind it too."""
    dice, made = random.Random(seed), []
    for _ in range(count):
        steps, ok = [], 1.0
        values = []
        for _ in range(dice.randint(1, 4)):
            ok = 0.0 if dice.random() < 0.3 else ok
            steps.append(f"It is {'always' if ok else 'never'} {dice.randint(2, 9)}.")
            values.append(ok)
        made.append({"problem": f"What is {dice.randint(2, 9)}?", "steps": steps, "values": values})
    return made


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write(tmp_path / "steps.jsonl", rows(300))


@pytest.fixture
def recipe(tmp_path: Path, data: Path) -> Path:
    options = {
        "kind": "token",
        "model": {"shape": {"hidden_size": 32, "intermediate_size": 64, "layers": 1, "heads": 2, "kv_heads": 1}},
        "tokenizer": {"vocab_size": 512, "conversations": 100},
        "data": {"source": "files", "places": [str(data)]},
        "batch_size": 16,
        "optimizer": {"learning_rate": 0.005},
        "schedule": {"kind": "constant"},
        "max_steps": 40,
        "log_every": 4,
        "survey_rows": 20,
        "precision": "fp32",
    }
    path = tmp_path / "steps.yaml"
    stages = [{"name": "train", "verb": "train", "options": options}]
    path.write_text(yaml.safe_dump({"name": "steps", "stages": stages}), encoding="utf-8")
    return path


def losses(out: Path) -> list[float]:
    lines = (out / "log" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["loss"] for line in lines]


@pytest.mark.parametrize("kind", ["token", "head", "orm"])
def test_it_learns_and_its_folder_is_scored(kind: str, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    # One label a solution, not one a step: an outcome takes more of them.
    steps = 160 if kind == "orm" else 80
    trained = train(recipe, out, overrides=[f"kind={kind}", f"max_steps={steps}"])
    assert trained is not None and trained.steps == steps
    found = losses(out)
    assert found[-1] < 0.5 * found[0]
    scorer = open_scorer(str(trained.folder))
    assert type(scorer) is KINDS[kind]
    tested = rows(40, seed=1)
    with Synchronous(scorer) as opened:
        scored = opened.score([Solution(row["problem"], row["steps"]) for row in tested])
    pairs = [
        pair for row, one in zip(tested, scored, strict=True) for pair in zip(row["values"], one.rewards, strict=True)
    ]
    hits = [(reward >= 0.5) == (value >= 0.5) for value, reward in pairs if reward is not None]
    assert len(hits) == len(pairs) and sum(hits) / len(hits) > 0.9
    assert "step" in (trained.folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["token", "head"])
def test_held_out_solutions_are_scored_and_the_weights_with_the_best_f1_are_kept(
    kind: str, recipe: Path, tmp_path: Path
) -> None:
    heldout, out = write(tmp_path / "heldout.jsonl", labelled(40)), tmp_path / "out"
    trained = train(recipe, out, overrides=[f"kind={kind}", f"evaluation={{data: '{heldout}', every: 16}}"])
    assert trained is not None
    found = [json.loads(line) for line in (out / "log/evaluations.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [one["step"] for one in found] == [16, 32, 40]
    best = json.loads((out / "metrics.json").read_text(encoding="utf-8"))["best"]
    assert best == max(found, key=lambda one: one["f1"]) and best["f1"] > 60
    assert f"Kept are the weights of step {best['step']}" in (trained.folder / "README.md").read_text(encoding="utf-8")
    # What is kept is what was measured: scored once more, the folder has that F1 at that threshold.
    solutions = read_solutions(str(heldout)).solutions
    with Synchronous(open_scorer(str(trained.folder))) as opened:
        again = [predicted_label(one.rewards, best["threshold"]) for one in opened.score(solutions)]
    assert f1_score(again, [int(one.label or 0) for one in solutions]).f1.value == pytest.approx(best["f1"])


def test_a_dry_run_says_that_the_held_out_solutions_are_not_there(recipe: Path, tmp_path: Path) -> None:
    said: list[str] = []
    train(recipe, tmp_path / "out", overrides=["evaluation={data: nowhere.jsonl}"], dry_run=True, report=said.append)
    assert said[0].startswith("not there yet: there is no file or folder nowhere.jsonl")


def labelled(count: int) -> list[dict[str, Any]]:
    """Rows of ``rows`` with the first wrong step in place of the values."""
    return [
        {"id": f"s{n}", "problem": row["problem"], "steps": row["steps"], "label": ([*row["values"], 0.0].index(0.0))}
        | ({"label": -1} if all(row["values"]) else {})
        for n, row in enumerate(rows(count, seed=2))
    ]


def test_an_outcome_model_names_no_step_to_be_evaluated_by(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="an outcome model names no step"):
        train(recipe, tmp_path / "out", overrides=["kind=orm", "evaluation={data: heldout.jsonl}"])


def test_the_folders_are_ordinary_and_the_head_has_the_published_names(recipe: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModelForCausalLM

    token = train(recipe, tmp_path / "token", overrides=["max_steps=1"])
    assert token is not None
    assert type(AutoModelForCausalLM.from_pretrained(token.folder)).__name__ == "LlamaForCausalLM"
    head = train(recipe, tmp_path / "head", overrides=["max_steps=1", "kind=head"])
    assert head is not None
    names = set(load_file(head.folder / "model.safetensors"))
    assert {"score.0.weight", "score.0.bias", "score.2.weight", "score.2.bias", "model.norm.weight"} <= names
    assert "lm_head.weight" not in names
    assert AutoConfig.from_pretrained(head.folder).architectures == ["LlamaForProcessRewardModel"]


def _stopped(recipe: Path, out: Path) -> None:
    """A training that was stopped behind its first checkpoint."""

    def stop(line: str) -> None:
        if line.startswith("step "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(recipe, out, overrides=["checkpoint_minutes=0.000001", "log_every=2"], report=stop)


@pytest.mark.parametrize("kind", ["token", "head"])
def test_a_killed_training_continues_as_if_nothing_had_been(kind: str, recipe: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    shared = [f"kind={kind}", "max_steps=9", "log_every=1", "accumulate=2"]
    train(recipe, whole, overrides=shared)
    dice = random.Random(kind)

    def kill_later(line: str) -> None:
        if line.startswith("step ") and dice.random() < 0.3:
            raise KeyboardInterrupt

    for _ in range(20):
        try:
            if train(recipe, cut, overrides=[*shared, "checkpoint_minutes=0.000001"], report=kill_later) is not None:
                break
        except KeyboardInterrupt:
            continue
    entries = map(json.loads, (cut / "log/train.jsonl").read_text(encoding="utf-8").splitlines())
    logged = {entry["step"]: entry["loss"] for entry in entries}
    assert [logged[step] for step in range(1, 10)] == pytest.approx(losses(whole), abs=1e-4)


def test_a_loss_that_is_no_number_ends_the_training_in_a_sentence(recipe: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the loss is (nan|inf) at step \d+; lower optimizer.learning_rate"):
        train(recipe, tmp_path / "out", overrides=["optimizer.learning_rate=1e30", "optimizer.clip=1e30"])
    assert not (tmp_path / "out/metrics.json").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ({"problem": "p", "steps": ["a"], "values": [1], "final_answer_correct": "no"}, "is 'no'; it is true, false"),
        ({"steps": ["a"], "values": [1]}, "line 2, field 'problem': is missing"),
        ({"problem": "p", "steps": [], "values": []}, "field 'steps': must be a list of texts"),
        ({"problem": "p", "steps": ["a", "b"], "values": [1]}, "has 1 values for 2 steps"),
        ({"problem": "p", "steps": ["a"], "values": [1.5]}, "holds 1.5; a step's value is between 0 and 1"),
        ({"problem": "p", "steps": ["a"], "label": 1}, "field 'label': is 1; give values"),
        ({"text": "p a ки\nb ки\n", "value": [1.0]}, "field 'value': has 1 values for 2 steps"),
        ({"problem": "p", "text": "a<extra_0>b", "labels": [1]}, "does not end with <extra_0>"),
    ],
)
def test_a_row_of_another_schema_is_named(line: dict[str, Any], words: str, recipe: Path, data: Path) -> None:
    write(data, [rows(1)[0], line])
    with pytest.raises(RecordError, match=words):
        train(recipe, data.parent / "out")
    assert not (data.parent / "out").exists()


def test_no_rows_and_only_long_rows_are_refused(recipe: Path, data: Path) -> None:
    out = data.parent / "out"
    with pytest.raises(InputError, match="every one of 300 rows is longer than max_length 5"):
        train(recipe, out, overrides=["max_length=5"])
    write(data, [])
    with pytest.raises(InputError, match="holds no rows"):
        train(recipe, out)
    with pytest.raises(RecordError, match="no such file"):
        train(recipe, out, data={"steps": str(data.parent / "none.jsonl")})
    with pytest.raises(InputError, match=r"has no train\.jsonl"):
        train(recipe, out, data={"steps": str(data.parent)})
    assert not out.exists()


def test_options_that_do_not_go_together_are_refused(recipe: Path, tmp_path: Path) -> None:
    for override, words in (
        ("format=qwen", "kind token has no format 'qwen'"),
        ("max_steps=null", "max_steps, max_minutes or epochs"),
        ("kind=trajectory", "'trajectory' is unknown"),
        ("model.lora={rank: 2}", "adapters .* are of kind generative"),
        ("seed=-1", "seed: Input should be greater"),
        ("optimizer.weight_deca=1", "there is no such option here; did you mean 'weight_decay'"),
    ):
        with pytest.raises(RecipeError, match=words):
            train(recipe, tmp_path / "out", overrides=[override])
    with pytest.raises(InputError, match="does not read; name steps=PATH"):
        train(recipe, tmp_path / "out", data={"gsm8k": "x"})


def test_an_outcome_model_is_told_the_row_that_says_no_outcome(recipe: Path, data: Path) -> None:
    write(data, [*rows(30), {"problem": "p", "steps": ["a", "b"], "values": [1, None]}])
    with pytest.raises(InputError, match="row 31 does not say how its solution ends"):
        train(recipe, data.parent / "out", overrides=["kind=orm"])
    assert not (data.parent / "out").exists()


def test_epochs_are_passes_over_the_file(recipe: Path, tmp_path: Path) -> None:
    trained = train(recipe, tmp_path / "out", overrides=["max_steps=null", "epochs=0.5", "batch_size=50"])
    assert trained is not None and trained.steps == 3


def test_every_row_of_a_small_file_is_trained_on(recipe: Path, data: Path, tmp_path: Path) -> None:
    write(data, rows(20))
    options = training(recipes.load(recipe, ["max_steps=null", "epochs=1", "batch_size=8"]), recipe)
    assert isinstance(options, StepTraining)
    prepared = prepare(options, {}, tmp_path / "out", print)
    seen = [row.input_ids for batch in islice(prepared.batches.iterate(), prepared.max_steps) for row in batch]
    assert prepared.max_steps == 3 and len(seen) == 20
    assert prepared.survey is not None and prepared.survey.rows == 20


def test_a_training_goes_on_with_the_rows_that_it_began_with_alone(recipe: Path, data: Path, tmp_path: Path) -> None:
    out, said = tmp_path / "out", list[str]()
    _stopped(recipe, out)
    write(data, rows(300, seed=1))
    with pytest.raises(InputError, match=r"the rows that .* was begun on have changed"):
        train(recipe, out, report=said.append)
    write(data, rows(300))
    assert train(recipe, out) is not None


@pytest.mark.parametrize("name", ["optimizer.pt", "model.safetensors", "training_clock.json"])
def test_a_damaged_checkpoint_is_named(name: str, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    _stopped(recipe, out)
    (checkpoint,) = (out / "checkpoints").iterdir()
    if name == "optimizer.pt":
        (checkpoint / name).unlink()
    else:
        (checkpoint / name).write_bytes((checkpoint / name).read_bytes()[:5])
    with pytest.raises(InputError, match=r"the checkpoint .*checkpoint-\d+ (lacks optimizer|is damaged).* begin anew"):
        train(recipe, out)


def test_weights_that_the_last_step_broke_are_not_saved(recipe: Path, tmp_path: Path) -> None:
    changes = ["max_steps=2", "optimizer.learning_rate=1e30", "optimizer.kind=adamw",
               "schedule={kind: constant, warmup_share: 0}"]  # fmt: skip
    with pytest.raises(Diverged, match=r"no numbers after the last step; lower optimizer.learning_rate"):
        train(recipe, tmp_path / "out", overrides=changes)
    assert not (tmp_path / "out/model").exists()


def test_a_folder_of_other_things_is_refused_and_keeps_them(recipe: Path, tmp_path: Path) -> None:
    other = tmp_path / "out/checkpoints/mine.pt"
    other.parent.mkdir(parents=True)
    other.write_text("mine")
    with pytest.raises(InputError, match="is not empty and holds no run"):
        train(recipe, tmp_path / "out")
    assert other.read_text() == "mine"


def test_the_truth_of_the_lab_is_trained_on_and_planned(recipe: Path, tmp_path: Path) -> None:
    said: list[str] = []
    overrides = ["data={source: lab, seed: 1}", "max_steps=2", "kind=orm"]
    assert train(recipe, tmp_path / "out", overrides=overrides, dry_run=True, report=said.append) is None
    assert "to read the outcome in the format math-shepherd, soft targets, on lab data" in said[-1]
    trained = train(recipe, tmp_path / "out", overrides=overrides, report=said.append)
    assert trained is not None and trained.steps == 2
    card = (trained.folder / "README.md").read_text(encoding="utf-8")
    assert "at the end of the solution" in card and "micro-world (seed 1, truth)" in card
    with pytest.raises(InputError, match="another data"):
        train(recipe, tmp_path / "out", overrides=[*overrides, "data.seed=2"])


def test_a_base_model_gets_a_head_and_the_token_that_it_is_read_at(recipe: Path, tmp_path: Path) -> None:
    base = save_model(tmp_path / "base", architecture="qwen2")
    overrides = [f"model={{base: {base}}}", "kind=head", "targets=soft", "max_steps=2"]
    trained = train(recipe, tmp_path / "out", overrides=overrides)
    assert trained is not None
    with Synchronous(open_scorer(str(trained.folder))) as scorer:
        (scored,) = scorer.score([Solution("What is 2?", ("It is 2.", "So 2."))])
    assert all(reward is not None and 0 < reward < 1 for reward in scored.rewards)
    config = json.loads((trained.folder / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["Qwen2ForProcessRewardModel"]
