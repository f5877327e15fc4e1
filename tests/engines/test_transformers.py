"""The transformers engine against the library's own generation, its memory of prefixes, and what it refuses."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Callable, Coroutine, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from genprm.engines import GenerationRequest, Sampling, TransformersEngine, attention, open_engine
from genprm.errors import EngineUnavailable, InputError, ModelError
from tests.engines.models import save_model

GREEDY = Sampling(temperature=0.0)


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp(request.param), architecture=request.param, seed=3)


def engine_of(folder: Path, **options: Any) -> TransformersEngine:
    return TransformersEngine(str(folder), **{"max_batch": 8, "kv_gigabytes": 0.1, **options})


def prompts(count: int, longest: int = 150) -> list[tuple[int, ...]]:
    dice = random.Random(0)
    return [tuple(dice.randrange(3, 400) for _ in range(dice.randint(1, longest))) for _ in range(count)]


def use(engine: TransformersEngine, work: Callable[[TransformersEngine], Coroutine[Any, Any, Any]]) -> Any:
    async def main() -> Any:
        try:
            return await work(engine)
        finally:
            await engine.aclose()

    return asyncio.run(main())


def continuations(engine: TransformersEngine, requests: Sequence[GenerationRequest]) -> list[Any]:
    async def work(engine: TransformersEngine) -> list[Any]:
        return await asyncio.gather(*map(engine.generate, requests))

    return list(use(engine, work))


def test_greedy_equals_the_library_token_by_token(folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(folder)
    some = prompts(12)
    got = continuations(
        engine_of(folder, prefill_tokens=64),
        [GenerationRequest(prompt, max_tokens=30, sampling=GREEDY) for prompt in some],
    )
    for prompt, completion in zip(some, got, strict=True):
        ids = torch.tensor([prompt])
        whole = network.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=30, do_sample=False, pad_token_id=0
        )
        expected = whole[0, len(prompt) :].tolist()
        ended = expected[-1] == 2
        assert completion.ids == tuple(expected[:-1] if ended else expected)
        assert completion.stop_reason == ("eos" if ended else "length")


def dialogue_requests(engine: TransformersEngine, turns: int) -> Any:
    """Six dialogues that begin alike, each turn extending the last; returns all completions."""
    start = prompts(1, 120)[0] * 2

    async def one(number: int) -> list[Any]:
        history, completions = start[:60] + (number + 3,) * 3, []
        for turn in range(turns):
            got = await engine.generate(GenerationRequest(history, max_tokens=12, seed=100 * number + turn))
            completions.append((got, await engine.score(history + got.ids[:-2], [(5,), (6, 7, 8)])))
            history = (*history, *got.ids, 9, 10, number)
        return completions

    async def work(_: TransformersEngine) -> Any:
        return await asyncio.gather(*map(one, range(6)))

    return use(engine, work)


def agree(some: list[Any], others: list[Any]) -> None:
    """The same texts, and scores alike up to floating-point noise."""
    for (one, one_scores), (other, other_scores) in zip(chain(*some), chain(*others), strict=True):
        assert one == other
        assert one_scores == pytest.approx(other_scores, abs=1e-3)


def test_remembered_prefixes_change_nothing_and_save_work(folder: Path) -> None:
    warm, cold = engine_of(folder), engine_of(folder, reuse_prefixes=False)
    agree(dialogue_requests(warm, 4), dialogue_requests(cold, 4))
    assert cold.statistics["reused_tokens"] == 0
    assert warm.statistics["reused_tokens"] > 0.8 * warm.statistics["prompt_tokens"]


def test_equal_prompts_that_arrive_together_are_computed_once(folder: Path) -> None:
    engine = engine_of(folder)
    prompt = prompts(1)[0] + tuple(range(3, 103))
    continuations(engine, [GenerationRequest(prompt, max_tokens=2, seed=seed) for seed in range(8)])
    assert engine.statistics["reused_tokens"] >= 7 * (len(prompt) - 1)


def test_completions_of_one_prompt_read_it_together_and_say_what_they_say_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = prompts(2)[0] + tuple(range(3, 103)), tuple(range(50, 150))
    requests = [
        GenerationRequest(prompt, max_tokens=5 + 3 * number, seed=number)
        for number in range(7) for prompt in (first, second, first[: 40 + number])
    ]  # fmt: skip
    families: list[int] = []
    shared = attention._family

    def counted(*given: Any) -> Any:
        families.append(given[-1].count)
        return shared(*given)

    monkeypatch.setattr(attention, "_family", counted)
    together = continuations(engine_of(folder, max_batch=32), requests)
    assert max(families) == 7
    monkeypatch.setattr(attention, "_FEWEST", 1000)
    assert [one.ids for one in together] == [one.ids for one in continuations(engine_of(folder), requests)]


def test_few_slots_serve_many_dialogues(folder: Path) -> None:
    tiny = engine_of(folder, kv_gigabytes=0.0002, context_length=256)
    assert tiny._worker._max_batch <= 3
    agree(dialogue_requests(tiny, 2), dialogue_requests(engine_of(folder), 2))


def test_batched_attention_equals_row_by_row(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path that a GPU takes, run on the CPU."""
    requests = [GenerationRequest(prompt, max_tokens=20, sampling=GREEDY) for prompt in prompts(8)]
    expected = continuations(engine_of(folder), requests)
    original = attention.Plan.__init__

    def batched(self: attention.Plan, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **{**options, "batched": True})
        if not self.kv.filled.any():
            for store in (*self.kv.keys, *self.kv.values):
                store.zero_()  # as a GPU's slots begin

    monkeypatch.setattr(attention.Plan, "__init__", batched)
    assert continuations(engine_of(folder), requests) == expected


