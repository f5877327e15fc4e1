"""Whether what the code printed agrees with the judgement written below it. Pure, and shy of saying so.

The rule. Of the outputs of a rationale the last one that says anything decides; an output that ends in an execution
error says nothing, for the check did not run to its end. An output speaks by

* a line that is ``True`` or ``False``, or ends so behind words that speak of a check ("The step is correct: True",
  "matches = False"). Behind words of failure ("mismatch: False", "Is there an error? True") a boolean is not read;
* a line that says in words that something is correct, verified, matching or free of errors, or that it is incorrect,
  wrong, mismatched or in error. A line with both, or with "if", "whether", "should" or a question, says nothing:
  "The correct value is 5" is no praise of the step;
* two labelled numbers, one computed and one claimed ("Computed: 24", "Claimed: 25"), once each in the output. Numbers
  that agree when one is rounded as the other are equal; otherwise those within 1 % of each other say nothing.

If everything that an output says points one way, right or wrong, that is compared with Yes or No. If it points both
ways, if no output says anything, or if no judgement is written, the answer is ``none``. So ``conflict`` means that the
code said one thing and the judgement the opposite; ``none`` is no sign of quality.

Not covered: a step that is wrong for a reason which its (true) arithmetic check cannot see is a conflict here, and a
bare ``False`` may answer another question than "is the step right?". Measure on labelled data before dropping much.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Literal

from genprm.rationale.grammar import Rationale
from genprm.types import Judgement

CodeVerdict = Literal["consistent", "conflict", "none"]

_LONGEST_LINE = 400
"""Characters of a line that are read: a longer one is data."""
_FAILED = re.compile(r"^Code (?:execute (?:Error|time out)|format error)", re.MULTILINE)
_BOOLEAN = re.compile(r"^(?:(?P<label>.*?)(?:[:=?>]|\bis\b)\s*)?\(?(?P<value>True|False)\)?[.!]?$")
_CHECK = re.compile(r"\b(?:correct|match(?:es|ed)?|consistent|agrees?|verified|verification|step|claim\w*|paragraph)\b")
_FAILURE = re.compile(
    r"\b(?:no|not|never|errors?|mistakes?|wrong|incorrect|false|invalid|mismatch\w*|differ\w*|inconsisten\w*"
    r"|contradict\w*|fail\w*|violat\w*|discrepanc\w*)\b|n't\b"
)
_OPEN = re.compile(r"\b(?:if|whether|unless|should|would|might|may|could|let|check(?:ing)? (?:that|for))\b|\?")
_CLEARED = re.compile(r"\b(?:no|without|0|zero)\s(?:\w+\s)?(?:errors?|mistakes?|discrepanc(?:y|ies)|mismatch(?:es)?)\b")
# Words of a verdict are also words of word problems ("matches played", "3 answers incorrect", "standard error in"), so
# they count only where they are said of something: behind a verb, or alone on their line.
_IS = r"\b(?:is|are|was|were|seems|looks) (?:\w+ly |indeed |also |all )?"
_ABOUT = r"(?:step|paragraph|calculation|computation|result|answer|solution|statement|claim|reasoning)s?"
_ALONE = rf"^(?:(?:the )?{_ABOUT}(?: \d+)?(?: is)?[: ]+)?"
_WRONG = re.compile(
    rf"{_IS}(?:incorrect|wrong|inconsistent)\b(?![\s)]*[:=])|{_ALONE}(?:incorrect|wrong)(?:[.!:]|$)"
    r"|(?:\bnot|n't) (?:correct|match|verified|consistent|agree)\b"
    r"|\bmismatch(?:es)?\b|\bdiscrepancy\b|\bverification failed\b"
    rf"|\b(?:errors?|mistakes?) (?:found|detected|in (?:the |this )?{_ABOUT})\b"
    r"|\b(?:is|contains|has|found) an? (?:error|mistake)\b(?! (?:of|margin|rate|term))"
)
_RIGHT = re.compile(
    rf"{_IS}(?:correct|verified|consistent)\b(?![\s)]*[:=])|{_ALONE}(?:correct|verified)[.!]?$"
    r"|\b(?:it|this|they|all|both|values?|results?|answers?|calculations?) match(?:es)?\b"
    r"|\bmatch(?:es)? (?:the|our|what|exactly|expected|claimed)\b|\bverification (?:passed|succeeded|successful)\b"
)
_NUMBER = r"\$?(?P<number>[-+]?\d{1,20}(?:,\d{3}){0,6}(?:\.\d{1,20})?(?:/\d{1,20})?)(?![\w.^*/%]*\w)"
_COMPUTED = re.compile(rf"\b(?:re)?(?:computed|calculated|actual|got|true|correct)\b[^:=\n\d]{{0,30}}[:=]\s*{_NUMBER}")
_CLAIMED = re.compile(
    rf"\b(?:expected|claimed|stated|reported|step|paragraph|solution)\b[^:=\n\d]{{0,30}}[:=]\s*{_NUMBER}"
)
_CLOSE = Fraction(1, 100)


def code_verdict(rationale: Rationale) -> CodeVerdict:
    """Whether the code outputs of a rationale agree with its judgement, by the rule above."""
    return verdict_of_outputs([code.output for code in rationale.rounds], rationale.judgement)


def verdict_of_outputs(outputs: Sequence[str], judgement: Judgement | None) -> CodeVerdict:
    """The same of the outputs alone, in the order they were printed."""
    if judgement is None:
        return "none"
    for output in reversed(outputs):
        said = _said(output)
        if said:
            return "none" if len(said) > 1 else "consistent" if judgement in said else "conflict"
    return "none"


def code_verdicts(rationales: Iterable[Rationale]) -> tuple[CodeVerdict, ...]:
    """``code_verdict`` of each."""
    return tuple(code_verdict(rationale) for rationale in rationales)


def printed_judgement(output: str) -> Judgement | None:
    """What a code output says of the step: Yes, No, or None where it says nothing or both."""
    said = _said(output)
    return said.pop() if len(said) == 1 else None


def _said(output: str) -> set[Judgement]:
    """Every way an output points."""
    if _FAILED.search(output):
        return set()
    lines = [line.strip().replace("_", " ") for line in output.split("\n") if len(line) <= _LONGEST_LINE]
    said = {_line(line) for line in lines} | {_values("\n".join(lines).lower())}
    return {judgement for judgement in said if judgement is not None}


def _line(line: str) -> Judgement | None:
    boolean = _BOOLEAN.match(line)
    if boolean is not None:
        label = (boolean["label"] or "").lower()
        if boolean["label"] is not None and (_FAILURE.search(label) or not _CHECK.search(label)):
            return None
        return "Yes" if boolean["value"] == "True" else "No"
    text = line.lower()
    if _OPEN.search(text):
        return None
    rest, cleared = _CLEARED.subn(" ", text)
    wrong = bool(_WRONG.search(rest))
    # What is denied must not be read as said: "does not match" holds "match".
    right = bool(cleared) or bool(_RIGHT.search(_WRONG.sub(" ", rest)))
    return None if right == wrong else "Yes" if right else "No"


def _values(text: str) -> Judgement | None:
    """One computed and one claimed number, compared."""
    computed, claimed = (list(pattern.finditer(text)) for pattern in (_COMPUTED, _CLAIMED))
    if len(computed) != 1 or len(claimed) != 1 or computed[0].start("number") == claimed[0].start("number"):
        return None  # "Actual solution: 3" is one number
    one, other = computed[0]["number"].replace(",", ""), claimed[0]["number"].replace(",", "")
    try:
        a, b = Fraction(one), Fraction(other)
    except ZeroDivisionError:
        return None
    shown = min(_decimals(one), _decimals(other))
    if a == b or ("/" not in one + other and round(a, shown) == round(b, shown) and _decimals(one) != _decimals(other)):
        return "Yes"
    return None if abs(a - b) <= _CLOSE * max(abs(a), abs(b)) else "No"


def _decimals(number: str) -> int:
    return len(number.partition(".")[2])
