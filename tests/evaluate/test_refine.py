"""Refinement from the directory of a critique run: a slow count, what the run itself counted, controls and seeds."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genprm.cli import run as genprm
from genprm.critique import Plan, critique
from genprm.errors import InputError
from genprm.evaluate.refine import refine
from genprm.runs.configuration import Configuration
from tests.critique import sums
from tests.evaluate.files import write

ROUNDS = 3
History = list[tuple[list[bool | None], list[bool]]]
"""Of each solution: whether it is right after each round, and whether each round criticised it."""


def write_refined(folder: Path, made: History, *, critic: str = "verifier", seed: int = 0) -> Path:
    """The files of a critique run; two solutions to a problem."""
    solutions = [
        {"id": f"s{n}", "problem_id": f"p{n // 2}", "problem": f"p{n // 2}", "steps": ["x"], "answer": "7"}
        for n in range(len(made))
    ]
    items = [
        {"id": f"s{n}", "final": "x", "right": right,
         "rounds": [{"finding": {"step": 0} if said else None, "invalid": n} for said in criticised]}
        for n, (right, criticised) in enumerate(made)
    ]  # fmt: skip
    write(folder / "solutions.jsonl", solutions)
    write(folder / "items.jsonl", items)
    rounds = [{"policy_tokens": 10 * n, "verifier_tokens": 100} for n in range(len(made[0][0]))]
    (folder / "metrics.json").write_text(json.dumps({"rounds": rounds, "critic": critic}))
    text = Configuration("critique", {"critic": critic, "seed": seed}, {}, "in.jsonl").dump()
    (folder / "config.yaml").write_text(text)
    return folder


rights = st.lists(st.booleans(), min_size=ROUNDS + 1, max_size=ROUNDS + 1)
histories = st.tuples(
    rights | st.just([None] * (ROUNDS + 1)), st.lists(st.booleans(), min_size=ROUNDS, max_size=ROUNDS)
)


@given(st.lists(histories, min_size=1, max_size=8), rights)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_figures_equal_a_slow_count(tmp_path: Path, made: History, known: list[bool]) -> None:
    made = [*made, (list(known), [True] * ROUNDS)]
    (found,) = refine([write_refined(tmp_path / "run", made)]).runs
    answered = [one for one in made if None not in one[0]]
    assert found.problems == len(made) and found.unanswered == len(made) - len(answered)
    for number, one in enumerate(found.rounds):
        states = [(right[max(number - 1, 0)], right[number]) for right, _ in answered]
        criticised = [number > 0 and said[number - 1] for _, said in answered]
        assert one.right.value == pytest.approx(100 * sum(after or 0 for _, after in states) / len(answered))
        mended, spoiled = states.count((False, True)), states.count((True, False))
        assert (one.wrong_to_right, one.right_to_wrong) == (mended, spoiled)
        alarms = sum(said and bool(before) for said, (before, _) in zip(criticised, states, strict=True))
        assert one.false_alarms == alarms
        assert one.criticised == (sum(said[number - 1] for _, said in made) if number else 0)
        before = sum(bool(state[0]) for state in states)
        for share, count, among in (
            (one.mended, mended, len(states) - before), (one.spoiled, spoiled, before), (one.alarmed, alarms, before),
        ):  # fmt: skip
            assert (share is None) == (not number or not among)
            if share is not None:
                assert share.value == pytest.approx(100 * count / among) and share.low <= share.value <= share.high
        if number:
            assert one.gain is not None
            assert one.gain.value == pytest.approx(one.right.value - found.rounds[0].right.value)
            assert one.invalid == sum(range(len(made)))
    assert [one.tokens_so_far for one in found.rounds] == [100, 210, 330, 460]


def test_it_counts_what_a_real_run_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = Plan(rounds=3, refinements=2)
    summary = critique(sums.given(9), tmp_path / "run", sums.verifier(), sums.policy(), plan)
    critique(sums.given(9), tmp_path / "sham", sums.verifier(), sums.policy(), Plan(3, 2, "sham"))
    (found,) = refine([tmp_path / "run"]).runs
    assert found.critic == "verifier" and found.unanswered == 0
    names = ("number", "criticised", "false_alarms", "wrong_to_right", "right_to_wrong", "invalid", "policy_tokens",
             "verifier_tokens")  # fmt: skip
    for ours, theirs in zip(found.rounds, summary.rounds, strict=True):
        assert [asdict(ours)[name] for name in names] == [asdict(theirs)[name] for name in names]
        assert ours.right.value == pytest.approx(100 * theirs.right / theirs.answered)
    out = tmp_path / "figures.json"
    command = ["evaluate", "refine", str(tmp_path / "run"), "--against", str(tmp_path / "sham"), "--out", str(out)]
    assert genprm(command) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "9 solutions, critic verifier" in said and "33.3 [" in said and "(critic sham) on 9 problems" in said
    figures = json.loads(out.read_text())
    assert figures["against"][0]["critic"] == "sham" and len(figures["against"][0]["ahead"]) == 4


ALL, NONE = ([True, True, True], [False, False]), ([True, False, False], [True, False])


def test_controls_are_paired_by_solution(tmp_path: Path) -> None:
    ours = write_refined(tmp_path / "run", [ALL] * 12)
    worse = write_refined(tmp_path / "worse", [NONE] * 12, critic="sham")
    same = write_refined(tmp_path / "same", [ALL] * 12, critic="index")
    found = refine([ours], against=[worse, same])
    sham, index = found.against
    assert [one.value for one in sham.ahead] == [0, 100, 100] and sham.tokens == (100, 210, 330)
    assert (sham.ahead[1].low, sham.ahead[1].high) == (100, 100)
    assert [one.value for one in index.ahead] == [0, 0, 0] and index.p == 1
    # Six problems of two solutions each: all exchanged or none are two of 64 cases.
    assert sham.p == pytest.approx(2 / 64, abs=0.01) and sham.p_holm == pytest.approx(2 * sham.p)
    assert refine([ours], against=[worse]).against[0].p_holm is None
    lines = (worse / "items.jsonl").read_text().splitlines()
    (worse / "items.jsonl").write_text("\n".join(reversed(lines)) + "\n")
    assert refine([ours], against=[worse, same]) == found


def test_a_control_of_fewer_rounds_is_compared_up_to_its_last(tmp_path: Path) -> None:
    ours = write_refined(tmp_path / "run", [ALL] * 4)
    short = write_refined(tmp_path / "short", [([True, False], [True])] * 4)
    (found,) = refine([ours], against=[short]).against
    assert [one.value for one in found.ahead] == [0, 100] and len(found.tokens) == 2


def test_seeds_give_mean_and_standard_deviation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [write_refined(tmp_path / name, [one] * 4) for name, one in (("a", ALL), ("b", NONE))]
    found = refine(paths)
    assert [(one.mean, one.runs) for one in found.spreads] == [(100, 2), (50, 2), (50, 2)]
    assert found.spreads[1].std == pytest.approx(100 / 2**0.5)
    assert genprm(["evaluate", "refine", *map(str, paths)]) == 0
    assert "mean ± standard deviation of 2 runs" in capsys.readouterr().out


def test_of_solutions_without_a_reference_answer_nothing_is_counted(tmp_path: Path) -> None:
    """A record may say that its answer is right; what replaces it could not be told right."""
    run = write_refined(tmp_path / "run", [ALL, NONE, ALL])
    rows = [json.loads(line) for line in (run / "solutions.jsonl").read_text().splitlines()]
    del rows[0]["answer"]
    write(run / "solutions.jsonl", rows)
    (found,) = refine([run]).runs
    assert found.unanswered == 1 and found.rounds[1].right.value == 50
    for row in rows:
        row.pop("answer", None)
    write(run / "solutions.jsonl", rows)
    with pytest.raises(InputError, match="no answer can be told right or wrong"):
        refine([run])


def spoil_items(run: Path, **fields: Any) -> None:
    rows = [json.loads(line) for line in (run / "items.jsonl").read_text().splitlines()]
    write(run / "items.jsonl", [*rows[:1], {**rows[1], **fields}, *rows[2:]])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda run: (run / "items.jsonl").unlink(), "has no items.jsonl yet; run the same genprm critique command"),
        (lambda run: (run / "config.yaml").unlink(), "is not a run directory"),
        (lambda run: (run / "metrics.json").write_text("{"), "metrics.json cannot be read"),
        (lambda run: (run / "metrics.json").write_text('{"rounds": []}'), "does not have the 3 rounds"),
        (lambda run: spoil_items(run, right=[True]), "items.jsonl, line 2, field 'right': must be 3 times true"),
        (lambda run: spoil_items(run, rounds=3), "items.jsonl, line 2, field 'rounds': is a number"),
        (lambda run: spoil_items(run, id="x"), "lacks the solution 's1'"),
        (lambda run: spoil_items(run, right=[True], rounds=[]), "has other rounds of 's1'"),
        (lambda run: (run / "config.yaml").write_text(Configuration("verify", {}, {}, "").dump()),
         "is a run of genprm verify; give one of genprm critique"),
    ],
)  # fmt: skip
def test_what_is_no_finished_critique_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Any, words: str
) -> None:
    run = write_refined(tmp_path / "run", [ALL, NONE, ALL])
    spoil(run)
    assert genprm(["evaluate", "refine", str(run), "--out", str(tmp_path / "out.json")]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert words in error and not (tmp_path / "out.json").exists()


def test_other_solutions_and_controls_of_seeds_are_refused(tmp_path: Path) -> None:
    run, fewer = write_refined(tmp_path / "run", [ALL] * 3), write_refined(tmp_path / "fewer", [ALL] * 2)
    with pytest.raises(InputError, match=r"has the solution 's2' and .*fewer has not"):
        refine([run], against=[fewer])
    other = write_refined(tmp_path / "other", [ALL] * 3)
    rows = [json.loads(line) | {"steps": ["y"]} for line in (other / "solutions.jsonl").read_text().splitlines()]
    write(other / "solutions.jsonl", rows)
    with pytest.raises(InputError, match="began with other texts of 's0'"):
        refine([run, other])
    with pytest.raises(InputError, match="here are 2; give one DIR with --against"):
        refine([run, run], against=[run])
