"""The text of a growing token sequence, and the stop strings in it.

Tokens are not characters: a stop string may be spread over several tokens, end inside one, or share a token with a
character that is not complete yet. ``TextTail`` decodes only the newest tokens, so each token costs the same however
long the text is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


class TextTail:
    """Decodes tokens as they come and finds the first stop string.

    ``decode`` is a tokenizer's; ``stop`` may be empty. Feed every token in order with ``push``.
    """

    __slots__ = ("_context", "_decode", "_from", "_ids", "_longest", "_settled", "_stop", "_text")

    def __init__(self, decode: Callable[[Sequence[int]], str], stop: Sequence[str]) -> None:
        self._decode = decode
        self._stop = tuple(text for text in stop if text)
        self._longest = max(map(len, self._stop), default=0)
        self._ids: list[int] = []
        self._text = ""
        # Tokens before _settled are in _text. The window decoded starts at _from, one piece earlier, because some
        # decoders write a token differently at the start of a text; _context is the text of that earlier piece.
        self._settled = 0
        self._from = 0
        self._context = ""

    def push(self, token: int) -> str | None:
        """The whole text, cut right after its first stop string, if ``token`` completed one; else ``None``."""
        self._ids.append(token)
        if not self._stop:
            return None
        window = self._decode(self._ids[self._from :])
        if len(window) <= len(self._context) or window.endswith(_INCOMPLETE):
            return None
        searched = max(0, len(self._text) - self._longest + 1)
        self._text += window[len(self._context) :]
        self._from, self._settled = self._settled, len(self._ids)
        self._context = self._decode(self._ids[self._from :])
        ends = [place + len(stop) for stop in self._stop if (place := self._text.find(stop, searched)) >= 0]
        return self._text[: min(ends)] if ends else None

    def text(self) -> str:
        """Text of all tokens."""
        return self._decode(self._ids)
