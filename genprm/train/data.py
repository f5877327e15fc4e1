"""Where the rows of a training come from: a data set of conversations or solutions, or the lab, with GSM8K from a file
or the hub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genprm.errors import InputError
from genprm.prompts import Row
from genprm.train.options.rows import ConversationData, Data, PolicyData, ReaderData, SolutionData
from genprm.train.rows import CorpusRows, DialogueRows, Rows

if TYPE_CHECKING:
    from genprm.engines.base import Tokenizer
    from genprm.lab.corpus import Corpus
    from genprm.lab.policy import PolicyCorpus
    from genprm.lab.readers import ReaderCorpus
    from genprm.train.conversations import ConversationSet
    from genprm.train.solutions import SolutionSet

    AnyCorpus = Corpus | PolicyCorpus | ReaderCorpus | ConversationSet | SolutionSet

SOURCES = ("gsm8k", "steps")


def check_names(data: Mapping[str, str]) -> None:
    """Refuse names that no recipe reads."""
    unknown = sorted(set(data) - set(SOURCES))
    if unknown:
        raise InputError(f"--data names '{unknown[0]}', which no recipe reads; known: {', '.join(SOURCES)}")


def open_corpus(options: Data, data: Mapping[str, str], report: Callable[[str], None]) -> AnyCorpus:
    """The corpus of a recipe; ``data`` names local copies that stand in for what the recipe names."""
    from genprm.lab.corpus import Corpus
    from genprm.lab.policy import PolicyCorpus
    from genprm.lab.readers import ReaderCorpus

    if isinstance(options, ConversationData):
        return _conversations(options, report)
    if isinstance(options, SolutionData):
        return _solutions(options, report)
    if isinstance(options, PolicyData):
        report(f"data: solutions of micro-world problems, seed {options.seed}")
        return PolicyCorpus(**options.model_dump(exclude={"source"}))
    if isinstance(options, ReaderData):
        report(f"data: readings of micro-world solutions, seed {options.seed}")
        return ReaderCorpus(options.source, **options.model_dump(exclude={"source"}))
    place = data.get("gsm8k", options.gsm8k)
    rows = () if place is None else read_gsm8k(place)
    report(
        f"data: micro-world, seed {options.seed}" + (f", and {len(rows)} GSM8K solutions of {place}" if rows else "")
    )
    return Corpus(
        seed=options.seed,
        gsm8k=rows,
        gsm8k_share=options.gsm8k_share if rows else 0.0,
        flip_share=options.flip_share,
        grow_over=options.grow_over,
        side_share=options.side_share,
    )


def _conversations(options: ConversationData, report: Callable[[str], None]) -> ConversationSet:
    from genprm.train.conversations import read

    corpus, data = read(options)
    refused = Counter(one.reason for one in data.rejected)
    why = f" ({', '.join(f'{name} {count}' for name, count in sorted(refused.items()))})" if refused else ""
    report(
        f"data: {len(corpus.examples)} of {len(data.examples)} conversations of {options.path}, "
        f"{len(data.rejected)} rows could not be used{why}"
    )
    return corpus


def _solutions(options: SolutionData, report: Callable[[str], None]) -> SolutionSet:
    from genprm.train.solutions import read

    corpus = read(options)
    report(f"data: {len(corpus.examples)} solutions of {options.path}")
    return corpus


def rows_of(corpus: AnyCorpus, tokenizer: Tokenizer, mask_code_output: bool) -> Rows[Row]:
    """What is trained on, made from a corpus."""
    from genprm.lab.corpus import Corpus
    from genprm.train.conversations import ConversationSet

    if isinstance(corpus, Corpus | ConversationSet):
        return CorpusRows(corpus, tokenizer, mask_code_output)
    return DialogueRows(corpus, tokenizer)


def read_gsm8k(place: str, split: str = "train") -> tuple[Mapping[str, Any], ...]:
    """GSM8K rows ``{id, problem, answer, steps}`` with their annotations, of a JSONL file or a hub name.

    A line may be such a row, or one of the published files (``question`` and ``answer``).
    """
    from genprm.lab.gsm8k import from_hub_row
    from genprm.records.lines import read_lines

    path = Path(place)
    if path.suffix in (".jsonl", ".json") or path.exists():
        raw = [record for _, record in read_lines(path)]
    else:
        raw = _from_hub(place, split)
    rows = []
    for index, row in enumerate(raw):
        made = dict(row) if "steps" in row else from_hub_row(row, f"gsm8k-{split}-{index}")
        if not isinstance(made.get("problem"), str) or not isinstance(made["steps"], list):
            raise InputError(f"{place}, row {index + 1}: a GSM8K row needs 'problem' and a list 'steps'")
        rows.append(made)
    if not rows:
        raise InputError(f"{place} holds no rows; give the GSM8K train file or 'openai/gsm8k'")
    return tuple(rows)


def _from_hub(name: str, split: str) -> list[dict[str, Any]]:
    from datasets import load_dataset

    try:
        return [dict(row) for row in load_dataset(name, "main", split=split)]
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"{name} cannot be read from the hub ({reason}); give a local copy with --data gsm8k=PATH"
        ) from error