def test_sliding_windows_are_honoured(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, MistralConfig, MistralForCausalLM

    save_model(tmp_path)
    config = MistralConfig(
        vocab_size=400, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, sliding_window=16, bos_token_id=0, eos_token_id=2,
        initializer_range=0.2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        MistralForCausalLM(config).save_pretrained(tmp_path)
    network = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    prompt = prompts(1)[0] * 2
    scores = use(engine_of(tmp_path), lambda engine: engine.score(prompt, [(5,), (6, 7, 8)]))
    for option, score in zip([(5,), (6, 7, 8)], scores, strict=True):
        with torch.inference_mode():
            logprobs = network(torch.tensor([[*prompt, *option]])).logits[0].log_softmax(-1)
        expected = sum(float(logprobs[len(prompt) - 1 + place, token]) for place, token in enumerate(option))
        assert score == pytest.approx(expected, abs=2e-3)


def test_a_missing_folder_missing_weights_and_an_unknown_name_are_one_sentence(folder: Path, tmp_path: Path) -> None:
    for nowhere in ("x" * 300, "~nobody-of-that-name/model"):
        with pytest.raises(ModelError, match="cannot be read"):
            TransformersEngine(nowhere)
    with pytest.raises(ModelError, match="does not exist"):
        TransformersEngine(str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match=r"no config\.json"):
        TransformersEngine(str(tmp_path))
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(ModelError, match="has no weights"):
        TransformersEngine(str(bare))
    with pytest.raises(ModelError, match="no local folder"):
        TransformersEngine("nobody-at-all/no-such-model")
    torn = tmp_path / "torn"
    shutil.copytree(folder, torn)
    (torn / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="cannot be loaded"):
        TransformersEngine(str(torn))


def test_a_model_without_plain_attention_is_refused(tmp_path: Path) -> None:
    from transformers import BloomConfig, BloomForCausalLM

    save_model(tmp_path)
    BloomForCausalLM(BloomConfig(vocab_size=400, hidden_size=32, n_layer=1, n_head=2)).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="another engine"):
        TransformersEngine(str(tmp_path), context_length=64)


def test_unusable_options_and_requests_are_input_errors(folder: Path) -> None:
    for options in ({"max_batch": 0}, {"context_length": 100_000}, {"kv_gigabytes": 1e-9}, {"dtype": "int3"}):
        with pytest.raises(InputError):
            engine_of(folder, **options)

    async def work(engine: TransformersEngine) -> None:
        for request in (
            GenerationRequest(()),
            GenerationRequest((1, 400)),
            GenerationRequest((1,), sampling=Sampling(temperature=-1.0)),
            GenerationRequest((1,), sampling=Sampling(temperature=float("inf"))),
            GenerationRequest((1,), sampling=Sampling(top_p=0.0)),
            GenerationRequest((1,), sampling=Sampling(top_k=-1)),
        ):
            with pytest.raises(InputError):
                await engine.generate(request)
        with pytest.raises(InputError, match="do not fit"):
            await engine.score((3,) * 256, [(4, 5)])
        assert len(await engine.score((3,) * 255, [(4, 5), (4,)])) == 2
        assert await engine.score((3, 4), [(), ()]) == (0.0, 0.0)

    use(engine_of(folder), work)


def test_a_failing_model_is_an_unavailable_engine(folder: Path) -> None:
    async def work(engine: TransformersEngine) -> None:
        def broken(**_: Any) -> None:
            raise RuntimeError("the card fell out")

        engine._worker._network = broken  # type: ignore[assignment]
        for _ in range(2):
            with pytest.raises(EngineUnavailable, match="the card fell out"):
                await engine.generate(GenerationRequest((3, 4)))

    use(engine_of(folder), work)


def test_engines_are_opened_by_name(folder: Path) -> None:
    engine = open_engine("transformers", str(folder), max_batch=2, kv_gigabytes=0.1)
    assert engine.identity["engine"] == "transformers"
    assert engine.identity["dtype"] == "float32"
    asyncio.run(engine.aclose())
    for name in ("scripted", ""):
        with pytest.raises(InputError, match="the engines are auto, transformers, vllm, openai"):
            open_engine(name, str(folder))


def test_the_revision_follows_the_weights(folder: Path, tmp_path: Path) -> None:
    def revision(place: Path) -> str:
        engine = engine_of(place)
        asyncio.run(engine.aclose())
        return engine.identity["revision"]

    copy = shutil.copytree(folder, tmp_path / "copy")
    assert revision(folder) == revision(copy)
    other = save_model(tmp_path / "other", architecture="llama", seed=99)
    assert revision(other) != revision(copy)
