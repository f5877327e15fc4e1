"""The types of genprm as JSONL lines and back, and every way to read solutions.

``solutions``  one solution record (a superset of ProcessBench) to a ``Solution`` and back
``results``    votes and items to dicts and back
``inputs``     a JSONL file, ``hub:name[:config]:split`` or ``-`` to solutions
``prmbench``   rows of PRMBench as the solutions that they hold
``curation``   rollouts and labels to dicts and back
``answers``    the final answer of a solution, extracted where the record does not give it
``answering``  the program that finds and compares answers under a deadline
``grading``    whether answers are right, in processes that can be killed; ``plain`` numbers at once
``lines``      JSON lines: reading with errors that name file, line and field; writing
"""

from __future__ import annotations

from genprm.records.answers import answers_agree, extract_answer, final_answer_correct, predicted_answer
from genprm.records.curation import (
    labels_from_dict,
    labels_to_dict,
    read_labels,
    read_rollouts,
    rollout_from_dict,
    rollout_to_dict,
)
from genprm.records.inputs import Loaded, read_solutions
from genprm.records.lines import dump_line, read_lines, write_lines
from genprm.records.results import item_to_dict, read_votes, vote_from_dict, vote_to_dict
from genprm.records.solutions import content_id, solution_from_dict, solution_to_dict

__all__ = [
    "Loaded",
    "answers_agree",
    "content_id",
    "dump_line",
    "extract_answer",
    "final_answer_correct",
    "item_to_dict",
    "labels_from_dict",
    "labels_to_dict",
    "predicted_answer",
    "read_labels",
    "read_lines",
    "read_rollouts",
    "read_solutions",
    "read_votes",
    "rollout_from_dict",
    "rollout_to_dict",
    "solution_from_dict",
    "solution_to_dict",
    "vote_from_dict",
    "vote_to_dict",
    "write_lines",
]
