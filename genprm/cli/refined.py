"""The tables of ``genprm evaluate refine``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genprm.cli.figures import NONE, print_table, say, shown

if TYPE_CHECKING:
    from rich.console import Console

    from genprm.evaluate.refine import Against, Refine, RefineRound, RefineRun
    from genprm.evaluate.statistics import Interval


def print_refine(to: Console, found: Refine) -> None:
    """Two tables a run (a terminal is not wide enough for one), the controls, or means and standard deviations."""
    for run in found.runs:
        _print_run(to, run)
    for one in found.against:
        _print_against(to, found.runs[0], one, len(found.against))
    if found.spreads:
        say(to, f"mean ± standard deviation of {len(found.runs)} runs, per cent")
        rows = [[str(number), one.describe()] for number, one in enumerate(found.spreads)]
        print_table(to, ("round", "right"), rows)


def _print_run(to: Console, run: RefineRun) -> None:
    say(to, f"{run.source}: {run.problems} solutions, critic {run.critic}; per cent, 95 % intervals over problems")
    if run.unanswered:
        say(to, f"{run.unanswered} solutions have no reference answer: they are in no share")
    answers = [
        [str(one.number), one.right.describe(), shown(one.gain), _of(one.wrong_to_right, one.mended),
         _of(one.right_to_wrong, one.spoiled)]
        for one in run.rounds
    ]  # fmt: skip
    print_table(to, ("round", "right", "over round 0", "wrong to right", "right to wrong"), answers)
    rows = [[str(one.number), *_said(one), *_spent(one)] for one in run.rounds]
    columns = ("criticised", "right ones criticised", "invalid", "policy tokens", "verifier tokens", "all so far")
    print_table(to, ("round", *columns), rows)
    if alarms := sum(one.false_alarms for one in run.rounds):
        lost = sum(one.right_to_wrong for one in run.rounds)
        say(to, f"false alarms: {alarms} times a right answer was criticised, and {lost} times one became wrong")


def _of(count: int, share: Interval | None) -> str:
    return str(count) if share is None else f"{count}: {share.describe()}"


def _said(one: RefineRound) -> tuple[str, str, str]:
    if not one.number:
        return NONE, NONE, NONE
    return str(one.criticised), _of(one.false_alarms, one.alarmed), str(one.invalid)


def _spent(one: RefineRound) -> tuple[str, str, str]:
    return f"{one.policy_tokens:,}", f"{one.verifier_tokens:,}", f"{one.tokens_so_far:,}"


def _print_against(to: Console, run: RefineRun, one: Against, controls: int) -> None:
    holm = "" if one.p_holm is None else f", {one.p_holm:.4f} after Holm for {controls} controls"
    last = len(one.ahead) - 1
    say(to, f"{run.source} minus {one.control} (critic {one.critic}) on {one.problems} problems, in points, paired")
    rows = [
        [str(number), ahead.describe(), f"{run.rounds[number].tokens_so_far:,}", f"{tokens:,}"]
        for number, (ahead, tokens) in enumerate(zip(one.ahead, one.tokens, strict=True))
    ]
    print_table(to, ("round", "ahead", "tokens so far", "of the control"), rows)
    say(to, f"after round {last}: p {one.p:.4f}{holm}")
