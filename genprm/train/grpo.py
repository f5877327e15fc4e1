"""Group-relative policy optimisation: a policy against outcomes and the rewards of steps, by TRL's ``GRPOTrainer``.

Beside what every training leaves (see ``running``):

    problems.jsonl                              the problems held out
    heldout-before.jsonl  heldout-after.jsonl   held-out solutions of the first and the last policy
    rewards.jsonl                               what the reward model said of them
    log/train.jsonl                             the curve: mixed reward, true accuracy, process reward, format, length

``metrics.json`` carries the curve and both held-out figures. Completions of the training are not kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from genprm.records.lines import read_lines, write_lines
from genprm.rollout.problems import problem_to_dict
from genprm.runs.directory import PROBLEMS
from genprm.runs.units import UnitFile
from genprm.train.card import Facts
from genprm.train.grpo_groups import Prompts, Reader
from genprm.train.models import Report, base_tokenizer, opened_model, set_seed, with_adapters
from genprm.train.options.policies import GrpoTraining
from genprm.train.policy_card import write_policy_card
from genprm.train.policy_problems import held_out, part
from genprm.train.policy_rewards import Rewards
from genprm.train.policy_samples import Figures, figures, held_out_task, rewards_of, solve
from genprm.train.running import Prepared
from genprm.types import Problem


def prepare(options: GrpoTraining, out: Path, report: Report) -> Prepared:
    """Problems, model and reader of a recipe."""
    from trl import GRPOConfig

    from genprm.engines.tokenizers import HFTokenizer
    from genprm.scorers.models import causal_class
    from genprm.train.grpo_trainer import LOGGED, GroupTrainer

    heldout = held_out(options)
    problems = part(options, 0, heldout)
    set_seed(options.seed)
    tokenizer = base_tokenizer(options)
    model = with_adapters(opened_model(options, tokenizer, causal_class), options.model.lora)
    reader = Reader(options, problems, HFTokenizer(tokenizer), _ends(model, tokenizer))
    longest = max(len(reader.prompt(problem.problem)) for problem in problems)
    report(f"data: {options.problems.describe()}, the longest prompt {longest} tokens; {len(heldout)} held out")
    return Prepared(
        model=model,
        tokenizer=tokenizer,
        batches=Prompts(problems, options.problems_per_step, options.sampling.samples, options.accumulate),
        survey=None,
        max_steps=options.max_steps,
        trainer=partial(GroupTrainer, reader=reader, train_dataset=_sample(problems)),
        arguments=lambda **shared: GRPOConfig(**{**shared, **_arguments(options)}),
        begin=partial(_begin, options, heldout, out, report),
        finish=partial(_finish, options, heldout, out, reader, report),
        logged=LOGGED,
    )


def _begin(options: GrpoTraining, heldout: tuple[Problem, ...], out: Path, report: Report) -> None:
    # Of an earlier end, from which the training now goes back to a checkpoint.
    (out / "heldout-after.jsonl").unlink(missing_ok=True)
    write_lines(out / PROBLEMS, map(problem_to_dict, heldout))
    _solved(options, str(options.model.base), heldout, out, "before", report)


def _finish(
    options: GrpoTraining, heldout: tuple[Problem, ...], out: Path, reader: Reader, report: Report, folder: Path,
    facts: Facts,
) -> Mapping[str, Any]:  # fmt: skip
    """Solve the held-out problems again; what metrics.json says besides."""
    reader.close()
    before = _solved(options, str(options.model.base), heldout, out, "before", report)
    after = _solved(options, str(folder), heldout, out, "after", report)
    found = {
        "kind": "grpo",
        "accuracy_before": before.accuracy,
        "accuracy_after": after.accuracy,
        "heldout_before": asdict(before),
        "heldout_after": asdict(after),
        "curve": curve(out / "log" / "train.jsonl"),
    }
    write_policy_card(folder, facts.name, options, {**facts.figures(), **found})
    return found


def curve(log: Path) -> list[dict[str, Any]]:
    """The lines of a log by step: of a step that was done again, after a kill, the last one."""
    by_step = {line["step"]: line for _, line in read_lines(log)}
    return [by_step[step] for step in sorted(by_step)]


def _solved(
    options: GrpoTraining, policy: str, heldout: tuple[Problem, ...], out: Path, when: str, report: Report
) -> Figures:
    """What a policy shows on the held-out problems. Solutions and rewards that are there are used."""
    task = held_out_task(options, policy, heldout, f"the policy {when}, held out")
    units, kept = UnitFile(out / f"heldout-{when}.jsonl"), UnitFile(out / "rewards.jsonl")
    rewards = Rewards(options.reward, options.seed, kept)
    try:
        samples = solve(task, options.sampling, units, report)
        known = rewards_of(samples, heldout, rewards) if options.scores_heldout else {}
    finally:
        rewards.rest()
        units.close()
        kept.close()
    found = figures(samples, known)
    report(f"the policy {when}: {found.describe()}")
    return found


def _ends(model: Any, tokenizer: Any) -> set[int]:
    """Every token that ends a turn, as TRL has them."""
    stated = model.generation_config.eos_token_id
    return {tokenizer.eos_token_id, *([stated] if isinstance(stated, int) else stated or ())}


def _sample(problems: tuple[Problem, ...]) -> Any:
    """The first problem, for TRL's look at the columns; batches come from ``get_train_dataloader``."""
    from datasets import Dataset

    return Dataset.from_list([{"prompt": one.problem, "id": one.id} for one in problems[:1]])


def _arguments(options: GrpoTraining) -> dict[str, Any]:
    """What ``GRPOConfig`` is told besides. A step samples its own solutions: no ratio to an older policy is needed."""
    sampling = options.sampling
    return {
        "per_device_train_batch_size": options.problems_per_step * sampling.samples // options.accumulate,
        "steps_per_generation": options.accumulate,
        "num_generations": sampling.samples,
        "max_completion_length": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "beta": options.kl,
    }
