"""The page of a curation: what was dropped and why, where the sources disagree, and every solution with its fate.

Numbers come from metrics.json, items.jsonl and labels.jsonl. Before a curation has all answers of its models nothing
is derived, and the page says how many answers there are. Solutions with a ``label`` have a known truth, which no source
saw: each source is then held against it. Memory holds first errors by source; texts and labels are read one solution
at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from genprm.types import Labels, Solution
from genprm.view import reading
from genprm.view.agreement import Confusion, Found, Pair, Source, confusions, first_error, kind_of, pairs
from genprm.view.bundle import Bundle, Entry
from genprm.view.frame import BINS, Tag, bars, bin_of, bin_tags, page

OUTCOME = "orm"
"""The rule that labels answers, not steps: it has no first error to compare."""
ASKED = ("annotator", "judge", "siblings", "human", "agreed")
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
SORTS = (("steps", "Steps"), ("named", "First error of the labels"))
CODE = ("consistent", "conflict", "none")
KINDS = ("exact", "clean", "early", "late", "missed", "alarm", "unknown")
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
class Asked:
    """How far one model was asked."""

    name: str
    file: str
    """Where its answers stand."""
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
    found: Found
    reasons: tuple[tuple[str, str], ...]
    """Every fate of dropped solutions, in the order of the funnel."""

    def dropped(self, stage: str, reason: str) -> str:
        """The filter that lists what a stage dropped for a reason."""
        return f"dropped-{self.reasons.index((stage, reason))}" if (stage, reason) in self.reasons else "none"

    def dropped_by(self, stage: str) -> str:
        """The filters that list all that a stage dropped."""
        return ",".join(self.dropped(*one) for one in self.reasons if one[0] == stage)

    def entered(self, stage: str, stages: Sequence[str]) -> str:
        """The filters that list what came to a stage: what it dropped, and what it kept."""
        return ",".join(filter(None, (self.dropped_by(stage), self.survivors(stage, stages))))

    def survivors(self, stage: str, stages: Sequence[str]) -> str:
        """The filters that list what a stage kept: what later ones dropped, and what was kept in the end."""
        later = stages[list(stages).index(stage) + 1 :]
        return ",".join(["kept", *(self.dropped(*one) for one in self.reasons if one[0] in later)])


def render(run_dir: Path, title: str, config: Mapping[str, Any], bundle: Bundle) -> str:
    """The page as text, its items in the bundle. Raises ``InputError``."""
    run = read(run_dir)
    bundle.extend(_entries(run_dir, run))
    bundle.finish()
    filters = (
        Tag("kept", "Kept"), *(Tag(run.dropped(*one), one[1], f"dropped by {one[0]}") for one in run.reasons),
        Tag("code-conflict", "Code conflict", "code printed the opposite of the judgement"),
        Tag("differ", "Sources differ", "two sources name another first error"),
        Tag("waiting", "Not derived yet"),
    )  # fmt: skip
    return page(
        "curation.html.jinja", title, config, _FACTS, bundle, what="solutions", filters=filters,
        tags=(*filters, *_more_tags(run)), sorts=SORTS, run=run, metrics=run.metrics, bars=bars(run.histogram, "m"),
        stages=[row["stage"] for row in run.metrics["funnel"]],
    )  # fmt: skip


def _more_tags(run: CurationRun) -> Iterator[Tag]:
    """What figures link to, besides the filters."""
    yield from (Tag("derived", "Derived"), Tag("dropped", "Dropped"), Tag("truth", "With a label"))
    yield from (Tag(f"code-{name}", f"Code: {name}") for name in CODE if name != "conflict")
    yield from (Tag(f"malformed-{name}", f"Malformed: {name}") for name in run.metrics["malformed"])
    names = [source.name for source in run.sources]
    yield from (
        Tag(f"differ-{a}-{b}", f"{names[a]} and {names[b]} differ") for a, b in combinations(range(len(names)), 2)
    )
    yield from (Tag(f"truth-{place}-{kind}", f"{name}: {kind}") for place, name in enumerate(names) for kind in KINDS)
    yield from bin_tags("m", BINS, "MC value")


def read(run_dir: Path) -> CurationRun:
    """What there is of a curation, counted. Raises ``InputError``."""
    name = reading.needed(run_dir, "solutions.jsonl")
    solutions, truth = 0, {}
    for _, record in reading.records(run_dir, name, id=str, label=int | None):
        solutions += 1
        if record.get("label") is not None:
            truth[record["id"]] = record["label"]
    items: dict[str, dict[str, Any]] = {
        one.record["id"]: {key: one.record.get(key) for key in _ITEM}
        for one in reading.records(run_dir, "items.jsonl", **_ITEM)
    }
    metrics = {**_NO_METRICS, **reading.metrics(run_dir)}
    labels = _labels(run_dir)
    found = {**labels.found, **_asked_sources(items)}
    code = [one["code"] for one in items.values()]
    kept = sum(one["kept"] for one in items.values())
    return CurationRun(
        solutions=solutions,
        fates={"derived": len(items), "kept": kept, "dropped": len(items) - kept},
        asked=tuple(_asked(run_dir, solutions)),
        metrics=metrics,
        histogram=labels.histogram,
        sources=tuple(found),
        pairs=pairs(found),
        confusions=confusions(found, truth) if items else {},
        truths=len(truth),
        code=dict(Counter(verdict for verdicts in code for verdict in verdicts)),
        conflicting=sum("conflict" in verdicts for verdicts in code),
        rules=labels.rules,
        found=found,
        reasons=_reasons(items, metrics),
    )


_NO_METRICS: Mapping[str, Any] = {
    "funnel": (), "malformed": {}, "answer_candidates": {}, "dropped_problems": (), "exported": {}, "tokens": {},
}  # fmt: skip
_ITEM = {
    "id": str, "first_error": int | None, "annotator": int | None, "malformed": str | None, "judge": int | None,
    "siblings": int | None, "human": int | None, "agreed": int | None, "code": list, "kept": bool,
    "dropped_by": str | None, "reason": str | None,
}  # fmt: skip


def _reasons(items: Mapping[str, Mapping[str, Any]], metrics: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The reasons to drop a solution, in the order of the funnel."""
    order = [row["stage"] for row in metrics["funnel"]]
    fates = {(str(item["dropped_by"]), str(item["reason"])) for item in items.values() if not item["kept"]}
    return tuple(sorted(fates, key=lambda one: (order.index(one[0]) if one[0] in order else len(order), one)))


