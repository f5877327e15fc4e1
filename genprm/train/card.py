"""The model card: what a trained model is, what it was trained on, how to train it again, and what was measured.

Facts of the training lie beside the weights in ``training.json``; measurements are JSON files that the benchmarks
write. The card is made of both and can be made again when measurements come in::

    python -m genprm.train.card MODEL_FOLDER world.json gsm8k.json

A measurement file is ``{"tables": [{"title", "note", "columns": [...], "rows": [[...], ...]}, ...], ...}``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genprm.errors import InputError
from genprm.train.rows import Survey

FACTS = "training.json"
_FRONT = "---\nlibrary_name: transformers\npipeline_tag: text-generation\nlicense: mit\nlanguage: en\n"


@dataclass(frozen=True, slots=True)
class Facts:
    """A training, as far as a reader of its model needs it."""

    name: str
    options: Mapping[str, Any]
    """The resolved options of the recipe."""
    survey: Survey | None
    parameters: int
    precision: str
    steps: int
    tokens: int
    minutes: float
    loss: float | None
    environment: Mapping[str, Any]
    best: Mapping[str, Any] | None = None
    """The held-out evaluation of the weights that were kept, if there were any."""

    def figures(self) -> dict[str, Any]:
        """The numbers alone."""
        return {
            "steps": self.steps,
            "tokens": self.tokens,
            "minutes": round(self.minutes, 2),
            "loss": self.loss,
            "parameters": self.parameters,
            "precision": self.precision,
            **({} if self.survey is None else {"survey": asdict(self.survey)}),
            **({} if self.best is None else {"best": dict(self.best)}),
        }


def write_card(folder: Path, facts: Facts) -> None:
    """Write the facts and a card without measurements."""
    text = json.dumps(asdict(facts), indent=2) + "\n"
    (folder / FACTS).write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(card(json.loads(text), ()), encoding="utf-8")


def update_card(folder: Path, measurements: Sequence[Path]) -> None:
    """Write the card of a model folder again, with the tables of ``measurements``."""
    facts = _read(folder / FACTS)
    tables = [table for path in measurements for table in _read(path).get("tables", ())]
    (folder / "README.md").write_text(card(facts, tables), encoding="utf-8")


def card(facts: Mapping[str, Any], tables: Sequence[Mapping[str, Any]]) -> str:
    """The text of the card."""
    options = facts["options"]
    generative = options.get("kind", "generative") == "generative"
    about = _ABOUT[options["data"]["source"]] if generative else _step_model
    parts = [*about(facts), _training(facts)]
    parts.append(
        "## Measured\n\n" + ("\n".join(_table(table) for table in tables) or "Nothing has been measured yet.\n")
    )
    return "\n".join(parts)


def _verifier(facts: Mapping[str, Any]) -> list[str]:
    knows = (
        "It knows the sentences of its training data: micro-world stories and the arithmetic of grade-school "
        "solutions. It checks whether a step computes what it claims; on real text it cannot tell whether that was the "
        "right thing to compute.\n"
    )
    return [_head(facts), _uses(facts), knows, _data(facts)]


def _policy(facts: Mapping[str, Any]) -> list[str]:
    data, survey, most = facts["options"]["data"], facts["survey"], facts["options"]["max_length"]
    return [
        f"{_FRONT}---\n\n# {facts['name']}\n\n"
        f"A policy model of {facts['parameters'] / 1e6:.1f}M parameters for micro-world problems. It writes a solution "
        "in numbered steps and boxes the answer, and it refines a solution on request. It is small so that it makes "
        "mistakes: it is there to be verified, labelled and searched over, not to be right.\n",
        "## Use\n\nAn ordinary chat model: the system turn `Please reason step by step, and put your final answer "
        "within \\boxed{}.`, the problem as the user turn. Sample it at temperature 0.7 to 1.0. `genprm.prompts` "
        "renders both kinds of dialogue (`render_policy`, `render_refinement`). It knows the sentences of the "
        "micro-world and nothing else.\n",
        f"## Data\n\nSolutions of problems of the micro-world's train split (made by seed {data['seed']}), of 2 to "
        f"{data['most_steps']} steps with values up to {data['largest']}. {data['mend_share']:.0%} of them have a "
        "wrong step that is computed again; all end in the right answer. "
        f"{data['refine_share']:.0%} of the dialogues refine a solution, with a right, a wrong or an empty critique "
        "in equal share. The test problems and two story families were never seen.\n\n" + _rows(survey, most) + ".\n",
    ]


_READERS = {
    "annotator": "It writes a critique of a whole solution, step by step, with Python that a sandbox runs, and names "
    "the first wrong step",
    "judge": "It reads a whole solution and names the first wrong step, without code",
}


def _reader(facts: Mapping[str, Any]) -> list[str]:
    data, survey, most = facts["options"]["data"], facts["survey"], facts["options"]["max_length"]
    return [
        f"{_FRONT}---\n\n# {facts['name']}\n\n"
        f"A model of {facts['parameters'] / 1e6:.1f}M parameters that reads solutions of micro-world problems. "
        f"{_READERS[data['source']]}. It is one of the sources that curation compares, and errs in its own way.\n",
        f"## Use\n\n`genprm curate RUN --out DIR {data['source']}.model=FOLDER`. It knows the sentences of "
        "the micro-world and nothing else.\n",
        f"## Data\n\nSolutions of problems of the micro-world's train split (made by seed {data['seed']}), of 2 to "
        f"{data['most_steps']} steps with values up to {data['largest']}, {data['clean_share']:.0%} of them right, "
        "read by a scripted reader that knows the truth. What is curated and tested on is of other problems.\n\n"
        + _rows(survey, most)
        + ".\n",
    ]


def _curated(facts: Mapping[str, Any]) -> list[str]:
    options, data = facts["options"], facts["options"]["data"]
    share = "" if data["share"] == 1 else f", {data['share']:.0%} of them drawn by seed {data['seed']}"
    what = "the judgements alone" if data["direct"] else "whole rationales"
    masked = "never" if options["mask_code_output"] else "and"
    return [
        _head(facts),
        _uses(facts),
        f"## Data\n\nThe conversations of `{data['path']}`{share}; trained on {what} (what the model writes; {masked} "
        f"code output). {_rows(facts['survey'], options['max_length'])}.\n",
    ]


_READS = {
    "token": "the probability of one token against another behind every step",
    "head": "a head of two classes behind every step",
    "orm": "the probability of one token against another at the end of the solution",
}


def _step_model(facts: Mapping[str, Any]) -> list[str]:
    options, survey = facts["options"], facts["survey"]
    data = options["data"]
    source = ", ".join(data["places"]) if data["source"] == "files" else f"the micro-world (seed {data['seed']}, truth)"
    return [
        "---\nlibrary_name: transformers\ntags: [process-reward-model]\n---\n\n"
        f"# {facts['name']}\n\n"
        f"A discriminative reward model of {facts['parameters'] / 1e6:.1f}M parameters: a step's reward is "
        f"{_READS[options['kind']]}.\n",
        "## Use\n\n`genprm verify IN --out DIR --model FOLDER`, or\n\n```python\n"
        "from genprm.scorers import Synchronous, open_scorer\n\nwith Synchronous(open_scorer(FOLDER)) as scorer:\n"
        "    scorer.score(solutions)[0].rewards\n```\n\n"
        "`scorer.json` says the format of its text (`genprm.stepformats`).\n",
        f"## Data\n\nSolutions with a value for every step, of {source}.\n\n"
        + _rows(survey, options["max_length"]).replace("of the tokens trained on", "of the tokens read")
        + ".\n",
    ]


def _solver(facts: Mapping[str, Any]) -> list[str]:
    options = facts["options"]
    return [
        f"{_FRONT}---\n\n# {facts['name']}\n\n"
        f"A policy of {facts['parameters'] / 1e6:.1f}M parameters, trained on solutions.\n",
        f"## Data\n\nThe solutions of `{options['data']['path']}`; trained on what the policy wrote itself. "
        f"{_rows(facts['survey'], options['max_length'])}.\n",
    ]


def _rows(survey: Mapping[str, Any], most: int) -> str:
    return (
        f"Rows: mean {survey['mean_tokens']:.0f} tokens, longest of {survey['rows']}: {survey['longest']}, "
        f"{survey['supervised_share']:.0%} of the tokens trained on, "
        f"{survey['over_length']} rows over {most} tokens left out"
    )


def _head(facts: Mapping[str, Any]) -> str:
    return (
        f"{_FRONT}tags: [process-reward-model, verifier]\n---\n\n"
        f"# {facts['name']}\n\n"
        f"A generative process reward model of {facts['parameters'] / 1e6:.1f}M parameters. For each step of a "
        "solution it analyses the step, writes Python that checks it, reads what the code printed, and judges Yes or "
        "No.\n"
    )


def _uses(facts: Mapping[str, Any]) -> str:
    return (
        "## Use\n\n```python\nfrom genprm import Solution, Verifier\n\n"
        "with Verifier(model=FOLDER, votes=8) as verifier:\n"
        '    result = verifier.verify(Solution(problem="...", steps=["...", "..."]))\n```\n\n'
        "It speaks the GenPRM rationale format behind its own chat template.\n"
    )


def _data(facts: Mapping[str, Any]) -> str:
    options, survey = facts["options"], facts["survey"]
    data = options["data"]
    gsm8k = (
        f"GSM8K train solutions ({data['gsm8k_share']:.0%} of the conversations), right and with injected slips"
        if data["gsm8k"]
        else "no other text"
    )
    return (
        "## Data\n\n"
        f"**Trained on truth.** Micro-world solutions (made by seed {data['seed']}) with known first errors, and "
        f"{gsm8k}. A scripted annotator that sees the truth of every step wrote the rationales. In "
        f"{data['flip_share']:.0%} of the conversations the last code output is swapped for its opposite and the "
        "judgement follows it. The test problems of the micro-world, two of its story families and the GSM8K test "
        "file were never seen.\n\n"
        f"Rows: mean {survey['mean_tokens']:.0f} tokens, longest of {survey['rows']}: {survey['longest']}, "
        f"{survey['supervised_share']:.0%} of the tokens trained on (what the model writes; "
        f"{'never' if options['mask_code_output'] else 'and'} code output), "
        f"{survey['over_length']} rows over {options['max_length']} tokens left out.\n"
    )


_ABOUT: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "lab": _verifier,
    "policy": _policy,
    "annotator": _reader,
    "judge": _reader,
    "conversations": _curated,
    "solutions": _solver,
}
"""What a card says first, by the source of the data."""


def _training(facts: Mapping[str, Any]) -> str:
    options, packages = facts["options"], facts["environment"].get("packages", {})
    optimizer, schedule = options["optimizer"], options["schedule"]
    machine = facts["environment"].get("processor") or facts["environment"].get("platform")
    versions = ", ".join(f"{name} {packages[name]}" for name in ("torch", "transformers", "trl") if name in packages)
    start = "from scratch" if options["model"]["base"] is None else f"from {options['model']['base']}"
    names = ("max_minutes", "max_steps", "epochs")
    ends = next(f"{name}={options[name]:.12g}" for name in names if options.get(name))
    stepped = "AdamW" if optimizer["kind"] == "adamw" else "Muon and AdamW"
    loss = "" if facts["loss"] is None else f", last loss {facts['loss']:.4f}"
    best = facts.get("best")
    kept = ""
    if best is not None:
        evaluation = options["evaluation"]
        how = f"{evaluation['votes']} votes" if "votes" in evaluation else f"at its threshold {best['threshold']:.3g}"
        kept = (
            f"Kept are the weights of step {best['step']:,}: the best F1 ({best['f1']:.1f}, {how}) on "
            f"{best['solutions']} held-out solutions of `{evaluation['data']}`. "
        )
    return (
        "## Training\n\n"
        f"`genprm train RECIPE --out DIR` with the recipe `{facts['name']}`, seed {options['seed']}, {ends}: {start}, "
        f"{facts['steps']:,} steps, {facts['tokens'] / 1e6:.1f}M tokens, {facts['minutes']:.0f} minutes in "
        f"{facts['precision']} on {machine}{loss}. "
        f"{stepped}, learning rate {optimizer['learning_rate']:g} ({schedule['kind']}), weight decay "
        f"{optimizer['weight_decay']:g}, {_batch(options)} a step. {kept}"
        f"All options are in `{FACTS}`. {versions}.\n"
    )


def _batch(options: Mapping[str, Any]) -> str:
    """What the optimizer sees in one step."""
    if options.get("rows_per_batch"):
        return f"{options['rows_per_batch'] * options['accumulate']} rows"
    if "tokens_per_batch" in options:
        return f"{options['tokens_per_batch'] * options['accumulate']} tokens"
    return f"{options['batch_size'] * options['accumulate']} solutions in each process"


def _table(table: Mapping[str, Any]) -> str:
    columns = [str(column) for column in table["columns"]]
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    lines += ["| " + " | ".join("" if cell is None else str(cell) for cell in row) + " |" for row in table["rows"]]
    note = f"{table['note']}\n\n" if table.get("note") else ""
    return f"### {table['title']}\n\n{note}" + "\n".join(lines) + "\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON ({error}); give a file that a benchmark wrote") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} is not a measurement file; give a file that a benchmark wrote")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """``python -m genprm.train.card MODEL_FOLDER MEASUREMENT.json ...``"""
    parser = argparse.ArgumentParser(description="Write a model card again, with measured tables.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("measurements", type=Path, nargs="*")
    given = parser.parse_args(arguments)
    update_card(given.folder, given.measurements)


if __name__ == "__main__":
    main()
