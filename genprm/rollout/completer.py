"""What does the work: an engine that writes, a grader that reads. A ``Worker`` whose orders are samples and prefixes.

A result depends on its order, the run's seed and the settings alone. Every completion continues the policy's own turn:
template ids, prefix ids, generated ids, in this order and never joined as text.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from genprm import prompts
from genprm.engines.base import Completion, Engine, GenerationRequest, Sampling, Tokenizer
from genprm.errors import InputError
from genprm.prompts import Turn
from genprm.records.grading import Grade, Grader
from genprm.rollout import styles
from genprm.rollout.amounts import WAVE
from genprm.rollout.budget import Outcome
from genprm.rollout.samples import Order, PrefixOrder, RefineOrder, Sample, SampleOrder
from genprm.rollout.seeds import completion_seed, sample_seed
from genprm.rollout.styles import Style
from genprm.runs.pool import together
from genprm.types import Problem, Rollout, Segment, Solution

Done = Sample | Rollout
DEFAULT_CAPACITY = 64
"""Completions at once where the engine states no limit."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a policy is asked. Defaults: GenPRM's solution generation."""

    style: Style = "step-forced"
    system: str | None = None
    """System turn; ``None`` for the shipped one, empty for none."""
    max_tokens: int = 2048
    """Of one solution or completion."""

    def __post_init__(self) -> None:
        styles.check_style(self.style)
        if self.max_tokens < 1:
            raise InputError(f"max_tokens is {self.max_tokens}; it must be at least 1")


SAMPLING = Sampling(temperature=0.7, top_p=1.0, top_k=0)
"""GenPRM's solution generation."""


@dataclass(frozen=True, slots=True)
class Terms:
    """All that results depend on besides their orders: the same for every worker of a phase."""

    engine: Mapping[str, str]
    context_length: int
    settings: Settings
    sampling: Sampling
    run_seed: int
    tokenizer: Tokenizer = field(compare=False)

    def segments(self, problem: Problem, written: Turn | None = None) -> tuple[Segment, ...]:
        """The prompt of a problem; ``written``: how the policy's turn begins, if otherwise than the style has it."""
        turn = styles.opening(self.settings.style) if written is None else written
        return prompts.render_policy(problem.problem, turn, self.tokenizer, system=self.settings.system)

    def refinement(self, order: RefineOrder) -> tuple[Segment, ...]:
        """The prompt of a solution that is written once more."""
        if order.request is None:
            return self.segments(order.problem)
        solution = order.solution
        before = str(solution.extra.get("separator", styles.SEPARATOR)).join(solution.steps)
        turns = ((Segment("model", before),),)
        asked = prompts.render_refinement(
            order.problem.problem, (order.request,), turns, self.tokenizer, system=self.settings.system
        )
        return (*asked, *styles.opening(self.settings.style))

    def ids(self, problem: Problem, written: Turn | None = None) -> tuple[int, ...]:
        """Its token ids."""
        return prompts.encode(self.segments(problem, written), self.tokenizer).ids


