"""The model card states the training, and takes its tables from what benchmarks wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genprm import recipes
from genprm.errors import InputError
from genprm.train.card import Facts, main, write_card
from genprm.train.kinds import training
from genprm.train.rows import Survey


def folder(path: Path) -> Path:
    options = training(recipes.load("tiny.yaml")).model_dump(mode="json")
    survey = Survey(400, 1500, 640.0, 0.5, 0)
    packages = {"packages": {"torch": "2.13.0"}, "processor": "a CPU, 2 cores"}
    write_card(path, Facts("genprm-tiny", options, survey, 5_900_000, "fp32", 100, 400_000, 3.0, 0.25, packages))
    return path


def test_measurements_fill_the_card_and_can_come_later(tmp_path: Path) -> None:
    card = folder(tmp_path) / "README.md"
    before = card.read_text(encoding="utf-8")
    assert "Nothing has been measured" in before and "5.9M parameters" in before and "a CPU, 2 cores" in before
    table = {"title": "World", "note": "n = 5", "columns": ["mode", "F1"], "rows": [["code", 93.1], ["direct", None]]}
    (tmp_path / "world.json").write_text(json.dumps({"tables": [table]}), encoding="utf-8")
    main([str(tmp_path), str(tmp_path / "world.json")])
    after = card.read_text(encoding="utf-8")
    assert "Nothing has been measured" not in after
    assert "### World\n\nn = 5\n\n| mode | F1 |\n| --- | --- |\n| code | 93.1 |\n| direct |  |\n" in after


def test_the_card_of_a_policy_says_what_it_is_for(tmp_path: Path) -> None:
    options = training(recipes.load("policy-tiny.yaml")).model_dump(mode="json")
    survey = Survey(400, 500, 220.0, 0.4, 0)
    write_card(tmp_path, Facts("policy-tiny", options, survey, 1_900_000, "bf16", 100, 400_000, 3.0, 0.25, {}))
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "policy model" in text and "wrong or an empty critique" in text and "verifier" not in text


@pytest.mark.parametrize("name", ["annotator", "judge"])
def test_the_card_of_a_reader_says_what_it_reads(name: str, tmp_path: Path) -> None:
    options = training(recipes.load(f"{name}-tiny.yaml")).model_dump(mode="json")
    survey = Survey(400, 900, 480.0, 0.4, 0)
    write_card(tmp_path, Facts(f"{name}-tiny", options, survey, 2_900_000, "bf16", 100, 400_000, 3.0, 0.25, {}))
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert f"genprm curate RUN --out DIR {name}.model=FOLDER" in text and "names the first wrong step" in text


def test_what_is_no_measurement_is_refused(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "bad.json").write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.json is not a measurement"):
        main([str(tmp_path), str(tmp_path / "bad.json")])
