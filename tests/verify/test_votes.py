from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import aclosing

import pytest

from genprm.engines import GenerationRequest, ScriptedEngine
from genprm.errors import EngineUnavailable, InputError, SandboxUnavailable
from genprm.execution import ExecutionResult, LocalSandbox, Session
from genprm.rationale.actions import Generated, NoRoom, Probabilities, ReadOut
from genprm.rationale.dialogue import judge_step
from genprm.rationale.settings import Settings
from genprm.types import Mode, Solution, Vote
from genprm.verify import Judge, run_vote
from genprm.verify.readout import read_out
from genprm.verify.seeds import request_seed, vote_seed
from genprm.verify.votes import Order
from tests.verify import scripts


def vote(engine: ScriptedEngine, settings: Settings | None = None, solution: Solution = scripts.SUMS) -> Vote:
    async def main() -> Vote:
        async with aclosing(LocalSandbox(max_sessions=2)) as sandbox:
            return await run_vote(solution, 0, Judge(engine, sandbox, settings or Settings()))

    return asyncio.run(main())


class BrokenSandbox(LocalSandbox):
    """Sessions that cannot be had."""

    def session(self) -> Session:
        raise SandboxUnavailable("the sandbox is gone")


def test_a_vote_runs_the_code_and_judges_by_what_it_printed() -> None:
    done = vote(scripts.model())
    assert [step.judgement for step in done.steps] == ["Yes", "No", "Yes"]
    first, second, _ = done.steps
    assert (first.p_yes, first.p_no) == (pytest.approx(0.9), pytest.approx(0.05))
    assert second.reward == pytest.approx(0.05 / 0.95)
    assert [(run.status, run.output) for run in second.code] == [("ok", "False\n")]
    assert "[Code Output]\n\n```\nFalse\n```\n" in second.rationale
    assert first.tokens > 0


def test_later_code_uses_the_variables_of_earlier_steps_of_its_own_vote() -> None:
    def write(prompt: str, request: GenerationRequest) -> str:
        if not prompt.endswith("```python\n"):
            return scripts.write(prompt, request)
        return (
            "total = 1\nprint(total)\n```\n" if "1 + 1 = 2" in prompt.split("</output>")[-1] else "print(total)\n```\n"
        )

    done = vote(ScriptedEngine(write), Settings(mode="code-only"))
    assert [step.code[0].output for step in done.steps] == ["1\n", "1\n", "1\n"]


@pytest.mark.parametrize(
    ("mode", "execute"), [("direct", True), ("analyze", True), ("code", False), ("code-only", False)]
)
def test_votes_that_run_no_code_open_no_session(mode: Mode, execute: bool) -> None:
    async def main() -> Vote:
        sandbox = BrokenSandbox()
        return await run_vote(scripts.SUMS, 0, Judge(scripts.model(), sandbox, Settings(mode=mode, execute=execute)))

    assert [step.status for step in asyncio.run(main()).steps] == ["judged"] * 3


def test_each_request_has_the_seed_of_its_vote_step_and_number() -> None:
    seen: list[int] = []

    def write(prompt: str, request: GenerationRequest) -> str:
        seen.append(request.seed)
        return scripts.write(prompt, request)

    done = vote(ScriptedEngine(write))
    assert done.seed == vote_seed(0, "sums", 0)
    assert seen == [request_seed(done.seed, step, number) for step in range(3) for number in range(3)]


def test_a_step_sees_the_rationales_of_the_steps_before_it() -> None:
    prompts: list[str] = []

    def write(prompt: str, request: GenerationRequest) -> str:
        prompts.append(prompt)
        return scripts.write(prompt, request)

    done = vote(ScriptedEngine(write))
    assert done.steps[0].rationale in prompts[-1]
    assert done.steps[1].rationale in prompts[-1]
    prompts.clear()
    vote(ScriptedEngine(write), Settings(history="judgements"))
    assert "[Code Output]" not in prompts[-1].partition("3 + 3 = 6")[0]


