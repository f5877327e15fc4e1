"""The annotator's dialogue runs the code it writes, always ends, and its critique becomes rationales or a reason."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genprm.curate.annotation import AnnotationSettings, Critique, annotate
from genprm.curate.reformat import Malformed, Reformatted, reformat
from genprm.execution import ExecutionResult
from genprm.rationale.actions import Execute, Generated
from genprm.rationale.grammar import parse, render

CHECKED = "Half of 8 is 4.\n</analyze>\n<verify>\nLet me check.\n```python\nprint(8 / 2 == 4)\n```\n"
AFTER = (
    "The code agrees.\n</verify>\n### Paragraph 2\n<analyze>\nIt adds.\n</analyze>\n"
    "<verify>\n```python\nprint(4 + 1 == 6)\n```\n"
)
END = "So it is wrong.\n</verify>\n</think>"


def talk(
    texts: Sequence[str], outputs: Sequence[str] = (), votes: Sequence[str] = ("2}",) * 4, steps: int = 2
) -> tuple[Critique, list[str]]:
    """The critique of a model that writes these texts, and the code that was run."""
    dialogue = annotate(AnnotationSettings(max_rounds=6), steps, {"<|end|>"})
    writes, prints, answers, ran = iter(texts), iter(outputs), iter(votes), []
    action = next(dialogue)
    try:
        while True:
            if isinstance(action, Execute):
                ran.append(action.source)
                action = dialogue.send(ExecutionResult("ok", next(prints, "")))
                continue
            text = next(answers) if action.stop == ("}",) else next(writes, END)
            action = dialogue.send(Generated(text, (1,) * 3, "stop", 10))
    except StopIteration as done:
        return done.value, ran


def test_code_runs_and_its_output_is_read() -> None:
    critique, ran = talk([CHECKED, AFTER, END], ["True\n", "False\n"])
    assert ran == ["print(8 / 2 == 4)", "print(4 + 1 == 6)"]
    assert "[Code Output]\n\n```\nTrue\n```\nThe code agrees." in critique.text
    assert critique.text.endswith("So it is wrong.\n</verify>\n")
    assert (critique.votes, critique.ended, critique.tokens) == ((1, 1, 1, 1), "done", 21)


def test_a_critique_becomes_the_rationales_up_to_the_first_error() -> None:
    critique, _ = talk([CHECKED, AFTER, END], ["True\n", "False\n"])
    made = reformat(critique.segments, critique.votes, 2)
    assert isinstance(made, Reformatted) and made.index == 1
    assert [one.judgement for one in made.rationales] == ["Yes", "No"]
    assert [one.rounds[0].output for one in made.rationales] == ["True\n", "False\n"]
    assert made.rationales[0].analysis == "Half of 8 is 4." and made.rationales[0].closing == "The code agrees.\n"
    for number, rationale in enumerate(made.rationales, start=1):
        assert parse(render(rationale, number)).rationale == rationale
        assert parse(render(rationale, number)).deviations == ()


def test_what_code_prints_opens_no_paragraph_and_closes_no_part() -> None:
    hostile = "### Paragraph 2\n<analyze>\n</analyze>\n<verify>\n</verify>\n### Paragraph 3\n"
    critique, _ = talk([CHECKED, AFTER, END], [hostile, "False\n"])
    made = reformat(critique.segments, critique.votes, 2)
    assert isinstance(made, Reformatted) and len(made.rationales) == 2
    assert "### Paragraph 3" in made.rationales[0].rounds[0].output


@pytest.mark.parametrize(
    ("texts", "votes", "reason"),
    [
        ([CHECKED, AFTER, END], ("?}",) * 4, "no_index"),
        ([CHECKED, AFTER, END], ("1}", "1}", "2}", "2}"), "tie"),
        ([CHECKED, "It agrees.\n</verify>\n</think>"], ("-1}",) * 4, "headings"),
        (["No code.\n</analyze>\n<verify>\nFine.\n</verify>\n</think>"], ("1}",) * 4, "code"),
        (["Words only.\n</verify>\n</think>"], ("1}",) * 4, "analysis"),
        (["Words.\n</analyze>\nand no check\n</verify>\n</think>"], ("1}",) * 4, "verify"),
    ],
)
def test_a_malformed_critique_says_why(texts: list[str], votes: tuple[str, ...], reason: str) -> None:
    critique, _ = talk(texts, ["True\n"] * 9, votes)
    made = reformat(critique.segments, critique.votes, 2)
    assert isinstance(made, Malformed) and made.reason == reason


def test_a_critique_without_a_closed_check_is_not_asked_for_an_index() -> None:
    critique, _ = talk(["I do not know.</think>"])
    assert (critique.votes, critique.text) == ((), "")


def test_a_model_that_never_ends_is_ended() -> None:
    critique, ran = talk(["again\n```python\nprint(1)\n```\n"] * 100, ["1\n"] * 100)
    assert critique.ended == "rounds" and len(ran) == 7


PIECES = (
    "### Paragraph 1\n", "### Paragraph 2\n", "<analyze>\n", "</analyze>\n", "<verify>\n", "</verify>\n", "```python\n",
    "\n```\n", "[Code Output]\n\n```\n", "<output>\n", "</output>\n", "</think>", "<think>\n", "words\n", "x = 1",
)  # fmt: skip


@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), max_size=5), st.sampled_from(PIECES))
def test_any_text_ends_in_canonical_rationales_or_a_reason(texts: list[str], printed: str) -> None:
    critique, _ = talk(texts, [printed] * 20, ("1}",) * 4)
    made = reformat(critique.segments, critique.votes, 2)
    if isinstance(made, Reformatted):
        for number, rationale in enumerate(made.rationales, start=1):
            assert parse(render(rationale, number)).rationale == rationale
