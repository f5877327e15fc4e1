"""Decontamination: no problem of a test set, nor a long piece of one, gets into training data. Pure.

    Decontaminate({"math500": problems, "processbench-gsm8k": other_problems})

The default of 13 words is the one that published work uses: Brown et al. (2020, "Language Models are Few-Shot
Learners", appendix C) took 8 to 13 words by the length of the test texts, the evaluation harness of EleutherAI takes
13, and Qwen2.5-Math (2024) matches 13 words of normalised text. One shared run of 13 words is enough here: a training
set loses less by a problem too many than an evaluation by one too few.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from genprm.curate.evidence import Candidate
from genprm.curate.filters import Answers
from genprm.curate.texts import words
from genprm.errors import InputError

SHORTEST = 8
"""Words of the shortest test text that counts when it stands within a longer problem."""


@dataclass(frozen=True, slots=True)
class Decontaminate:
    """Drops solutions to problems that a test set holds. Words are those of ``texts``: normalised, without mark-up.

    Reasons, the first that fits: ``same:NAME`` for a problem with the words of a test text of the set NAME;
    ``overlap:NAME`` for one that shares ``run`` words in a row with it, or holds the whole of a test text of 8 to
    ``run - 1`` words. A shorter test text must be the same: "Find the value of x" would be found everywhere.
    Translations and paraphrases are not found. Raises ``InputError`` for a set without texts.
    """

    tests: Mapping[str, Iterable[str]] = field(repr=False)
    run: int = 13
    name: ClassVar[str] = "decontaminate"
    _same: dict[str, str] = field(init=False, repr=False, default_factory=dict)
    _runs: dict[int, dict[str, str]] = field(init=False, repr=False, default_factory=dict)
    """By length, the runs of words of that length to look for, with the name of their set."""

    def __post_init__(self) -> None:
        if self.run < SHORTEST:
            raise InputError(f"runs of {self.run} words match almost any problem; give {SHORTEST} or more")
        for name, texts in self.tests.items():
            listed = [words(text) for text in ([texts] if isinstance(texts, str) else texts)]
            if not any(listed):
                raise InputError(
                    f"the test set '{name}' holds no text; nothing would be kept out, so give its problems"
                )
            for text in filter(None, listed):
                self._learn(name, text)
        object.__setattr__(self, "tests", dict.fromkeys(self.tests, ()))  # the texts are learnt; let them go

    def _learn(self, name: str, text: Sequence[str]) -> None:
        self._same.setdefault(" ".join(text), name)
        length = min(len(text), self.run)
        if length >= SHORTEST:
            known = self._runs.setdefault(length, {})
            for run in runs(text, length):
                known.setdefault(run, name)

    def apply(self, candidates: Sequence[Candidate]) -> Answers:
        found: dict[str, str | None] = {}
        for candidate in candidates:
            problem = candidate.solution.problem
            if problem not in found:
                found[problem] = self.reason(problem)
        return Answers([found[candidate.solution.problem] or candidate for candidate in candidates])

    def reason(self, problem: str) -> str | None:
        """Why a problem may not be trained on; None if it may."""
        text = words(problem)
        name = self._same.get(" ".join(text))
        if name is not None:
            return f"same:{name}"
        for length, known in sorted(self._runs.items(), reverse=True):
            for run in runs(text, length):
                if run in known:
                    return f"overlap:{known[run]}"
        return None


def runs(text: Sequence[str], length: int) -> Iterator[str]:
    """Every run of ``length`` words of a text, as one string."""
    for start in range(len(text) - length + 1):
        yield " ".join(text[start : start + length])
