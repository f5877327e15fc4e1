"""The live display of a search: problems, with rates; the first prompt and the first solution taken, once."""

from __future__ import annotations

from rich.console import Console

from genprm.cli.progress import JsonEvents, Live, eta
from genprm.search import Progress


class SearchDisplay(Live):
    """A context manager; give its methods the events of the run, from any thread."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, "problems")

    def prompt(self, text: str, problem: str) -> None:
        """The first prompt, and the problem it is of."""
        self.example(f"first prompt: {problem}", text)

    def result(self, beat: Progress) -> None:
        """One more problem is searched."""
        if self._examples and (taken := beat.found.taken) is not None:
            score = "none" if taken.score is None else f"{taken.score:.2f}"
            text = taken.path.separator.join(taken.path.steps)
            self.example(f"first solution to be taken: {taken.id(beat.found.id)} (score {score})", text)
            self._examples = False
        left = eta(beat.done, beat.total, beat.fresh, beat.seconds)
        self.advance(beat.done, beat.total, "problems", rates(beat), left)


class SearchJson(JsonEvents):
    """The same for programs: the first prompt, and each problem."""

    def prompt(self, text: str, problem: str) -> None:
        """The first prompt."""
        self.say("prompt", problem=problem, text=text)

    def result(self, beat: Progress) -> None:
        """One more problem is searched."""
        found, taken = beat.found, beat.found.taken
        self.say(
            "problem", id=found.id, answer=None if taken is None else taken.answer, correct=found.correct,
            policy_tokens=found.policy_tokens, scorer_tokens=found.scorer_tokens, done=beat.done, total=beat.total,
            seconds=round(beat.seconds, 3),
        )  # fmt: skip


def rates(beat: Progress) -> str:
    """Problems/s, tokens/s, and how many are right."""
    seconds = max(beat.seconds, 1e-3)
    return (
        f"{beat.fresh / seconds:.2f} problems/s · {beat.tokens / seconds:,.0f} tokens/s · "
        f"right {100 * beat.right / max(1, beat.fresh):.1f} %"
    )
