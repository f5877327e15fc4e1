"""P(Yes) and P(No) at the judgement position, by teacher-forced scoring of both words.

The dialogue says where to read: after the ``\\boxed{`` that the model wrote (natural) or that the harness wrote
(forced). Both are scored in one call, raw; a word of several tokens has the probability of them all.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from genprm.engines.base import Engine
from genprm.rationale.actions import NoRoom, Probabilities

WORDS = ("Yes", "No")


async def read_out(engine: Engine, prompt: Sequence[int]) -> Probabilities | NoRoom:
    """The probabilities of Yes and No right after ``prompt``. Raises ``EngineUnavailable``."""
    options = [engine.tokenizer.encode(word) for word in WORDS]
    if len(prompt) + max(map(len, options)) > engine.context_length:
        return NoRoom()
    yes, no = await engine.score(prompt, options)
    p_yes, p_no = math.exp(yes), math.exp(no)
    if p_yes == p_no == 0.0 and math.isfinite(most := max(yes, no)):
        # Both are too small for a float; what counts is their ratio.
        least = sys.float_info.min
        return Probabilities(least * math.exp(yes - most), least * math.exp(no - most))
    return Probabilities(p_yes, p_no)
