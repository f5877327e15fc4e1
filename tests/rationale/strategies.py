"""Hostile texts and rationales for property tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from genprm.errors import InputError
from genprm.rationale.grammar import ANALYZE_PREFILL, JUDGEMENT_PREFILL, VERIFY_PREFILL, CodeRound, Rationale

_T = TypeVar("_T")

# Times say nothing on a shared machine.
patiently = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))

PIECES = [
    *("```", "```python\n", "```\n", "\n```\n", "``", "`"),
    *("<analyze>", "</analyze>", "</analyze>\n", "<verify>\n", "\n<verify>", "</verify>", "</verify>\n"),
    *(
        "<output>",
        "\n<output>\n",
        "</output>",
        "</output>\n",
        "\\boxed",
        "\\boxed{No}",
        "\\boxed{Yes}",
        "{Yes}$\n",
        "{No",
    ),
    *("[Code Output]", "[Code Output]\n\n```\n", "Judgement: No", "**Judgement**: Yes\n", "\nJudgement: Yes"),
    *("<|im_end|>", "<|im_start|>", "\n", " ", "x", "print(1)", "é", "\ud800"),
    *(ANALYZE_PREFILL.format(paragraph=3), VERIFY_PREFILL, JUDGEMENT_PREFILL),
]

texts = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
long_texts = st.lists(st.sampled_from(PIECES), max_size=20).map("".join)


def _valid(build: Callable[..., _T], *parts: st.SearchStrategy[object]) -> st.SearchStrategy[_T]:
    """What ``build`` makes of ``parts``, where it does not refuse them."""

    def attempt(arguments: tuple[object, ...]) -> list[_T]:
        try:
            return [build(*arguments)]
        except InputError:
            return []

    return st.tuples(*parts).map(attempt).filter(bool).map(lambda made: made[0])


_first = _valid(lambda source, output: CodeRound(source, output), texts, texts)
_later = _valid(CodeRound, texts, texts, texts)
_rounds = st.just(()) | st.tuples(_first, st.lists(_later, max_size=2)).map(lambda pair: (pair[0], *pair[1]))

rationales = _valid(
    lambda analysis, rounds, judgement, closing: Rationale(analysis, rounds, judgement, closing if rounds else ""),
    st.none() | texts,
    _rounds,
    st.sampled_from(["Yes", "No", None]),
    texts,
)
