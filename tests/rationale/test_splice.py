from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm.execution.base import ExecutionResult
from genprm.rationale.splice import neutralise, splice
from tests.rationale.strategies import long_texts, patiently

SPECIAL = frozenset({"<|im_start|>", "<|im_end|>", "[INST]", "aa", "|"})
FORBIDDEN = [
    "```",
    "<analyze>",
    "</analyze>",
    "<verify>",
    "</verify>",
    "<output>",
    "</output>",
    "\\boxed",
    "[Code Output]",
]


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (ExecutionResult("ok", "5\n"), "5\n"),
        (ExecutionResult("ok", "5"), "5\n"),
        (ExecutionResult("ok", ""), "\n"),
        (ExecutionResult("timeout", "a"), "a\nCode execute time out: Code execution timed out\n"),
        (ExecutionResult("timeout", ""), "Code execute time out: Code execution timed out\n"),
        (ExecutionResult("error", "a\n", "KeyError: 'x'"), "a\nCode execute Error: KeyError: 'x'\n"),
        (ExecutionResult("oom", ""), "Code execute Error: MemoryError: memory limit\n"),
        (ExecutionResult("crashed", "", "11"), "Code execute Error: RuntimeError: killed by signal 11\n"),
        (ExecutionResult("output_limit", "z"), "z\nCode execute Error: RuntimeError: output limit\n"),
    ],
)
def test_output_is_stdout_then_the_error_line(result: ExecutionResult, text: str) -> None:
    assert splice(result) == text


def test_long_output_keeps_its_first_and_last_thousand_characters() -> None:
    stdout = "a" * 1500 + "b" * 1500
    assert (
        splice(ExecutionResult("ok", stdout)) == "a" * 1000 + "... [1000 characters left out] ..." + "b" * 1000 + "\n"
    )
    assert splice(ExecutionResult("ok", "a" * 2000)) == "a" * 2000 + "\n"


def test_a_long_error_message_is_cut_too() -> None:
    assert len(splice(ExecutionResult("error", "", "ValueError: " + "x" * 10**6))) < 2200


@patiently
@given(st.text(alphabet=st.characters(exclude_characters="`<>[\\", codec="utf-8")))
def test_harmless_output_is_byte_identical(text: str) -> None:
    assert neutralise(text, {"<|im_end|>"}) == text


@pytest.mark.parametrize("text", ["a < b > c", "x[0] = `y`", "[1, 2]", "<out>", "\\frac{1}{2}", "``", "Judgement: Yes"])
def test_lookalikes_are_harmless(text: str) -> None:
    assert neutralise(text, {"<|im_end|>"}) == text


@patiently
@given(long_texts | st.text("a<|im_end>[INST]`"))
def test_nothing_with_a_meaning_survives_and_once_is_enough(text: str) -> None:
    safe = neutralise(text, SPECIAL)
    assert not any(string in safe for string in [*FORBIDDEN, "<|im_start|>", "<|im_end|>", "[INST]", "aa"])
    assert neutralise(safe, SPECIAL) == safe
    safe.encode()


def test_the_mark_is_never_part_of_a_special_token() -> None:
    special = {"<·>", "¸¸"}
    safe = neutralise("<·> ¸¸ ```", special)
    assert not any(token in safe for token in special)
    assert neutralise(safe, special) == safe


def test_a_fence_made_by_the_cut_is_broken_as_well() -> None:
    assert "```" not in splice(ExecutionResult("ok", "`" * 5000))
