"""A real training on a CPU: it learns, can be killed and continued, and leaves a model that others can load."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from genprm import recipes
from genprm.errors import IdentityError, InputError, MissingDependency, RecipeError
from genprm.runs.lock import hold
from genprm.train.kinds import training
from genprm.train.models import parameters
from genprm.train.training import train
from tests.conftest import REPOSITORY

OPTIONS = {
    "kind": "generative",
    "model": {"shape": {"hidden_size": 32, "intermediate_size": 64, "layers": 1, "heads": 2, "kv_heads": 1}},
    "tokenizer": {"vocab_size": 640, "conversations": 40},
    "data": {"seed": 1},
    "tokens_per_batch": 2048,
    "optimizer": {"learning_rate": 0.01},
    "max_steps": 24,
    "log_every": 4,
    "survey_rows": 20,
}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "micro.yaml"
    stages = [{"name": "train", "verb": "train", "options": OPTIONS}]
    path.write_text(yaml.safe_dump({"name": "micro", "stages": stages}), encoding="utf-8")
    return path


def losses(out: Path) -> list[float]:
    lines = (out / "log" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["loss"] for line in lines]


def test_it_learns_and_leaves_an_ordinary_model_folder(recipe: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    said: list[str] = []
    out = tmp_path / "out"
    trained = train(recipe, out, report=said.append)
    assert trained is not None and trained.steps == 24
    found = losses(out)
    assert found[-1] < found[0] - 1
    assert any("surveyed" in line for line in said)
    assert any(line.startswith(("this CPU", "training on")) for line in said)

    model = AutoModelForCausalLM.from_pretrained(out / "model")
    tokenizer = AutoTokenizer.from_pretrained(out / "model")
    assert str(model.dtype) == "torch.bfloat16" and model.config.use_cache
    assert model.num_parameters() == trained.parameters == parameters(training(recipes.load(recipe)))[0]
    assert tokenizer.chat_template and model.generation_config.eos_token_id == [tokenizer.eos_token_id]
    card = (out / "model" / "README.md").read_text(encoding="utf-8")
    assert "Trained on truth" in card and "24 steps" in card
    assert not (out / "checkpoints").exists()

    again = train(recipe, out, report=said.append)
    assert again == trained and "finished" in said[-1]
    with pytest.raises(IdentityError, match=r"max_steps \(there 24, here 30\)"):
        train(recipe, out, overrides=["max_steps=30"])


def test_a_policy_is_trained_by_the_same_verb_and_its_data_is_part_of_its_identity(
    recipe: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    out = tmp_path / "policy"
    overrides = ["data={source: policy, seed: 1}", "max_steps=16"]
    assert "on policy data" in plan(recipe, tmp_path, overrides)
    trained = train(recipe, out, overrides=overrides, report=said.append)
    assert trained is not None and losses(out)[-1] < losses(out)[0] - 0.5
    assert any("solutions of micro-world problems" in line for line in said)
    assert "A policy model" in (trained.folder / "README.md").read_text(encoding="utf-8")
    with pytest.raises(IdentityError, match="data"):
        train(recipe, out, overrides=[*overrides, "data.refine_share=0.5"])


def plan(recipe: Path, folder: Path, overrides: list[str]) -> str:
    said: list[str] = []
    assert train(recipe, folder / "none", overrides=overrides, dry_run=True, report=said.append) is None
    return said[0]


def test_a_folder_that_another_process_trains_in_is_refused(recipe: Path, tmp_path: Path) -> None:
    with hold(tmp_path / "run"), pytest.raises(InputError, match=f"in use by process {os.getpid()}"):
        train(recipe, tmp_path / "run")
    assert [entry.name for entry in (tmp_path / "run").iterdir()] == [".lock"]


def test_nothing_is_reported_to_anybody(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", lambda *told, **more: pytest.fail(str(told)))
    monkeypatch.delenv("CI", raising=False)
    train(recipe, tmp_path / "out", overrides=["max_steps=1"])


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_killed_training_continues_as_if_nothing_had_been(recipe: Path, tmp_path: Path, kind: str) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    shared = [f"optimizer.kind={kind}", "max_steps=8", "log_every=1"]
    train(recipe, whole, overrides=shared)

    def kill_later(line: str) -> None:
        if line.startswith("step 5 "):
            raise KeyboardInterrupt

    overrides = [*shared, "checkpoint_minutes=0.000001"]
    with pytest.raises(KeyboardInterrupt):
        train(recipe, cut, overrides=overrides, report=kill_later)
    assert not (cut / "metrics.json").exists() and list((cut / "checkpoints").glob("checkpoint-*"))
    said: list[str] = []
    train(recipe, cut, overrides=overrides, report=said.append)
    assert any(line.startswith("continuing from step 4") for line in said)
    assert losses(cut)[-4:] == pytest.approx(losses(whole)[-4:], abs=1e-4)


def test_a_training_that_is_asked_to_stop_saves_the_step_it_is_at(recipe: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    overrides = ["max_steps=8", "log_every=1"]
    train(recipe, whole, overrides=overrides)

    def stop_later(line: str) -> None:
        if line.startswith("step 5 "):
            signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, cut, overrides=overrides, report=stop_later)
    assert signal.getsignal(signal.SIGTERM) == before
    said: list[str] = []
    train(recipe, cut, overrides=overrides, report=said.append)
    assert any(line.startswith(("continuing from step 5", "continuing from step 6")) for line in said)
    assert losses(cut) == pytest.approx(losses(whole), abs=1e-4)


@pytest.mark.slow
def test_two_processes_train_as_one_does_that_accumulates(recipe: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    train(recipe, one, overrides=["accumulate=2", "max_steps=8"])
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "genprm", "train"]
    subprocess.run([*command, str(recipe), "--out", str(two), "max_steps=8"], cwd=REPOSITORY, check=True)
    assert losses(two) == pytest.approx(losses(one), abs=1e-3)
    assert (two / "model/model.safetensors").exists() and (two / "metrics.json").exists()


def test_what_is_not_installed_is_said_before_and_refused_in_a_training(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    said: list[str] = []
    sentence = "trl is not installed; install it with: pip install 'genprm[train]'"
    train(recipe, tmp_path / "out", dry_run=True, report=said.append)
    assert f"not there yet: {sentence}" in said
    with pytest.raises(MissingDependency, match=re.escape(sentence)):
        train(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_dry_run_plans_and_writes_nothing(recipe: Path, tmp_path: Path) -> None:
    said: list[str] = []
    assert train(recipe, tmp_path / "out", dry_run=True, report=said.append) is None
    assert "24 steps" in said[0] and not (tmp_path / "out").exists()


def test_bad_requests_write_nothing(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(InputError, match="--data names 'math'"):
        train(recipe, out, data={"math": "x"})
    with pytest.raises(InputError, match=r"missing\.jsonl"):
        train(recipe, out, data={"gsm8k": str(tmp_path / "missing.jsonl")})
    with pytest.raises(RecipeError, match="no recipe file"):
        train(tmp_path / "none.yaml", out)
    assert not out.exists()
