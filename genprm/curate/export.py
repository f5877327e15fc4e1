"""Data sets that trainers read, in three published formats; each is a folder of its own.

    export(sifted.kept, Path("data/sft"), Conversations(), card)

    data/sft/README.md                           the data card (see ``data_card``)
    data/sft/data/train-00000-of-00001.parquet   what ``datasets.load_dataset("data/sft")`` reads
    data/sft/train.jsonl                         the same rows
    data/sft/index.jsonl                         for each row the ids it comes from, and where the problem ends
    data/sft/dataset.json                        the numbers of the card

============== ======================================= ========================================================
format         columns                                 for
============== ======================================= ========================================================
Conversations  conversations: list of content, role    generative verifiers by SFT; the schema of GenPRM-MATH-Data
StepTags       text, value: list of float              ER-PRM: a target for each "ки", the last step's included
ExtraTokens    problem, text, labels: list of int      Qwen2.5-Math-PRM: a class for each "<extra_0>"
============== ======================================= ========================================================

Rows are written as they are made, so memory does not grow with their number. A candidate that a format cannot say is
left out with a reason, which the card's funnel counts. The folder appears when it is complete, or not at all.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol

from genprm.curate.consensus import implied_labels
from genprm.curate.data_card import FACTS, Card, Totals, write_card
from genprm.curate.evidence import Candidate
from genprm.curate.filters import Funnel, FunnelRow
from genprm.curate.released import INDEX, ROWS, conversation_mode
from genprm.errors import InputError
from genprm.prompts import PromptStyle, messages
from genprm.rationale.grammar import render
from genprm.records import dump_line
from genprm.stepformats import MATH_SHEPHERD, QWEN

PARQUET = "data/train-00000-of-00001.parquet"
BATCH = 500
"""Rows held in memory, and in one row group of the parquet file."""


class Format(Protocol):
    """What the rows of a data set look like."""

    @property
    def name(self) -> str: ...
    def columns(self) -> Mapping[str, Any]:
        """The columns as ``datasets`` features."""
        ...

    def row(self, candidate: Candidate) -> dict[str, Any] | str:
        """The row of a candidate, or the stable name of the reason why it has none."""
        ...

    def place(self, candidate: Candidate) -> Mapping[str, Any]:
        """What the index says of a row beside the ids of its solution."""
        ...


@dataclass(frozen=True, slots=True)
class Conversations:
    """One conversation a solution: a system turn, and for each step that has a rationale a user and assistant turn.

    Texts are those that the verifier is prompted with, byte for byte (``prompts.messages``, ``grammar.render``);
    ``official`` is the style of the released data. Reasons: ``no-rationales``, ``no-judgement`` (a rationale has
    none), ``not-utf8`` (half a character, which no file can hold).
    """

    style: PromptStyle = "chat"
    name: ClassVar[str] = "conversations"

    def columns(self) -> Mapping[str, Any]:
        from datasets import Value

        return {"conversations": [{"content": Value("string"), "role": Value("string")}]}

    def row(self, candidate: Candidate) -> dict[str, Any] | str:
        rationales = candidate.rationales
        if not rationales:
            return "no-rationales"
        if None in candidate.judgements:
            return "no-judgement"
        turns = [render(rationale, index + 1) for index, rationale in enumerate(rationales)]
        solution, mode = candidate.solution, conversation_mode(rationales)
        said = messages(solution.problem, solution.steps, turns, mode=mode, style=self.style)
        return {"conversations": [{"content": content, "role": role} for role, content in said]}

    def place(self, candidate: Candidate) -> Mapping[str, Any]:
        """Where the problem ends in the first user turn, which has no mark there."""
        return {"style": self.style, "problem_characters": len(candidate.solution.problem)}


@dataclass(frozen=True, slots=True)
class StepTags:
    """Problem and steps as one text with the tag "ки" behind every step, the last included, and a target for each tag.

    ``len(value) == text.count("ки")`` for every row: a problem or step that holds the tag itself (as much Russian text
    does) is refused, for breaking the tag up would change the text. A step without a mark "Step k:" gets one. Targets
    are the candidate's values, else its labels; an index that a consensus agreed on does not change them. Reasons:
    ``no-values`` (a step has neither), ``holds-tag``, ``not-utf8``.
    """

    TAG: ClassVar[str] = MATH_SHEPHERD.TAG
    name: ClassVar[str] = "step-tags"

    def columns(self) -> Mapping[str, Any]:
        from datasets import Value

        return {"text": Value("string"), "value": [Value("float64")]}

    def row(self, candidate: Candidate) -> dict[str, Any] | str:
        solution, targets = candidate.solution, candidate.values or candidate.labels
        values = [float(target) for target in targets if target is not None]
        if len(values) != len(solution.steps):
            return "no-values"
        if any(self.TAG in text for text in (solution.problem, *solution.steps)):
            return "holds-tag"
        return {"text": MATH_SHEPHERD.text(solution.problem, solution.steps), "value": values}

    def place(self, candidate: Candidate) -> Mapping[str, Any]:
        return {}


@dataclass(frozen=True, slots=True)
class ExtraTokens:
    """The problem, the steps each followed by "<extra_0>", and a class for each: 1 right, 0 wrong.

    Steps behind the first error are left out, as published. Reasons: ``error-unknown``, ``holds-tag``, ``not-utf8``.
    """

    TAG: ClassVar[str] = QWEN.TAG
    name: ClassVar[str] = "extra-tokens"

    def columns(self) -> Mapping[str, Any]:
        from datasets import Value

        return {"problem": Value("string"), "text": Value("string"), "labels": [Value("int64")]}

    def row(self, candidate: Candidate) -> dict[str, Any] | str:
        solution, index = candidate.solution, candidate.error
        if index is None:
            return "error-unknown"
        if any(self.TAG in text for text in (solution.problem, *solution.steps)):
            return "holds-tag"
        steps = solution.steps if index == -1 else solution.steps[: index + 1]
        labels = implied_labels(index, len(steps))
        return {"problem": solution.problem, "text": QWEN.text(steps), "labels": list(labels)}

    def place(self, candidate: Candidate) -> Mapping[str, Any]:
        return {}


@dataclass(frozen=True, slots=True)
class Exported:
    """A data set as it was written."""

    folder: Path
    rows: int
    rejected: Mapping[str, int]
    """Candidates that have no row, by reason."""


def export(candidates: Iterable[Candidate], folder: Path, format: Format, card: Card) -> Exported:
    """Write the data set of ``candidates`` to ``folder``, which must not exist or be empty.

    The rows that a format leaves out become the last stage of the card's funnel. Raises ``InputError`` when the folder
    holds files, when no candidate has a row, or when the disk refuses.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there and not empty; give another folder, or remove it")
    new = folder.with_name(f".{folder.name}.new")
    started = time.perf_counter()
    try:
        shutil.rmtree(new, ignore_errors=True)
        (new / PARQUET).parent.mkdir(parents=True)
        totals, rejected = _write_rows(candidates, new, format)
        if not totals.rows:
            reasons = ", ".join(f"{count} {reason}" for reason, count in rejected.items()) or "there are none"
            raise InputError(f"no candidate can be written as {format.name} ({reasons}); nothing was exported")
        row = FunnelRow(f"export {format.name}", totals.rows + sum(rejected.values()), totals.rows, rejected, {}, {})
        whole = replace(card, funnel=card.funnel + Funnel((row,)))
        write_card(new, whole, format.name, totals, time.perf_counter() - started)
        if folder.exists():
            folder.rmdir()
        new.replace(folder)
    except OSError as error:
        raise InputError(f"cannot write {folder}: {error.strerror}; free space or choose another folder") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return Exported(folder, totals.rows, rejected)


