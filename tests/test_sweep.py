"""What a sweep varies, which stage is done for which values, and which point is taken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genprm import recipes
from genprm.errors import IdentityError, InputError, RecipeError
from genprm.recipes import Recipe
from genprm.sweep import Layout, Point, SweepFolder, axes, choose, figure_of, named, swept
from genprm.sweep.choice import Run, described, summary
from genprm.sweep.grid import assignments

STAGES: list[dict[str, Any]] = [
    {"name": "problems", "verb": "lab", "options": {"problems": 3}},
    {"name": "rollouts", "verb": "rollout", "options": {"in": "{problems}/problems.jsonl", "model": "m"}},
    {"name": "labels", "verb": "curate", "from": "rollouts", "options": {"target_parameters": {"eta": 2}}},
    {"name": "train", "verb": "train", "from": "labels", "options": {"kind": "token", "optimizer": {}}},
    {"name": "scores", "verb": "verify", "options": {"in": "validation.jsonl", "model": "{train}/model"}},
    {"name": "validation", "verb": "evaluate", "from": "scores", "options": {"bench": "best-of-n"}},
    {"name": "test-problems", "verb": "lab", "options": {"problems": 3}},
    {"name": "test-scores", "verb": "verify", "options": {"in": ["{test-problems}"], "model": "{train}/model"}},
    {"name": "test", "verb": "evaluate", "from": "test-scores", "options": {"bench": "best-of-n"}},
]
SWEEP = {
    "names": {"eta": "labels.target_parameters.eta", "lr": ["train.optimizer.learning_rate"]},
    "values": {"eta": [1, 2], "lr": [1e-6], "seed": [0, 42]},
    "validation": "validation",
    "test": "test",
}


def recipe(**sweep: Any) -> Recipe:
    return Recipe.model_validate({"name": "small", "stages": STAGES, "sweep": SWEEP | sweep})


def layout(*grid: str, seeds: str | None = None, **sweep: Any) -> Layout:
    made = swept(recipe(**sweep))
    return Layout.of(made, axes(made, grid, seeds))


def test_a_grid_has_the_order_of_the_recipe_and_numbers_one_writing() -> None:
    found = axes(recipe(), ["lr=5e-6,0.000002", "eta=0.10,2.0,8"], "1,0")
    assert [(axis.name, axis.values) for axis in found] == [
        ("eta", (0.1, 2, 8)), ("lr", (5e-6, 2e-6)), ("seed", (1, 0)),
    ]  # fmt: skip
    assert [named(one) for one in assignments(found)][:2] == ["eta=0.1,lr=5e-6,seed=1", "eta=0.1,lr=5e-6,seed=0"]
    assert len(assignments(found)) == 12


def test_all_is_what_the_recipe_says_and_later_entries_replace_it() -> None:
    assert {axis.name: axis.values for axis in axes(recipe(), ["all", "lr=3"], None)} == {
        "eta": (1, 2), "lr": (3,), "seed": (0, 42),
    }  # fmt: skip
    assert [axis.name for axis in axes(recipe(values={}), ["eta=1,2"])] == ["eta"]


def test_an_axis_may_be_a_key_and_texts_have_names_that_files_can_have() -> None:
    (model, _) = axes(recipe(), ["train.model.base=meta/Llama-3.2-1B,a=b"])
    assert model.keys == ("train.model.base",)
    names = [named({model.name: value}) for value in model.values]
    assert names == ["train.model.base=meta%2FLlama-3.2-1B", "train.model.base=a%3Db"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("eta", "give NAME=VALUE,VALUE"),
        ("eta=", "give NAME=VALUE,VALUE"),
        ("eta=1,,2", "separate them by single commas"),
        ("eta=1,null", "empty value"),
        ("eta=1,1.0", "has eta=1 twice"),
        ("gamma=1", "varies 'gamma', which is no option of a stage"),
        ("data.rows=1", "its short names: eta, lr"),
        ("seed=0.5", "seed 0.5 is no whole number"),
        ("eta=[1", "no list of values"),
    ],
)
def test_what_is_no_grid_is_named(entry: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        axes(recipe(), ["lr=1", entry])


def test_no_axis_is_lost_or_overridden_by_another() -> None:
    with pytest.raises(RecipeError, match="names 'eta' twice"):
        axes(recipe(), ["eta=1", "eta=8"])
    with pytest.raises(RecipeError, match=r"'lr' and 'train.optimizer.learning_rate' both set"):
        axes(recipe(), ["lr=0.1,0.2", "train.optimizer.learning_rate=0.3"])


def test_a_stage_is_done_once_for_each_combination_of_the_values_it_depends_on() -> None:
    found = layout("eta=1,2", "lr=1,2,3", seeds="0,1")
    points = assignments(found.axes)
    waves = list(found.waves(points, late=False))
    assert [[part.folder for part in wave] for wave in waves[:2]] == [["common"], ["eta=1", "eta=2"]]
    assert [[stage.name for stage in wave[0].recipe.stages] for wave in waves] == [
        ["problems", "rollouts"], ["labels"], ["train", "scores", "validation"],
    ]  # fmt: skip
    assert len(waves[2]) == 12 and waves[2][0].folder == "eta=1,lr=1,seed=0"
    assert [found.times(name) for name in ("rollouts", "labels", "train")] == [1, 2, 12]


def test_a_part_has_its_values_and_sees_the_folders_of_what_it_reads() -> None:
    found = layout("eta=1,8", "lr=5e-6", seeds="7")
    *_, (_, last) = found.waves(assignments(found.axes), late=False)
    train = last.recipe.stages[0]
    assert (train.options["optimizer"]["learning_rate"], train.options["seed"]) == (5e-6, 7)
    assert last.folders["rollouts"] == "common" and last.folders["labels"] == "eta=8"
    assert last.needs[0] == ("labels", "problems", "rollouts") and last.recipe.sweep is None


def test_what_the_test_alone_needs_waits_for_the_choice_and_is_done_for_it_alone() -> None:
    found = layout("eta=1,2", "lr=1,2", seeds="0,1,2")
    assert found.late == {"test-problems", "test-scores", "test"}
    early = [stage.name for wave in found.waves(assignments(found.axes), late=False) for part in wave
             for stage in part.recipe.stages]  # fmt: skip
    assert not set(early) & found.late
    assert [found.times(name) for name in ("test-problems", "test-scores", "test")] == [1, 3, 3]


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ({"validation": "train"}, "no stage of verb evaluate"),
        ({"validation": "nothing"}, "no stage of verb evaluate"),
        ({"test": "validation"}, "would decide"),
        ({"names": {"eta": "test-scores.limit"}}, "'eta', which changes nothing that validation"),
        ({"stages": [STAGES[1], STAGES[0], *STAGES[2:]]}, "reads 'problems', which is no stage before"),
        ({"stages": [STAGES[0], *STAGES]}, "two stages 'problems'"),
        ({"stages": [{**STAGES[2], "until": {"kept": 1, "grow": {"rollouts": {"k": 1}}}}]}, "has 'until'"),
    ],
)
def test_a_recipe_that_cannot_be_swept_says_why(sweep: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        layout("eta=1,2", **sweep)


def test_stages_of_a_sweep_begin_with_the_options_of_the_recipe() -> None:
    made = swept(recipe(stages=[{"name": "train", "verb": "train", "options": {"seed": 3}}]), ["train.kind=orm"])
    assert made.stages[0].options == {"kind": "orm", "optimizer": {}, "seed": 3}
    assert made.stages[0].source == "labels" and len(made.stages) == 1
    with pytest.raises(RecipeError, match="has no section 'sweep'"):
        swept(recipes.load("token-tiny.yaml"))


def points(**figures: list[float | None]) -> list[Point]:
    return [
        Point({"eta": name}, tuple(Run(n, "", None if one is None else {"v": one}) for n, one in enumerate(found)))
        for name, found in figures.items()
    ]


def test_the_highest_validation_mean_is_chosen_and_of_equal_ones_the_first() -> None:
    assert choose(points(a=[50, 60], b=[40, 80], c=[60, 60])).chosen.name == "eta=b"
    assert choose(points(a=[1, 2], b=[2, 1])).chosen.name == "eta=a"


def test_a_point_with_a_failed_training_is_not_chosen() -> None:
    assert choose(points(a=[90, None], b=[40, 41])).chosen.name == "eta=b"
    with pytest.raises(InputError, match="none of 1 points"):
        choose(points(a=[None]))


def test_deviations_are_of_ddof_1_and_of_one_seed_there_is_none() -> None:
    assert summary([60.0, 62.0]) == {"mean": 61.0, "std": pytest.approx(2**0.5), "seeds": 2}
    assert summary([60.0])["std"] is None
    assert (described([60.0, 62.0]), described([60.0]), described([])) == ("61.00 ± 1.41", "60.00", "–")


def test_the_figure_is_that_of_the_largest_n(tmp_path: Path) -> None:
    curve = [{"value": 50.0}, {"value": 75.0}]
    path = tmp_path / "metrics.json"
    path.write_text(json.dumps({"runs": [{"curves": {"min": curve}}], "curves": {}}))
    assert figure_of(path, "min") == 75.0
    for broken, words in (("weighted", "no figures of best-of-n by 'weighted'"),):
        with pytest.raises(InputError, match=words):
            figure_of(path, broken)
    with pytest.raises(InputError, match="cannot be read"):
        figure_of(tmp_path / "none.json", "min")


def test_a_folder_of_other_things_and_one_in_use_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputError, match="is not empty and holds no sweep"):
        SweepFolder(tmp_path)
    with SweepFolder(tmp_path / "sweep") as folder:
        folder.write({})
        with pytest.raises(InputError, match="in use by process"):
            SweepFolder(folder.path).open()


def test_a_stage_that_was_begun_with_other_options_is_refused(tmp_path: Path) -> None:
    found = layout("eta=1,2")
    (common,), labels = list(found.waves(assignments(found.axes), late=False))[:2]
    with SweepFolder(tmp_path) as folder:
        for part in (common, *labels):
            folder.begin(part)
            folder.mark(part, part.recipe.stages[0], "begun")
        folder.check([common, *labels])
        assert folder.state("eta=1", "labels") == "begun" and not folder.has("eta=1", "labels")
        changed = recipes.changed(found.recipe, ["problems.seed=5"])
        (other,) = next(Layout.of(changed, found.axes).waves(assignments(found.axes), late=False))
        with pytest.raises(IdentityError, match=r"stage 'problems' with other options \(seed\)"):
            folder.check([other])
