"""Words of a text, as decontamination and the search for duplicates compare them. Pure."""

from __future__ import annotations

import re
import unicodedata

# Text without spaces between words counts each character as a word.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")


def words(text: str) -> list[str]:
    """The words of a text: NFKC, lower case, letters and digits only, so that mark-up and punctuation do not count.

    ``$x^2$`` and ``x^{2}`` are both ``x 2``; the name of a LaTeX command stays a word.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return _WORD.findall(text.lower())
