"""The live display of a rollout: samples, then prefixes, with rates; the first prompt and the first solution, once."""

from __future__ import annotations

from dataclasses import asdict

from rich.console import Console

from genprm.cli.progress import JsonEvents, Live, eta
from genprm.rollout.metrics import Progress
from genprm.rollout.samples import Sample

NOUNS = {"solutions": "samples", "completions": "prefixes"}


class RolloutDisplay(Live):
    """A context manager; give its methods the events of the run, from any thread."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, "samples")

    def prompt(self, text: str, place: str) -> None:
        """The first prompt, and what it is of."""
        self.example(f"first prompt: {place}", text)

    def result(self, beat: Progress) -> None:
        """One more sample or prefix is in."""
        if self._examples and isinstance(beat.result, Sample):
            sample = beat.result
            told = sample.outcome + ("" if sample.reason is None else f", {sample.reason}")
            self.example(f"first solution to be ready: {sample.id} ({told})", sample.text)
            self._examples = False
        left = eta(beat.done, beat.total, beat.fresh, beat.seconds)
        self.advance(beat.done, beat.total, NOUNS[beat.phase], rates(beat), left)


class RolloutJson(JsonEvents):
    """The same for programs: the first prompt, and each result."""

    def prompt(self, text: str, place: str) -> None:
        """The first prompt."""
        self.say("prompt", place=place, text=text)

    def result(self, beat: Progress) -> None:
        """One more sample or prefix is in."""
        result = asdict(beat.result)
        for long in ("text", "steps"):
            result.pop(long, None)
        self.say(
            "sample" if isinstance(beat.result, Sample) else "rollout", phase=beat.phase, result=result,
            done=beat.done, total=beat.total, seconds=round(beat.seconds, 3), **beat.tally.as_dict(),
        )  # fmt: skip


def rates(beat: Progress) -> str:
    """Units/s, tokens/s, and how the answers are."""
    tally, seconds = beat.tally, max(beat.seconds, 1e-3)
    solutions = beat.phase == "solutions"
    outcomes = tally.samples if solutions else tally.completions
    tokens = tally.sample_tokens if solutions else tally.completion_tokens
    total = max(1, outcomes.total())
    saved = "" if solutions or not tally.saved else f" · saved {100 * tally.saved / (tally.saved + total):.1f} %"
    return (
        f"{beat.fresh / seconds:.1f} {NOUNS[beat.phase]}/s · {tokens / seconds:,.0f} tokens/s · "
        f"right {100 * outcomes['correct'] / total:.1f} % · invalid {100 * outcomes['invalid'] / total:.1f} %{saved}"
    )
