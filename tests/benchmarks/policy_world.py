"""How hard the micro-world is for a policy: what it solves, how it errs, and whether errors can be survived.

``python tests/benchmarks/policy_world.py --model DIR [--problems 200] [--samples 4] [--k 16] [--temperature 0.8]``

Each test problem is solved ``samples`` times; the truth of every step comes from the hidden program. The first solution
of each problem is then completed ``k`` times after every step but the last, by the same model or by ``--completer``.
Answers count as right when the boxed number is the hidden one.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from genprm import resources
from genprm.engines import TransformersEngine
from genprm.engines.base import GenerationRequest, Sampling
from genprm.lab.policy import policy_problem, solution_text
from genprm.lab.truth import StepTruth, check, first_error, split_answer
from genprm.lab.world import WorldProblem
from genprm.prompts import encode, render_policy
from genprm.types import Segment
from tests.benchmarks.measure import finish, table

TEST_SEED = 50_000
MOST_TOKENS = 400


@dataclass(frozen=True, slots=True)
class Attempt:
    """A sampled solution with its truth."""

    problem: WorldProblem
    steps: tuple[str, ...]
    ended: bool
    truth: tuple[StepTruth, ...]

    @property
    def answered(self) -> bool:
        """The boxed answer is the right one."""
        return self.ended and split_answer(self.steps[-1])[1] == str(self.problem.answer)

    @property
    def label(self) -> int:
        return first_error(self.truth)


async def write(
    engine: TransformersEngine, problem: WorldProblem, steps: Sequence[str], number: int, sampling: Sampling
) -> Attempt:
    """A solution that goes on from ``steps``."""
    opening = solution_text([*steps, ""])
    segments = render_policy(problem.text, (), engine.tokenizer)
    prompt = encode([*segments, Segment("model", opening)], engine.tokenizer).ids
    seed = int.from_bytes(hashlib.sha256(f"{problem.id} {steps} {number}".encode()).digest()[:6], "big")
    request = GenerationRequest(prompt, max_tokens=MOST_TOKENS, seed=seed, sampling=sampling)
    completion = await engine.generate(request)
    text = opening + completion.text
    parts = tuple(part.strip() for part in re.split(r"(?:^|\n+)Step \d+: ", text)[1:])
    return Attempt(problem, parts, completion.stop_reason == "eos", check(problem, parts))


async def complete(
    engine: TransformersEngine, attempt: Attempt, length: int, k: int, sampling: Sampling
) -> tuple[bool, int]:
    """Whether the first ``length`` steps are right, and how many of ``k`` completions of them are."""
    prefix = attempt.steps[:length]
    made = await asyncio.gather(*(write(engine, attempt.problem, prefix, n, sampling) for n in range(k)))
    return attempt.truth[length - 1].prefix_ok, sum(one.answered for one in made)


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    engine = TransformersEngine(resources.model(options.model), max_batch=options.max_batch)
    sampling = Sampling(options.temperature, 1.0, 0)
    problems = [policy_problem(TEST_SEED + n, held_out=options.held_out) for n in range(options.problems)]
    begun = time.monotonic()
    attempts = await asyncio.gather(
        *(write(engine, problem, (), n, sampling) for problem in problems for n in range(options.samples))
    )
    print(f"{len(attempts)} solutions in {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    completer = engine
    if options.completer is not None:
        completer = TransformersEngine(resources.model(options.completer), max_batch=options.max_batch)
    firsts = attempts[:: options.samples]
    places = [(one, length) for one in firsts for length in range(1, len(one.steps)) if options.k]
    counts = await asyncio.gather(*(complete(completer, one, length, options.k, sampling) for one, length in places))
    print(f"{len(places)} prefixes completed, {time.monotonic() - begun:.0f} s in all", file=sys.stderr)
    await completer.aclose()
    await engine.aclose()
    return figures(attempts, firsts, counts, options)


def figures(
    attempts: Sequence[Attempt], firsts: Sequence[Attempt], counts: Sequence[tuple[bool, int]], options: Any
) -> dict[str, Any]:
    """All shares with what they are shares of."""
    right = [one for one in attempts if one.answered]
    wrong = [one for one in attempts if not one.answered]
    bad, good = [n for ok, n in counts if not ok], [n for ok, n in counts if ok]
    ends = [(one.label == -1, one.answered) for one in firsts if one.steps]
    by_problem = Counter(one.problem.id for one in right)
    errors = Counter(one.truth[one.label].finding for one in attempts if one.label >= 0)
    return {
        "answers right": share(len(right), len(attempts)),
        "no answer": share(sum(not one.ended for one in attempts), len(attempts)),
        "problems solved by none of the samples": share(
            len({one.problem.id for one in attempts}) - len(by_problem), len(firsts)
        ),
        "problems solved by all": share(sum(n == options.samples for n in by_problem.values()), len(firsts)),
        "right answers with a wrong process": share(sum(one.label >= 0 for one in right), len(right)),
        "wrong answers with a right process": share(sum(one.label < 0 for one in wrong), len(wrong)),
        **{f"first errors: {name}": share(count, errors.total()) for name, count in errors.most_common()},
        f"MC@{options.k} > 0 after wrong prefixes": share(sum(n > 0 for n in bad), len(bad)),
        f"MC@{options.k} = 0 after right prefixes": share(sum(n == 0 for n in good), len(good)),
        f"MC@{options.k} > 0 after wrong prefixes, last steps too": share(
            sum(n > 0 for n in bad) + sum(a for ok, a in ends if not ok),
            len(bad) + sum(not ok for ok, _ in ends),
        ),
        f"MC@{options.k} = 0 after right prefixes, last steps too": share(
            sum(n == 0 for n in good) + sum(not a for ok, a in ends if ok), len(good) + sum(ok for ok, _ in ends)
        ),
    }


def share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} % ({part}/{whole})" if whole else "none"


def arguments() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--model", default="policy-tiny", help="model folder or name")
    parser.add_argument("--completer", default=None, help="another model that completes; the same if not given")
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--samples", type=int, default=4, help="solutions of each problem")
    parser.add_argument("--k", type=int, default=16, help="completions of each prefix; 0 leaves them out")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--held-out", action="store_true", help="problems of the two families never trained on")
    parser.add_argument("--max-batch", type=int, default=256)
    parser.add_argument("--out", type=Path, default=Path("runs/policy-world"))
    return parser


def main() -> None:
    options = arguments().parse_args()
    found = asyncio.run(measure(options))
    note = f"{options.problems} test problems, {options.samples} solutions each, temperature {options.temperature:g}."
    title = f"The micro-world under {Path(options.model).name}"
    finish(options.out, [table(title, ["what", "share"], list(found.items()), note)], found)


if __name__ == "__main__":
    main()
