"""Every search strategy at about the same price: accuracy on the micro-world for equal tokens of policy and scorer.

``python tests/benchmarks/search_compare.py --problems 100 --tokens 2500 [--policy DIR] [--scorer DIR] [--votes 1]``

Each strategy is first run at a small size on a few problems of their own, and its size is scaled to ``--tokens`` a
problem; what it then really spent is in the table. Majority has no scorer: all its tokens are the policy's. Runs lie in
``--out`` and are continued. Accuracy is in per cent, with 95 % intervals over problems.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm import background, resources
from genprm.engines import Sampling, TransformersEngine
from genprm.evaluate.statistics import Interval, mean_interval
from genprm.lab.policy import policy_problem
from genprm.rollout import Given, Settings
from genprm.scorers import Scored, StepReward, open_scorer
from genprm.search import STRATEGIES, Found, Plan, Progress, Searcher
from genprm.types import Problem, Solution
from tests.benchmarks.measure import finish, table

TEST_SEED, SCALE_SEED = 70_000, 80_000
"""Of the problems that are measured, and of those that sizes are found on."""
SMALL = 4
"""The size that a strategy is scaled from."""


class Silent:
    """A scorer without an opinion, for nothing: a weighted vote under it is a majority vote."""

    in_one_pass = True
    identity: Mapping[str, Any] = {"scorer": "none"}

    async def score(self, solutions: Sequence[Solution]) -> tuple[Scored, ...]:
        return tuple(Scored((StepReward(1.0),) * len(one.steps)) for one in solutions)

    def begin(self, problem: str) -> None:
        """There is nothing to keep."""

    async def extend(self, state: None, step: str) -> tuple[None, StepReward]:
        return None, StepReward(1.0)

    async def aclose(self) -> None:
        """There is nothing to free."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one strategy came to."""

    name: str
    plan: Plan
    found: tuple[Found, ...]

    @property
    def right(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        return np.array([float(bool(one.correct)) for one in self.found])

    def accuracy(self) -> Interval:
        return mean_interval(self.right).times(100)

    def gain(self, other: Row) -> Interval:
        """Over another strategy on the same problems, paired."""
        return mean_interval(self.right - other.right).times(100)

    def spent(self, part: str) -> float:
        return float(np.mean([getattr(one, f"{part}_tokens") for one in self.found]))

    @property
    def tokens(self) -> float:
        return self.spent("policy") + self.spent("scorer")


class Bench:
    """Policy and scorer, opened once."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._policy = TransformersEngine(resources.model(options.policy), max_batch=options.max_batch)
        settings = {"votes": options.votes, "sandbox": "local", "seed": options.seed}
        self._scorer: Any = open_scorer(options.scorer, **({} if options.discriminative else settings))

    def run(self, name: str, plan: Plan, given: Given, folder: str) -> Row:
        options = self._options
        searcher = Searcher(
            options.policy, engine=self._policy, scorer=Silent() if name == "majority" else self._scorer, plan=plan,
            settings=Settings(max_tokens=400), sampling=Sampling(options.temperature, 1.0, 0), seed=options.seed,
        )  # fmt: skip
        place = options.out / folder / f"{name}-{plan.n}"
        return Row(name, plan, searcher.run(given, place, on_progress=shown(f"{folder}: {name}, n {plan.n}")).found)

    def scaled(self, name: str, plan: Plan) -> Plan:
        """The plan at the size that costs what is wanted, were the price in proportion to the size."""
        small = self.run(name, replace(plan, n=SMALL), problems(SCALE_SEED, self._options.scale_on), "scale")
        unit = plan.branch if plan.grows_trees else 1
        return replace(plan, n=unit * max(1, round(SMALL * self._options.tokens / small.tokens / unit)))

    def close(self) -> None:
        async def every() -> None:
            await asyncio.gather(self._scorer.aclose(), self._policy.aclose())

        background.shared().run(every())


def shown(what: str) -> Any:
    def say(beat: Progress) -> None:
        if beat.done == beat.total:
            print(
                f"{what}: {beat.total} problems, {beat.tokens} tokens, {beat.seconds:.0f} s",
                file=sys.stderr,
                flush=True,
            )

    return say


def problems(seed: int, count: int) -> Given:
    made = [policy_problem(seed + n) for n in range(count)]
    return Given(tuple({one.id: Problem(one.id, one.text, str(one.answer)) for one in made}.values()))


def compared(options: argparse.Namespace) -> list[Row]:
    bench = Bench(options)
    small = {str(name): Plan(name, SMALL, options.branch, score=options.score) for name in STRATEGIES}
    small["majority"] = small["weighted"]
    try:
        sizes = {name: bench.scaled(name, plan) for name, plan in small.items() if name != "weighted"}
        sizes["weighted"] = replace(small["weighted"], n=sizes["best-of-n"].n)  # the same solutions
        return [bench.run(name, sizes[name], problems(TEST_SEED, options.problems), "test") for name in small]
    finally:
        bench.close()


def arguments() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--policy", default="policy-tiny", help="model folder or name")
    parser.add_argument("--scorer", default="genprm-tiny", help="model folder or name")
    parser.add_argument("--discriminative", action="store_true", help="the scorer reads, and has no votes")
    parser.add_argument("--votes", type=int, default=1)
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--scale-on", type=int, default=4, help="problems on which the sizes are found")
    parser.add_argument("--tokens", type=int, default=2500, help="of policy and scorer together, a problem")
    parser.add_argument("--branch", type=int, default=2, help="of beam and dvts")
    parser.add_argument("--score", default="min")
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-batch", type=int, default=64)
    parser.add_argument("--out", type=Path, default=Path("runs/search-compare"))
    return parser


def main() -> None:
    options = arguments().parse_args()
    rows = compared(options)
    cells = [
        [
            row.name, row.plan.n, row.accuracy().describe(), row.gain(rows[0]).describe(),
            f"{row.spent('policy'):,.0f}", f"{row.spent('scorer'):,.0f}", f"{row.tokens:,.0f}",
        ]
        for row in rows
    ]  # fmt: skip
    note = (
        f"{len(rows[0].found)} test problems of the micro-world, {options.policy} under {options.scorer} with "
        f"{options.votes} vote(s), branch {options.branch}, temperature {options.temperature:g}; tokens are means over "
        "problems."
    )
    columns = ["strategy", "n", "right, %", "minus best-of-n", "policy tokens", "scorer tokens", "tokens"]
    figures = {row.name: {"plan": asdict(row.plan), "accuracy": row.accuracy(), "tokens": row.tokens} for row in rows}
    finish(options.out, [table("Search at equal tokens", columns, cells, note)], figures)


if __name__ == "__main__":
    main()
