"""One step of a stored vote again: with other code outputs, or with another problem or step text.

Does the judgement follow what the code printed? What the vote wrote up to its last code output is put in the model's
mouth, with each output as the caller wants it; from there on the model continues, with the seeds of the original.
Where the text that is judged was edited, it writes the whole step anew. Code that it writes beyond the stored rounds
runs in a fresh session, after the sources that the vote ran before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from genprm.engines.base import Engine, Sampling
from genprm.errors import InputError
from genprm.execution.base import ExecutionResult, Sandbox
from genprm.rationale.actions import Action, Execute, Generate, Generated, Reply
from genprm.rationale.format import CODE_END, OUTPUT_HEAD, turn_segments
from genprm.rationale.grammar import parse
from genprm.rationale.settings import Settings
from genprm.types import CodeRun, Segment, Solution, StepVerdict, Vote
from genprm.verify.votes import Judge, LazySession, StepDriver, Turn, drive

EditOutput = Callable[[CodeRun], str]
"""The output that a stored code run shall show instead of its own."""


async def replay_step(
    solution: Solution,
    vote: Vote,
    step: int,
    *,
    engine: Engine,
    settings: Settings,
    sampling: Sampling | None = None,
    edit_output: EditOutput | None = None,
    sandbox: Sandbox | None = None,
    anew: bool = False,
) -> StepVerdict:
    """The verdict of the step with the edited outputs; without ``edit_output`` the stored ones stand.

    ``anew``: nothing of the stored step stands but its seeds, for ``solution`` is an edited one.

    An output is spliced as any other: shortened beyond 2,000 characters, and unable to end its block. Raises
    ``InputError`` for a step that the vote did not judge or whose code it dropped.
    """
    stored = _stored(solution, vote, step, settings)
    if anew:
        stored = replace(stored, rationale="", code=())
    judge = Judge(engine, sandbox, settings, sampling or Sampling())
    before = [run for earlier in vote.steps[:step] for run in earlier.code]
    history = tuple(_past_turn(earlier, index) for index, earlier in enumerate(vote.steps[:step]))
    async with LazySession(sandbox) as session:
        script = _Script(stored, edit_output or _as_it_was)
        driver = _ReplayDriver(judge, session, solution, step, history, vote.seed, script, before)
        verdict, _ = await drive(driver, judge, step)
    runs = zip(verdict.code, script.runs, strict=False)
    # An output that stands keeps how its run ended; splicing alone cannot tell an error's text from printed text.
    kept = tuple(was if was.output == now.output else now for now, was in runs)
    return replace(verdict, code=kept + verdict.code[len(kept) :])


def _stored(solution: Solution, vote: Vote, step: int, settings: Settings) -> StepVerdict:
    if not 0 <= step < min(len(vote.steps), len(solution.steps)):
        raise InputError(f"step {step} is not one of the {len(vote.steps)} steps of '{vote.id}'; steps count from 0")
    stored = vote.steps[step]
    if stored.status != "judged":
        raise InputError(f"step {step} of '{vote.id}', vote {vote.vote}, was not judged; there is nothing to replay")
    if stored.mode != settings.mode:
        raise InputError(
            f"step {step} of '{vote.id}', vote {vote.vote}, was judged in mode {stored.mode}, not {settings.mode}: "
            "its code was dropped or the settings are another run's; choose another step or the run's settings"
        )
    return stored


def _as_it_was(run: CodeRun) -> str:
    return run.output


def _past_turn(verdict: StepVerdict, step: int) -> Turn:
    """The segments of a stored rationale, so that its tokens are those of the vote; one segment if it deviates."""
    segments = turn_segments(parse(verdict.rationale).rationale, step + 1)
    if "".join(segment.text for segment in segments) == verdict.rationale:
        return segments
    return (Segment("model", verdict.rationale),)


class _Script:
    """A stored rationale as a script: what the model wrote, piece by piece, up to the last code output."""

    def __init__(self, stored: StepVerdict, edit_output: EditOutput) -> None:
        self.runs = [run for run in stored.code if run.output and run.status != "not_run"]
        self._edit = edit_output
        self._text = stored.rationale
        self._position = 0
        self._seen = 0
        """Segments of the turn that are accounted for."""
        self._outputs = 0
        """Code outputs among them."""
        self._over = False
        """The model goes on by itself."""

    def next_text(self, action: Generate) -> str | None:
        """What the model wrote here, or None if it is to go on by itself."""
        if not self._over:
            self._follow(action)
        end = None if self._over or self._outputs == len(self.runs) else self._end(action)
        self._over = end is None
        return None if end is None else self._text[self._position : end]

    def _end(self, action: Generate) -> int | None:
        """Where the model's words end that start here: after the first stop string, if the text has one."""
        if self.runs[self._outputs].status == "no_code" and CODE_END in action.stop:
            # No fence ended these words; the next one belongs to the output block that the harness opened.
            head = self._text.find(OUTPUT_HEAD, self._position)
            return None if head < 0 else head
        found = ((self._text.find(stop, self._position), len(stop)) for stop in action.stop)
        return min((start + length for start, length in found if start >= 0), default=None)

    def _follow(self, action: Generate) -> None:
        """Move to where the stored text goes on after the turn so far, whose outputs may be edited."""
        for segment in action.segments[self._seen :]:
            if segment.author == "code":
                self._position += len(self.runs[self._outputs].output)
                self._outputs += 1
            else:
                self._position += len(segment.text)
        self._seen = len(action.segments)

    def next_output(self) -> ExecutionResult | None:
        """What the next code run shall have printed, or None if the vote ran no more code."""
        if self._over:
            return None
        return ExecutionResult("ok", self._edit(self.runs[self._outputs]))


class _ReplayDriver(StepDriver):
    """Follows the script as long as it goes, then does what the dialogue asks for."""

    def __init__(
        self,
        judge: Judge,
        session: LazySession,
        solution: Solution,
        step: int,
        history: tuple[Turn, ...],
        seed: int,
        script: _Script,
        before: Sequence[CodeRun],
    ) -> None:
        super().__init__(judge, session, solution, step, history, seed)
        self._script = script
        self._before = [*before, *script.runs]

    async def perform(self, action: Action) -> Reply:
        if isinstance(action, Execute):
            result = self._script.next_output()
            return result if result is not None else await self._run_beyond(action)
        return await super().perform(action)

    async def generate(self, action: Generate) -> Generated:
        text = self._script.next_text(action)
        if text is None:
            return await super().generate(action)
        self._requests += 1  # so that the model's own requests have the seeds that they had
        ids = self._judge.engine.tokenizer.encode(text)
        return Generated(text, ids, "stop", len(self._prompt(action)))

    async def _run_beyond(self, action: Execute) -> ExecutionResult:
        """Code that the vote did not run: the session first gets the variables that the vote had."""
        for run in self._before:
            if run.source:
                await self._session.run(run.source)
        self._before = []
        return await self._session.run(action.source)
