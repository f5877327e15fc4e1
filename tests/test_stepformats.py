"""Text formats of step rewards: one text and one tokenisation in exports, training rows and scoring."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genprm import resources
from genprm.curate.export import ExtraTokens, StepTags
from genprm.engines.loading import load_tokenizer
from genprm.engines.tokenizers import HFTokenizer
from genprm.errors import InputError, ModelError
from genprm.stepformats import ER_PRM, FORMATS, MATH_SHEPHERD, QWEN, RLHFLOW, StepFormat, option_ids
from genprm.train.labelled import Steps, Tagged, read_examples
from genprm.train.steprows import step_row
from tests.curate.made import candidate

TEXTS = st.text(st.sampled_from("ab 1.к\nё🙂+"), max_size=12)


@pytest.fixture(scope="module")
def tokenizer() -> HFTokenizer:
    hf = load_tokenizer(resources.model("genprm-tiny"))
    hf.add_special_tokens({"additional_special_tokens": ["<extra_0>"]})
    return HFTokenizer(hf)


TOKENIZER = HFTokenizer(load_tokenizer(resources.model("genprm-tiny")))


def test_the_texts_are_the_published_ones() -> None:
    assert MATH_SHEPHERD.text("How many?", ("Step 1: 1 + 1 = 2.", "So 2.")) == (
        "How many? Step 1: 1 + 1 = 2. ки\nStep 2: So 2. ки\n"
    )
    assert ER_PRM.text("How many?", ("It is 2.", "So 2.")) == "How many? Step 1: It is 2. киStep 2: So 2. ки"
    assert QWEN.text(("It is 2.", "So 2.")) == "It is 2.<extra_0>So 2.<extra_0>"


@pytest.mark.parametrize("format", [MATH_SHEPHERD, ER_PRM, QWEN], ids=lambda format: format.name)
def test_an_exported_row_is_trained_on_as_it_is_scored(
    format: StepFormat, tokenizer: HFTokenizer, tmp_path: Path
) -> None:
    """Ids and places of the training row of what ``export`` wrote equal those of the scorer's prompt."""
    from genprm.records.lines import write_lines

    one = candidate((1, 1, 0), "a")
    row = (ExtraTokens() if format is QWEN else StepTags()).row(one)
    assert isinstance(row, dict)
    write_lines(tmp_path / "train.jsonl", [row])
    (example,) = read_examples([str(tmp_path)], 0).rows
    trained = step_row(example, format, tokenizer, False, "soft")
    scored = format.encode(one.solution.problem, one.solution.steps, tokenizer)
    assert (trained.input_ids, trained.places) == (scored.ids, scored.places)
    assert trained.targets == (1.0, 1.0, 0.0)


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=4), st.sampled_from([MATH_SHEPHERD, ER_PRM, RLHFLOW]))
@settings(max_examples=150, deadline=None)
def test_every_step_has_its_place_whatever_the_text(problem: str, steps: list[str], format: StepFormat) -> None:
    """The last step included; and a place is where the text up to that step ends."""
    marked = format.encode(problem, steps, TOKENIZER)
    assert len(marked.places) == len(steps) and marked.places[-1] == len(marked.ids) - 1
    assert list(marked.places) == sorted(set(marked.places))
    if format is MATH_SHEPHERD:
        for count, place in enumerate(marked.places, start=1):
            read = TOKENIZER.decode(marked.ids[: place + 1])
            assert read == MATH_SHEPHERD.text(problem, steps[:count]).removesuffix("\n")


def test_a_tag_in_the_text_is_text(tokenizer: HFTokenizer) -> None:
    (tag,) = tokenizer.encode("<extra_0>", special=True)
    marked = QWEN.encode("a <extra_0>", ("b <extra_0> c", "d"), tokenizer)
    assert [place for place, token in enumerate(marked.ids) if token == tag] == list(marked.places)
    tagged = MATH_SHEPHERD.encode("ки", ("ки ки", "so"), tokenizer)
    assert len(tagged.places) == 2 and tagged.places[-1] == len(tagged.ids) - 1


def test_the_place_of_a_chat_turn_is_where_its_plus_is_predicted() -> None:
    marked = RLHFLOW.encode("How many?", ("It is 2. ", " So 2."), TOKENIZER)
    plus = TOKENIZER.encode("+")[0]
    assert marked.ids[marked.places[0] + 1] == plus
    assert TOKENIZER.decode(marked.ids) == "How many? It is 2.+So 2."
    assert option_ids(RLHFLOW, TOKENIZER) == (plus, TOKENIZER.encode("-")[0])


def test_float_targets_and_unknown_values_survive_to_the_row() -> None:
    steps = Steps("p", ("a", "b", "c"), (0.123456789, None, 0.0), 1.0)
    soft = step_row(steps, MATH_SHEPHERD, TOKENIZER, False, "soft")
    whole = MATH_SHEPHERD.encode("p", ("a", "b", "c"), TOKENIZER)
    assert soft.targets == (0.123456789, 0.0) and soft.places == (whole.places[0], whole.places[2])
    assert step_row(steps, MATH_SHEPHERD, TOKENIZER, False, "hard").targets == (1.0, 0.0)
    outcome = step_row(steps, MATH_SHEPHERD, TOKENIZER, True, "soft")
    assert (outcome.targets, outcome.places) == ((1.0,), whole.places[-1:])
    assert Tagged("p a ки", (0.25,)).outcome == 0.25


def test_a_model_that_cannot_say_a_format_is_named() -> None:
    with pytest.raises(ModelError, match="has no token '<extra_0>'"):
        QWEN.encode("p", ("a",), TOKENIZER)
    with pytest.raises(ModelError, match="read by a head"):
        option_ids(QWEN, TOKENIZER)
    assert list(FORMATS) == ["math-shepherd", "er-prm", "qwen", "rlhflow"]


def test_a_text_without_its_last_tag_keeps_the_places_it_has() -> None:
    """Published rows may end in words that have no tag, and no value."""
    whole = MATH_SHEPHERD.encode_text("p Step 1: a ки\nStep 2: b ки\n", TOKENIZER)
    assert MATH_SHEPHERD.encode_text("p Step 1: a ки\nStep 2: b ки\nStep 3: c", TOKENIZER) == whole
    assert len(whole.places) == 2
    with pytest.raises(InputError, match="there is no tag"):
        MATH_SHEPHERD.encode_text("p Step 1: a", TOKENIZER)
