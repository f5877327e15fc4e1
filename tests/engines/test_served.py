"""vLLM, in process and behind its server, keeps the engine contract and gives the probabilities of transformers.

Needs vLLM, which lives in an environment of its own; see ``.ci/run``.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib.util
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from genprm import Verifier, resources
from genprm.engines import Engine, GenerationRequest, Sampling, TransformersEngine, contract
from genprm.engines.openai import OpenAIEngine
from genprm.engines.vllm import VLLMEngine
from genprm.errors import EngineUnavailable, InputError
from genprm.lab import world
from genprm.verify import Progress
from tests.conftest import REPOSITORY
from tests.engines.models import save_model
from tests.engines.test_contract import TEXTS, transformers

START_S = 180.0

HAS_VLLM = importlib.util.find_spec("vllm") is not None
needs_vllm = pytest.mark.skipif(not HAS_VLLM, reason="NOT TESTED WITH VLLM: it is not installed here")


class Shared:
    """An engine that outlives the checks: opening one takes vLLM many seconds. Closing is checked on one of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    async def aclose(self) -> None:
        """Stays open."""


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"), hidden=128, seed=1)  # heads of 32: the least that it takes


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def server(folder: Path, port: int) -> Iterator[str]:
    """vLLM's server on the model; its address. Killed in the end, as a node that is lost."""
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--host", "127.0.0.1",
        "--port", str(port), "--served-model-name", "tiny", "--dtype", "float32", "--enforce-eager",
        "--gpu-memory-utilization", "0.3", "--block-size", "32", "--generation-config", "vllm",
        "--no-enable-chunked-prefill", "--max-num-batched-tokens", "4096",
    ]  # fmt: skip
    environment = {**os.environ, "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            deadline = time.monotonic() + START_S
            while time.monotonic() < deadline:
                assert process.poll() is None, "the server ended"
                with contextlib.suppress(OSError, urllib.error.URLError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                    break
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="module", params=["vllm", "openai"])
def opener(request: pytest.FixtureRequest, folder: Path) -> Iterator[Callable[[], Engine]]:
    if not HAS_VLLM:
        pytest.skip("NOT TESTED WITH VLLM: it is not installed here")
    if request.param == "vllm":
        yield functools.partial(VLLMEngine, str(folder))
        return
    with server(folder, free_port()) as url:
        yield functools.partial(OpenAIEngine, str(folder), base_url=url, retries=0)


@pytest.fixture(scope="module")
def subject(opener: Callable[[], Engine], runner: asyncio.Runner, folder: Path) -> Iterator[contract.Subject]:
    async def opened() -> Engine:
        return opener()

    engine = runner.run(opened())
    prompts = tuple(engine.tokenizer.encode(text) for text in TEXTS)
    reference = transformers(folder).reference
    # vLLM batches as it likes, and a batch of another shape adds up in another order.
    yield contract.Subject(lambda: Shared(engine), prompts, reference=reference, near_tie=0.1)  # type: ignore[arg-type,return-value]
    runner.run(engine.aclose())


@pytest.mark.parametrize("check", contract.CHECKS, ids=lambda check: check.__name__)
def test_contract(
    check: contract.Check, subject: contract.Subject, opener: Callable[[], Engine], runner: asyncio.Runner
) -> None:
    if check is contract.closing_is_final_and_idempotent:
        subject = replace(subject, open=opener)
    runner.run(check(subject))


@needs_vllm
def test_prompts_that_are_split_over_steps_are_no_trouble(folder: Path) -> None:
    """vLLM's own seeded draws on a CPU do not survive that."""

    async def main() -> set[str]:
        engine = VLLMEngine(str(folder), options={"max_num_batched_tokens": 256})
        try:
            prompt = engine.tokenizer.encode(" ".join(f"word {n}" for n in range(engine.context_length)))
            requests = [
                GenerationRequest(prompt[first : first + engine.context_length - 20], max_tokens=4, seed=first)
                for first in range(1, 120)
            ]
            return {done.stop_reason for done in await asyncio.gather(*map(engine.generate, requests))}
        finally:
            await engine.aclose()

    assert asyncio.run(main()) <= {"length", "eos"}


@needs_vllm
def test_nothing_of_the_engine_is_left_when_its_process_is_killed(folder: Path) -> None:
    program = f"""
import multiprocessing, time
from genprm.engines.vllm import VLLMEngine
if __name__ == "__main__":
    engine = VLLMEngine({str(folder)!r})
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    time.sleep(600)
"""
    script = folder / "program.py"
    script.write_text(program)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment) as driver:
        assert driver.stdout is not None
        line = next(line for line in driver.stdout if line.strip() and line.replace(" ", "").strip().isdigit())
        children = [int(pid) for pid in line.split()]
        driver.kill()
    deadline = time.monotonic() + 60
    while (left := [pid for pid in children if Path(f"/proc/{pid}/exe").exists()]) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert children and not left


