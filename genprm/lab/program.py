"""Expressions and steps of the micro-world's hidden programs: exact arithmetic, and the words that state a step."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

OPERATIONS = ("+", "-", "*", "/")
_OTHER = {"+": ("-", "*"), "-": ("+",), "*": ("+", "/"), "/": ("*", "-")}


@dataclass(frozen=True, slots=True)
class Operand:
    """A number of an expression; ``name`` when an earlier step computed it, else it is told or a unit constant."""

    value: Fraction
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Expression:
    """``operands[0] operations[0] operands[1] ...`` with the usual precedence."""

    operands: tuple[Operand, ...]
    operations: tuple[str, ...]

    def value(self) -> Fraction | None:
        """Exact value; ``None`` for a division by zero."""
        terms = [self.operands[0].value]
        signs: list[str] = []
        for operation, operand in zip(self.operations, self.operands[1:], strict=True):
            if operation == "*":
                terms[-1] *= operand.value
            elif operation == "/":
                if operand.value == 0:
                    return None
                terms[-1] /= operand.value
            else:
                signs.append(operation)
                terms.append(operand.value)
        total = terms[0]
        for sign, term in zip(signs, terms[1:], strict=True):
            total = total + term if sign == "+" else total - term
        return total

    def names(self) -> frozenset[str]:
        return frozenset(operand.name for operand in self.operands if operand.name)

    def text(self, *, names: bool = False) -> str:
        """``20 + 5``, or with ``names`` ``ben + 5``."""
        words = [_show(o, names) for o in self.operands]
        return words[0] + "".join(f" {op} {word}" for op, word in zip(self.operations, words[1:], strict=True))

    def same_numbers(self, other: Expression) -> bool:
        mine, theirs = [o.value for o in self.operands], [o.value for o in other.operands]
        return mine == theirs and self.operations == other.operations

    def rebound(self, values: Mapping[str, Fraction]) -> Expression:
        """The same expression over other values of the named operands."""
        swapped = tuple(o if o.name is None else replace(o, value=values.get(o.name, o.value)) for o in self.operands)
        return replace(self, operands=swapped)

    def with_other_operation(self, rng: random.Random) -> Expression:
        place = rng.randrange(len(self.operations))
        changed = list(self.operations)
        changed[place] = rng.choice(_OTHER[changed[place]])
        return replace(self, operations=tuple(changed))

    def with_other_operand(self, rng: random.Random, pool: Sequence[int | Fraction]) -> Expression:
        place = rng.randrange(len(self.operands))
        changed = list(self.operands)
        changed[place] = Operand(Fraction(rng.choice(pool)))
        return replace(self, operands=tuple(changed))

    def without_one(self, rng: random.Random) -> Expression | None:
        """One quantity left out; ``None`` when that leaves no calculation."""
        if len(self.operands) < 3:
            return None
        place = rng.randrange(len(self.operands))
        operands = self.operands[:place] + self.operands[place + 1 :]
        cut = max(place - 1, 0)
        return Expression(operands, self.operations[:cut] + self.operations[cut + 1 :])


def _show(operand: Operand, names: bool) -> str:
    return operand.name if names and operand.name else number(operand.value)


def number(value: Fraction) -> str:
    """``25`` or ``2.5``."""
    return str(value) if value.denominator == 1 else f"{float(value):g}"


@dataclass(frozen=True, slots=True)
class Node:
    """One step of a program: a named quantity, how it is computed and how it is told."""

    name: str
    """Also the variable that verification code gives it."""
    what: str
    """``how many apples Ben picked``."""
    claim: str
    """``Ben picked {v} apples``."""
    because: tuple[str, ...]
    """What makes it so: sentences of the story, and facts about units."""
    expression: Expression
    side: bool = False
    """True but useless: nothing builds on it."""

    @property
    def value(self) -> int:
        result = self.expression.value()
        assert result is not None and result.denominator == 1
        return int(result)

    def say(self, stated: Expression, claimed: Fraction, rng: random.Random) -> str:
        """The step's text for what it states, right or wrong."""
        value = number(claimed)
        expression = stated.text()
        if rng.random() < 0.3:
            expression = expression.replace(" * ", " x ")
        claim = self.claim.format(v=value)
        forms = (
            f"{_capital(self.claim.format(v=f'{expression} = {value}'))}.",
            f"{_capital(self.claim.format(v=f'{expression} = {value}'))}.",
            f"{expression} = {value}, so {claim}.",
            f"To find {self.what}, compute {expression} = {value}.",
            f"Next, {self.what}: {expression} = {value}.",
            f"We get {expression} = {value}. So {claim}.",
            f"{_in_words(stated)} gives {value}, so {claim}.",
            f"This means that {claim}.",
        )
        return rng.choice(forms)

    def quote(self, stated: Expression, claimed: Fraction) -> str:
        """The step's text with the sentence that it rests on before it; it must have one."""
        claim = self.claim.format(v=f"{stated.text()} = {number(claimed)}")
        return f"{self.because[0].removesuffix('.')}, so {claim}."


def _in_words(stated: Expression) -> str:
    if len(stated.operands) != 2:
        return stated.text()
    left, right = (number(o.value) for o in stated.operands)
    words = {
        "+": f"Adding {right} to {left}",
        "-": f"Taking {right} from {left}",
        "*": f"Multiplying {left} by {right}",
        "/": f"Dividing {left} by {right}",
    }
    return words[stated.operations[0]]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
