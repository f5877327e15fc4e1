from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from genprm.types import Solution
from genprm.verify.seeds import request_seed, vote_key, vote_seed

SOLUTION = Solution("p", ("a", "b"), id="x", label=1)


@given(st.integers(), st.text(), st.integers(0))
def test_seeds_fit_in_63_bits_and_depend_on_every_part(run: int, id: str, vote: int) -> None:
    seed = vote_seed(run, id, vote)
    assert 0 <= seed < 2**63
    assert seed == vote_seed(run, id, vote)
    assert len({seed, vote_seed(run + 1, id, vote), vote_seed(run, id + "x", vote), vote_seed(run, id, vote + 1)}) == 4
    assert len({request_seed(seed, 0, 0), request_seed(seed, 0, 1), request_seed(seed, 1, 0), seed}) == 4


def test_seeds_never_change_between_releases() -> None:
    assert vote_seed(0, "x", 0) == 3745955735756358830
    assert request_seed(1, 2, 3) == 9015968173304218025


def test_a_key_depends_on_what_a_vote_depends_on_and_on_nothing_else() -> None:
    key = vote_key({"seed": 0}, SOLUTION, 0)
    assert key == vote_key({"seed": 0}, replace(SOLUTION, label=None, extra={"note": 1}), 0)
    others = [
        vote_key({"seed": 1}, SOLUTION, 0),
        vote_key({"seed": 0}, SOLUTION, 1),
        vote_key({"seed": 0}, replace(SOLUTION, id="y"), 0),
        vote_key({"seed": 0}, replace(SOLUTION, problem="q"), 0),
        vote_key({"seed": 0}, replace(SOLUTION, steps=("ab",)), 0),
    ]
    assert len({key, *others}) == 6


def test_the_order_of_the_identity_does_not_count() -> None:
    assert vote_key({"a": 1, "b": 2}, SOLUTION, 0) == vote_key({"b": 2, "a": 1}, SOLUTION, 0)
