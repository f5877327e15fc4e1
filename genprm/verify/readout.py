"""P(Yes) and P(No) at the judgement position, by teacher-forced scoring of both words.

The dialogue says where to read: after the ``\\boxed{`` that the model wrote (natural) or that the harness wrote
(forced). Both are scored in one call, raw; a word of several tokens has the probability of them all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from genprm.engines.base import Engine
from genprm.rationale.dialogue import Probabilities

WORDS = ("Yes", "No")


async def read_out(engine: Engine, prompt: Sequence[int]) -> Probabilities:
    """The probabilities of Yes and No right after ``prompt``. Raises ``EngineUnavailable``."""
    options = [engine.tokenizer.encode(word) for word in WORDS]
    yes, no = await engine.score(prompt, options)
    return Probabilities(math.exp(yes), math.exp(no))
