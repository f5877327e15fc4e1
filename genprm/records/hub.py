"""Solutions from data sets of the Hugging Face hub: ``name[:config]:split``.

Three column shapes are known: rows with ``problem`` and ``steps`` or ``solution`` (Qwen/ProcessBench: taken as they
are), rows with ``question`` and ``answer`` whose last line is ``#### result`` (openai/gsm8k: the reference solution is
split into lines, calculator annotations ``<<48/2=24>>`` removed) and those of hitsmy/PRMBench_Preview (``prmbench``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genprm.errors import InputError
from genprm.records import prmbench

ANNOTATION = re.compile(r"<<[^<>\n]*>>")
FORM = "hub:name:split or hub:name:config:split"


def strip_annotations(text: str) -> str:
    """GSM8K text without its calculator annotations."""
    return ANNOTATION.sub("", text)


def read_hub(spec: str, limit: int | None) -> tuple[Iterator[dict[str, Any]], tuple[str, ...], str]:
    """Rows as solution records, notes, and the name that errors show. Raises ``InputError`` in one sentence."""
    parts = spec.split(":")
    if len(parts) not in (2, 3) or not all(parts):
        raise InputError(
            f"'hub:{spec}' does not name a data set; write {FORM}, for example hub:Qwen/ProcessBench:gsm8k"
        )
    name, config, split = parts[0], parts[1] if len(parts) == 3 else None, parts[-1]
    rows = load_rows(name, config, split)
    if limit is not None:
        rows = rows.select(range(min(limit, len(rows))))
    source, columns = f"hub:{spec}", set(rows.column_names)
    if {"question", "answer"} <= columns:
        prefix = f"{name.rpartition('/')[2]}-{split}"
        note = f"{source}: reference solutions split into lines, calculator annotations removed"
        return (gsm8k_record(row, f"{prefix}-{index}") for index, row in enumerate(rows)), (note,), source
    if columns >= prmbench.ROW or ("problem" in columns and columns & {"steps", "solution"}):
        return (dict(row) for row in rows), (), source
    shown = ", ".join(sorted(columns))
    raise InputError(
        f"{source} has the columns {shown}; needed are problem and steps (or solution), or question and "
        "answer, or those of PRMBench"
    )


def gsm8k_record(row: Mapping[str, Any], id: str) -> dict[str, Any]:
    """One row of openai/gsm8k as the record of its reference solution."""
    work, _, answer = str(row["answer"]).partition("####")
    steps = [strip_annotations(line).strip() for line in work.splitlines() if line.strip()]
    return {
        "id": id,
        "problem_id": id,
        "generator": "reference",
        "problem": row["question"],
        "steps": steps,
        "answer": answer.strip().replace(",", ""),
    }


def require_place(name: str) -> None:
    """Raises ``InputError`` for what can only be a file or folder and is none; a data set is OWNER/NAME or NAME."""
    local = name.count("/") > 1 or name.startswith((".", "/", "~")) or name.endswith((".jsonl", ".json"))
    if local and not Path(name).expanduser().exists():
        raise InputError(f"there is no file or folder {name}; give a path that exists, or a data set as OWNER/NAME")


def load_rows(name: str, config: str | None, split: str) -> Any:
    """The split of a data set, of the hub or in a local folder, as ``datasets.Dataset``. Raises ``InputError``."""
    require_place(name)
    import datasets

    try:
        return datasets.load_dataset(name, config, split=split)
    # OSError: no network, no cache, no such repository; ValueError: unknown config, split or data set.
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        # The libraries explain themselves over many lines; the first one is the reason.
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise InputError(
            f"the data set {name} (split {split}) cannot be loaded from the hub or its cache: {reason}; "
            "check the name and the network, or give a JSONL file"
        ) from error
