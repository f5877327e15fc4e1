"""Exported data sets hold what they were given, byte for byte, and say what they left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm import resources
from genprm.curate.data_card import Card, Source, StageCost, Totals, card_text, table
from genprm.curate.evidence import Candidate
from genprm.curate.export import Conversations, ExtraTokens, Format, StepTags, export, push_to_hub
from genprm.curate.filters import Funnel, Length, Truncate, sift
from genprm.curate.released import Example, load_genprm_data, split_opening
from genprm.engines.loading import load_tokenizer
from genprm.engines.tokenizers import ByteTokenizer, HFTokenizer
from genprm.errors import InputError
from genprm.prompts import IGNORED, messages, render, training_row
from genprm.rationale.grammar import Rationale
from genprm.rationale.grammar import render as render_turn
from genprm.records import read_lines, write_lines
from tests.curate.made import candidate, rationale
from tests.rationale.strategies import patiently, rationales

CARD = Card("test set", "mit", Funnel(()))
SYSTEM = "You are a math teacher. Your task is to review and critique the paragraphs in solution step by step."


def rows(folder: Path) -> list[dict[str, Any]]:
    return [record for _, record in read_lines(folder / "train.jsonl")]


def hub_rows(folder: Path, cache: Path) -> list[dict[str, Any]]:
    """The rows as ``datasets`` reads the folder."""
    import datasets

    datasets.disable_progress_bars()
    return list(datasets.load_dataset(str(folder), split="train", cache_dir=str(cache)))


def test_a_conversation_is_written_as_the_released_data_set_has_it(tmp_path: Path) -> None:
    one = candidate((1, 0), "a")
    written = export([one], tmp_path / "set", Conversations("official"), CARD)
    assert (written.rows, written.rejected) == (1, {})
    (row,) = rows(tmp_path / "set")
    assert row == {
        "conversations": [
            {"content": SYSTEM, "role": "system"},
            {"content": "Question: What is 2 + 3?\n\nStep 1: it is 1.", "role": "user"},
            {"content": render_turn(one.rationales[0], 1), "role": "assistant"},
            {"content": "Step 2: it is 2.", "role": "user"},
            {"content": render_turn(one.rationales[1], 2), "role": "assistant"},
        ]
    }
    assert row["conversations"][4]["content"].endswith("<output>\n**Judgement**: $\\boxed{No}$\n</output>\n")


def test_a_conversation_is_what_the_verifier_sees() -> None:
    """The contents that are exported are the segments that are trained on and prompted with."""
    one = candidate((1, 1, 0), "a")
    row = Conversations().row(one)
    assert not isinstance(row, str)
    example = Example(one.solution.problem, one.solution.steps, one.rationales)
    segments = render(example.problem, example.steps, example.turns, ByteTokenizer(), mode=example.mode)
    said = "".join(segment.text for segment in segments if segment.author != "template")
    assert said == "".join(turn["content"] for turn in row["conversations"])


@pytest.mark.parametrize(
    ("format", "columns"),
    [
        (Conversations(), {"conversations": "[{'content': 'string', 'role': 'string'}]"}),
        (StepTags(), {"text": "string", "value": "['float64']"}),
        (ExtraTokens(), {"problem": "string", "text": "string", "labels": "['int64']"}),
    ],
)
def test_datasets_reads_the_folder_as_it_reads_the_lines(
    format: Format, columns: Mapping[str, str], tmp_path: Path
) -> None:
    import datasets

    pool = [candidate((1, 1, 0), f"s{n}", problem=f"What is {n}?\n\u2028é") for n in range(7)]
    export(pool, tmp_path / "set", format, CARD)
    loaded = hub_rows(tmp_path / "set", tmp_path / "cache")
    assert loaded == rows(tmp_path / "set")
    assert len(loaded) == 7
    features = datasets.load_dataset(str(tmp_path / "set"), split="train", cache_dir=str(tmp_path / "cache")).features
    assert {name: _shown(feature) for name, feature in features.items()} == columns


def _shown(feature: Any) -> str:
    """A feature without the library's names: a value's type, a list, a dict."""

    def plain(one: Any) -> Any:
        if isinstance(one, dict):
            return {name: plain(value) for name, value in sorted(one.items())}
        return [plain(one.feature)] if hasattr(one, "feature") else one.dtype

    found = plain(feature)
    return found if isinstance(found, str) else str(found)


_lines = st.lists(st.sampled_from(["What is 2?", "Step 1: x", "\n", "\n\n", "Question: ", " ", "é", "a"]), min_size=1)
_texts = _lines.map("".join).filter(str.strip)


@patiently
@given(
    made=st.lists(st.tuples(_texts, rationales), min_size=1, max_size=3),
    problem=_texts,
    style=st.sampled_from(["chat", "official"]),
)
def test_every_exported_conversation_is_loaded_back_equal(
    made: list[tuple[str, Rationale]], problem: str, style: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("export") / "set"
    written = [one if one.judgement else replace(one, judgement="Yes") for _, one in made]
    steps = tuple(step for step, _ in made)
    one = candidate((1,) * len(made), problem=problem, steps=steps, rationales=tuple(written))
    turns = "".join(render_turn(rationale, 1) for rationale in written)
    if "\ud800" in turns:
        with pytest.raises(InputError, match="1 not-utf8"):
            export([one], folder, Conversations(style), CARD)
        return
    export([one], folder, Conversations(style), CARD)
    data = load_genprm_data(folder)
    assert data.examples == (Example(problem, one.solution.steps, one.rationales),)
    assert (data.rejected, data.deviations, data.guessed) == ((), {}, 0)


def test_an_exported_row_trains_on_the_models_own_words_alone_and_on_code_output_where_asked(tmp_path: Path) -> None:
    """With the shipped model's tokenizer and chat template, whose text of the very row is what is tokenised."""
    export([candidate((1, 0))], tmp_path / "set", Conversations(), CARD)
    (talk,) = load_genprm_data(tmp_path / "set").examples
    tokenizer = HFTokenizer(load_tokenizer(resources.model("genprm-tiny")))
    segments = [segment for turn in talk.turns for segment in turn]
    for masked, authors in ((True, {"model"}), (False, {"model", "code"})):
        row = training_row(talk.problem, talk.steps, talk.turns, tokenizer, mode=talk.mode, mask_code_output=masked)
        trained = tokenizer.decode([token for token in row.labels if token != IGNORED])
        assert trained == "".join(segment.text for segment in segments if segment.author in authors)
        assert all(label in (token, IGNORED) for token, label in zip(row.input_ids, row.labels, strict=True))
        (said,) = rows(tmp_path / "set")
        text = tokenizer.hf.apply_chat_template(said["conversations"], tokenize=False)
        assert tokenizer.hf.decode(row.input_ids) == text
    outputs = [segment.text for segment in segments if segment.author == "code"]
    assert outputs and all(output.strip() for output in outputs)