def push_to_hub(folder: Path, name: str, *, private: bool = True) -> str:
    """Upload a folder that ``export`` wrote as the data set ``name`` ("owner/name") of the Hugging Face hub.

    Gives its address. Nothing else here talks to the network. Raises ``InputError`` for another folder and when the hub
    refuses.
    """
    if not (folder / FACTS).exists():
        raise InputError(f"{folder} is no exported data set (it has no {FACTS}); give a folder that export wrote")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        hub = HfApi()
        hub.create_repo(name, repo_type="dataset", private=private, exist_ok=True)
        hub.upload_folder(folder_path=folder, repo_id=name, repo_type="dataset", commit_message="Exported by genprm")
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise InputError(
            f"{folder} cannot be uploaded as {name}: {reason}; log in to the hub, or check the name"
        ) from error
    return f"https://huggingface.co/datasets/{name}"


def _write_rows(candidates: Iterable[Candidate], folder: Path, format: Format) -> tuple[Totals, dict[str, int]]:
    """Write rows, index and parquet in one pass; what was written and what was left out."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features

    totals, rejected = Totals(), Counter[str]()
    schema = Features(format.columns()).arrow_schema
    with (
        (folder / ROWS).open("wb") as rows_file,
        (folder / INDEX).open("wb") as index_file,
        pq.ParquetWriter(folder / PARQUET, schema) as parquet,
    ):
        made = _rows(candidates, format, rejected, rows_file, index_file, totals)
        while batch := list(islice(made, BATCH)):
            parquet.write_table(pa.Table.from_pylist(batch, schema=schema))
    return totals, dict(sorted(rejected.items()))


def _rows(
    candidates: Iterable[Candidate],
    format: Format,
    rejected: Counter[str],
    rows_file: IO[bytes],
    index_file: IO[bytes],
    totals: Totals,
) -> Iterator[dict[str, Any]]:
    """The rows of the candidates; each is written as a line, with a line of the index, and counted on the way."""
    for candidate in candidates:
        row = format.row(candidate)
        line = row if isinstance(row, str) else _line(row)
        if isinstance(row, str) or isinstance(line, str):
            rejected[str(line)] += 1
            continue
        rows_file.write(line)
        source = {**_source(candidate), **format.place(candidate)}
        index_file.write(dump_line(source).encode() + b"\n")
        totals.add(candidate)
        yield row


def _line(row: Mapping[str, Any]) -> bytes | str:
    try:
        return (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except UnicodeEncodeError:
        return "not-utf8"


def _source(candidate: Candidate) -> dict[str, Any]:
    """What a row's line of the index says of it."""
    solution = candidate.solution
    return {
        "id": solution.id,
        "problem_id": solution.problem_id,
        "generator": solution.generator,
        "first_error": candidate.error,
    }
