"""The small model's tokenizer: byte-level BPE trained on the corpus, numbers split into digits.

Every digit and every newline is a token of its own, so that numbers are copied digit by digit. A space belongs to the
word or sign before it: what stands before a number or a name is then a word that tells where it came from, which is
what a small model copies by. The fixed phrases of
the rationale format are kept whole before merging, so that each becomes one ordinary token: one step of decoding
instead of twenty. The result is an ordinary Hugging Face tokenizer with a chat template.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from genprm.rationale import grammar

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BOS, PAD, SYSTEM, USER, ASSISTANT, END = "<|bos|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"
CHAT_TEMPLATE = (
    "{{ '" + BOS + "' }}"
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '" + END + "' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '" + ASSISTANT + "' }}{% endif %}"
)
_PHRASES = (
    "<analyze>\n",
    "Let's analyze the Paragraph ",
    " step by step: ",
    grammar.ANALYZE_END,
    "<verify>\n",
    "Let's use python code to find any potential error:\n",
    "```python\n",
    "```\n",
    "[Code Output]\n\n",
    grammar.VERIFY_END,
    "<output>\n",
    "**Judgement**: $\\boxed",
    grammar.OUTPUT_END,
    "}$\n",
)
_WORDS = r"\p{L}+ ?|\p{N}|[^\s\p{L}\p{N}] ?|\n|[^\S\n]+"


class Corpus(Protocol):
    """Whatever has texts to train on."""

    def texts(self, conversations: int) -> Iterator[str]:
        """What the first so many conversations say."""


def train(corpus: Corpus, *, vocab_size: int = 3072, conversations: int = 6000) -> PreTrainedTokenizerFast:
    """Train on the texts of the first ``conversations`` conversations of the corpus."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_pattern()), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [PAD, BOS, SYSTEM, USER, ASSISTANT, END]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus.texts(conversations), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
    )


def _pattern() -> str:
    """What is split off before merging: the phrases of the format first, then words, digits, signs and newlines."""
    phrases = (re.escape(phrase).replace("\\\n", r"\n") for phrase in _PHRASES)
    return "|".join([*phrases, _WORDS])
