"""Answers that need no algebra: plain numbers, found and compared here exactly as math-verify would, but at once.

Everything that is not certain is left to math-verify: both functions then say ``None``.
"""

from __future__ import annotations

import re
from decimal import Decimal

PLACES = 6
"""math-verify rounds decimals to so many places; with no more of them its comparison is exact."""
_NUMBER = r"-?\d{1,12}(?:\.\d{1,6})?"
_PLAIN = re.compile(rf"\s*({_NUMBER})\s*")
_ENDING = re.compile(rf"(?<=[\s$])\\boxed\{{({_NUMBER})\}}\$?\.?\s*\Z")


def boxed_number(text: str) -> str | None:
    """The number in the only box of a text that ends with it; ``None`` for any other text.

    Phrases such as "final answer is" go before boxes in math-verify: a text with one is not decided here.
    """
    found = _ENDING.search(text[-64:])
    if found is None or text.count("\\boxed") != 1 or "final answer" in text.lower():
        return None
    opened, closed = text[: text.rindex("\\boxed")].endswith("$"), text.rstrip().rstrip(".").endswith("$")
    return found[1] if opened == closed else None


def numbers_agree(reference: str, answer: str) -> bool | None:
    """Whether two plain numbers are the same; ``None`` unless both are."""
    first, second = _PLAIN.fullmatch(reference), _PLAIN.fullmatch(answer)
    if first is None or second is None:
        return None
    return Decimal(first[1]) == Decimal(second[1])
