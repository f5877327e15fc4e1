"""Tokenizers behind one protocol: ``HFTokenizer`` for real models, ``ByteTokenizer`` for the scripted engine.

Both keep two promises that a dialogue with untrusted text rests on. Encoding with ``special`` off never yields a
control token, whatever the text says; and ``decode`` neither drops nor adds spaces, so texts of consecutive token
runs join to the text of the whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from genprm.engines.base import Message
from genprm.errors import InputError, ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LOOKS_LIKE_CONTROL = re.compile(r"[<>\[\]|]")


class HFTokenizer:
    """A fast tokenizer of the transformers library.

    ``encode`` adds nothing (no begin-of-sequence token); ``render_chat`` is the tokenizer's own chat template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        from tokenizers import Tokenizer as Backend

        self.hf = tokenizer
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ModelError(
                f"the tokenizer {type(tokenizer).__name__} of '{tokenizer.name_or_path}' has no fast version; "
                "save the model with a tokenizer.json"
            )
        # Own copies: the library switches truncation and padding of its backend on and off between calls.
        state = json.loads(backend.to_str())
        state["truncation"] = state["padding"] = None
        self._special_texts = _control_texts(state)
        self._parsing = Backend.from_str(json.dumps(state))
        # Without the entries themselves nothing can match them, not even those not marked as special.
        state["added_tokens"] = [
            entry for entry in state["added_tokens"] if entry["content"] not in self._special_texts
        ]
        self._plain = Backend.from_str(json.dumps(state))
        self._anchor = self._find_anchor()

    @classmethod
    def from_folder(cls, folder: str) -> HFTokenizer:
        """The tokenizer of a model folder or hub name; ``ModelError`` if there is none."""
        from genprm.engines.loading import load_tokenizer

        return cls(load_tokenizer(folder))

    @property
    def special_tokens(self) -> frozenset[str]:
        return self._special_texts

    def encode(self, text: str, *, special: bool = False) -> tuple[int, ...]:
        backend = self._parsing if special else self._plain
        return tuple(backend.encode(text, add_special_tokens=False).ids)

    @property
    def opening(self) -> tuple[int, ...]:
        """What the tokenizer puts before a text when the library is asked for special tokens (a begin of sequence)."""
        whole = self._parsing.encode("a", add_special_tokens=True).ids
        return tuple(whole[: whole.index(self._parsing.encode("a", add_special_tokens=False).ids[0])])

    def encode_ends(self, text: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The ids of ``encode(text)``, and for each the character of ``text`` that it ends before."""
        encoded = self._plain.encode(text, add_special_tokens=False)
        return tuple(encoded.ids), tuple(end for _, end in encoded.offsets)

    def decode(self, ids: Sequence[int]) -> str:
        if not self._anchor or not ids:
            return self._parsing.decode(list(ids), skip_special_tokens=True)
        anchored = self._parsing.decode([*self._anchor[0], *ids], skip_special_tokens=True)
        return anchored[self._anchor[1] :]

    def render_chat(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        if not self.hf.chat_template:
            raise ModelError(
                f"the tokenizer of '{self.hf.name_or_path}' has no chat template; add one to its folder as "
                "chat_template.jinja"
            )
        rendered = self.hf.apply_chat_template(
            [dict(message) for message in messages], tokenize=False, add_generation_prompt=add_generation_prompt
        )
        return str(rendered)

    def _find_anchor(self) -> tuple[list[int], int] | None:
        """A prefix to decode behind, for tokenizers whose decoder drops the first space of a text."""
        first = self._plain.encode("a", add_special_tokens=False).ids
        whole = self._plain.encode("a b", add_special_tokens=False).ids
        rest = whole[len(first) :]
        if whole[: len(first)] != first or self._parsing.decode(rest) == " b":
            return None
        return first, len(self._parsing.decode(first))


def _control_texts(state: Mapping[str, Any]) -> frozenset[str]:
    """Added tokens that steer a model. Some models do not mark all of theirs as special (``<tool_call>``)."""
    return frozenset(
        entry["content"]
        for entry in state["added_tokens"]
        if entry["special"] or _LOOKS_LIKE_CONTROL.search(entry["content"])
    )


class ByteTokenizer:
    """One token per UTF-8 byte and three control tokens; needs no files and no library.

    Ids 0 to 255 are bytes, then ``<|bos|>``, ``<|im_start|>``, ``<|im_end|>``.
    """

    SPECIAL = ("<|bos|>", "<|im_start|>", "<|im_end|>")
    _SPLIT = re.compile("(" + "|".join(re.escape(text) for text in SPECIAL) + ")")

    @property
    def special_tokens(self) -> frozenset[str]:
        return frozenset(self.SPECIAL)

    @property
    def vocabulary_size(self) -> int:
        return 256 + len(self.SPECIAL)

    def encode(self, text: str, *, special: bool = False) -> tuple[int, ...]:
        if not special:
            return tuple(text.encode())
        ids: list[int] = []
        for piece in self._SPLIT.split(text):
            if piece in self.SPECIAL:
                ids.append(256 + self.SPECIAL.index(piece))
            else:
                ids.extend(piece.encode())
        return tuple(ids)

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(i for i in ids if i < 256).decode(errors="replace")

    def render_chat(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        """ChatML behind one ``<|bos|>``."""
        parts = ["<|bos|>"]
        for message in messages:
            if not {"role", "content"} <= message.keys():
                raise InputError(f"a chat message needs 'role' and 'content', this one has {sorted(message)}")
            parts.append(f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n")
        if add_generation_prompt:
            parts.append("<|im_start|>assistant\n")
        return "".join(parts)
