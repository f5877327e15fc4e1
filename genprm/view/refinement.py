"""The page of a critique run: every solution with its rounds, what was said of it and what was written in its place.

What stands in the table of rounds is counted from the items, as its links list them; tokens are those of metrics.json.
A run that is not finished shows the solutions as given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from genprm.errors import InputError, RecordError
from genprm.types import Solution
from genprm.view import reading
from genprm.view.bundle import Bundle, Entry
from genprm.view.frame import Tag, page

_FACTS = (
    ("critic", "critic"),
    ("policy.engine.model", "policy"),
    ("verifier.engine.model", "verifier"),
    ("verifier_votes", "votes"),
    ("refinements", "solutions to a critique"),
    ("accept_if_better", "keeps the old one unless better"),
    ("verifier.mode", "mode"),
    ("policy.seed", "seed"),
)
FILTERS = (
    Tag("mended", "Became right", "a wrong answer became right in some round"),
    Tag("spoiled", "Became wrong", "a right answer became wrong in some round"),
    Tag("alarm", "False alarm", "a right answer was criticised"),
    Tag("criticised", "Criticised"), Tag("changed", "Changed"),
    Tag("right", "Right at the end"), Tag("wrong", "Wrong at the end"),
    Tag("invalid", "Invalid solutions", "some new solution could not be used"), Tag("unfinished", "Unfinished"),
)  # fmt: skip
SORTS = (("changes", "Rounds that changed it"), ("score", "Score at the end"))
COLUMNS = (
    ("right", "right"), ("criticised", "criticised"), ("alarm", "right ones criticised"), ("mended", "wrong to right"),
    ("spoiled", "right to wrong"), ("invalid", "with an invalid one"),
)  # fmt: skip
"""Of the table of rounds: beginnings of the tags that it counts, and their headings."""
_ITEM = {"right": list, "rounds": list}
Place = str | tuple[str, str]
"""``FILE:LINE``; with the line's id where it is not that of the solution given."""


def render(run_dir: Path, title: str, config: Mapping[str, Any], bundle: Bundle) -> str:
    """The page as text, its items in the bundle. Raises ``InputError``."""
    rounds = _metrics(run_dir)
    bundle.extend(_entries(run_dir))
    bundle.finish()
    tags = [Tag(f"{key}-{number}", f"Round {number}: {name}") for number in range(len(rounds)) for key, name in COLUMNS]
    return page(
        "refinement.html.jinja", title, config, _FACTS, bundle, what="solutions", filters=FILTERS,
        tags=(*FILTERS, *tags), sorts=SORTS, rounds=rounds, columns=COLUMNS,
    )  # fmt: skip


def _metrics(run_dir: Path) -> list[dict[str, Any]]:
    """The rounds of metrics.json, once they are known to be what a run writes; none before there are any."""
    rounds = reading.metrics(run_dir).get("rounds", [])
    tokens = ("policy_tokens", "verifier_tokens")
    if isinstance(rounds, list) and all(
        isinstance(one, dict) and all(type(one.get(name)) is int for name in tokens) for one in rounds
    ):
        return rounds
    raise InputError(f"{run_dir / 'metrics.json'}: its rounds are not what a run writes; run the same command again")


def _entries(run_dir: Path) -> Iterator[Entry]:
    from genprm.records.solutions import solution_from_dict

    name = reading.needed(run_dir, "solutions.jsonl")
    with reading.indices() as open_index:
        items = open_index(run_dir, "items.jsonl", **_ITEM)
        written = open_index(run_dir, "refinements.jsonl", steps=list | None)
        for line, record in reading.records(run_dir, name, id=str):
            solution = solution_from_dict(record, source=name, line=line)
            item = items.last(solution.id)
            rounds = [] if item is None else _rounds(item, run_dir / items.name)
            new = {id: one for turn in rounds for id in turn["candidates"] if (one := written.last(id)) is not None}
            places: list[Place] = [f"{name}:{line}", *(f"items.jsonl:{one.number}" for one in (item,) if one)]
            places += [(f"refinements.jsonl:{one.number}", id) for id, one in new.items()]
            right = [None] if item is None else item.record["right"]
            yield _entry(solution, right, rounds, {id: one.record for id, one in new.items()}, places)