def test_direct_conversations_have_their_own_system_turn() -> None:
    row = Conversations().row(candidate((1,), rationales=(Rationale(None, (), "Yes"),)))
    assert not isinstance(row, str)
    assert "solution directly" in row["conversations"][0]["content"]


@pytest.mark.parametrize(
    ("opening", "expected"),
    [
        ("Question: What?\n\nIt is 2.", ("What?", "It is 2.", False)),
        ("Question: What?\n\n[asy]\n\nIt is 2.\nSo.", ("What?\n\n[asy]", "It is 2.\nSo.", True)),
        ("Question: What?\n\nStep 1: a\n\nb", ("What?", "Step 1: a\n\nb", False)),
        ("What?\nStep 1: a\nb", ("What?", "Step 1: a\nb", False)),
        ("What?\n**Step 1**: a", ("What?", "**Step 1**: a", False)),
        ("What?\nIt is 2.", ("What?", "It is 2.", False)),
        ("What?\nWhy?\nIt is 2.", ("What?\nWhy?", "It is 2.", True)),
        ("What?", None),
        ("Question: \n\nIt is 2.", None),
    ],
)
def test_an_opening_of_unknown_origin_is_cut_where_the_first_step_seems_to_start(
    opening: str, expected: tuple[str, str, bool] | None
) -> None:
    assert split_opening(opening) == expected


def talk(*turns: tuple[str, Any]) -> dict[str, Any]:
    return {"conversations": [{"role": role, "content": content} for role, content in turns]}


GOOD = talk(("system", SYSTEM), ("user", "Question: p\n\ns"), ("assistant", render_turn(rationale(), 1)))
START = [("system", SYSTEM), ("user", "Question: p\n\ns")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "roles"),
        ({"conversations": "text"}, "roles"),
        (talk(("system", SYSTEM)), "roles"),
        (talk(*START), "roles"),
        (talk(("user", "a"), ("system", "b"), ("assistant", "c")), "roles"),
        (talk(*START, ("assistant", None)), "text"),
        (talk(*START, ("assistant", "  ")), "text"),
        (talk(START[0], ("user", "no end"), ("assistant", render_turn(rationale(), 1))), "opening"),
        (talk(*START, ("assistant", "I cannot say.")), "judgement"),
    ],
)
def test_malformed_rows_are_rejected_with_their_reason(row: dict[str, Any], reason: str, tmp_path: Path) -> None:
    write_lines(tmp_path / "rows.jsonl", [GOOD, row, GOOD])
    data = load_genprm_data(tmp_path / "rows.jsonl")
    assert [(one.row, one.reason) for one in data.rejected] == [(1, reason)]
    assert data.examples == (Example("p", ("s",), (rationale(),)),) * 2


