"""Arithmetic found in prose: equations, their exact value, and the regex-and-eval calculator used as a baseline.

An :class:`Equation` is a claim ``expression = number`` with the place of the number in a text. The calculator
reads visible text only. For every ``=`` that is followed by a single number it walks left over numbers, operators,
brackets, currency signs and unit words, as far as they make one arithmetic expression, and compares exactly. It
refuses (rather than guesses) where the expression seems to go on to the left in a form that it cannot read.
Arithmetic in words ("half of 48", "twice as many") is beyond it by design.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from genprm.errors import InputError

NUMBER = r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
MAX_EXPRESSION = 200
_MAX_BRACKETS = 20
_SAFE = re.compile(r"[\d.+\-*/() ]+")
_CLAIM = re.compile(rf"\s*(?:about |approximately |~)?\s*(?P<sign>-\s?)?[$€£]?\s?(?P<number>(?P<inner>-)?{NUMBER})")
# What follows a number that is no result by itself: an operation, a variable, a ratio, a mixed or spaced number.
_GOES_ON = re.compile(
    rf"\s*%?(?:\s?[A-Za-z]+|/[A-Za-z]+)?\s*(?:[+*×÷^–−]|[-/xX]\s*[$€£(]?\s*\.?\d)"
    rf"|\(\d|:\d|\s{NUMBER}/\d|\s\d{{3}}\b|[A-Za-z](?![A-Za-z])|/\s?[A-Za-z]\b|\.\.\."
)
_TOKEN = re.compile(
    rf"(?P<num>{NUMBER})(?:(?:st|nd|rd|th)\b)?"
    r"|(?P<unit>(?:/|\bper\b)\s*[A-Za-z][A-Za-z.]*)"
    r"|(?P<op>\*\*|[+*/×÷^]|-(?![A-Za-z])|[–−]|(?<![A-Za-z])[xX](?=\s*[$€£(.\d]))"
    r"|(?P<open>[(\[{])|(?P<close>[)\]}])"
    r"|(?P<pct>%)|(?P<cur>[$€£¢])"
    r"|(?P<word>[A-Za-z]+(?:[-'’][A-Za-z]+)*)"
    r"|(?P<stop>[=.,;:?!<>≈\n])|(?P<other>\S)"
)
_OPERATORS = {"x": "*", "X": "*", "×": "*", "÷": "/", "–": "-", "−": "-"}
_BINARY = frozenset({"+", "-", "*", "/", "**", "^"})
# A number before one of these words is part of the same calculation, in words: what stands after is half of it.
_VERBAL = frozenset({"of", "times", "plus", "minus", "by", "less", "more", "percent", "half", "twice", "and", "from"})


@dataclass(frozen=True, slots=True)
class Equation:
    """A claim that ``expression`` equals ``claimed``.

    ``expression`` holds only digits and ``. + - * / ( )``; ``claimed`` is a plain literal such as ``130000``;
    ``visible`` says that the expression can be read in the text itself; ``text[start:end]`` is the claimed number
    as written (``130,000``).
    """

    expression: str
    claimed: str
    visible: bool
    start: int
    end: int


def literal(number: str) -> str:
    """A number as written in prose as a Python literal: ``1,300`` -> ``1300``, ``.50`` -> ``0.50``."""
    text = number.replace(",", "").replace(" ", "")
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, point, decimals = digits.partition(".")
    return sign + (whole.lstrip("0") or "0") + point + decimals


def normalise(expression: str) -> str:
    """An expression with plain literals, ``*`` and ``/`` as the operators and no implicit multiplication."""
    text = "".join(_OPERATORS.get(character, character) for character in expression)
    text = text.replace("//", "/")
    text = re.sub(rf"({NUMBER})%", r"(\1/100)", text)
    text = re.sub(r"[$€£¢\s]", "", text)
    text = re.sub(NUMBER, lambda match: literal(match[0]), text)
    return re.sub(r"(?<=[\d)])(?=\()|(?<=\))(?=\d)", "*", text)


@lru_cache(maxsize=65536)
def evaluate(expression: str) -> Fraction:
    """The exact value of an arithmetic expression; ``InputError`` for anything else, division by zero included."""
    if len(expression) > MAX_EXPRESSION or expression.count("(") > _MAX_BRACKETS or not _SAFE.fullmatch(expression):
        raise InputError(f"{expression[:60]!r} is not plain arithmetic; use digits, + - * / and brackets only")
    try:
        return _value(ast.parse(expression.strip(), mode="eval").body)
    except (SyntaxError, ZeroDivisionError, OverflowError, ValueError) as error:
        raise InputError(f"{expression!r} has no value ({error}); correct the expression") from error


def _value(node: ast.expr) -> Fraction:
    match node:
        case ast.Constant(value=int() | float() as number):
            return Fraction(str(number))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _value(left) + _value(right)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _value(left) - _value(right)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _value(left) * _value(right)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            return _value(left) / _value(right)
        case _:
            raise ValueError("only numbers, + - * / and brackets are allowed")


def agrees(value: Fraction, claimed: str) -> bool:
    """Whether ``claimed`` states ``value``: exactly, or rounded up or down to the decimals it shows.

    A value that those decimals can express must be met exactly: 5280 is not 5281, however close.
    """
    decimals = len(claimed.partition(".")[2])
    scaled = value * 10**decimals
    stated = Fraction(claimed) * 10**decimals
    return stated in (math.floor(scaled), math.ceil(scaled))


def holds(equation: Equation) -> bool:
    """Whether the claimed number is the value of the expression, up to rounding to the decimals shown."""
    return agrees(evaluate(equation.expression), equation.claimed)


def calculator(text: str) -> list[Equation]:
    """Every ``expression = number`` that can be read in visible text, in order of appearance."""
    if "=" not in text:
        return []
    tokens = list(_TOKEN.finditer(text))
    found: list[Equation] = []
    for index, token in enumerate(tokens):
        if token["stop"] != "=":
            continue
        claim = _CLAIM.match(text, token.end())
        if claim is None or _GOES_ON.match(text, claim.end()):
            continue
        expression = _left_side(text, tokens[:index])
        if expression is not None:
            equation = _equation(text, expression, claim)
            if equation is not None:
                found.append(equation)
    return found


def calculator_first_error(steps: Sequence[str]) -> int:
    """The baseline verifier: the first step with an equation that does not hold, -1 if there is none."""
    for index, step in enumerate(steps):
        if not all(map(holds, calculator(step))):
            return index
    return -1


def calculator_can_parse(text: str, span: tuple[int, int]) -> bool:
    """Whether the calculator reads an equation whose claimed number stands at ``span``."""
    return any((equation.start, equation.end) == span for equation in calculator(text))


def _equation(text: str, expression: str, claim: re.Match[str]) -> Equation | None:
    try:
        value = evaluate(expression)
    except InputError:
        return None
    sign = "-" if claim["sign"] else ""
    claimed = literal(sign + claim["number"])
    if re.match(r"\s*(?:%|percent\b|cents\b)", text[claim.end() :]):
        expression, value = _as_percent(expression, value, claimed)
    return Equation(expression, claimed, True, claim.start("number"), claim.end("number"))


def _as_percent(expression: str, value: Fraction, claimed: str) -> tuple[str, Fraction]:
    """``10/50 = 20%`` and ``10/50*100 = 20%`` are both usual (so are cents): take the reading nearer to the claim."""
    stated = Fraction(claimed)
    if abs(value * 100 - stated) < abs(value - stated):
        return f"({expression})*100", value * 100
    return expression, value


def _left_side(text: str, tokens: Sequence[re.Match[str]]) -> str | None:
    """The longest expression that ends where ``tokens`` end, or ``None`` where there is none to be sure of."""
    parts: list[str] = []
    words: list[str] = []
    for token in reversed(tokens):
        kind, piece = token.lastgroup, token.group()
        if kind == "stop" or kind == "other":
            break
        if kind in ("cur", "unit"):
            continue
        following = parts[-1] if parts else None
        if kind == "word":
            if _is_variable(text, token, following):
                return None
            words.append(piece.lower())
            continue
        if kind == "num":
            piece = literal(token["num"])
        if kind == "open" and following == ")":  # a remark in brackets: "$950 (current)"
            parts.pop()
            continue
        if not _may_precede(kind, following, bool(words)):
            if not _clearly_apart(kind, words):
                return None
            break
        parts.append("%" if kind == "pct" else _operator(kind, piece))
        words.clear()
    return _assemble(list(reversed(parts)))


def _is_variable(text: str, word: re.Match[str], following: str | None) -> bool:
    """Whether a single letter is part of the calculation: ``6A - 5``, ``x + 5``; ``5 + a third`` is prose."""
    if len(word.group()) > 1 or word.group() == "a":
        return False
    attached = word.start() > 0 and text[word.start() - 1] in "0123456789)"
    return attached or following in ("+", "-", "*", "/")


def _operator(kind: str | None, piece: str) -> str:
    if kind == "open":
        return "("
    if kind == "close":
        return ")"
    return _OPERATORS.get(piece, piece)


def _clearly_apart(kind: str | None, words: Sequence[str]) -> bool:
    """Whether prose (``words``, right to left) separates an expression from the number before it.

    ``20% of 50 + 3``, ``5 times 4 + 1``: the number belongs to the calculation, in words.
    """
    if not words or kind in ("op", "open"):
        return False
    return words[-1] not in _VERBAL and (len(words) > 2 or not _VERBAL.intersection(words))


def _may_precede(kind: str | None, following: str | None, apart: bool) -> bool:
    """Whether a token may stand left of ``following`` (``None``: the equals sign) in one expression.

    ``apart`` says that words stand between the two.
    """
    if kind in ("num", "close") and following in ("(", "%"):
        return not apart
    if kind in ("num", "close", "pct"):
        return following is None or following in _BINARY or following == ")"
    unary = following == "-" and not apart
    return following is not None and (unary or following == "(" or following[0].isdigit())


def _assemble(parts: list[str]) -> str | None:
    """The expression of ``parts``, less brackets left open by the prose; ``None`` without an operation in it."""
    while parts and parts[0] == "(" and parts.count("(") > parts.count(")"):
        parts.pop(0)
    if parts and parts[0] in _BINARY - {"-"}:
        return None
    operations = [part for part in parts[1:] if part in ("+", "-", "*", "/")]
    if not operations or "**" in parts or "^" in parts or parts.count("(") != parts.count(")"):
        return None
    expression = normalise("".join(parts))
    return None if re.search(r"/[\d.]+/", expression) else expression  # "8 / 1/4" is read in two ways
