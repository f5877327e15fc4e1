from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import lru_cache
from typing import Any

import pytest

from genprm.engines import GenerationRequest, ScriptedEngine
from genprm.errors import InputError
from genprm.execution import LocalSandbox
from genprm.rationale.settings import Settings
from genprm.types import CodeRun, Solution, StepVerdict, Vote
from genprm.verify import Judge, replay_step, run_vote
from tests.verify import scripts

WITH_CODE = Settings()


def run(work: Callable[[LocalSandbox], Coroutine[Any, Any, Any]]) -> Any:
    async def main() -> Any:
        sandbox = LocalSandbox(max_sessions=1)
        try:
            return await work(sandbox)
        finally:
            await sandbox.aclose()

    return asyncio.run(main())


def two_rounds(prompt: str, request: GenerationRequest) -> str:
    """Looks once, then checks, and checks again when the output says False."""
    if prompt.endswith("```python\n"):
        return "seen = 2\nprint('looking')\n```\n"
    rounds = prompt.rpartition("<analyze>")[2].count("[Code Output]")
    if rounds == 1 and prompt.endswith("```\n"):
        return "Now the check.\n```python\nprint(seen == 2)\n```\n"
    if rounds == 2 and "\nFalse\n" in prompt.rpartition("<analyze>")[2]:
        return "Once more.\n```python\nprint(seen + 40)\n```\n"
    return scripts.write(prompt, request)


@lru_cache
def stored(script: Callable[[str, GenerationRequest], str] = scripts.write) -> Vote:
    engine = ScriptedEngine(script, score=scripts.score)
    return run(lambda sandbox: run_vote(scripts.SUMS, 3, Judge(engine, sandbox, WITH_CODE)))  # type: ignore[no-any-return]


def replay(vote: Vote, step: int, edit: Callable[[CodeRun], str] | None = None, **more: Any) -> StepVerdict:
    engine = more.pop("engine", None) or scripts.model()
    settings = more.pop("settings", WITH_CODE)
    return asyncio.run(
        replay_step(scripts.SUMS, vote, step, engine=engine, settings=settings, edit_output=edit, **more)
    )


def swapped(run: CodeRun) -> str:
    return {"True\n": "False\n", "False\n": "True\n"}.get(run.output, run.output)


def test_with_its_own_outputs_a_step_comes_out_as_it_was() -> None:
    for step in range(3):
        again = replay(stored(), step)
        assert again == stored().steps[step]


def test_with_the_opposite_output_the_judgement_follows_the_code() -> None:
    flipped = [replay(stored(), step, swapped) for step in range(3)]
    assert [verdict.judgement for verdict in flipped] == ["No", "Yes", "No"]
    assert [verdict.code[0].output for verdict in flipped] == ["False\n", "True\n", "False\n"]
    kept = stored().steps[0].rationale.partition("[Code Output]")[0]
    assert flipped[0].rationale.startswith(kept)


def test_what_the_model_wrote_before_the_output_is_not_asked_for_again() -> None:
    asked: list[str] = []

    def write(prompt: str, request: GenerationRequest) -> str:
        asked.append(prompt)
        return scripts.write(prompt, request)

    replay(stored(), 1, swapped, engine=ScriptedEngine(write))
    assert len(asked) == 1
    assert asked[0].endswith("[Code Output]\n\n```\nTrue\n```\n")
    assert stored().steps[0].rationale in asked[0]


def test_every_round_is_edited_and_new_code_finds_the_variables_of_the_vote() -> None:
    engine = ScriptedEngine(two_rounds)
    vote = stored(two_rounds)
    assert [run.output for run in vote.steps[0].code] == ["looking\n", "True\n"]
    edited = run(
        lambda sandbox: replay_step(
            scripts.SUMS, vote, 0, engine=engine, settings=WITH_CODE, edit_output=swapped, sandbox=sandbox
        )
    )
    assert [run.output for run in edited.code] == ["looking\n", "False\n", "42\n"]
    with pytest.raises(InputError, match="no sandbox"):
        replay(vote, 0, swapped, engine=engine)


def test_an_output_that_stands_keeps_its_status() -> None:
    def write(prompt: str, request: GenerationRequest) -> str:
        return "1 / 0\n```\n" if prompt.endswith("```python\n") else scripts.write(prompt, request)

    vote = stored(write)
    again = replay(vote, 0, engine=ScriptedEngine(write, score=scripts.score))
    assert again == vote.steps[0]
    assert again.code[0].status == "error"


def test_steps_that_cannot_be_replayed_are_refused() -> None:
    vote = stored()
    with pytest.raises(InputError, match="step 3 is not one of the 3 steps"):
        replay(vote, 3)
    failed = replace(vote, steps=(StepVerdict("failed", "code", failure="budget"), *vote.steps[1:]))
    with pytest.raises(InputError, match="was not judged"):
        replay(failed, 0)
    with pytest.raises(InputError, match="judged in mode code, not analyze"):
        replay(vote, 0, settings=Settings(mode="analyze"))


def test_a_rationale_that_deviates_from_the_format_still_serves_as_history() -> None:
    vote = stored()
    odd = replace(vote.steps[0], rationale="<analyze>\nodd</analyze>\nJudgement: Yes")
    asked: list[str] = []

    def write(prompt: str, request: GenerationRequest) -> str:
        asked.append(prompt)
        return scripts.write(prompt, request)

    replay(replace(vote, steps=(odd, *vote.steps[1:])), 1, engine=ScriptedEngine(write))
    assert odd.rationale in asked[0]


def test_a_stored_text_that_breaks_off_is_written_anew() -> None:
    vote = stored()
    cut = replace(vote.steps[0], rationale=vote.steps[0].rationale[:60])
    broken = replace(vote, steps=(cut, *vote.steps[1:]))
    again = run(
        lambda sandbox: replay_step(
            scripts.SUMS, broken, 0, engine=scripts.model(), settings=WITH_CODE, sandbox=sandbox
        )
    )
    assert again.judgement == "Yes"


def test_words_without_code_are_followed_too() -> None:
    def write(prompt: str, request: GenerationRequest) -> str:
        if prompt.endswith("```python\n"):
            return "no code after all"
        if prompt.endswith("No code found.\n```\n"):
            return "So:\n```python\nprint(1 + 1 == 2)\n```\n"
        return scripts.write(prompt, request)

    vote = stored(write)
    assert [run.status for run in vote.steps[0].code] == ["no_code", "ok"]
    engine = ScriptedEngine(write, score=scripts.score)
    assert replay(vote, 0, engine=engine).rationale == vote.steps[0].rationale
    assert replay(vote, 0, swapped, engine=engine).judgement == "No"


def test_with_another_text_the_step_is_written_anew_and_with_its_own_it_comes_out_as_it_was() -> None:
    corrected = replace(scripts.SUMS, steps=("1 + 1 = 2", "2 + 2 = 4", "3 + 3 = 6"))

    def anew(solution: Solution, step: int) -> StepVerdict:
        engine = scripts.model()
        return run(  # type: ignore[no-any-return]
            lambda sandbox: replay_step(
                solution, stored(), step, engine=engine, settings=WITH_CODE, sandbox=sandbox, anew=True
            )
        )

    assert [anew(scripts.SUMS, step) for step in range(3)] == list(stored().steps)
    verdict = anew(corrected, 1)
    assert (stored().steps[1].judgement, verdict.judgement) == ("No", "Yes")
    assert verdict.code[0].output == "True\n"
