"""Cutting a rationale for display."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from genprm.types import CodeRun
from genprm.view.blocks import cut
from tests.view.example import SOURCE, turn


def test_a_rationale_is_words_code_output_in_reading_order() -> None:
    source = SOURCE.format(claim=36)
    blocks = cut(turn(36, "36\nequal\n", "Yes", words="So it holds.\n"), [CodeRun(source, "ok", "36\nequal\n")])
    assert [block.kind for block in blocks] == ["words", "code", "output", "words"]
    assert blocks[1].text == source and blocks[2].text == "36\nequal" and blocks[3].text == "So it holds."


def test_a_written_output_that_never_ran_is_shown_as_words() -> None:
    blocks = cut("<verify>\n```python\nprint(1)\n```\n[Code Output]\n\n```\n1\n```\n</verify>\n", [])
    assert [block.kind for block in blocks] == ["words"]


def test_two_rounds_are_two_pairs() -> None:
    text = (
        "<verify>\nLet's use python code to find any potential error:\n```python\na = 1\n```\n[Code Output]\n\n```\n"
        "```\nagain\n```python\nprint(a)\n```\n[Code Output]\n\n```\n1\n```\n</verify>\n"
    )
    blocks = cut(text, [CodeRun("a = 1", "ok", ""), CodeRun("print(a)", "ok", "1\n")])
    assert [block.kind for block in blocks] == ["words", "code", "output", "words", "code", "output"]
    assert blocks[3].text == "again"


@given(st.text(), st.lists(st.builds(CodeRun, st.text(), st.sampled_from(["ok", "error"]), st.text()), max_size=3))
def test_any_text_can_be_cut_and_every_run_is_shown(text: str, runs: list[CodeRun]) -> None:
    blocks = cut(text, runs)
    assert [b.text for b in blocks if b.kind == "output"] == [run.output.rstrip("\n") for run in runs]
