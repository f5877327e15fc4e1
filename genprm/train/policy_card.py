"""The card of a policy that was trained against a reward: what it was, what it is now, and by which reward."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genprm.train.card import FACTS
from genprm.train.models import processor
from genprm.train.options.policies import GrpoTraining, RaftTraining

_FRONT = "---\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n\n"


def write_policy_card(
    folder: Path, name: str, options: RaftTraining | GrpoTraining, metrics: Mapping[str, Any]
) -> None:
    """Write card and facts into a model folder. ``metrics``: as in metrics.json of the training."""
    facts = {"name": name, "options": options.model_dump(mode="json"), **metrics}
    (folder / FACTS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    how = "reward-ranked fine-tuning" if options.kind == "raft" else "group-relative policy optimisation"
    (folder / "README.md").write_text(
        f"{_FRONT}# {name}\n\n"
        f"The policy `{options.model.base}` ({metrics['parameters'] / 1e6:.1f}M parameters) after {how} on "
        f"{options.problems.describe()}, judged {options.reward.describe()}.\n\n"
        f"## Held out\n\n{options.heldout.describe()}, never trained on, {options.heldout.samples} solutions of each "
        f"at temperature {options.heldout.temperature:g}.\n\n{_table(metrics)}\n\n"
        "## Use\n\n`genprm rollout PROBLEMS --out DIR --model FOLDER`; `genprm search` and `genprm critique` take it "
        "as their policy. The licence is that of the first policy.\n\n"
        f"## Training\n\n`genprm train RECIPE --out DIR` with the recipe `{name}`, seed {options.seed}: "
        f"{metrics['steps']:,} steps in {metrics['minutes']:.1f} minutes on {processor()}; {_how(options)}. "
        f"All options and figures are in `{FACTS}`.\n{_kept(metrics)}",
        encoding="utf-8",
    )


def _how(options: RaftTraining | GrpoTraining) -> str:
    sampling = options.sampling
    own = (
        f"the best of each problem is trained on {options.epochs:g} times in each of {options.iterations} iterations"
        if options.kind == "raft"
        else f"share of the process {options.share:g}, credit of a step by '{options.credit}'"
    )
    return (
        f"{sampling.samples} solutions of each problem at temperature {sampling.temperature:g}, learning rate "
        f"{options.optimizer.learning_rate:g}, {own}"
    )


def _kept(metrics: Mapping[str, Any]) -> str:
    """What each iteration of raft sampled and kept."""
    rounds = [one for one in metrics.get("iterations", ()) if "kept" in one]
    lines = ["", "| iteration | sampled | right of them | kept | right of them |", "|" + " --- |" * 5] if rounds else []
    for one in rounds:
        cells = (f"{one[what]['solutions']:,} | {one[what]['accuracy'] or 0:.1%}" for what in ("sampled", "kept"))
        lines.append(f"| {one['iteration']} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""]) if lines else ""


def _table(metrics: Mapping[str, Any]) -> str:
    """One line a policy."""
    if "iterations" in metrics:
        policies = [(f"iteration {one['iteration']}", one["heldout"]) for one in metrics["iterations"]]
    else:
        policies = [("before", metrics["heldout_before"]), ("after", metrics["heldout_after"])]
    lines = ["| policy | right answers (95 %) | reward | tokens | right format |", "|" + " --- |" * 5]
    for named, found in policies:
        low, high = found["interval"]
        reward = "–" if found["reward"] is None else f"{found['reward']:.3f}"
        lines.append(
            f"| {named} | {found['accuracy']:.1%} [{low:.1%}, {high:.1%}] | {reward} | {found['tokens']:.0f} | "
            f"{found['format']:.1%} |"
        )
    return "\n".join(lines)
