"""What a search does with a problem: a strategy and its sizes. Pure.

``n`` is how many draws run beside each other, so strategies of one ``n`` can be compared. Solutions in best-of-n and
weighted; in beam and dvts steps, ``branch`` of them behind each of the ``n / branch`` prefixes that go on; in resample
solutions whose steps are drawn again, up to ``tries`` times, while their reward is below ``threshold``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from genprm.errors import InputError, require_counts

Strategy = Literal["best-of-n", "weighted", "beam", "dvts", "resample"]
Score = Literal["min", "mean", "product", "last"]
STRATEGIES: Mapping[Strategy, str] = {
    "best-of-n": "solutions are sampled, the one with the highest score is taken",
    "weighted": "solutions are sampled, the answer with the largest sum of scores is taken",
    "beam": "all prefixes of a problem compete step by step, the best ones go on",
    "dvts": "every subtree goes on with the best of its own prefixes (diverse verifier tree search)",
    "resample": "a step is drawn again while its reward is too low",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """One strategy and its sizes."""

    strategy: Strategy = "best-of-n"
    n: int = 8
    branch: int = 4
    """beam and dvts: draws behind one prefix."""
    tries: int = 4
    """resample: draws of one step at most; if none is good enough, the best of them is taken."""
    threshold: float = 0.5
    """resample: a step of this reward is good enough."""
    score: Score = "min"
    """How the rewards of steps become the score of a prefix or solution."""
    budget: int | None = None
    """Tokens for one problem, the policy's and the scorer's together: once they are spent no other round begins, and
    of the solutions that are finished by then the best is taken; prefixes of trees and chains are none yet."""

    def __post_init__(self) -> None:
        for name, value, known in (
            ("strategy", self.strategy, tuple(STRATEGIES)),
            ("score", self.score, get_args(Score)),
        ):
            if value not in known:
                raise InputError(f"{name} is '{value}'; it must be one of {', '.join(known)}")
        require_counts(self, "n", "branch", "tries", *(() if self.budget is None else ("budget",)))
        if not isinstance(self.threshold, int | float) or not 0 <= self.threshold <= 1:
            raise InputError(f"threshold is {self.threshold}; rewards lie between 0 and 1")
        if self.grows_trees and self.n % self.branch:
            raise InputError(
                f"n is {self.n} and branch is {self.branch}; {self.strategy} draws branch steps behind each prefix, "
                "so n must be a multiple of branch"
            )

    @property
    def grows_trees(self) -> bool:
        return self.strategy in ("beam", "dvts")

    @property
    def trees(self) -> int:
        """Trees of a problem that do not compete with each other."""
        return self.n // self.branch if self.strategy == "dvts" else 1

    @property
    def width(self) -> int:
        """Prefixes of a tree that go on."""
        return self.n // self.branch // self.trees

    def identity(self) -> dict[str, Any]:
        """What decides a result: the fields that mean something to the strategy."""
        unused = {"tries", "threshold"} if self.grows_trees else {"branch"}
        if self.strategy in ("best-of-n", "weighted"):
            unused |= {"tries", "threshold"}
        return {name: value for name, value in asdict(self).items() if name not in unused}
