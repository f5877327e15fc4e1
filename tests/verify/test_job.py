from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from genprm.engines import GenerationRequest, ScriptedEngine
from genprm.errors import EngineUnavailable, IdentityError, InputError, RecordError, SandboxUnavailable
from genprm.execution import LocalSandbox, Session
from genprm.rationale.settings import Settings
from genprm.records import Loaded, read_votes, vote_to_dict
from genprm.runs.configuration import Configuration
from genprm.types import Settled, Solution, Verification, Vote
from genprm.verify import Judge, Progress, Summary, verify_many, verify_to_dir
from genprm.verify.stopping import Stop
from tests.verify import scripts

SOLUTIONS = tuple(
    Solution(f"Problem {n}", (f"{n} + 1 = {n + 1}", f"{n} + 2 = {n + 2 + n % 2}"), id=f"s{n}") for n in range(4)
)
LOADED = Loaded(SOLUTIONS, source="in.jsonl", lines={"s0": 1, "s1": 2, "s2": 3, "s3": 4})
IDENTITY = {"model": "scripted", "seed": 0}
ANALYZE = Settings(mode="analyze")


def noisy(prompt: str, request: GenerationRequest) -> str:
    """A model whose judgement depends on its seed."""
    if prompt.endswith("$\\boxed"):
        return f"{{{'Yes' if request.seed % 3 else 'No'}}}$\n</output>\n"
    return scripts.write(prompt, request)


def run(out: Path, *, votes: int = 2, judge: Judge | None = None, loaded: Loaded = LOADED, **more: Any) -> Summary:
    judge = judge or Judge(ScriptedEngine(noisy), None, ANALYZE)
    judge = replace(judge, concurrency=more.pop("concurrency", None))
    config = Configuration("verify", more.pop("identity", IDENTITY), {"votes": votes}, loaded.source)
    return asyncio.run(verify_to_dir(loaded, out, judge, config, votes=votes, **more))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Dying(ScriptedEngine):
    """Answers a number of requests, then is down until it is revived."""

    left = 10**9

    async def generate(self, request: GenerationRequest) -> Any:
        self.left -= 1
        if self.left < 0:
            raise EngineUnavailable("the engine went away")
        return await super().generate(request)


def test_a_run_leaves_every_file_of_the_design(tmp_path: Path) -> None:
    summary = run(tmp_path)
    names = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert names == {
        *("solutions.jsonl", "config.yaml", "votes.jsonl", "items.jsonl", "metrics.json", "environment.json", "log")
    }
    assert [item["id"] for item in lines(tmp_path / "items.jsonl")] == ["s0", "s1", "s2", "s3"]
    assert {item["votes"] for item in lines(tmp_path / "items.jsonl")} == {2}
    assert all(next(iter(vote)) == "key" for vote in lines(tmp_path / "votes.jsonl"))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["votes"], metrics["votes_owed"], metrics["steps"]) == (8, 0, {"judged": 16})
    votes = [vote for some in read_votes(summary.path / "votes.jsonl").values() for vote in some]
    assert metrics["tokens"] == sum(step.tokens for vote in votes for step in vote.steps)
    assert "verify 4 solutions" in (tmp_path / "log" / "genprm.log").read_text()


def test_items_are_the_same_bytes_whatever_the_concurrency(tmp_path: Path) -> None:
    for limit in (1, 3, 64):
        run(tmp_path / str(limit), votes=5, concurrency=limit)
    texts = {(tmp_path / str(limit) / "items.jsonl").read_bytes() for limit in (1, 3, 64)}
    assert len(texts) == 1
    votes = [sorted((tmp_path / str(limit) / "votes.jsonl").read_bytes().splitlines()) for limit in (1, 64)]
    assert votes[0] == votes[1]