def _rounds(item: reading.Line, path: Path) -> list[dict[str, Any]]:
    """The rounds of an item record, once they are known to be what a run writes."""
    rounds: list[Any] = item.record["rounds"]
    whole = all(
        isinstance(one, dict) and isinstance(one.get("candidates"), list) and isinstance(one.get("taken"), str)
        and all(isinstance(id, str) for id in one["candidates"]) and isinstance(one.get("finding"), dict | None)
        and isinstance(one.get("score"), float | int | None) and isinstance(one.get("invalid"), int)
        for one in rounds
    )  # fmt: skip
    known = item.record["right"]
    if whole and len(known) == len(rounds) + 1 and all(isinstance(right, bool | None) for right in known):
        return rounds
    raise RecordError("is not what a run writes; mend the line", source=str(path), line=item.number, field="rounds")


def _entry(
    solution: Solution, right: Sequence[bool | None], rounds: Sequence[Mapping[str, Any]],
    new: Mapping[str, Mapping[str, Any]], places: Sequence[Place],
) -> Entry:  # fmt: skip
    scores = [one["score"] for one in rounds]
    return Entry(
        id=solution.id,
        text=solution.problem,
        tags=list(dict.fromkeys(_tags(solution.id, right, rounds))),
        chip=_chip(right[-1]) if rounds else ("unfinished", ""),
        mark="",
        strip=[_word(one) for one in right],
        numbers=(sum(_changed(solution.id, rounds)), scores[-1] if scores else None),
        steps=0,
        detail={
            "problem": solution.problem,
            "meta": [["reference answer", solution.answer], ["written by", solution.generator]],
            "rounds": list(_shown(solution, right, rounds, new)),
            "places": list(places),
        },
    )


def _changed(id: str, rounds: Sequence[Mapping[str, Any]]) -> list[bool]:
    before = [id, *(one["taken"] for one in rounds)]
    return [one["taken"] != old for one, old in zip(rounds, before, strict=False)]


def _tags(id: str, right: Sequence[bool | None], rounds: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The filters that show a solution; some more than once."""
    if not rounds:
        yield "unfinished"
        return
    if right[-1] is not None:
        yield "right" if right[-1] else "wrong"
    if any(_changed(id, rounds)):
        yield "changed"
    if right[0]:
        yield "right-0"
    for number, turn in enumerate(rounds, start=1):
        before, after = right[number - 1], right[number]
        named = {
            "criticised": turn["finding"] is not None,
            "alarm": turn["finding"] is not None and before is True,
            "mended": before is False and after is True,
            "spoiled": before is True and after is False,
            "invalid": turn["invalid"] > 0,
        }
        for name in (name for name, holds in named.items() if holds):
            yield from (name, f"{name}-{number}")
        if after:
            yield f"right-{number}"


def _shown(
    solution: Solution, right: Sequence[bool | None], rounds: Sequence[Mapping[str, Any]],
    new: Mapping[str, Mapping[str, Any]],
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """What stood before each round with what was said of it, and what stood at the end."""
    ids = [solution.id, *(one["taken"] for one in rounds)]
    for number, id in enumerate(ids):
        turn = rounds[number] if number < len(rounds) else {}
        finding = turn.get("finding") or {}
        steps = solution.steps if id == solution.id else new.get(id, {}).get("steps") or ()
        yield {
            "id": id, "right": _word(right[number]), "score": turn.get("score"), "steps": [str(one) for one in steps],
            "step": finding.get("step"), "words": str(finding.get("words") or ""),
            "others": [one for one in turn.get("candidates", ()) if one != ids[number + 1]],
            "invalid": turn.get("invalid", 0), "same": number > 0 and id == ids[number - 1],
        }  # fmt: skip


def _word(right: bool | None) -> str:
    return "unknown" if right is None else "right" if right else "wrong"


def _chip(right: bool | None) -> tuple[str, str]:
    return ("not known", "") if right is None else ("right", "yes") if right else ("wrong", "no")
