"""``genprm curate`` on a scripted rollout run."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from genprm import cli
from genprm.cli.progress import AnswerDisplay
from genprm.rollout import Amounts, Budget, Plan, Roller, Settings
from tests.rollout import policies


@pytest.fixture(scope="module")
def rollouts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rollouts") / "run"
    plan = Plan(Budget(initial=8, batch=4, most=16, keep=2), Amounts.fixed(4))
    Roller("solver", engine=policies.engine, plan=plan, settings=Settings(max_tokens=400)).run(
        policies.problems(3), out
    )
    return out


def curate(*arguments: object) -> int:
    return cli.run(["curate", *map(str, arguments)])


def test_labels_become_a_data_set_without_any_model(
    rollouts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["consensus=none", "formats=[step-tags]", "targets=entropy", "target_parameters.eta=2"]
    assert curate(rollouts, "--out", tmp_path / "run", *options, "sources=[[school sums, mit], [solver, none]]") == 0
    shown = capsys.readouterr().out
    assert "rows exported: step-tags" in shown and "rpe_ratio" in shown
    card = (tmp_path / "run/export/step-tags/README.md").read_text()
    assert "| school sums | mit |" in card and "| rollouts | `genprm rollout` |" in card
    assert card.count("| rollouts |") == 1


def test_a_push_uploads_every_format(
    rollouts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, str]] = []
    monkeypatch.setattr(
        "genprm.curate.export.push_to_hub", lambda folder, name: sent.append((folder.name, name)) or "address"
    )
    options = ["consensus=none", "formats=[step-tags, extra-tokens]", "rule=hard"]
    assert curate(rollouts, "--out", tmp_path / "run", *options, "--push", "me/set") == 0
    assert sent == [("step-tags", "me/set-step-tags"), ("extra-tokens", "me/set-extra-tokens")]
    assert capsys.readouterr().out.count("uploaded: address") == 2


def test_answers_are_counted_in_lines_where_there_is_no_terminal() -> None:
    to = Console(file=io.StringIO(), width=100)
    with AnswerDisplay(to) as display:
        display.answered("annotator", 1, 2)
        display.answered("annotator", 2, 2)
    assert "2/2 answers of the annotator" in to.file.getvalue()  # type: ignore[attr-defined]


def test_a_dry_run_writes_nothing(rollouts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert curate(rollouts, "--out", tmp_path / "run", "annotator.model=any", "judge.model=any", "--dry-run") == 0
    assert "filters: genprm-consensus, truncate, code-conflict, length" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["consensus=none", "rule=none"], "there is no label rule 'none'"),
        (["consensus"], "override 'consensus' is not key=value"),
        (["consensus=some"], "consensus: Input should be"),
        (["annotator.votes=1"], "annotator.model: Field required"),
        ([], "consensus 'genprm' needs an annotator"),
    ],
)
def test_bad_options_are_one_sentence_and_nothing_is_written(
    options: list[str], message: str, rollouts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert curate(rollouts, "--out", tmp_path / "run", *options) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()