class Completer:
    """Samples solutions and completes prefixes. Owns its engine and its grader."""

    def __init__(
        self,
        engine: Engine,
        grader: Grader,
        settings: Settings,
        *,
        sampling: Sampling = SAMPLING,
        run_seed: int = 0,
        name: str = "",
        concurrency: int | None = None,
    ) -> None:
        """``name``: what rollouts call the model. ``concurrency``: most completions at once."""
        self.engine = engine
        self._grader = grader
        self._settings = settings
        self._sampling = sampling
        self._run_seed = run_seed
        self._name = name or engine.identity["model"]
        self._limit = concurrency or int(getattr(engine, "max_batch", DEFAULT_CAPACITY))
        # Orders take their turns at the engine: the first to come is the first to be complete, so a kill costs little.
        self._turns = asyncio.Semaphore(self._limit)

    @property
    def facts(self) -> Terms:
        """What its results depend on."""
        engine = self.engine
        return Terms(
            dict(engine.identity), engine.context_length, self._settings, self._sampling, self._run_seed,
            engine.tokenizer,
        )  # fmt: skip

    @property
    def capacity(self) -> int:
        """Orders at once: as many as completions, so that the engine stays busy whatever the orders are."""
        return self._limit

    async def run(self, order: Order) -> Done:
        """Do one order. Raises ``EngineUnavailable`` or ``GraderUnavailable``."""
        if isinstance(order, SampleOrder):
            seed = sample_seed(self._run_seed, order.problem.id, order.index)
            segments = self.facts.segments(order.problem)
            return await self._sample(order, f"{order.problem.id}/{order.index}", order.index, seed, segments)
        if isinstance(order, RefineOrder):
            seed = sample_seed(self._run_seed, order.id, order.index)
            return await self._sample(order, order.id, order.index, seed, self.facts.refinement(order))
        assert isinstance(order, PrefixOrder), "there are three kinds of orders"
        return await self._roll_out(order)

    async def aclose(self) -> None:
        """Close engine and grader. Idempotent."""
        await self.close_grader()
        await self.engine.aclose()

    async def close_grader(self) -> None:
        """Close the grader alone, where the engine is someone else's."""
        await self._grader.aclose()

    async def _sample(self, order: Order, id: str, index: int, seed: int, segments: Turn) -> Sample:
        problem, style = order.problem, self._settings.style
        done = await self._draw(prompts.encode(segments, self.facts.tokenizer).ids, seed)
        text = "".join(segment.text for segment in styles.opening(style)) + done.text
        cut = styles.cut(style, text)
        grade = await self._grade(problem, done, text)
        outcome, reason = _outcome(grade)
        if grade is not None and len(cut.steps) < styles.least_steps(style):
            outcome, reason = "invalid", "steps"
        return Sample(
            key=order.key, id=id, problem_id=problem.id, index=index, seed=seed,
            outcome=outcome, reason=reason, predicted_answer="" if grade is None else grade.answer,
            steps=cut.steps, separator=cut.separator, text=text, tokens=len(done.ids),
        )  # fmt: skip

    async def _roll_out(self, order: PrefixOrder) -> Rollout:
        if order.is_last:
            return await self._judge_solution(order)
        written = None if order.solution is None else prefix_of(order.solution, order.step, self._settings.style)
        prompt = self.facts.ids(order.problem, written)
        tally: Counter[Outcome] = Counter()
        tokens = total = 0
        while total < order.k and not (order.rule and order.rule.settled(tally["correct"], total, order.k)):
            wave = range(total, min(order.k, total + WAVE) if order.rule else order.k)
            for outcome, count in await together(self._complete(order, prompt, index) for index in wave):
                tally[outcome] += 1
                tokens += count
            total = wave.stop
        return self._rollout(order, k=order.k, total=total, tally=tally, tokens=tokens)

    async def _complete(self, order: PrefixOrder, prompt: tuple[int, ...], index: int) -> tuple[Outcome, int]:
        """What became of one completion, and its tokens."""
        done = await self._draw(prompt, completion_seed(self._run_seed, order.id, order.step, index))
        return _outcome(await self._grade(order.problem, done, done.text))[0], len(done.ids)

    async def _judge_solution(self, order: PrefixOrder) -> Rollout:
        """The last step: nothing is left to complete, so the solution's own answer is what counts."""
        solution = order.solution
        assert solution is not None
        right = solution.final_answer_correct
        if right is not None:
            outcome: Outcome = "correct" if right else "incorrect"
        elif solution.predicted_answer is not None:
            outcome = _outcome(await self._grader.compare(order.problem.answer, solution.predicted_answer))[0]
        else:
            outcome = _outcome(await self._grader.grade(order.problem.answer, solution.steps[-1]))[0]
        return self._rollout(order, k=1, total=1, tally=Counter([outcome]), tokens=0)

    def _rollout(self, order: PrefixOrder, *, k: int, total: int, tally: Mapping[Outcome, int], tokens: int) -> Rollout:
        return Rollout(
            key=order.key, id=order.id, problem_id=order.problem.id, step=order.step, policy=self._name, k=k,
            correct=tally.get("correct", 0), total=total, invalid=tally.get("invalid", 0),
            seed=completion_seed(self._run_seed, order.id, order.step, 0),
            rule=order.rule.name if order.rule and not order.is_last else None, tokens=tokens,
        )  # fmt: skip

    async def _draw(self, prompt: tuple[int, ...], seed: int) -> Completion:
        async with self._turns:
            return await self.engine.generate(
                GenerationRequest(
                    prompt=prompt, max_tokens=self._settings.max_tokens, seed=seed, sampling=self._sampling
                )
            )

    async def _grade(self, problem: Problem, done: Completion, text: str) -> Grade | None:
        """The grade of a text, ``None`` if it did not end by itself: what it would have concluded is not known."""
        if done.stop_reason != "eos":
            return None
        return await self._grader.grade(problem.answer, styles.concluding(text))


def prefix_of(solution: Solution, step: int, style: Style) -> Turn:
    """The policy's turn after steps 0..step, joined as the solution says (field ``separator``), else by blank lines."""
    separator = str(solution.extra.get("separator", styles.SEPARATOR))
    return styles.prefix(style, solution.steps[: step + 1], separator)


def _outcome(grade: Grade | None) -> tuple[Outcome, str | None]:
    """What counts, and why it is invalid if it is."""
    if grade is None:
        return "invalid", "unfinished"
    if grade.status != "graded":
        return "invalid", grade.status
    return ("correct" if grade.correct else "incorrect"), None