@needs_vllm
def test_a_seed_gives_the_text_that_it_gives_with_transformers() -> None:
    model = resources.model("genprm-tiny")

    async def written(opened: Callable[[], Engine]) -> list[str]:
        engine = opened()
        try:
            prompt = engine.tokenizer.encode("Tom has 3 apples and buys 4 more.\n<analyze>\n")
            sampling = Sampling(temperature=1.0, top_p=0.95, top_k=20)
            requests = [GenerationRequest(prompt, max_tokens=16, seed=seed, sampling=sampling) for seed in range(40)]
            return [done.text for done in await asyncio.gather(*map(engine.generate, requests))]
        finally:
            await engine.aclose()

    ours = asyncio.run(written(lambda: TransformersEngine(model, kv_gigabytes=0.1)))
    theirs = asyncio.run(written(lambda: VLLMEngine(model)))
    assert len(set(ours)) > 10
    assert sum(a == b for a, b in zip(ours, theirs, strict=True)) >= 38  # rounding may tip a draw


@needs_vllm
def test_probabilities_of_the_shipped_model_are_those_of_transformers() -> None:
    model = resources.model("genprm-tiny")

    async def scored(opened: Callable[[], Engine]) -> list[float]:
        engine = opened()
        try:
            prompt = engine.tokenizer.encode("The code says that it is so.\n**Judgement**: $\\boxed{")
            options = [engine.tokenizer.encode(word) for word in ("Yes", "No")]
            return [math.exp(value) for value in await engine.score(prompt, options)]
        finally:
            await engine.aclose()

    ours = asyncio.run(scored(lambda: TransformersEngine(model, kv_gigabytes=0.1)))
    theirs = asyncio.run(scored(lambda: VLLMEngine(model)))
    assert theirs == pytest.approx(ours, abs=1e-3)


@needs_vllm
def test_a_server_that_is_killed_and_started_again_loses_no_vote(tmp_path: Path) -> None:
    model, port = Path(resources.model("genprm-tiny")), free_port()
    solutions = world.test_set(12, seed=5)
    down = threading.Event()

    with contextlib.ExitStack() as servers:
        first = servers.enter_context(contextlib.ExitStack())
        url = first.enter_context(server(model, port))

        def restart() -> None:
            first.close()
            servers.enter_context(server(model, port))

        def strike(beat: Progress) -> None:
            if beat.done >= 5 and not down.is_set():
                down.set()
                threading.Thread(target=restart).start()

        options = {"base_url": url, "served_name": "tiny"}
        with Verifier(str(model), engine="openai", engine_options=options, votes=2, sandbox="local") as verifier:
            summary = verifier.verify_to_dir(solutions, tmp_path / "run", on_progress=strike)
        assert down.is_set()
    keys = [json.loads(line)["key"] for line in (tmp_path / "run/votes.jsonl").read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 24
    assert (summary.metrics["lost"], summary.metrics["votes_owed"]) == (0, 0)
    assert not {"engine", "sandbox"} & set(summary.metrics["failures"])


def test_no_server_is_one_sentence(folder: Path) -> None:
    pytest.importorskip("openai")
    with pytest.raises(EngineUnavailable, match=r"no server answers at http://127\.0\.0\.1:9/v1; start one"):
        OpenAIEngine(str(folder), base_url="http://127.0.0.1:9/v1")
    with pytest.raises(InputError, match="max_batch is 0"):
        OpenAIEngine(str(folder), max_batch=0)


def test_options_that_begin_alike_are_asked_for_once() -> None:
    from genprm.engines.relay import score_options

    asked: list[tuple[tuple[int, ...], Sequence[int]]] = []

    async def following(prompt: tuple[int, ...], tokens: Sequence[int]) -> dict[int, float]:
        asked.append((prompt, tokens))
        return {token: -float(token) for token in tokens}

    scores = asyncio.run(score_options((7,), ((1,), (1, 2), (1, 3), ()), 100, following))
    assert scores == (-1.0, -3.0, -4.0, 0.0)
    assert asked == [((7,), [1]), ((7, 1), [2, 3])]