def test_a_file_without_any_good_row_is_refused(tmp_path: Path) -> None:
    write_lines(tmp_path / "rows.jsonl", [{}, {"a": 1}])
    with pytest.raises(InputError, match=r"holds no conversation that can be used \(roles\)"):
        load_genprm_data(tmp_path / "rows.jsonl")
    with pytest.raises(InputError, match="cannot be loaded from the hub"):
        load_genprm_data("genprm-tests/there-is-no-such-set")


def test_a_downloaded_folder_of_parquet_files_is_read(tmp_path: Path) -> None:
    export([candidate((1, 0), "a")], tmp_path / "set", Conversations("official"), CARD)
    for name in ("train.jsonl", "index.jsonl"):
        (tmp_path / "set" / name).unlink()
    (example,) = load_genprm_data(tmp_path / "set").examples
    assert (example.problem, example.steps) == ("What is 2 + 3?", ("Step 1: it is 1.", "Step 2: it is 2."))


def test_turns_that_depart_from_the_format_are_mended_and_counted(tmp_path: Path) -> None:
    turn = render_turn(rationale(), 1).replace("</output>\n", "</output>")
    write_lines(tmp_path / "rows.jsonl", [talk(*START, ("assistant", turn))])
    data = load_genprm_data(tmp_path / "rows.jsonl")
    assert data.examples[0].rationales == (rationale(),)
    assert data.deviations == {"judgement_format": 1}


def test_the_text_of_step_tags_ends_with_the_tag_of_the_last_step() -> None:
    one = candidate((1, 0), steps=("Step 1: a", "b"), values=(0.75, 0.0))
    assert StepTags().row(one) == {"text": "What is 2 + 3? Step 1: a ки\nStep 2: b ки\n", "value": [0.75, 0.0]}
    assert StepTags().row(replace(one, values=())) == {
        "text": "What is 2 + 3? Step 1: a ки\nStep 2: b ки\n", "value": [1.0, 0.0],
    }  # fmt: skip


@patiently
@given(
    st.lists(st.text(alphabet="акиы Step1:\n", min_size=1, max_size=9), min_size=1, max_size=4),
    st.text(alphabet="оки?", max_size=5),
)
def test_there_is_a_value_for_every_tag_or_no_row(steps: list[str], problem: str) -> None:
    one = candidate((1,) * len(steps), steps=tuple(steps), problem=problem)
    row = StepTags().row(one)
    if isinstance(row, str):
        assert row == "holds-tag" and any("ки" in text for text in (problem, *steps))
    else:
        assert len(row["value"]) == row["text"].count("ки") == len(steps)
        assert row["text"].endswith(" ки\n")


@pytest.mark.parametrize(
    ("one", "row"),
    [
        (candidate((1, 1)), {"text": "Step 1: it is 1.<extra_0>Step 2: it is 2.<extra_0>", "labels": [1, 1]}),
        (candidate((0, 1)), {"text": "Step 1: it is 1.<extra_0>", "labels": [0]}),
        (candidate((1, 1), agreed=1), {"text": "Step 1: it is 1.<extra_0>Step 2: it is 2.<extra_0>", "labels": [1, 0]}),
        (candidate((None, 1)), "error-unknown"),
        (candidate((1,), steps=("a <extra_0> b",)), "holds-tag"),
    ],
)
def test_extra_tokens_end_at_the_first_error_with_a_class_for_each(one: Candidate, row: dict[str, Any] | str) -> None:
    found = ExtraTokens().row(one)
    assert found == (row if isinstance(row, str) else {"problem": "What is 2 + 3?", **row})


