"""Drives a dialogue from scripted replies, as an engine that honours its contract would."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from genprm.engines.base import StopReason
from genprm.execution.base import ExecutionResult
from genprm.rationale.dialogue import (
    Action,
    Execute,
    Generate,
    Generated,
    Probabilities,
    Reply,
    Settings,
    StepResult,
    judge_step,
)

LIMIT = 100
PROMPT = 50
"""Tokens of the step's prompt; every character of the turn counts as one more."""


@dataclass
class Drive:
    """A driven dialogue: what it asked for and what came of it."""

    result: StepResult
    actions: list[Action] = field(default_factory=list)

    @property
    def kinds(self) -> str:
        """First letters of the actions: g, e, r."""
        return "".join(type(action).__name__[0].lower() for action in self.actions)

    def generate(self, index: int) -> Generate:
        return [action for action in self.actions if isinstance(action, Generate)][index]


def until_stop(text: str, stop: Iterable[str]) -> tuple[str, bool]:
    """``text`` up to and with the first stop string, and whether there is one."""
    ends = [text.find(string) + len(string) for string in stop if string in text]
    return (text[: min(ends)], True) if ends else (text, False)


def drive(
    settings: Settings,
    texts: Iterable[str | tuple[str, StopReason]],
    outputs: Iterable[ExecutionResult | str] = (),
    probabilities: Probabilities | None = None,
    *,
    paragraph: int = 2,
    special_tokens: Iterable[str] = ("<|im_end|>",),
) -> Drive:
    """Answer with ``texts`` and ``outputs`` in order (a text alone ends at its stop string, else with eos)."""
    script, results = iter(texts), iter(outputs)
    actions: list[Action] = []
    dialogue = judge_step(settings, paragraph, frozenset(special_tokens))
    action = next(dialogue)
    for _ in range(LIMIT):
        actions.append(action)
        reply: Reply
        if isinstance(action, Generate):
            reply = _generated(action, next(script))
        elif isinstance(action, Execute):
            output = next(results)
            reply = ExecutionResult("ok", output) if isinstance(output, str) else output
        else:
            reply = probabilities or Probabilities(0.3, 0.1)
        try:
            action = dialogue.send(reply)
        except StopIteration as end:
            return Drive(end.value, actions)
    raise AssertionError("the dialogue does not end")


def _generated(action: Generate, scripted: str | tuple[str, StopReason]) -> Generated:
    prompt_tokens = PROMPT + sum(len(segment.text) for segment in action.segments)
    if isinstance(scripted, str):
        text, stopped = until_stop(scripted, action.stop)
        reason: StopReason = "stop" if stopped else "eos"
    else:
        text, reason = scripted
    return Generated(text, tuple(range(len(text))), reason, prompt_tokens)
