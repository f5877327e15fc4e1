"""GSM8K solutions as arithmetic: annotated steps, the equations in them, and slips put into their results.

Steps carry calculator annotations, ``48/2 = <<48/2=24>>24 clips``. A reader sees the step without ``<<...>>``; the
annotation tells which arithmetic the number after it claims, also where the text says it in words only. A slip
changes one claimed number of the visible text and nothing else. Everything here is pure and deterministic: random
choices come from the ``random.Random`` or seed that is passed in.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

from genprm.errors import InputError
from genprm.lab.arithmetic import (
    NUMBER,
    Equation,
    agrees,
    calculator,
    calculator_can_parse,
    calculator_first_error,
    evaluate,
    holds,
    literal,
    normalise,
)
from genprm.types import Solution

__all__ = [
    "Equation",
    "ParsedStep",
    "SlipKind",
    "Slipped",
    "calculator",
    "calculator_can_parse",
    "calculator_first_error",
    "evaluate",
    "from_hub_row",
    "hard_subset",
    "holds",
    "inject_slip",
    "parse_step",
    "slip_set",
    "strip_annotations",
]

SlipKind = Literal["near", "digit", "swap", "scale", "carry", "operation"]
SLIP_KINDS: tuple[SlipKind, ...] = ("near", "digit", "swap", "scale", "carry", "operation")

_ANNOTATION = re.compile(r"<<([^<>]*)>>")
_CLAIMED = re.compile(rf"\s?[$€£]?-?{NUMBER}")
_NUMBER = re.compile(NUMBER)


@dataclass(frozen=True, slots=True)
class ParsedStep:
    """A step as a reader sees it and its equations in order of appearance.

    ``annotated`` counts the equations that an annotation vouches for; the others were read from the text.
    """

    text: str
    equations: tuple[Equation, ...]
    annotated: frozenset[int] = frozenset()
    """Indices into ``equations``."""


@dataclass(frozen=True, slots=True)
class Slipped:
    """A step with one claimed number changed: ``original`` became ``equation`` (same expression, another claim)."""

    text: str
    equations: tuple[Equation, ...]
    index: int
    """Which of ``equations`` is wrong now."""
    kind: SlipKind
    original: Equation

    @property
    def equation(self) -> Equation:
        """The equation that does not hold any more."""
        return self.equations[self.index]


def from_hub_row(row: Mapping[str, Any], id: str = "") -> dict[str, Any]:
    """A row of ``openai/gsm8k`` (``answer`` ends in ``#### 72``) as ``{id, problem, answer, steps}``."""
    question, text = row.get("question"), row.get("answer")
    if not isinstance(question, str) or not isinstance(text, str) or "####" not in text:
        raise InputError("a GSM8K row needs 'question' and an 'answer' with '####' before the result; check the source")
    body, _, answer = text.rpartition("####")
    steps = [line.strip() for line in body.split("\n") if line.strip()]
    return {"id": id, "problem": question.strip(), "answer": answer.strip().replace(",", ""), "steps": steps}


def strip_annotations(step: str) -> str:
    """The step without its calculator annotations: what a reader sees."""
    return _ANNOTATION.sub("", step)


def parse_step(step: str) -> ParsedStep:
    """The visible text of a step and its equations: the annotated ones, and others that can be read in the text."""
    text = strip_annotations(step)
    readable = {(equation.start, equation.end): equation for equation in calculator(text)}
    found: list[tuple[Equation, bool]] = []
    removed = 0
    for match in _ANNOTATION.finditer(step):
        start = match.start() - removed
        removed += match.end() - match.start()
        equation = _annotated(match[1], text, start, readable)
        if equation is not None:
            found.append((equation, True))
    spans = {(equation.start, equation.end) for equation, _ in found}
    found += [(equation, False) for span, equation in readable.items() if span not in spans]
    found.sort(key=lambda pair: pair[0].start)
    annotated = frozenset(index for index, (_, vouched) in enumerate(found) if vouched)
    return ParsedStep(text, tuple(equation for equation, _ in found), annotated)


def _annotated(
    annotation: str, text: str, position: int, readable: Mapping[tuple[int, int], Equation]
) -> Equation | None:
    """The equation of one annotation, its claimed number at ``position``; ``None`` if it states no operation."""
    left = normalise(annotation.split("=")[0])
    claim = _CLAIMED.match(text, position)
    if claim is None or not re.search(r"[\d)][+\-*/]", left):
        return None
    number = _NUMBER.search(text, position)
    assert number is not None
    sign = "-" if "-" in claim.group() or text[:position].endswith(("=-", "= -")) else ""
    try:
        value = evaluate(left)
    except InputError:
        return None
    span = number.span()
    seen = readable.get(span)
    visible = seen is not None and evaluate(seen.expression) in (value, value * 100, value / 100)
    return Equation(left, literal(sign + number[0]), visible, *span)


def inject_slip(
    parsed: ParsedStep, rng: random.Random, *, index: int | None = None, kind: SlipKind | None = None
) -> Slipped | None:
    """The step with one claimed number made wrong, or ``None`` if it has no claim that holds and can be changed.

    Without ``index`` an equation is drawn; without ``kind`` the kinds are tried in random order. The new number is
    written as the old one was (commas, decimals) and does not hold even with rounding.
    """
    choices = [i for i, equation in enumerate(parsed.equations) if holds(equation) and index in (None, i)]
    rng.shuffle(choices)
    for choice in choices:
        kinds = [kind] if kind is not None else rng.sample(SLIP_KINDS, len(SLIP_KINDS))
        for wanted in kinds:
            written = _wrong_number(parsed.text, parsed.equations[choice], wanted, rng)
            if written is not None:
                return _with_claim(parsed, choice, written, wanted)
    return None


def _with_claim(parsed: ParsedStep, index: int, written: str, kind: SlipKind) -> Slipped:
    target = parsed.equations[index]
    text = parsed.text[: target.start] + written + parsed.text[target.end :]
    shift = len(written) - (target.end - target.start)
    equations = [
        replace(equation, start=equation.start + shift, end=equation.end + shift)
        if equation.start > target.start
        else equation
        for equation in parsed.equations
    ]
    sign = "-" if target.claimed.startswith("-") else ""
    equations[index] = replace(target, claimed=sign + literal(written), end=target.end + shift)
    return Slipped(text, tuple(equations), index, kind, target)


def _wrong_number(text: str, equation: Equation, kind: SlipKind, rng: random.Random) -> str | None:
    """Another number for the claim, as it is to be written, or ``None`` where this kind of slip is impossible."""
    original = text[equation.start : equation.end]
    decimals = len(original.partition(".")[2])
    units = int(literal(original).replace(".", "") or "0")  # in units of the last place
    sign = "-" if equation.claimed.startswith("-") else ""
    value = evaluate(equation.expression)
    for candidate in _candidates(units, decimals, equation, kind, rng):
        written = _write(candidate, decimals, original)
        if candidate > 0 and candidate != units and not _close(value, sign + literal(written)):
            return written
    return None


def _close(value: Fraction, claimed: str) -> bool:
    """Whether the claim could pass for the value, as a number or as a percentage of it."""
    return any(agrees(reading, claimed) for reading in (value, value * 100, value / 100))


def _candidates(units: int, decimals: int, equation: Equation, kind: SlipKind, rng: random.Random) -> list[int]:
    """Wrong values in units of the last place, best first."""
    digits = str(units)
    if kind == "near":
        found = [units + sign * size for sign in (-1, 1) for size in range(1, 10)]
    elif kind == "digit":
        found = [
            int(digits[:place] + new + digits[place + 1 :])
            for place in range(len(digits))
            for new in "0123456789"
            if not (place == 0 and new == "0")
        ]
    elif kind == "swap":
        found = [
            int(digits[:i] + digits[i + 1] + digits[i] + digits[i + 2 :])
            for i in range(len(digits) - 1)
            if not (i == 0 and digits[1] == "0")
        ]
    elif kind == "scale":
        found = [units * 10] + ([units // 10] if units % 10 == 0 else [])
    elif kind == "carry":
        found = [units + sign * 10**place for sign in (-1, 1) for place in range(1, max(2, len(digits)))]
    else:
        found = _other_operations(equation.expression, decimals)
    rng.shuffle(found)
    return found


def _other_operations(expression: str, decimals: int) -> list[int]:
    """Values of the expression with one operator exchanged, where the same decimals can write them."""
    found = []
    for match in re.finditer(r"(?<=[\d)])[+\-*/]", expression):
        for operator in "+-*/":
            if operator == match[0]:
                continue
            try:
                value = evaluate(expression[: match.start()] + operator + expression[match.end() :]) * 10**decimals
            except InputError:
                continue
            if value.denominator == 1:
                found.append(int(value))
    return found


def _write(units: int, decimals: int, original: str) -> str:
    digits = str(units).rjust(decimals + 1, "0")
    whole, part = (digits[:-decimals], digits[-decimals:]) if decimals else (digits, "")
    if "," in original:
        whole = f"{int(whole):,}"
    if original.startswith(".") and whole == "0":
        whole = ""
    return whole + ("." + part if part else "")


def slip_set(
    rows: Sequence[Mapping[str, Any]], *, per_class: int = 200, seed: int = 0, hard: bool = False
) -> list[Solution]:
    """An evaluation set from reference solutions: ``per_class`` with one slip, as many of other problems untouched.

    A slipped row is labelled with the step of the slip, an untouched one -1. ``extra`` has ``kind`` (of slip, or
    ``clean``), ``calculator_parses`` (whether the calculator reads the changed equation; for untouched rows, every
    annotated one) and ``expression``. ``hard`` draws only rows that the calculator cannot read; they are few, so there
    each problem stands in both classes. Fewer rows come back where ``rows`` has fewer, always as many of one class
    as of the other. The rows stand in random order.
    """
    rng = random.Random(seed)
    order = list(rows)
    rng.shuffle(order)
    slipped: list[Solution] = []
    clean: list[Solution] = []
    for row in order:
        if min(len(slipped), len(clean)) >= per_class:
            break
        parsed = [parse_step(step) for step in row["steps"]]
        made = _slipped_row(row, parsed, rng, hard) if hard or len(slipped) <= len(clean) else None
        if made is not None:
            slipped.append(made)
        if (hard or made is None) and (untouched := _clean_row(row, parsed, hard)) is not None:
            clean.append(untouched)
    size = min(len(slipped), len(clean), per_class)
    chosen = slipped[:size] + clean[:size]
    rng.shuffle(chosen)
    return chosen


def hard_subset(solutions: Sequence[Solution], seed: int = 0) -> list[Solution]:
    """The rows of a slip set that the calculator cannot read, the larger class thinned to the size of the smaller."""
    rng = random.Random(seed)
    hard = [solution for solution in solutions if not solution.extra["calculator_parses"]]
    wrong = [solution for solution in hard if solution.label != -1]
    clean = [solution for solution in hard if solution.label == -1]
    size = min(len(wrong), len(clean))
    keep = {id(solution) for group in (wrong, clean) for solution in rng.sample(group, size)}
    return [solution for solution in hard if id(solution) in keep]


def _unreadable(parsed: ParsedStep) -> list[int]:
    """Indices of the annotated equations that the calculator does not read."""
    read = {(equation.start, equation.end) for equation in calculator(parsed.text)}
    return [i for i in sorted(parsed.annotated) if (parsed.equations[i].start, parsed.equations[i].end) not in read]


def _slipped_row(
    row: Mapping[str, Any], parsed: Sequence[ParsedStep], rng: random.Random, hard: bool
) -> Solution | None:
    places = [
        (step, index)
        for step, content in enumerate(parsed)
        for index in (_unreadable(content) if hard else sorted(content.annotated))
    ]
    rng.shuffle(places)
    for step, index in places:
        slip = inject_slip(parsed[step], rng, index=index)
        if slip is None:
            continue
        reads = calculator_can_parse(slip.text, (slip.equation.start, slip.equation.end))
        if hard and reads:
            continue
        steps = [slip.text if i == step else content.text for i, content in enumerate(parsed)]
        return _solution(row, steps, step, slip.kind, reads, slip.equation.expression)
    return None


def _clean_row(row: Mapping[str, Any], parsed: Sequence[ParsedStep], hard: bool) -> Solution | None:
    if not any(content.annotated for content in parsed):
        return None
    unreadable = [(content, index) for content in parsed for index in _unreadable(content)]
    if hard and not unreadable:
        return None
    expression = unreadable[0][0].equations[unreadable[0][1]].expression if unreadable else ""
    return _solution(row, [content.text for content in parsed], -1, "clean", not unreadable, expression)


def _solution(
    row: Mapping[str, Any], steps: Sequence[str], label: int, kind: str, reads: bool, expression: str
) -> Solution:
    extra = {"kind": kind, "calculator_parses": reads, "expression": expression}
    name = f"{row.get('id', '')}-{'clean' if label == -1 else 'slip'}"
    return Solution(
        problem=row["problem"],
        steps=tuple(steps),
        id=name,
        problem_id=str(row.get("id", "")),
        generator="gsm8k-reference",
        answer=row.get("answer"),
        label=label,
        extra=extra,
    )