@pytest.mark.parametrize(
    ("write", "failure", "settings"),
    [
        (lambda *_: "words without an end ", "no_judgement", Settings(step_budget=1000)),
        (lambda *_: "x" * 400, "budget", Settings(step_budget=300)),
    ],
)
def test_after_a_failed_step_the_vote_ends(
    write: Callable[[str, GenerationRequest], str], failure: str, settings: Settings
) -> None:
    done = vote(ScriptedEngine(write), settings)
    assert [step.status for step in done.steps] == ["failed", "not_run", "not_run"]
    assert done.steps[0].failure == failure
    assert done.steps[0].reward is None


def test_a_history_that_outgrows_the_context_is_failed_context() -> None:
    done = vote(scripts.model(context_length=1000))
    assert done.steps[0].status == "judged"
    assert [step.failure for step in done.steps if step.status == "failed"] == ["context"]


def test_what_infrastructure_loses_is_failed_and_carries_its_error() -> None:
    closed = scripts.model()

    async def main() -> None:
        sandbox = BrokenSandbox()
        lost = await Judge(scripts.model(), sandbox, Settings()).run(Order(scripts.SUMS, 0))
        assert [step.failure for step in lost.vote.steps] == ["sandbox", None, None]
        assert isinstance(lost.error, SandboxUnavailable)
        await closed.aclose()
        lost = await Judge(closed, sandbox, Settings()).run(Order(scripts.SUMS, 0))
        assert [step.failure for step in lost.vote.steps] == ["engine", None, None]
        assert [step.status for step in lost.vote.steps] == ["failed", "not_run", "not_run"]
        assert isinstance(lost.error, EngineUnavailable)
        with pytest.raises(InputError, match="no sandbox"):
            await run_vote(scripts.SUMS, 0, Judge(scripts.model(), None, Settings()))

    asyncio.run(main())


def test_a_session_is_closed_even_when_its_vote_is_cancelled() -> None:
    closed: list[bool] = []

    class Waiting:
        async def run(self, source: str, *, timeout_s: float | None = None) -> ExecutionResult:
            await asyncio.sleep(60)
            raise AssertionError("cancelled before")

        async def aclose(self) -> None:
            closed.append(True)

    class WaitingSandbox(LocalSandbox):
        def session(self) -> Session:
            return Waiting()

    async def main() -> None:
        task = asyncio.create_task(run_vote(scripts.SUMS, 0, Judge(scripts.model(), WaitingSandbox(), Settings())))
        for _ in range(50):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert closed == [True]


@pytest.mark.parametrize("read", ["natural", "forced"])
def test_both_read_outs_score_the_words_after_an_open_box(read: str) -> None:
    seen: list[tuple[str, tuple[str, ...]]] = []

    def score(prompt: str, options: tuple[str, ...]) -> list[float]:
        seen.append((prompt, options))
        return [math.log(0.2), math.log(0.6)]

    settings = Settings(mode="direct", read_out="natural" if read == "natural" else "forced")
    done = vote(ScriptedEngine(scripts.write, score=score), settings)
    assert done.steps[0].reward == pytest.approx(0.25)
    assert done.steps[0].judgement == "Yes"  # what was written, whatever the probabilities say
    assert seen[0][0].endswith("<output>\n**Judgement**: $\\boxed{")
    assert seen[0][1] == ("Yes", "No")


def test_words_far_outside_of_floats_still_have_their_ratio() -> None:
    def score(prompt: str, options: tuple[str, ...]) -> list[float]:
        return [-2000.0, -2000.0 - math.log(3)]

    read = asyncio.run(read_out(ScriptedEngine([], score=score), (1,)))
    assert isinstance(read, Probabilities)
    assert read.p_yes / (read.p_yes + read.p_no) == pytest.approx(0.75)


def test_a_read_out_beyond_the_context_is_not_asked_for() -> None:
    room = len("Yes") + 5
    assert asyncio.run(read_out(ScriptedEngine([], context_length=room - 1), (1,) * 5)) == NoRoom()
    assert asyncio.run(read_out(ScriptedEngine([], context_length=room), (1,) * 5)) != NoRoom()


def test_a_step_without_room_for_its_read_out_is_failed_context() -> None:
    machine = judge_step(Settings(mode="direct"), 1)
    next(machine)
    assert isinstance(machine.send(Generated("{Yes}$\n</output>\n", (), "stop", 9)), ReadOut)
    with pytest.raises(StopIteration) as end:
        machine.send(NoRoom())
    assert (end.value.value.verdict.status, end.value.value.verdict.failure) == ("failed", "context")