def test_a_run_that_was_cut_off_is_continued_to_the_same_items(tmp_path: Path) -> None:
    run(tmp_path / "whole", votes=3)
    run(tmp_path / "cut", votes=3)
    written = (tmp_path / "cut" / "votes.jsonl").read_bytes()
    (tmp_path / "cut" / "votes.jsonl").write_bytes(written[: len(written) // 2])
    (tmp_path / "cut" / "items.jsonl").unlink()
    summary = run(tmp_path / "cut", votes=3)
    assert 0 < summary.reused < 12
    assert (tmp_path / "cut" / "items.jsonl").read_bytes() == (tmp_path / "whole" / "items.jsonl").read_bytes()


def test_more_votes_later_use_the_earlier_ones(tmp_path: Path) -> None:
    run(tmp_path, votes=1)
    before = (tmp_path / "votes.jsonl").read_bytes()
    summary = run(tmp_path, votes=3)
    assert (summary.reused, summary.metrics["votes"]) == (4, 12)
    assert (tmp_path / "votes.jsonl").read_bytes().startswith(before)
    assert run(tmp_path, votes=3).reused == 12
    run(tmp_path, votes=2)
    assert {item["votes"] for item in lines(tmp_path / "items.jsonl")} == {2}


def test_an_early_stop_gives_the_labels_of_all_votes_and_is_completed_later(tmp_path: Path) -> None:
    extent: dict[str, Any] = {"votes": 8, "vote_rule": "majority"}
    whole = run(tmp_path / "whole", **extent)
    for settle in get_args(Settled)[1:]:
        early = run(tmp_path / settle, **extent, stop=Stop(settle))
        assert early.metrics["votes"] < whole.metrics["votes"]
        assert early.metrics["votes_owed"] == 0
        assert [item.predicted_label for item in early.items] == [item.predicted_label for item in whole.items]
        assert settle in {item.settled for item in early.items}
        again = run(tmp_path / settle, **extent, stop=Stop(settle))
        assert again.reused == again.metrics["votes"] == early.metrics["votes"]
        completed = run(tmp_path / settle, **extent)
        assert (tmp_path / settle / "items.jsonl").read_bytes() == (tmp_path / "whole" / "items.jsonl").read_bytes()
        assert completed.items == whole.items


def test_bad_input_writes_nothing(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(InputError, match="votes is 0"):
        run(out, votes=0)
    with pytest.raises(InputError, match=r"concurrency \(--max-in-flight\) is 0"):
        run(out, concurrency=0)
    small = Judge(ScriptedEngine(noisy, context_length=400), None, ANALYZE)
    long = Loaded((SOLUTIONS[0], Solution("p", ("x", "y" * 300), id="long")), source="in.jsonl", lines={"long": 7})
    with pytest.raises(RecordError, match=r"in\.jsonl, line 7, field 'steps': step 1 of 'long' .300 tokens.*is 400;"):
        run(out, judge=small, loaded=long)
    assert not out.exists()


def test_another_identity_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(IdentityError, match="seed"):
        run(tmp_path, identity=IDENTITY | {"seed": 1})


def test_votes_lost_to_the_engine_are_owed_again_and_never_become_verdicts(tmp_path: Path) -> None:
    engine = Dying(noisy)
    engine.left = 11
    judge = Judge(engine, None, ANALYZE)
    with pytest.raises(EngineUnavailable, match=r"went away; \d+ of 8 votes are owed .*same command again"):
        run(tmp_path, judge=judge, concurrency=1)
    assert len(lines(tmp_path / "votes.jsonl")) == 2
    lost = lines(tmp_path / "errors.jsonl")
    assert len(lost) == 3  # then the engine counts as down, and no more votes are started
    assert {(error["failure"], error["message"]) for error in lost} == {("engine", "the engine went away")}
    assert [item["votes"] for item in lines(tmp_path / "items.jsonl")] == [2, 0, 0, 0]
    engine.left = 10**9
    assert run(tmp_path, judge=judge).reused == 2
    run(tmp_path / "whole")
    assert (tmp_path / "items.jsonl").read_bytes() == (tmp_path / "whole" / "items.jsonl").read_bytes()


def test_a_sandbox_that_is_down_is_said_so(tmp_path: Path) -> None:
    class Broken(LocalSandbox):
        def session(self) -> Session:
            raise SandboxUnavailable("the sandbox is gone")

    with pytest.raises(SandboxUnavailable, match="8 of 8 votes are owed"):
        run(tmp_path, judge=Judge(scripts.model(), Broken(), Settings()))
    assert not (tmp_path / "votes.jsonl").exists()


def test_progress_tells_how_far_the_run_is(tmp_path: Path) -> None:
    beats: list[Progress] = []
    run(tmp_path, votes=1)
    run(tmp_path, on_progress=beats.append)
    assert [beat.done for beat in beats] == [5, 6, 7, 8]
    assert (beats[-1].total, beats[-1].items_done, beats[-1].items_total) == (8, 4, 4)
    assert beats[-1].tally.votes == 4


def test_what_is_finished_when_the_user_stops_is_written(tmp_path: Path) -> None:
    def stop(beat: Progress) -> None:
        if beat.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, concurrency=1, on_progress=stop)
    assert len(lines(tmp_path / "votes.jsonl")) == 3
    assert [item["votes"] for item in lines(tmp_path / "items.jsonl")] == [2, 1, 0, 0]


@asynccontextmanager
async def local() -> AsyncIterator[LocalSandbox]:
    sandbox = LocalSandbox(max_sessions=3)
    try:
        yield sandbox
    finally:
        await sandbox.aclose()


def test_many_solutions_with_real_code_come_as_they_finish() -> None:
    async def main() -> tuple[dict[int, Verification], int]:
        seen: list[Vote] = []
        async with local() as sandbox:
            judge = Judge(scripts.model(), sandbox, Settings(mode="code-only"))
            assert judge.capacity == replace(judge, concurrency=50).capacity == 3
            stream = verify_many(SOLUTIONS, judge, votes=2, on_vote=seen.append)
            return {index: item async for index, item in stream}, len(seen)

    found, votes = asyncio.run(main())
    assert votes == 8
    assert [found[index].predicted_label for index in range(4)] == [-1, 1, -1, 1]
    assert json.dumps(vote_to_dict(found[1].votes[0])).count('"False\\n"') == 1


def test_a_lost_vote_ends_the_stream_with_its_error() -> None:
    async def main() -> None:
        engine = ScriptedEngine(noisy)
        await engine.aclose()
        async for _ in verify_many(SOLUTIONS, Judge(engine, None, ANALYZE), votes=1):
            pass

    with pytest.raises(EngineUnavailable):
        asyncio.run(main())