class _Labelled(NamedTuple):
    """What one pass over labels.jsonl leaves."""

    found: Found
    rules: dict[str, str]
    """The rules, with their parameters as text."""
    histogram: tuple[int, ...]


def _labels(run_dir: Path) -> _Labelled:
    from genprm.records.curation import labels_from_dict

    found: dict[Source, dict[str, int | None]] = {}
    rules: dict[str, str] = {}
    histogram, counted = [0] * BINS, set[str]()
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
    return _Labelled(found, rules, tuple(histogram))


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
            yield Asked(name, file, answers, solutions * samples if isinstance(samples, int) else None)


def _entries(run_dir: Path, run: CurationRun) -> Iterator[Entry]:
    from genprm.records.curation import labels_from_dict
    from genprm.records.solutions import solution_from_dict

    name = reading.needed(run_dir, "solutions.jsonl")
    with reading.indices() as open_index:
        items, labelled = open_index(run_dir, "items.jsonl", **_ITEM), open_index(run_dir, "labels.jsonl")
        asked = [open_index(run_dir, file) for file in _UNITS.values()]
        for line, record in reading.records(run_dir, name, id=str):
            solution = solution_from_dict(record, source=name, line=line)
            item, lines = items.last(solution.id), list(labelled.of(solution.id))
            labels = [labels_from_dict(one.record, source="labels.jsonl", line=one.number) for one in lines]
            places = [f"{name}:{line}", *(f"items.jsonl:{one.number}" for one in (item,) if one)]
            places += [f"labels.jsonl:{one.number}" for one in lines]
            places += [f"{index.name}:{one.number}" for index in asked for one in index.of(solution.id)]
            yield _entry(solution, None if item is None else item.record, labels, run, places)


