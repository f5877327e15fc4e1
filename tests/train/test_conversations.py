"""Training on a data set of conversations: which rows are seen, what the best weights are, adapters, curves."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import pytest
import yaml

from genprm import recipes
from genprm.curate.released import load_genprm_data
from genprm.engines.tokenizers import ByteTokenizer
from genprm.errors import InputError, RecipeError
from genprm.lab import world
from genprm.lab.corpus import Corpus
from genprm.prompts import IGNORED, messages
from genprm.records import write_lines
from genprm.train.conversations import ConversationSet, direct, share_of
from genprm.train.kinds import training
from genprm.train.rows import CorpusRows
from genprm.train.training import train

ROWS = 24


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Conversations in the schema of GenPRM-MATH-Data."""
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    corpus, rows = Corpus(seed=3), []
    for index in range(ROWS):
        talk = corpus.conversation(index)
        turns = ["".join(segment.text for segment in turn) for turn in talk.turns]
        said = messages(talk.problem, talk.steps, turns, mode=talk.mode)
        rows.append({"conversations": [{"role": role, "content": text} for role, text in said]})
    write_lines(path, rows)
    return path


@pytest.fixture
def heldout(tmp_path: Path) -> Path:
    """Labelled solutions, right and wrong ones."""
    path = tmp_path / "heldout.jsonl"
    records = [
        {"id": one.id, "problem": one.problem, "steps": list(one.steps), "label": one.label}
        for one in world.test_set(6, 0)
    ]
    write_lines(path, records)
    return path


@pytest.fixture
def recipe(tmp_path: Path, data: Path) -> Path:
    options = {
        "kind": "generative",
        "model": {"shape": {"hidden_size": 32, "intermediate_size": 64, "layers": 1, "heads": 2, "kv_heads": 1}},
        "tokenizer": {"vocab_size": 640, "conversations": 40},
        "data": {"source": "conversations", "path": str(data)},
        "rows_per_batch": 4,
        "epochs": 2,
        "optimizer": {"learning_rate": 0.01},
        "log_every": 2,
    }
    path = tmp_path / "verifier.yaml"
    path.write_text(yaml.safe_dump({"name": "v", "stages": [{"name": "train", "verb": "train", "options": options}]}))
    return path


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "log/train.jsonl").read_text().splitlines()]


def test_it_trains_on_every_row_of_a_data_set_for_so_many_epochs(recipe: Path, tmp_path: Path, data: Path) -> None:
    said: list[str] = []
    trained = train(recipe, tmp_path / "out", report=said.append)
    assert trained is not None and trained.steps == 2 * ROWS // 4
    assert losses(tmp_path / "out")[-1] < losses(tmp_path / "out")[0] - 0.3
    assert f"data: {ROWS} of {ROWS} conversations of {data}, 0 rows could not be used" in said
    assert any(line.startswith(f"{ROWS} rows surveyed") for line in said)
    card = (trained.folder / "README.md").read_text()
    assert f"The conversations of `{data}`" in card and "epochs=2" in card and "4 rows a step" in card


def test_an_epoch_has_every_conversation_once_and_each_epoch_another_order(data: Path) -> None:
    corpus = ConversationSet(load_genprm_data(data).examples, seed=1)
    first, second = ([corpus.conversation(e * ROWS + i) for i in range(ROWS)] for e in range(2))
    assert Counter(map(id, first)) == Counter(map(id, second)) and set(Counter(map(id, first)).values()) == {1}
    assert first != second


def test_a_smaller_share_is_part_of_a_larger_one(data: Path) -> None:
    examples = load_genprm_data(data).examples
    quarter, half = share_of(examples, 0.25, 7), share_of(examples, 0.5, 7)
    assert len(quarter) == math.ceil(ROWS / 4) and set(map(id, quarter)) <= set(map(id, half))
    assert share_of(examples, 1, 7) == examples


def test_the_direct_variant_is_trained_on_judgements_alone(data: Path) -> None:
    example = load_genprm_data(data).examples[0]
    rows = CorpusRows(ConversationSet((direct(example),)), ByteTokenizer())
    row = rows.row(0)
    trained = bytes(token for token, label in zip(row.input_ids, row.labels, strict=True) if label != IGNORED)
    assert trained.decode() == "".join(f"{{{one.judgement}}}$\n</output>\n" for one in example.rationales)


def test_the_weights_with_the_best_f1_on_held_out_solutions_are_kept(
    recipe: Path, tmp_path: Path, heldout: Path
) -> None:
    out, said = tmp_path / "out", []  # type: tuple[Path, list[str]]
    evaluation = f"evaluation={{data: '{heldout}', every: 5, votes: 1, sandbox: local}}"
    trained = train(recipe, out, overrides=[evaluation, "data.direct=true", "tensorboard=true"], report=said.append)
    assert trained is not None
    found = [json.loads(line) for line in (out / "log/evaluations.jsonl").read_text().splitlines()]
    assert [one["step"] for one in found] == [5, 10, 12]
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["best"] == max(found, key=lambda one: one["f1"])
    assert (trained.folder / "model.safetensors").exists() and not (out / "best").exists()
    assert "held-out solutions" in (trained.folder / "README.md").read_text()
    assert list((out / "log").glob("events.out.tfevents.*"))


def test_held_out_solutions_need_labels_of_both_kinds(recipe: Path, tmp_path: Path, heldout: Path) -> None:
    lines = [json.loads(line) for line in heldout.read_text().splitlines()]
    right = tmp_path / "right.jsonl"
    write_lines(right, [{**line, "label": -1} for line in lines])
    with pytest.raises(InputError, match="0 of the first 6 solutions have an error, and F1 needs both kinds"):
        train(recipe, tmp_path / "out", overrides=[f"evaluation={{data: '{right}'}}"])
    write_lines(right, [{key: line[key] for key in ("id", "problem", "steps")} for line in lines])
    with pytest.raises(InputError, match="has no 'label'"):
        train(recipe, tmp_path / "out", overrides=[f"evaluation={{data: '{right}'}}"])
    assert not (tmp_path / "out").exists()


def test_adapters_are_trained_and_merged_into_an_ordinary_model_folder(recipe: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    base = train(recipe, tmp_path / "base")
    assert base is not None
    changes = [f"model={{base: '{base.folder}', lora: {{rank: 4, alpha: 8}}}}", "max_steps=3", "epochs=null"]
    tuned = train(recipe, tmp_path / "tuned", overrides=[*changes, "checkpoint_minutes=0.000001"])
    assert tuned is not None
    before, after = (load_file(folder / "model.safetensors") for folder in (base.folder, tuned.folder))
    assert before.keys() == after.keys()
    changed = {name for name in before if not before[name].equal(after[name])}
    assert changed and all("proj" in name for name in changed)


def test_epochs_are_counted_on_a_data_set_only(recipe: Path) -> None:
    for override in ("max_steps=4", "data={source: lab}"):
        with pytest.raises(RecipeError, match="epochs are passes over a data set"):
            training(recipes.load(recipe, [override]))


def test_a_data_set_without_usable_rows_is_refused(recipe: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text('{"conversations": []}\n')
    with pytest.raises(InputError, match=r"holds no conversation that can be used \(roles\)"):
        train(recipe, tmp_path / "out", overrides=[f"data.path={empty}"])
    assert not (tmp_path / "out").exists()
