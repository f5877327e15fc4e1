"""Votes (lines of ``votes.jsonl``) and items (lines of ``items.jsonl``) as dicts, and votes back.

Fields are exactly those of the design: another program may rely on them. ``key`` is a vote's first field.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from genprm.errors import RecordError
from genprm.records.lines import parse_lines, read_bytes
from genprm.types import CodeRun, Failure, Judgement, Mode, StepStatus, StepVerdict, Verification, Vote


def vote_to_dict(vote: Vote) -> dict[str, Any]:
    """The record of a vote."""
    return {
        "key": vote.key,
        "id": vote.id,
        "vote": vote.vote,
        "seed": vote.seed,
        "steps": [_step_to_dict(step) for step in vote.steps],
    }


def _step_to_dict(step: StepVerdict) -> dict[str, Any]:
    return {
        "status": step.status,
        "mode": step.mode,
        "reward": step.reward,
        "p_yes": step.p_yes,
        "p_no": step.p_no,
        "judgement": step.judgement,
        "rationale": step.rationale,
        "code": [{"source": run.source, "status": run.status, "output": run.output} for run in step.code],
        "tokens": step.tokens,
        "failure": step.failure,
    }


def vote_from_dict(record: Mapping[str, Any], *, source: str = "vote", line: int | None = None) -> Vote:
    """The vote of a record. Raises ``RecordError`` naming the field that is missing or of another kind."""
    reader = _Reader(record, source, line)
    steps = reader.take("steps", list)
    return Vote(
        key=reader.take("key", str),
        id=reader.take("id", str),
        vote=reader.take("vote", int),
        seed=reader.take("seed", int),
        steps=tuple(_step_from_dict(step, source, line) for step in steps),
    )


def _step_from_dict(record: object, source: str, line: int | None) -> StepVerdict:
    if not isinstance(record, dict):
        raise _Reader({}, source, line).fail("steps", "must be a list of objects")
    reader = _Reader(record, source, line)
    runs = (_Reader(run, source, line) for run in reader.take("code", list))
    return StepVerdict(
        status=reader.one_of("status", get_args(StepStatus)),
        mode=reader.one_of("mode", get_args(Mode)),
        reward=reader.take("reward", float, int, type(None)),
        p_yes=reader.take("p_yes", float, int, type(None)),
        p_no=reader.take("p_no", float, int, type(None)),
        judgement=reader.one_of("judgement", (*get_args(Judgement), None)),
        rationale=reader.take("rationale", str),
        code=tuple(CodeRun(r.take("source", str), r.take("status", str), r.take("output", str)) for r in runs),
        tokens=reader.take("tokens", int),
        failure=reader.one_of("failure", (*get_args(Failure), None)),
    )


def read_votes(path: Path) -> dict[str, list[Vote]]:
    """The votes of a run by the id of their solution, in the order of their index; none if there is no file.

    Of a vote that was written twice the last line stands: one that was cut short may have been run further later, and
    the record may have been changed.
    What follows the last newline was never finished and is left out.
    """
    if not path.exists():
        return {}
    data = read_bytes(path)
    lines = parse_lines(data[: data.rfind(b"\n") + 1], str(path))
    latest = {(str(record.get("id")), record.get("vote")): (line, record) for line, record in lines}
    found: dict[str, list[Vote]] = {}
    for line, record in latest.values():
        vote = vote_from_dict(record, source=str(path), line=line)
        found.setdefault(vote.id, []).append(vote)
    return {name: sorted(votes, key=lambda vote: vote.vote) for name, votes in found.items()}


def item_to_dict(item: Verification) -> dict[str, Any]:
    """The record of all votes on one solution."""
    score = item.score
    return {
        "id": item.id,
        "rewards": list(item.rewards),
        "status": list(item.status),
        "predicted_label": item.predicted_label,
        "score": {"min": score.min, "mean": score.mean, "product": score.product, "last": score.last},
        "settled": item.settled,
        "votes": len(item.votes),
        "failures": dict(sorted(item.failures.items())),
    }


class _Reader:
    def __init__(self, record: Mapping[str, Any], source: str, line: int | None) -> None:
        self.record = record
        self.source = source
        self.line = line

    def take(self, field: str, *kinds: type) -> Any:
        value = self.record.get(field)
        if not isinstance(value, kinds):
            names = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
            raise self.fail(field, f"must be {names}")
        return value

    def one_of(self, field: str, values: tuple[Any, ...]) -> Any:
        value = self.record.get(field)
        if value not in values:
            raise self.fail(field, f"is {value!r}; it must be one of {', '.join(str(v) for v in values)}")
        return value

    def fail(self, field: str, message: str) -> RecordError:
        return RecordError(
            f"{message}; the run directory was written by another version or edited",
            source=self.source,
            line=self.line,
            field=field,
        )