def _entry(
    solution: Solution, item: Mapping[str, Any] | None, labels: Sequence[Labels], run: CurationRun,
    places: Sequence[str],
) -> Entry:  # fmt: skip
    of_rule = {one.rule: one for one in labels}
    indices = {source.name: of.get(solution.id) for source, of in run.found.items()}
    fate: Fate = None if item is None or item["kept"] else (str(item["dropped_by"]), str(item["reason"]))
    counts: tuple[tuple[int, int], ...] = next((one.counts for one in labels), ())
    cells = _cells(solution, item, of_rule, {**indices, "label": solution.label}, run.rules, counts)
    tags = _tags(solution, item, fate, list(indices.values()), counts, run)
    first = next((index for index in indices.values() if index is not None), None)
    return Entry(
        id=solution.id,
        text=solution.problem,
        tags=list(dict.fromkeys(tags)),
        chip=("waiting", "") if item is None else (fate[1], "no") if fate else ("kept", "yes"),
        mark="",
        strip=[correct / total if total else None for correct, total in counts],
        numbers=(len(solution.steps), first),
        steps=len(solution.steps),
        detail={
            "problem": solution.problem,
            "meta": _meta(solution, item, fate, indices),
            "label": solution.label,
            "rules": list(run.rules),
            "steps": [_shown(cell) for cell in cells],
            "places": list(places),
        },
    )


def _meta(
    solution: Solution, item: Mapping[str, Any] | None, fate: Fate, indices: Mapping[str, int | None]
) -> list[list[str]]:
    facts = [] if fate is None else [["dropped by", f"{fate[0]}: {fate[1]}"]]
    if item is not None and item.get("malformed"):
        facts.append(["critique malformed", item["malformed"]])
    if solution.final_answer_correct is not None:
        facts.append(["answer", "right" if solution.final_answer_correct else "wrong"])
    named = indices if solution.label is None else {**indices, "label": solution.label}
    said = ", ".join(f"{name} {_step(index)}" for name, index in named.items())
    return [*facts, ["first error", said or "not known"]]


def _step(index: int | None) -> str:
    return "–" if index is None else "none" if index < 0 else f"step {index}"


def _cells(
    solution: Solution, item: Mapping[str, Any] | None, of_rule: Mapping[str, Labels],
    indices: Mapping[str, int | None], rules: Mapping[str, str], counts: Sequence[tuple[int, int]],
) -> Iterator[Cell]:  # fmt: skip
    code = () if item is None else item["code"]
    values = [of_rule[rule].values if rule in of_rule else () for rule in rules]
    for index, text in enumerate(solution.steps):
        yield Cell(
            index, text,
            count=counts[index] if index < len(counts) else None,
            values=tuple(of[index] if index < len(of) else None for of in values),
            code=str(code[index]) if index < len(code) else "",
            named=tuple(name for name in (*ASKED, "label") if indices.get(name) == index),
        )  # fmt: skip


def _shown(cell: Cell) -> dict[str, Any]:
    return {
        "text": cell.text, "count": cell.count, "code": cell.code, "named": list(cell.named),
        "values": ["–" if value is None else f"{round(value, 2):g}" for value in cell.values],
        "off": [value is not None and value < 0.5 for value in cell.values],
    }  # fmt: skip


def _tags(
    solution: Solution, item: Mapping[str, Any] | None, fate: Fate, indices: Sequence[int | None],
    counts: Sequence[tuple[int, int]], run: CurationRun,
) -> Iterator[str]:  # fmt: skip
    """The filters that show a solution; some more than once."""
    if item is None:
        yield "waiting"
    else:
        yield from ("derived", "dropped" if fate else "kept", *((run.dropped(*fate),) if fate else ()))
        yield from (f"code-{verdict}" for verdict in item["code"])
        if item.get("malformed"):
            yield f"malformed-{item['malformed']}"
    for (a, one), (b, other) in combinations(enumerate(indices), 2):
        if one is not None and other is not None and one != other:
            yield from ("differ", f"differ-{a}-{b}")
    if solution.label is not None:
        yield "truth"
        yield from (f"truth-{place}-{kind_of(index, solution.label)}" for place, index in enumerate(indices))
    yield from (f"m{bin_of(correct / total)}" for correct, total in counts[:-1] if total)
