"""``genprm run``: a recipe's stages are command lines, done in order."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from genprm import cli, engines, planning, recipes, resources
from genprm.cli.run_recipe import command
from tests.curate import readers
from tests.rollout import policies

RECIPE = {
    "name": "small",
    "data": {"name": "sums", "rows": 4, "mean_tokens": 40, "steps": 3},
    "stages": [
        {
            "name": "rollouts",
            "verb": "rollout",
            "options": {"in": "?", "model": "solver", "samples": 8, "keep": 2, "k": 4, "max_tokens": 400},
        },
        {"name": "data", "verb": "curate", "from": "rollouts", "options": {"annotator": {"model": "annotator"}}},
    ],
}  # fmt: skip


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    problems = [{"id": one.id, "problem": one.problem, "answer": one.answer} for one in policies.problems(4).problems]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(one) + "\n" for one in problems))
    opened = {"solver": policies.engine, "annotator": readers.annotator}
    monkeypatch.setattr(engines, "open_engine", lambda kind, model, **_: opened[model]())
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


def run(recipe: Path, *more: str) -> int:
    source = f"rollouts.in={recipe.parent / 'in.jsonl'}"
    return cli.run(["run", str(recipe), "--out", str(recipe.parent / "out"), source, *more])


def test_all_stages_are_done_and_the_same_command_continues(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(recipe) == 0
    out = recipe.parent / "out"
    assert (out / "rollouts/selected.jsonl").exists()
    rows = (out / "data/export/conversations/train.jsonl").read_bytes()
    asked = (out / "data/annotations.jsonl").read_bytes()
    capsys.readouterr()
    assert run(recipe) == 0
    assert "were finished before" in capsys.readouterr().out
    assert (out / "data/export/conversations/train.jsonl").read_bytes() == rows
    assert (out / "data/annotations.jsonl").read_bytes() == asked


def exported(recipe: Path) -> int:
    return len((recipe.parent / "out/data/export/conversations/train.jsonl").read_text().splitlines())


def with_until(recipe: Path, **until: object) -> None:
    whole = yaml.safe_load(recipe.read_text())
    whole["stages"][1]["until"] = {"grow": {"rollouts": {"keep": 2}}, **until}
    recipe.write_text(yaml.safe_dump(whole))


def test_rounds_follow_until_enough_is_exported_and_use_what_is_there(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(recipe) == 0
    once = exported(recipe)
    first = set((recipe.parent / "out/data/annotations.jsonl").read_text().splitlines())
    with_until(recipe, kept=once + 1)
    capsys.readouterr()
    assert run(recipe) == 0
    assert f"data has {once} of the {once + 1} wanted: round 2 follows" in capsys.readouterr().err
    assert exported(recipe) > once
    assert first < set((recipe.parent / "out/data/annotations.jsonl").read_text().splitlines())
    rows = recipe.parent / "out/data/export/conversations/train.jsonl"
    in_rounds = rows.read_bytes()
    shutil.rmtree(recipe.parent / "out")
    assert run(recipe, "rollouts.keep=4", "data.until.kept=1") == 0
    assert rows.read_bytes() == in_rounds


def test_rounds_end_where_nothing_is_added_and_go_on_where_they_were(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_until(recipe, kept=10_000, rounds=20)
    assert run(recipe) == 0
    said = capsys.readouterr().err
    assert "the last round added no solution, so no other follows" in said
    rounds = said.count("follows\n")
    assert 3 <= rounds < 19
    assert run(recipe, "data.until.rounds=2") == 0
    said = capsys.readouterr()
    assert "that was the last of" in said.err and "were finished before" in said.out
    assert run(recipe, "rollouts.keep=2") == 0, "fewer are no harm"


def test_a_run_that_begins_behind_what_would_grow_says_so(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_until(recipe, kept=10_000, rounds=1)
    assert run(recipe) == 0
    with_until(recipe, kept=10_000)
    assert run(recipe, "--from", "data") == 0
    assert "no round follows, for it begins with 'rollouts'; leave out --from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("until", "said"),
    [
        ({"grow": {"data": {"keep": 1}}}, "no stage before it"),
        ({"grow": {"rollouts": {"model": 1}}}, "no whole number"),
        ({"grow": {}}, "at least 1"),
    ],
)
def test_only_whole_numbers_of_earlier_stages_can_grow(
    recipe: Path, until: dict[str, object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with_until(recipe, kept=5, **until)
    assert run(recipe) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (recipe.parent / "out").exists()


def test_what_a_later_stage_would_refuse_is_refused_before_the_first(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(recipe, "data.nonsense=1") == 2
    assert "nonsense" in capsys.readouterr().err and not (recipe.parent / "out").exists()


def test_a_run_can_begin_with_a_later_stage(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(recipe, "--from", "data") == 2
    assert "is no rollout run" in " ".join(capsys.readouterr().err.split())
    assert run(recipe, "--from", "nothing") == 2
    assert "recipe 'small' has no stage 'nothing'; it has rollouts, data" in capsys.readouterr().err


def test_a_stage_that_fails_ends_the_run_with_its_exit_code(recipe: Path) -> None:
    assert run(recipe, "rollouts.k=0") == 2
    assert not (recipe.parent / "out/data").exists()


def test_a_plan_needs_nothing_but_the_recipe(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(recipe, "--dry-run") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "genprm rollout" in shown and "nothing was loaded or written" in shown
    assert not (recipe.parent / "out").exists()
    first, second = planning.plan(recipes.load(recipe))
    # 4 problems: 8 samples and 4 completions of the problem alone; 2 solutions with 2 prefixes of 4 completions.
    assert first.tokens == 4 * 8 * 40 + 4 * (4 + 2 * 2 * 4) * 20
    assert second.tokens == 4 * 2 * 3 * planning.RATIONALE_TOKENS


@pytest.mark.parametrize("name", [n for n in resources.names("recipes") if n.endswith(".yaml") and n != "tiny.yaml"])
def test_every_recipe_of_data_has_a_plan_and_command_lines_that_parse(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["run", name, "--out", str(tmp_path / "out"), "--dry-run"]) == 0
    assert "GPU hours in all" in capsys.readouterr().out
    from genprm.curate.options import Curation

    for stage in recipes.load(name).stages:
        if stage.verb == "curate":
            recipes.check(Curation, stage.options, name)


def test_a_training_takes_the_export_that_its_kind_reads(tmp_path: Path) -> None:
    stages = [
        {"name": "data", "verb": "curate", "options": {"in": "run"}},
        {"name": "head", "verb": "train", "from": "data", "options": {"kind": "head"}},
        {"name": "token", "verb": "train", "from": "data", "options": {"kind": "token"}},
    ]
    recipe = recipes.Recipe.model_validate({"name": "both", "stages": stages})
    for stage, export in zip(recipe.stages[1:], ("extra-tokens", "step-tags"), strict=True):
        line = command(stage, recipe, "both.yaml", ["seed=1"], tmp_path)
        steps = f"steps={tmp_path}/data/export/{export}"
        assert line == ["train", "both.yaml", "--out", str(tmp_path / stage.name), "--data", steps, "seed=1"]
