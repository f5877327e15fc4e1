"""``genprm run --grid``: stages are done once each, the choice is made by validation, and the test is touched once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from genprm import cli, engines, recipes
from genprm.cli.console import DIVERGED
from genprm.cli.run_recipe import entry_by_entry
from tests.rollout import policies

REAL = cli.run
TRAINING: dict[str, Any] = {
    "kind": "token",
    "data": {"source": "files", "places": ["labels"]},
    "model": {"shape": {"hidden_size": 32, "intermediate_size": 64, "layers": 1, "heads": 2, "kv_heads": 1}},
    "tokenizer": {"vocab_size": 512, "conversations": 50},
    "max_steps": 3,
    "survey_rows": 8,
    "precision": "fp32",
}
SCORES = {"in": "{rollouts}/sampled.jsonl", "model": "{train}/model"}
SAMPLES = {"in": "?", "model": "solver", "samples": 8, "keep": 2, "k": 4, "max_tokens": 400}
LABELS = {"consensus": "none", "truncate": False, "targets": "entropy", "formats": ["step-tags"]}
BEST = {"bench": "best-of-n", "n": 2}
RECIPE: dict[str, Any] = {
    "name": "small",
    "data": {"name": "sums", "rows": 4, "mean_tokens": 40, "steps": 3},
    "sweep": {
        "names": {"eta": "labels.target_parameters.eta", "lr": "train.optimizer.learning_rate"},
        "values": {"eta": [1, 2], "lr": [0.01], "seed": [0, 1]},
        "validation": "validation",
        "test": "test",
    },
    "stages": [
        {"name": "rollouts", "verb": "rollout", "options": SAMPLES},
        {"name": "labels", "verb": "curate", "from": "rollouts", "options": LABELS},
        {"name": "train", "verb": "train", "from": "labels", "options": TRAINING},
        {"name": "scores", "verb": "verify", "options": SCORES},
        {"name": "validation", "verb": "evaluate", "from": "scores", "options": BEST},
        {"name": "test-scores", "verb": "verify", "options": SCORES},
        {"name": "test", "verb": "evaluate", "from": "test-scores", "options": BEST},
    ],
}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(RECIPE))
    return path


class Stages:
    """Does stages by writing a figure of eta, rate and seed into ``metrics.json``; keeps who was asked for what."""

    def __init__(self, out: Path, figure: Callable[[float, float, int], float]) -> None:
        self.out, self.figure = out, figure
        self.asked: list[str] = []
        """Folders of stages."""
        self.ends: dict[str, int] = {}
        """Exit codes other than 0, by folder."""

    def __call__(self, line: list[str]) -> int:
        place = Path(line[line.index("--out") + 1])
        stage = place.parent if place.name == "metrics.json" else place
        self.asked.append(str(stage.relative_to(self.out)))
        if line[0] == "evaluate":
            values = dict(part.split("=") for part in stage.parent.name.split(","))
            value = self.figure(float(values["eta"]), float(values["lr"]), int(values.get("seed", 0)))
            place.write_text(json.dumps({"runs": [{"curves": {"min": [{"value": value}]}}]}))
        return self.ends.pop(self.asked[-1], 0)

    def times(self, stage: str) -> int:
        return sum(Path(one).name == stage for one in self.asked)


@pytest.fixture
def stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stages:
    made = Stages(tmp_path / "out", lambda eta, lr, seed: 50 + eta - 100 * lr + seed)
    monkeypatch.setattr(cli, "run", made)
    return made


def sweep(recipe: Path, *more: str, eta: str = "1,2", seeds: str = "0,1") -> int:
    grid = ["--grid", f"eta={eta}", "lr=0.01,1e-3", "--seeds", seeds]
    return REAL(["run", str(recipe), "--out", str(recipe.parent / "out"), *grid, *more])


def stored(recipe: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((recipe.parent / "out/sweep.json").read_text())
    return found


def test_an_option_takes_all_entries_that_follow_it() -> None:
    args = [
        "r.yaml",
        "a.b=1",
        "--grid",
        "eta=1,2",
        "lr=3",
        "--seeds",
        "0",
        "c=4",
        "--grid=x=1",
        "y=2",
        "--grid",
        "all",
        "z",
    ]
    assert entry_by_entry(args) == [
        "r.yaml", "a.b=1", "--grid", "eta=1,2", "--grid", "lr=3", "--seeds", "0", "c=4", "--grid=x=1", "--grid", "y=2",
        "--grid", "all", "z",
    ]  # fmt: skip


def test_shared_stages_are_done_once_and_each_point_with_each_seed_in_its_folder(recipe: Path, stages: Stages) -> None:
    assert sweep(recipe) == 0
    assert stages.asked[:3] == ["common/rollouts", "eta=1/labels", "eta=2/labels"]
    assert (stages.times("rollouts"), stages.times("labels"), stages.times("train")) == (1, 2, 8)
    assert "eta=2,lr=0.001,seed=1/train" in stages.asked
    one = recipes.load(recipe.parent / "out/eta=2,lr=0.001,seed=1/recipe.yaml").stages
    assert one[0].options["optimizer"]["learning_rate"] == 0.001 and one[0].options["seed"] == 1


def test_validation_decides_and_only_the_choice_meets_the_test_after_all_else(
    recipe: Path, stages: Stages, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(recipe) == 0
    late = [one for one in stages.asked if Path(one).name.startswith("test")]
    assert late == stages.asked[-4:] and {Path(one).parent.name for one in late} == {
        "eta=2,lr=0.001,seed=0", "eta=2,lr=0.001,seed=1",
    }  # fmt: skip
    shown = capsys.readouterr().out
    (chosen,) = [line for line in shown.splitlines() if "chosen" in line]
    assert chosen.split() == ["eta=2,lr=0.001", "2", "52.40", "±", "0.71", "chosen"]
    found = stored(recipe)
    assert found["chosen"] == "eta=2,lr=0.001" and len(found["points"]) == 4
    assert found["points"][3]["validation"] == {"mean": 52.4, "std": pytest.approx(0.5**0.5), "seeds": 2}
    assert found["tested"]["eta=2,lr=0.001"]["test"]["figures"] == [51.9, 52.9]


def test_what_is_finished_is_not_done_again_and_what_was_killed_goes_on(recipe: Path, stages: Stages) -> None:
    stages.ends = {"eta=1,lr=0.001,seed=0/scores": 130}
    assert sweep(recipe) == 130
    before = list(stages.asked)
    assert sweep(recipe) == 0
    assert stages.asked[len(before)] == "eta=1,lr=0.001,seed=0/scores"
    assert len(stages.asked) == len(set(stages.asked)) + 1
    done = len(stages.asked)
    assert sweep(recipe) == 0 and len(stages.asked) == done


def test_more_values_and_seeds_add_runs_to_those_there(recipe: Path, stages: Stages) -> None:
    assert sweep(recipe, eta="2") == 0
    done = len(stages.asked)
    assert sweep(recipe, eta="1,2") == 0
    assert stages.asked[done] == "eta=1/labels" and stages.times("train") == 8


def test_another_choice_does_not_meet_the_test_unless_told_so(
    recipe: Path, stages: Stages, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(recipe) == 0
    assert sweep(recipe, eta="1,2,8") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "eta=2,lr=0.001 was tested before and is not the choice any more" in said
    assert stored(recipe)["chosen"] == "eta=8,lr=0.001" and list(stored(recipe)["tested"]) == ["eta=2,lr=0.001"]
    assert stages.times("test") == 2
    assert sweep(recipe, "--test-again", eta="1,2,8") == 0
    assert stages.times("test") == 4 and len(stored(recipe)["tested"]) == 2


def test_a_test_that_was_begun_counts_as_looked_at(recipe: Path, stages: Stages) -> None:
    stages.ends = {"eta=2,lr=0.001,seed=1/test": 130}
    assert sweep(recipe) == 130
    assert sweep(recipe, eta="1,2,8") == 0
    assert stages.times("test") == 2 and stored(recipe)["chosen"] == "eta=8,lr=0.001"


def test_a_training_that_diverges_does_not_stop_the_others(
    recipe: Path, stages: Stages, capsys: pytest.CaptureFixture[str]
) -> None:
    stages.ends = {"eta=2,lr=0.001,seed=1/train": DIVERGED}
    assert sweep(recipe) == 0
    assert "eta=2,lr=0.001,seed=1/scores" not in stages.asked
    shown = capsys.readouterr()
    assert "eta=2,lr=0.001,seed=1: the training diverged" in shown.err and "1 failed" in shown.out
    assert stored(recipe)["chosen"] == "eta=2,lr=0.01"


def test_a_training_that_cannot_be_done_now_is_no_verdict_on_its_values(recipe: Path, stages: Stages) -> None:
    stages.ends = {"eta=2,lr=0.001,seed=1/train": 2}
    assert sweep(recipe) == 2 and "chosen" not in stored(recipe) and not stages.times("test")


def test_another_stage_that_fails_ends_the_sweep_with_its_exit_code(recipe: Path, stages: Stages) -> None:
    stages.ends = {"eta=1/labels": 3}
    assert sweep(recipe) == 3 and stages.asked[-1] == "eta=1/labels"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--from", "train"], "--from is of one run"),
        (["--grid", "gamma=1"], "is no option of a stage"),
        (["--grid", "train.kind=raft2"], "kind 'raft2' is unknown"),
        (["--grid", "labels.nonsense=1"], "nonsense"),
        (["--replicas", "2"], "need a cluster"),
        (["nothing.k=1"], "names no stage"),
    ],
)
def test_what_cannot_be_swept_is_refused_in_a_sentence_and_nothing_is_written(
    more: list[str], words: str, recipe: Path, stages: Stages, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(recipe, *more) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (recipe.parent / "out").exists() and not stages.asked


def test_options_of_a_sweep_need_a_grid(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert REAL(["run", str(recipe), "--out", str(recipe.parent / "out"), "--seeds", "0,1"]) == 2
    assert "add --grid" in capsys.readouterr().err


def test_other_options_than_those_of_the_folder_are_refused(
    recipe: Path, stages: Stages, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(recipe) == 0
    done = len(stages.asked)
    assert sweep(recipe, "train.max_steps=4") == 2
    assert "holds stage 'train' with other options (max_steps)" in " ".join(capsys.readouterr().err.split())
    assert len(stages.asked) == done


def test_the_published_grid_is_a_plan_of_140_runs_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = ["--grid", "eta=0.1,1,2,5,8,10,15", "lr=5e-6,2e-6,1e-6,5e-7", "--seeds", "0,1,2,3,42", "--dry-run"]
    assert REAL(["run", "er-prm-llama-8b.yaml", "--out", str(tmp_path / "out"), *grid]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "7 x 4 x 5 = 140 runs" in shown and "train train eta, lr, seed 140" in shown
    assert "gsm8k-data curate eta 7" in shown and "test-math500 evaluate eta, lr, seed (choice) 5" in shown
    assert REAL(["run", "er-prm-llama-8b.yaml", "--out", str(tmp_path / "out"), "--grid", "all", "--dry-run"]) == 0
    assert " ".join(capsys.readouterr().out.split()) == shown
    assert not (tmp_path / "out").exists()


def test_a_training_on_several_curations_is_told_where_they_lie(tmp_path: Path) -> None:
    from genprm.cli.stage_lines import line_of
    from genprm.sweep import swept

    made = swept(recipes.load("er-prm-llama-8b.yaml"))
    folders = {stage.name: tmp_path / stage.name for stage in made.stages}
    (train,) = [stage for stage in made.stages if stage.verb == "train"]
    places = [f"{tmp_path}/{name}-data/export/step-tags" for name in ("gsm8k", "math")]
    assert line_of(train, folders, "r.yaml")[-1] == f"train.data.places=[{', '.join(places)}]"


def test_a_sweep_of_real_stages_ends_in_figures(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    problems = [{"id": one.id, "problem": one.problem, "answer": one.answer} for one in policies.problems(4).problems]
    (recipe.parent / "in.jsonl").write_text("".join(json.dumps(one) + "\n" for one in problems))
    monkeypatch.setattr(engines, "open_engine", lambda *_, **__: policies.engine())
    given = [f"rollouts.in={recipe.parent / 'in.jsonl'}", "--grid", "eta=1,8", "--seeds", "0"]
    assert REAL(["run", str(recipe), "--out", str(recipe.parent / "out"), *given]) == 0
    found = stored(recipe)
    assert [point["point"] for point in found["points"]] == ["eta=1", "eta=8"]
    assert all(0 <= point["validation"]["mean"] <= 100 for point in found["points"])
    assert list(found["tested"]) == [found["chosen"]]
    samples = (recipe.parent / "out/common/rollouts/sampled.jsonl").read_text().splitlines()
    assert len(samples) >= 4 * 8
    capsys.readouterr()


@pytest.mark.usefixtures("cluster")
def test_runs_are_spread_over_a_ray_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        {"id": f"{p}/{n}", "problem_id": p, "steps": ["a"], "reward": [n / 2], "final_answer_correct": n > 0}
        for p in "pq"
        for n in range(2)
    ]
    (tmp_path / "scored.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = {"bench": "best-of-n", "in": str(tmp_path / "scored.jsonl")}
    stage = {"name": "validation", "verb": "evaluate", "options": options}
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump({"name": "r", "stages": [stage], "sweep": {"validation": "validation"}}))
    out = tmp_path / "out"
    line = ["run", str(path), "--out", str(out), "--grid", "validation.seed=1,2", "--ray", "local", "--replicas", "2"]
    assert REAL(line) == 0
    found = json.loads((out / "sweep.json").read_text())
    assert [point["validation"]["mean"] for point in found["points"]] == [100.0] * 2
    assert (out / "validation.seed=2/validation.log").exists()
    (out / "validation.seed=2/stages.json").unlink()
    (tmp_path / "scored.jsonl").unlink()
    assert REAL(line) == 2
    assert "no such file" in capsys.readouterr().err
