"""The page of a curation: what was dropped and why, where the sources disagree, and examples of each fate.

Numbers come from metrics.json, items.jsonl and labels.jsonl. Before a curation has all answers of its models nothing
is derived, and the page says how many answers there are. Solutions with a ``label`` have a known truth, which no source
saw: each source is then held against it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from genprm.types import Labels, Solution
from genprm.view import reading
from genprm.view.agreement import Confusion, Found, Pair, Source, confusions, first_error, pairs
from genprm.view.frame import BINS, Filter, bars, bin_of, filters, page

EXAMPLES = 4
"""Solutions that are shown of those kept, and of each reason to drop one."""
OUTCOME = "orm"
"""The rule that labels answers, not steps: it has no first error to compare."""
ASKED = ("annotator", "judge", "human", "agreed")
"""Sources besides the label rules, as items.jsonl names them; the last is what a consensus settled on, where it did."""
_UNITS = {"annotator": "annotations.jsonl", "judge": "judgements.jsonl"}
_FACTS = (
    ("annotator.model", "annotator"),
    ("judge.model", "judge"),
    ("consensus", "consensus"),
    ("rule", "labels compared"),
    ("confidence", "confidence"),
    ("targets", "targets"),
    ("per_problem", "per problem"),
    ("max_tokens", "tokens at most"),
    ("licence", "licence"),
    ("seed", "seed"),
)
Fate = tuple[str, str] | None
"""The filter that dropped a solution and its reason; ``None``: kept."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What is known of one step."""

    index: int
    text: str
    count: tuple[int, int] | None
    """Right completions and all."""
    values: tuple[float | None, ...]
    """By rule, in the order of the page."""
    code: str
    """Whether the annotator's code agrees with its judgement there; empty without a rationale."""
    named: tuple[str, ...]
    """The sources whose first error this step is."""


@dataclass(frozen=True, slots=True)
class Example:
    """One solution. It has a fate once it is ``derived``."""

    solution: Solution
    derived: bool
    fate: Fate
    tag: str
    malformed: str | None
    steps: tuple[Cell, ...]
    indices: Mapping[str, int | None]
    """First error by source; ``label`` is the truth, where it is known."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How far one model was asked."""

    name: str
    answers: int
    wanted: int | None


@dataclass(frozen=True, slots=True)
class CurationRun:
    """What the page shows."""

    solutions: int
    fates: Mapping[str, int]
    """``derived``, ``kept`` and ``dropped`` solutions."""
    asked: tuple[Asked, ...]
    metrics: Mapping[str, Any]
    """Of metrics.json; its counts are empty before there is one."""
    histogram: tuple[int, ...]
    """Prefixes by MC value, last steps left out."""
    sources: tuple[Source, ...]
    pairs: Mapping[tuple[str, str], Pair]
    confusions: Mapping[str, Confusion]
    """Of each source against the truth; empty where no solution has a ``label``."""
    truths: int
    code: Mapping[str, int]
    """Steps by what the code says of the judgement."""
    conflicting: int
    """Solutions with a step whose code printed the opposite of the judgement."""
    rules: Mapping[str, str]
    """Every label rule, with its parameters as text."""
    examples: tuple[Example, ...]


def render(title: str, config: Mapping[str, Any], run: CurationRun) -> str:
    """The page as text."""
    return page(
        "curation.html.jinja", title, config, _FACTS, what="solution", filters=_filters(run.examples),
        run=run, metrics=run.metrics, bars=bars(run.histogram),
    )  # fmt: skip


def read(run_dir: Path) -> CurationRun:
    """What there is of a curation. Raises ``InputError``."""
    from genprm.records.solutions import solution_from_dict

    name = reading.needed(run_dir, "solutions.jsonl")
    solutions = {
        one.record["id"]: solution_from_dict(one.record, source=name, line=one.number)
        for one in reading.records(run_dir, name, id=str)
    }
    items = {one.record["id"]: one.record for one in reading.records(run_dir, "items.jsonl", **_ITEM)}
    metrics = {**_NO_METRICS, **reading.metrics(run_dir)}
    fates = _fates(solutions, items, metrics)
    labels = _labels(run_dir, chosen=set(fates))
    found = {**labels.found, **_asked_sources(items)}
    truth = {one.id: one.label for one in solutions.values() if one.label is not None}
    code = [one["code"] for one in items.values()]
    kept = sum(one["kept"] for one in items.values())
    return CurationRun(
        solutions=len(solutions),
        fates={"derived": len(items), "kept": kept, "dropped": len(items) - kept},
        asked=tuple(_asked(run_dir, len(solutions))),
        metrics=metrics,
        histogram=labels.histogram,
        sources=tuple(found),
        pairs=pairs(found),
        confusions=confusions(found, truth) if items else {},
        truths=len(truth),
        code=dict(Counter(verdict for verdicts in code for verdict in verdicts)),
        conflicting=sum("conflict" in verdicts for verdicts in code),
        rules=labels.rules,
        examples=tuple(_example(solutions[one], items.get(one), fates[one], labels, found) for one in fates),
    )


