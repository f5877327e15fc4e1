from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import genprm
from genprm import InputError, Solution, Verifier, background
from genprm.background import BackgroundLoop
from genprm.engines import ScriptedEngine
from genprm.errors import EngineUnavailable
from genprm.execution import LocalSandbox
from genprm.rationale.settings import Settings
from genprm.records import Loaded, content_id
from tests.verify import scripts

PLAIN = Solution("What is 1 + 1?", ("1 + 1 = 2", "1 + 1 = 3"))


def verifier(**options: Any) -> Verifier:
    return Verifier(**{"engine": scripts.model(), "mode": "analyze", "votes": 2} | options)


def test_a_solution_is_verified_with_real_code() -> None:
    with Verifier(engine=scripts.model(), votes=2, sandbox="local", sandbox_options={"max_sessions": 2}) as verify:
        result = verify.verify(PLAIN)
    assert result.predicted_label == 1
    assert result.id == content_id(PLAIN.problem, PLAIN.steps)
    assert result.votes[0].steps[1].code[0].output == "False\n"


def test_it_works_inside_a_running_loop_and_awaited_and_both_agree() -> None:
    async def main() -> None:
        async with verifier() as verify:
            awaited = await verify.averify(PLAIN)
            assert awaited == verify.verify(PLAIN)  # as in a notebook: called while this loop runs

    asyncio.run(main())


def test_many_come_in_input_order_and_stopping_early_ends_the_work() -> None:
    solutions = [Solution(f"p{n}", ("1 + 1 = 2",), id=str(n)) for n in range(20)]
    threads: set[str] = set()
    with verifier() as verify:
        found = verify.verify_many(solutions, on_vote=lambda _: threads.add(threading.current_thread().name))
        assert [next(found).id for _ in range(3)] == ["0", "1", "2"]
        found.close()
        assert [result.id for result in verify.verify_many(solutions)] == [str(n) for n in range(20)]
    assert threads == {"genprm"}


def test_an_engine_that_was_given_stays_open_and_one_of_ours_is_closed() -> None:
    engine, sandbox = scripts.model(), LocalSandbox(max_sessions=1)
    with Verifier(engine=engine, sandbox=sandbox, votes=1, mode="code-only") as verify:
        verify.verify(PLAIN)
        verify.close()
        verify.close()
        assert verify.verify(PLAIN).predicted_label == 1  # a later use opens it again
    background.shared().run(engine.score((1,), ((1,),)))
    background.shared().run(sandbox.aclose())


def test_the_identity_names_all_that_decides_a_vote_and_nothing_else() -> None:
    def identity(**options: Any) -> dict[str, Any]:
        with verifier(**options) as verify:
            return verify.identity

    base = identity()
    assert base == identity(votes=9, concurrency=3, vote_rule="majority", sandbox_options={"timeout_s": 1})
    assert base["sandbox"] == {"kind": "none"}
    others = [
        identity(seed=1),
        identity(mode="direct"),
        identity(settings=Settings(read_out="forced")),
        identity(sampling=genprm.engines.Sampling(temperature=0)),  # type: ignore[attr-defined]
        identity(engine=scripts.model(name="other")),
        identity(mode="code", sandbox="local", sandbox_options={"timeout_s": 1}),
    ]
    assert all(other != base for other in others)


def test_a_run_directory_is_written_and_continued(tmp_path: Path) -> None:
    solutions = [Solution("p", ("1 + 1 = 2",), id="a"), PLAIN]
    with verifier() as verify:
        assert verify.verify_to_dir(solutions, tmp_path / "run", extent={"limit": 2}).reused == 0
        assert verify.verify_to_dir(solutions, tmp_path / "run").reused == 4
        with pytest.raises(InputError, match="two solutions have the id 'a'"):
            verify.verify_to_dir([solutions[0]] * 2, tmp_path / "other")
        verify.check(Loaded((solutions[0],)), tmp_path / "run")
        with pytest.raises(InputError, match="on other input"):
            verify.check(Loaded((Solution("q", ("s",), id="z"),)), tmp_path / "run")
        verify.check(Loaded((PLAIN,)), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_first_prompt_shows_what_the_model_gets() -> None:
    with verifier() as verify:
        prompt = verify.first_prompt(PLAIN)
    assert prompt.startswith("<|bos|>")
    assert "What is 1 + 1?\n1 + 1 = 2" in prompt
    assert "1 + 1 = 3" not in prompt


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"votes": 0}, "votes is 0"),
        ({"mode": "think"}, "mode is 'think'"),
        ({"vote_rule": "best"}, "vote_rule is 'best'"),
        ({"concurrency": 0}, r"concurrency \(--max-in-flight\) is 0"),
    ],
)
def test_bad_options_are_refused_at_once(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Verifier(**options)


def test_what_cannot_be_opened_or_judged_is_one_sentence() -> None:
    with pytest.raises(InputError, match="no engine 'abacus'"):
        Verifier(engine="abacus").open()
    with pytest.raises(InputError, match="no sandbox 'box'"):
        Verifier(engine=scripts.model(), sandbox="box").open()
    with verifier() as verify:
        with pytest.raises(InputError, match="no steps"):
            verify.verify(Solution("p", ()))
        with pytest.raises(InputError, match="empty problem"):
            verify.verify(Solution(" ", ("a",)))
    small = ScriptedEngine(scripts.write, context_length=300)
    with verifier(engine=small) as verify, pytest.raises(InputError, match="the model's context is 300"):
        verify.verify(Solution("p" * 300, ("a",)))


def test_a_lost_engine_is_raised() -> None:
    engine = scripts.model()
    with verifier(engine=engine) as verify:
        asyncio.run(engine.aclose())
        with pytest.raises(EngineUnavailable):
            verify.verify(PLAIN)


def test_threads_that_come_at_once_load_the_model_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def open_engine(kind: str, model: str) -> ScriptedEngine:
        opened.append(kind)
        return scripts.model()

    monkeypatch.setattr("genprm.engines.open_engine", open_engine)
    with Verifier(mode="direct", votes=1) as verify, ThreadPoolExecutor(4) as pool:
        labels = [result.predicted_label for result in pool.map(verify.verify, [PLAIN] * 4)]
    assert (labels, opened) == ([-1] * 4, ["auto"])


def test_ctrl_c_cancels_the_work_and_waits_for_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    loop = BackgroundLoop("test")
    submit = loop.submit

    def interrupted(coroutine: Any) -> Any:
        future = submit(coroutine)

        def result(timeout: float | None = None) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(future, "result", result)
        return future

    monkeypatch.setattr(loop, "submit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loop.run(work())
    assert ended.is_set()
    loop.close()
    loop.close()


def test_a_run_goes_on_in_the_sandbox_that_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"engine": scripts.model(), "mode": "code-only", "votes": 1}
    with Verifier(**options, sandbox="local") as first:
        first.verify_to_dir([PLAIN], tmp_path / "run")
    monkeypatch.setattr("genprm.execution.DockerSandbox.open", lambda **_: pytest.fail("docker was looked for"))
    with_auto = Verifier(**options, sandbox="auto")
    with_auto.prepare(tmp_path / "run")
    with with_auto:
        assert with_auto.verify_to_dir([PLAIN], tmp_path / "run").reused == 1


def test_a_folder_of_other_things_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    unopened = Verifier(engine=lambda: pytest.fail("the engine was opened"), mode="direct")
    with pytest.raises(InputError, match="is not empty and holds no run"):
        unopened.verify_to_dir([PLAIN], tmp_path)
