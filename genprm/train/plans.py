"""What a training would do, in a sentence: from its recipe alone, without reading or loading anything."""

from __future__ import annotations

from genprm.recipes import Recipe
from genprm.train.kinds import AnyTraining
from genprm.train.models import parameters
from genprm.train.options.policies import GrpoTraining, RaftTraining
from genprm.train.options.rows import (
    ConversationData,
    GenerativeTraining,
    LabData,
    SolutionData,
    StepFileData,
    StepTraining,
)


def plan(recipe: Recipe, options: AnyTraining) -> str:
    """The sentence."""
    if isinstance(options, RaftTraining):
        return _raft(recipe, options)
    if isinstance(options, GrpoTraining):
        return _grpo(recipe, options)
    if isinstance(options, StepTraining):
        return _steps(options)
    return _generative(recipe, options)


def _steps(options: StepTraining) -> str:
    ends = [*_ends(options), *([f"{options.epochs:g} passes"] if options.epochs else [])]
    places = ", ".join(options.data.places) if isinstance(options.data, StepFileData) else "lab data"
    read = "the outcome" if options.kind == "orm" else "steps"
    return (
        f"train {_model(options)} to read {read} in the format {options.reads}, "
        f"{options.aims} targets, on {places}, seed {options.seed}, {options.batch_size * options.accumulate} "
        f"solutions a step in each process, for {' or '.join(ends)}"
    )


def _generative(recipe: Recipe, options: GenerativeTraining) -> str:
    ends = [*_ends(options), *([f"{options.epochs:g} epochs"] if options.epochs else [])]
    said = f"train {_model(options)} on {_data(options)}, seed {options.seed}, for {' or '.join(ends)}"
    if options.max_steps and options.rows_per_batch is None:
        tokens = options.max_steps * options.accumulate * options.tokens_per_batch
        said += f" (at most {tokens / 1e6:.1f}M tokens"
        said += f", about {tokens / recipe.data.mean_tokens:,.0f} rows)" if recipe.data else ")"
    elif options.epochs and recipe.data:
        said += f" (about {options.epochs * recipe.data.rows * recipe.data.mean_tokens / 1e6:,.0f}M tokens)"
    return said


def _data(options: GenerativeTraining) -> str:
    data = options.data
    if isinstance(data, ConversationData):
        return f"the conversations of {data.path}"
    if isinstance(data, SolutionData):
        return f"the solutions of {data.path}"
    share = data.gsm8k_share if isinstance(data, LabData) else 0.0
    return f"{data.source} data" + (
        f" and {data.gsm8k} ({100 * share:.0f} %)" if isinstance(data, LabData) and share else ""
    )


def _raft(recipe: Recipe, options: RaftTraining) -> str:
    sampled = options.problems.count * options.sampling.samples
    solved = options.heldout.count * options.heldout.samples
    kept = options.iterations * options.epochs * options.problems.count
    every = options.iterations * sampled + (options.iterations + 1) * solved
    return (
        f"train {options.model.base} in {options.iterations} iterations, seed {options.seed}: each samples "
        f"{options.sampling.samples} solutions of {options.problems.describe()} at temperature "
        f"{options.sampling.temperature:g}, judges them {options.reward.describe()}, keeps the best of each problem "
        f"and trains {options.epochs:g} epochs on them ({options.rows_per_batch * options.accumulate} a step, learning "
        f"rate {options.optimizer.learning_rate:g}); {solved:,} held-out solutions "
        f"({options.heldout.samples} of each of {options.heldout.describe()}) before the first and after each: "
        f"{every:,} solutions in all, at most {kept:,.0f} rows trained on{_tokens(recipe, every)}"
    )


def _grpo(recipe: Recipe, options: GrpoTraining) -> str:
    group, solved = options.sampling.samples, options.heldout.count * options.heldout.samples
    sampled = options.max_steps * options.problems_per_step * group
    mixed = f", {options.share:.0%} of it for steps (credit {options.credit})" if options.share else ""
    return (
        f"train {options.model.base} by group-relative policy optimisation, seed {options.seed}, for "
        f"{' or '.join(_ends(options))}: each samples {group} solutions of {options.problems_per_step} of "
        f"{options.problems.describe()} at temperature {options.sampling.temperature:g}, rewarded "
        f"{options.reward.describe()}{mixed}, learning rate {options.optimizer.learning_rate:g}; {solved:,} held-out "
        f"solutions ({options.heldout.samples} of each of {options.heldout.describe()}) before and after: "
        f"{sampled + 2 * solved:,} solutions in all{_tokens(recipe, sampled + 2 * solved)}"
    )


def _tokens(recipe: Recipe, solutions: int) -> str:
    return f" (about {solutions * recipe.data.mean_tokens / 1e6:,.1f}M tokens to sample)" if recipe.data else ""


def _ends(options: GenerativeTraining | StepTraining | GrpoTraining) -> list[str]:
    ends = [f"{options.max_steps} steps"] if options.max_steps else []
    return [*ends, *([f"{options.max_minutes:g} minutes"] if options.max_minutes else [])]


def _model(options: GenerativeTraining | StepTraining) -> str:
    return options.model.base or f"a new Llama model of {parameters(options)[0] / 1e6:.1f}M parameters"
