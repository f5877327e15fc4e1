"""The page of a policy training: its counts are the policies' accuracy, and the reward is drawn beside the truth."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from genprm.errors import InputError
from genprm.stepformats import write_reading
from genprm.train.training import train
from genprm.view import index, report, runs_in
from genprm.view.training import POINTS, curve
from tests.engines.models import save_model
from tests.train.test_raft import OPTIONS, write_recipe
from tests.view.chromium import browse, complaints
from tests.view.document import Document
from tests.view.scripted import lines
from tests.view.test_report import HOSTILE


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two iterations against a random reward model, and the page."""
    folder = tmp_path_factory.mktemp("policies")
    model = save_model(folder / "reward", context=2048)
    write_reading(model, "token", "math-shepherd")
    recipe = write_recipe(folder, {**OPTIONS, "reward": {"kind": "scorer", "model": str(model)}})
    train(recipe, folder / "runs/raft")
    return report(folder / "runs/raft").parent


def test_a_policy_s_figure_leads_to_the_solutions_that_it_counts_and_they_name_their_lines(made: Path) -> None:
    page = made / "report.html"
    shown = Document(page).items
    rounds = json.loads((made / "metrics.json").read_text())["iterations"]
    for number, one in enumerate(rounds):
        assert sum(f"right-{number}" in each.tags for each in shown) == round(6 * one["heldout"]["accuracy"])
    for tag, count in re.findall(r'<a href="#f=([^"]+)">([\d,]+)</a>', page.read_text(encoding="utf-8")):
        assert sum(tag in one.tags for one in shown) == int(count), tag
    for one in shown:
        assert len(one.detail["policies"]) == len(rounds)
        for place in one.detail["places"]:
            name, _, number = place.rpartition(":")
            assert one.id.startswith(lines(made / name)[int(number) - 1]["id"])


def test_the_curve_is_what_the_samples_of_each_iteration_showed(made: Path) -> None:
    text = (made / "report.html").read_text(encoding="utf-8")
    for one in json.loads((made / "metrics.json").read_text())["iterations"][1:]:
        for name in ("accuracy", "reward"):
            assert f"iteration {one['iteration']}: {name} {one['sampled'][name]:.3f}" in text
    assert 'href="log/raft.jsonl#:~:text=' in text


def test_steps_of_grpo_are_averaged_and_a_step_that_was_done_again_counts_once(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    said = [{"step": step, "accuracy": step / 200, "process_reward": 0.5} for step in (1, 2, 3, *range(2, 101))]
    (tmp_path / "log/train.jsonl").write_text("".join(json.dumps(one) + "\n" for one in said))
    found = curve(tmp_path, {"kind": "grpo", "reward.kind": "scorer"})
    assert found is not None and len(found.points) <= POINTS and found.points[-1].at == 100
    assert found.points[0].at == 5 and found.points[0].accuracy == pytest.approx(3 / 200)
    control = curve(tmp_path, {"kind": "grpo", "reward.kind": "random"})
    assert control is not None and all(one.reward is None for one in control.points)


def test_the_page_stands_in_a_browser_and_hostile_text_stays_text(made: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(made, run)
    for name in ("problems.jsonl", "iteration-2/heldout.jsonl"):
        text = (run / name).read_text()
        (run / name).write_text(
            re.sub(r'"(problem|text)": "', lambda found: found[0] + HOSTILE.replace('"', "'"), text)
        )
    page = report(run)
    document = browse(page, tmp_path / "profile", "--dump-dom")
    assert "policy 2" in document and "<img" not in document
    assert complaints(page, tmp_path / "profile") == []


def test_it_is_one_run_of_an_index_and_the_training_of_a_verifier_is_none(made: Path, tmp_path: Path) -> None:
    assert runs_in(made.parent) == [made]
    (table,) = Document(index([made.parent])).tables.values()
    assert table[0][:4] == ["run", "model", "items", "right before"] and table[1][1:3] == ["policy-tiny", "6"]
    other = tmp_path / "verifier"
    other.mkdir()
    (other / "config.yaml").write_text("verb: train\ninput: ''\nidentity: {kind: token}\nextent: {}\n")
    with pytest.raises(InputError, match="the training of a verifier, which has no page"):
        report(other)