@pytest.mark.parametrize(
    ("format", "one", "reason"),
    [
        (Conversations(), candidate(rationales=()), "no-rationales"),
        (Conversations(), candidate(rationales=(rationale(None),)), "no-judgement"),
        (Conversations(), candidate(rationales=(Rationale("half \ud800", (), "Yes"),)), "not-utf8"),
        (StepTags(), candidate((1, None)), "no-values"),
        (StepTags(), candidate(problem="Сколько точки ки"), "holds-tag"),
    ],
)
def test_what_a_format_cannot_say_is_left_out_and_counted_in_the_funnel(
    format: Format, one: Candidate, reason: str, tmp_path: Path
) -> None:
    sifted = sift([candidate((1, 1), "good"), replace(one, solution=replace(one.solution, id="bad"))], [])
    written = export(sifted.kept, tmp_path / "set", format, replace(CARD, funnel=sifted.funnel))
    assert (written.rows, written.rejected) == (1, {reason: 1})
    facts = json.loads((tmp_path / "set" / "dataset.json").read_text(encoding="utf-8"))
    assert facts["funnel"]["rows"][-1]["reasons"] == {reason: 1}
    index = [record for _, record in read_lines(tmp_path / "set" / "index.jsonl")]
    assert [record["id"] for record in index] == ["good"]
    assert len(hub_rows(tmp_path / "set", tmp_path / "cache")) == 1


def test_the_card_tells_counts_yields_seeds_costs_and_licences(tmp_path: Path) -> None:
    pool = [candidate((1, 0, 1), f"s{n}", tokens=(10, 10, 10 * n), problem_id=f"p{n % 3}") for n in range(6)]
    sifted = sift(pool, [Length(40), Truncate()])
    card = Card(
        "Tiny set",
        "cc-by-4.0",
        sifted.funnel,
        "Made for a test.",
        (Source("openai/gsm8k", "mit"),),
        (StageCost("rollout", "genprm rollout a|b --seed 3", 1_234_567, 61.4), StageCost("curate", "genprm curate")),
        {"rollout": 3},
    )
    export(sifted.kept, tmp_path / "set", Conversations(), card)
    text = (tmp_path / "set" / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\nlicense: cc-by-4.0\n") and "path: data/train-*" in text
    assert "| 3 | rollout |" in text
    assert "| length | tokens 40 | 6 | 3 | 50.0% | too-long 3 |  |" in text
    assert "| truncate |  | 3 | 3 | 100.0% |  | shortened 3 |" in text
    assert "| export conversations |  | 3 | 3 | 100.0% |  |  |" in text
    assert "| rollout | `genprm rollout a\\|b --seed 3` | 1,234,567 | 61 |" in text
    assert "| openai/gsm8k | mit |" in text
    assert (
        "| 6 | steps of their solutions |" in text
        and "| 3 | rows with an error |" in text
        and "| 3 | problems |" in text
    )


def test_a_card_without_seeds_or_sources_has_no_empty_tables() -> None:
    text = card_text(CARD, "step-tags", Totals(), 0.0)
    assert "| seed |" not in text and "| source |" not in text
    assert table(("a",), []) == ""


def test_an_export_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    class Breaks(Conversations):
        def row(self, candidate: Candidate) -> dict[str, Any] | str:
            if candidate.id == "b":
                raise RuntimeError("in the middle")
            return super().row(candidate)

    with pytest.raises(RuntimeError):
        export([candidate(id="a"), candidate(id="b")], tmp_path / "set", Breaks(), CARD)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "set").mkdir()
    export([candidate(id="a")], tmp_path / "set", Conversations(), CARD)
    with pytest.raises(InputError, match="is there and not empty"):
        export([candidate(id="a")], tmp_path / "set", Conversations(), CARD)
    assert len(rows(tmp_path / "set")) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_nothing_is_exported_where_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no candidate can be written as conversations \(there are none\)"):
        export([], tmp_path / "set", Conversations(), CARD)
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match="is there and not empty"):
        export([candidate()], tmp_path / "file", Conversations(), CARD)
    with pytest.raises(InputError, match="cannot write"):
        export([candidate()], tmp_path / "file" / "set", Conversations(), CARD)


def test_a_push_needs_an_export_and_says_what_the_hub_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no exported data set"):
        push_to_hub(tmp_path, "owner/name")
    export([candidate()], tmp_path / "set", Conversations(), CARD)
    for name in ("owner/name", "no/such/name"):  # the tests' hub is offline
        with pytest.raises(InputError, match=f"cannot be uploaded as {name}: .*; log in to the hub"):
            push_to_hub(tmp_path / "set", name)


def test_messages_are_a_dialogue_with_a_step_for_each_turn() -> None:
    assert [role for role, _ in messages("p", ["a", "b", "c"], ["x", "y"], mode="code")] == [
        "system", "user", "assistant", "user", "assistant",
    ]  # fmt: skip
    for steps, turns in ((["a"], []), (["a"], ["x", "y"])):
        with pytest.raises(InputError, match="are no dialogue"):
            messages("p", steps, turns, mode="code")
