"""Recipes are checked before anything runs; overrides reach every key, and nothing unknown passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from genprm import recipes, resources
from genprm.errors import RecipeError
from genprm.recipes import load
from genprm.train.kinds import training


@pytest.mark.parametrize("name", [name for name in resources.names("recipes") if name.endswith(".yaml")])
def test_every_recipe_that_ships_is_valid(name: str) -> None:
    recipe = load(name)
    for stage in recipe.stages:
        data = stage.data or recipe.data
        assert stage.source is not None or (data is not None and data.rows > 0)
        if stage.verb == "train":
            training(recipe, name)


def test_overrides_reach_the_only_stage_by_key_or_by_its_name() -> None:
    changed = load("tiny.yaml", ["optimizer.learning_rate=0.5", "train.seed=7", "max_steps=null", "max_minutes=3"])
    options = training(changed)
    assert (options.optimizer.learning_rate, options.seed, options.max_steps) == (0.5, 7, None)
    assert options.max_minutes == 3


def test_overrides_reach_the_plan_and_the_data_of_the_stage() -> None:
    changed = load("tiny.yaml", ["data.rows=10", "data.gsm8k=null"])
    assert changed.data is not None and changed.data.rows == 10
    assert training(changed).data.gsm8k is None


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seed", "not key=value"),
        ("optimizer.lr=1", "optimizer.lr"),
        ("max_steps=-1", "max_steps"),
        ("max_length=9999", "exceeds the model's"),
        ("model.base=some/model", "either base"),
        ("model.shape.heads=5", "multiple of heads"),
        ("seed.deep=1", "is a value"),
        ("kind=dpo", "'dpo' is unknown"),
        ("seed=[", "not valid YAML"),
    ],
)
def test_what_does_not_fit_is_named(override: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        training(load("tiny.yaml", [override]), "tiny.yaml")


def test_a_training_says_when_it_ends() -> None:
    with pytest.raises(RecipeError, match="give max_steps, epochs or max_minutes"):
        training(load("tiny.yaml", ["max_steps=null", "max_minutes=null"]))


def test_bad_files_are_named(tmp_path: Path) -> None:
    for text, words in (("- a", "no mapping"), ("a: [", "not valid YAML"), ("name: x\nstages: []", "stages")):
        path = tmp_path / "bad.yaml"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(RecipeError, match=words):
            load(path)
    with pytest.raises(RecipeError, match=r"no recipe file .*tiny\.yaml"):
        load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9")
    with pytest.raises(RecipeError, match="not UTF-8"):
        load(tmp_path / "latin.yaml")


def test_with_two_stages_an_override_names_one(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    path.write_text("name: x\nstages: [{name: a, verb: train}, {name: b, verb: curate}]", encoding="utf-8")
    assert load(path, ["b.rule=hard"]).stages[1].options == {"rule": "hard"}
    with pytest.raises(RecipeError, match="a, b"):
        load(path, ["rule=hard"])
    with pytest.raises(RecipeError, match="has 0 stages of verb 'search'"):
        recipes.load(path).stage("search")
