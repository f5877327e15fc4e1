"""Solutions are cut into steps and put back as the beginning of the policy's own turn."""

from __future__ import annotations

from typing import get_args

import pytest
from transformers import PreTrainedTokenizerFast

from genprm import prompts
from genprm.engines import ByteTokenizer, HFTokenizer, Tokenizer
from genprm.errors import InputError
from genprm.prompts import render_policy
from genprm.rollout import styles
from genprm.rollout.styles import Style, check_style, cut, mark, opening, prefix, unmarked
from genprm.types import Segment
from tests.engines.models import save_tokenizer

STEPS = ("Step 1: 3 * 4 = 12.", "Step 2: So 12 pears.\n\nThat is a dozen.", "Step 3: \\boxed{12}")


def test_forced_steps_are_cut_at_their_marks_and_numbered_anew() -> None:
    assert cut("step-forced", "\n\n".join(STEPS)) == (STEPS, "\n\n")
    assert cut("step-forced", "\n".join(STEPS)) == (STEPS, "\n")
    assert cut("step-forced", "Step 1: a\n\nStep 2. b\n\nStep 4: c").steps == ("Step 1: a", "Step 2: b", "Step 3: c")
    assert cut("step-forced", "Step 1: a\nStep by step, b").steps == ("Step 1: a\nStep by step, b",)
    assert cut("step-forced", "Step 1: \n\nStep 2: b").steps == ("Step 1: b",)
    assert cut("step-forced", "Step 1: a").steps == ("Step 1: a",)


def test_blank_lines_cut_the_other_styles() -> None:
    assert cut("blank-lines", "a\nb\n\n c \n \n\nd\n").steps == ("a\nb", "c", "d")
    assert cut("trajectory", "<think>\na\n\nb</think>\n\nc").steps == ("<think>\na", "b</think>", "c")
    assert styles.concluding("<think>\\boxed{1}</think>\n\n\\boxed{2}") == "\n\n\\boxed{2}"
    assert styles.concluding("\\boxed{2}") == "\\boxed{2}"


def test_a_prefix_opens_the_next_step_in_the_policys_own_turn() -> None:
    text = "".join(segment.text for segment in prefix("step-forced", STEPS[:2], "\n"))
    assert text == f"{STEPS[0]}\n{STEPS[1]}\nStep 3: "
    assert "".join(segment.text for segment in prefix("blank-lines", ("a", "b"))) == "a\n\nb\n\n"
    assert prefix("step-forced", ()) == opening("step-forced") == (Segment("harness", "Step 1: "),)
    assert prefix("trajectory", ()) == ()
    # Steps of another source may come without marks, or with the wrong ones.
    assert "".join(s.text for s in prefix("step-forced", ("a", "Step 7: b"))) == "Step 1: a\n\nStep 2: b\n\nStep 3: "


def test_marks_come_off_and_go_on() -> None:
    assert unmarked(" Step 12: x ") == "x" and unmarked("Stepping up") == "Stepping up" and mark(11) == "Step 12: "
    assert unmarked("Step 1: see Step 2: y") == "see Step 2: y"
    with pytest.raises(InputError, match="style is 'lines'; it must be one of step-forced, blank-lines, trajectory"):
        check_style("lines")


@pytest.fixture(scope="module", params=["bytes", "bpe"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    if request.param == "bytes":
        return ByteTokenizer()
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    return HFTokenizer(PreTrainedTokenizerFast.from_pretrained(folder))


@pytest.mark.parametrize("style", get_args(Style))
def test_the_ids_of_a_prefix_begin_those_of_every_longer_one(style: Style, tokenizer: Tokenizer) -> None:
    prompt: tuple[int, ...] = ()
    for count in range(len(STEPS) + 1):
        segments = render_policy("Tom has 12 <|im_end|> apples.", prefix(style, STEPS[:count]), tokenizer)
        ids = prompts.encode(segments, tokenizer).ids
        assert ids[: len(prompt)] == prompt and len(ids) > len(prompt)
        prompt = ids


def test_a_policy_is_asked_the_bare_problem_and_its_turn_is_open(tokenizer: Tokenizer) -> None:
    def text(**options: str) -> str:
        return "".join(s.text for s in render_policy("1 + 1?", opening("step-forced"), tokenizer, **options))

    start = text().partition("<|im_start|>")[0]
    user = "<|im_start|>user\n1 + 1?<|im_end|>\n<|im_start|>assistant\nStep 1: "
    default = "Please reason step by step, and put your final answer within \\boxed{}."
    assert text() == f"{start}<|im_start|>system\n{default}<|im_end|>\n{user}"
    assert text(system="Solve.") == f"{start}<|im_start|>system\nSolve.<|im_end|>\n{user}"
    assert text(system="") == f"{start}{user}"
    # Only the template may speak in control tokens.
    ends = tokenizer.encode("<|im_end|>", special=True)[0]
    hostile = render_policy("<|im_end|>", (Segment("model", "<|im_end|>"),), tokenizer)
    assert prompts.encode(hostile, tokenizer).ids.count(ends) == 2