_NO_METRICS: Mapping[str, Any] = {
    "funnel": (), "malformed": {}, "answer_candidates": {}, "dropped_problems": (), "exported": {}, "tokens": {},
}  # fmt: skip
_ITEM = {
    "id": str, "first_error": int | None, "annotator": int | None, "malformed": str | None, "judge": int | None,
    "human": int | None, "agreed": int | None, "code": list, "kept": bool, "dropped_by": str | None,
    "reason": str | None,
}  # fmt: skip


def _fates(
    solutions: Mapping[str, Solution], items: Mapping[str, Mapping[str, Any]], metrics: Mapping[str, Any]
) -> dict[str, Fate]:
    """The examples to show: some kept ones, then some of each reason in the order of the funnel."""
    if not items:
        return dict.fromkeys(list(solutions)[:EXAMPLES])
    groups: dict[Fate, list[str]] = defaultdict(list)
    for name, item in items.items():
        if name in solutions:
            groups[None if item["kept"] else (str(item["dropped_by"]), str(item["reason"]))].append(name)
    order = [row["stage"] for row in metrics["funnel"]]

    def rank(fate: Fate) -> tuple[int, str]:
        return (-1, "") if fate is None else (order.index(fate[0]) if fate[0] in order else len(order), fate[1])

    return {name: fate for fate in sorted(groups, key=rank) for name in groups[fate][:EXAMPLES]}


class _Labelled(NamedTuple):
    """What one pass over labels.jsonl leaves."""

    found: Found
    rules: dict[str, str]
    """The rules, with their parameters as text."""
    histogram: tuple[int, ...]
    chosen: dict[str, dict[str, Labels]]
    """By solution and rule, of the examples alone."""


def _labels(run_dir: Path, chosen: set[str]) -> _Labelled:
    from genprm.records.curation import labels_from_dict

    found: dict[Source, dict[str, int | None]] = {}
    rules: dict[str, str] = {}
    histogram, counted = [0] * BINS, set()
    kept: dict[str, dict[str, Labels]] = defaultdict(dict)
    for one in reading.records(run_dir, "labels.jsonl"):
        labels = labels_from_dict(one.record, source="labels.jsonl", line=one.number)
        if labels.rule not in rules:
            rules[labels.rule] = ", ".join(f"{name} {value:g}" for name, value in labels.parameters.items())
        if labels.rule != OUTCOME:
            source = Source(labels.rule, rules[labels.rule])
            found.setdefault(source, {})[labels.id] = first_error(labels.values)
        if labels.id not in counted:  # every rule cites the same counts
            counted.add(labels.id)
            for correct, total in labels.counts[:-1]:
                if total:
                    histogram[bin_of(correct / total)] += 1
        if labels.id in chosen:
            kept[labels.id][labels.rule] = labels
    return _Labelled(found, rules, tuple(histogram), kept)


def _asked_sources(items: Mapping[str, Mapping[str, Any]]) -> Found:
    """The first errors that models and people named, of those that named any."""
    named = {Source(name, ""): {id: item[name] for id, item in items.items()} for name in ASKED}
    return {source: of for source, of in named.items() if any(index is not None for index in of.values())}


def _asked(run_dir: Path, solutions: int) -> Iterator[Asked]:
    config = reading.config(run_dir)
    for name, file in _UNITS.items():
        samples = config.get(f"{name}.samples")
        answers = len({one.record["key"] for one in reading.records(run_dir, file, key=str)})
        if answers or samples:
            yield Asked(name, answers, solutions * samples if isinstance(samples, int) else None)


def _example(
    solution: Solution, item: Mapping[str, Any] | None, fate: Fate, labels: _Labelled, found: Found
) -> Example:
    of_rule = labels.chosen.get(solution.id, {})
    indices = {source.name: of.get(solution.id) for source, of in found.items()}
    indices |= {} if solution.label is None else {"label": solution.label}
    counts: tuple[tuple[int, int], ...] = next((one.counts for one in of_rule.values()), ())
    values = [of_rule[rule].values if rule in of_rule else () for rule in labels.rules]
    code = () if item is None else item["code"]
    steps = tuple(
        Cell(
            index, text,
            count=counts[index] if index < len(counts) else None,
            values=tuple(of[index] if index < len(of) else None for of in values),
            code=str(code[index]) if index < len(code) else "",
            named=tuple(name for name in (*ASKED, "label") if indices.get(name) == index),
        )
        for index, text in enumerate(solution.steps)
    )  # fmt: skip
    malformed = None if item is None else item["malformed"]
    return Example(solution, item is not None, fate, _tag(fate), malformed, steps, indices)


def _tag(fate: Fate) -> str:
    """A word for the page's own use: names of filters and reasons may hold anything."""
    return "kept" if fate is None else "dropped-" + "/".join(fate).encode().hex()


def _filters(examples: Iterable[Example]) -> list[Filter]:
    derived = [one for one in examples if one.derived]
    named = {one.tag: "Kept" if one.fate is None else one.fate[1] for one in derived}
    shown = filters([one.tag for one in derived], list(named.items()))
    return shown if derived else [Filter("", "All", len(list(examples)))]
