from __future__ import annotations

from genprm.rationale.dialogue import Settings
from genprm.rationale.grammar import CodeRound, Rationale, turn_segments
from genprm.rationale.history import remembered
from genprm.types import Segment

TURNS = tuple(
    turn_segments(Rationale(f"Step {index}.", (CodeRound("print(1)", "1\n"),) * with_code, "Yes"), index)
    for index, with_code in enumerate([1, 0, 1, 0], start=1)
)


def texts(turns: tuple[tuple[Segment, ...], ...]) -> list[str]:
    return ["".join(segment.text for segment in turn) for turn in turns]


BLOCK = "<output>\n**Judgement**: $\\boxed{Yes}$\n</output>\n"


def test_full_keeps_every_turn() -> None:
    assert remembered(TURNS, Settings()) == TURNS


def test_judgements_keeps_only_the_output_blocks() -> None:
    assert texts(remembered(TURNS, Settings(history="judgements"))) == [BLOCK] * 4


def test_last_k_keeps_the_last_turns_in_full() -> None:
    kept = remembered(TURNS, Settings(history="last-k", last_k=2))
    assert texts(kept) == [BLOCK, BLOCK, *texts(TURNS[2:])]
    assert remembered(TURNS, Settings(history="last-k", last_k=9)) == TURNS


def test_a_turn_without_a_judgement_is_kept_as_it_is() -> None:
    turn = (Segment("model", "hm"),)
    assert remembered((turn,), Settings(history="judgements")) == (turn,)


def test_authors_stay_and_ids_go_where_a_segment_is_cut() -> None:
    turn = (Segment("harness", "x\n"), Segment("model", "</verify>\n" + BLOCK, (1, 2, 3)))
    assert remembered((turn,), Settings(history="judgements")) == ((Segment("model", BLOCK),),)
