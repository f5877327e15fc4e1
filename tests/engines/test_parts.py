"""The parts of the engines: tokenizers, stop strings, sampling, remembered prefixes, scripts."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genprm.engines import ByteTokenizer, GenerationRequest, HFTokenizer, Sampling, ScriptedEngine
from genprm.engines.kv import Geometry, KVSlots, Row
from genprm.engines.sampling import draw
from genprm.engines.stops import TextTail
from genprm.errors import EngineUnavailable, InputError, ModelError
from tests.engines.models import save_model, save_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> HFTokenizer:
    return HFTokenizer.from_folder(str(save_model(tmp_path_factory.mktemp("model"))))


def test_the_chat_template_renders_with_its_control_tokens(tokenizer: HFTokenizer) -> None:
    messages = [{"role": "user", "content": "1 + 1 <|im_end|>"}]
    for one in (tokenizer, ByteTokenizer()):
        text = one.render_chat(messages, add_generation_prompt=True)
        assert text.endswith("<|im_start|>user\n1 + 1 <|im_end|><|im_end|>\n<|im_start|>assistant\n")
        assert text.startswith("<|")
        assert len(one.encode("<|im_start|>", special=True)) == 1


def test_added_tokens_that_steer_are_control_tokens_though_not_marked_special(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    save_tokenizer(tmp_path)
    library = AutoTokenizer.from_pretrained(tmp_path)
    library.add_tokens(["<tool_call>", "wordlike"])
    tokenizer = HFTokenizer(library)
    assert tokenizer.special_tokens == {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>"}
    assert len(tokenizer.encode("<tool_call>")) > 1
    assert len(tokenizer.encode("<tool_call>", special=True)) == 1
    assert len(tokenizer.encode("wordlike")) == 1


def test_a_tokenizer_that_marks_word_starts_keeps_its_spaces(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<unk>": 0, "▁": 1, "a": 2, "b": 3, "▁a": 4, "▁b": 5}
    backend = Tokenizer(models.BPE(vocabulary, [("▁", "a"), ("▁", "b")], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    tokenizer = HFTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>"))
    assert tokenizer.decode((5, 4)) == " b a"
    assert [tokenizer.decode((one,)) for one in (4, 3, 5)] == [" a", "b", " b"]


def test_a_model_without_a_chat_template_says_so(tokenizer: HFTokenizer, tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(ModelError, match="no chat template"):
        HFTokenizer.from_folder(str(tmp_path)).render_chat([], add_generation_prompt=True)


@given(
    text=st.text(alphabet="ab<|>im_start🙂 é\n", max_size=40),
    stops=st.lists(st.text("ab<|🙂é ", min_size=1, max_size=4)),
)
def test_a_text_is_cut_at_its_first_complete_stop_string(text: str, stops: list[str]) -> None:
    tail, cut = TextTail(ByteTokenizer().decode, stops), None
    for token in text.encode():
        cut = tail.push(token)
        if cut is not None:
            break
    ends = [text.index(stop) + len(stop) for stop in stops if stop in text]
    assert cut == (text[: min(ends)] if ends else None)


def test_drawn_tokens_follow_the_filtered_distribution() -> None:
    logits = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])
    dice, count = random.Random(0), 20_000
    for settings in (Sampling(0.7, 1.0, 0), Sampling(1.3, 0.8, 0), Sampling(0.6, 0.95, 3), Sampling(1.0, 1.0, 2)):
        p = (logits / settings.temperature).softmax(0).tolist()
        kept = list(range(settings.top_k or 6))
        total = sum(p[i] for i in kept)
        inside = [i for i in kept if sum(p[:i]) / total < settings.top_p]
        expected = {i: p[i] / sum(p[j] for j in inside) for i in inside}
        seen = Counter(draw(logits.expand(count, 6), [settings] * count, [dice.random() for _ in range(count)]))
        assert seen.keys() <= expected.keys()
        for token, share in expected.items():
            assert seen[token] / count == pytest.approx(share, abs=4 * math.sqrt(share / count) + 1e-3)


def test_rows_with_different_settings_do_not_touch_each_other() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(40, 50, generator=generator) * 3
    settings = [Sampling(n % 4 * 0.5, (1.0, 0.9, 0.3)[n % 3], (0, 1, 5, 60)[n % 4]) for n in range(40)]
    uniforms = [n / 40 for n in range(40)]
    together = draw(logits, settings, uniforms)
    assert together == [draw(logits[n : n + 1], [settings[n]], [uniforms[n]])[0] for n in range(40)]
    assert draw(logits, settings, [1 - 1e-12] * 40) != together


@pytest.mark.parametrize("sharpness", [0.0, 0.3, 5.0])
@pytest.mark.parametrize("top_p", [1.0, 0.95, 0.2])
def test_a_draw_from_a_large_vocabulary_is_that_of_all_its_tokens_in_order(sharpness: float, top_p: float) -> None:
    noise = torch.randn(60, 3000, generator=torch.Generator().manual_seed(1))
    logits = sharpness * noise + 1e-4 * noise.flip(0)  # nearly flat at 0: the likeliest few hold a small part of it
    uniforms = [(n + 0.5) / 60 for n in range(60)]
    ordered, tokens = (logits.double() / 0.8).softmax(-1).sort(-1, descending=True)
    expected = []
    for row, uniform in enumerate(uniforms):
        kept = int((ordered[row].cumsum(0) - ordered[row] < top_p).sum())
        chances = ordered[row, :kept].cumsum(0)
        expected.append(int(tokens[row, int((chances <= uniform * chances[-1]).sum())]))
    assert draw(logits, [Sampling(0.8, top_p, 0)] * 60, uniforms) == expected


def slots(count: int) -> KVSlots:
    return KVSlots(Geometry(1, 1, 2, torch.float32, torch.device("cpu")), count, 300)


def fill(kv: KVSlots, prompt: np.ndarray) -> int:
    slot = kv.claim(prompt, kv.find(prompt))
    start = int(kv.filled[slot])
    positions = torch.arange(start, len(prompt))
    data = torch.tensor(prompt[start:], dtype=torch.float32)[None, :, None].expand(1, -1, 2)
    kv.write(0, kv.places(torch.full_like(positions, slot), positions), data, -data)
    kv.record([Row(slot, start, len(prompt) - start)], prompt[start:].tolist())
    return slot


def test_slots_hold_the_keys_of_the_tokens_they_say(seed: int = 0) -> None:
    """Random prompts that share beginnings, in few slots: whatever is taken over, copied or evicted, the data fit."""
    dice = random.Random(seed)
    kv, busy = slots(4), []
    stems = [[dice.randrange(100) for _ in range(200)] for _ in range(3)]
    for _ in range(300):
        if busy and (dice.random() < 0.5 or kv.idle == 0):
            kv.release(busy.pop(dice.randrange(len(busy))))
            continue
        stem = dice.choice(stems)
        prompt = np.array(stem[: dice.randint(1, 200)] + [dice.randrange(100) for _ in range(dice.randint(1, 90))])
        slot = fill(kv, prompt)
        assert slot not in busy
        busy.append(slot)
        assert kv.keys[0][slot, 0, : len(prompt), 0].tolist() == prompt.tolist()
        assert (-kv.values[0][slot, 0, : len(prompt), 1]).tolist() == prompt.tolist()


def test_the_least_recently_used_slot_is_given_away() -> None:
    kv = slots(2)
    first, second, third = (np.arange(start, start + 50) for start in (0, 100, 200))
    kv.release(fill(kv, first))
    kv.release(fill(kv, second))
    kv.release(fill(kv, third))
    assert [kv.find(np.append(prompt, 7)).length for prompt in (first, second, third)] == [0, 50, 50]


def say(engine: ScriptedEngine, **options: object) -> str:
    return asyncio.run(engine.generate(GenerationRequest((65,), **options))).text  # type: ignore[arg-type]


def test_scripts_are_sequences_tables_and_functions() -> None:
    engine = ScriptedEngine(["one", "two"])
    assert [say(engine), say(engine)] == ["one", "two"]
    with pytest.raises(EngineUnavailable, match="used up"):
        say(engine)
    table = ScriptedEngine({7: "seven"})
    assert say(table, seed=7) == "seven"
    with pytest.raises(EngineUnavailable, match="seed 8"):
        say(table, seed=8)
    assert say(ScriptedEngine(lambda prompt, request: f"{prompt}{request.seed}"), seed=3) == "A3"
    with pytest.raises(InputError, match="wrap it"):
        ScriptedEngine("text")


def test_a_script_that_ends_by_itself_ends_with_eos_and_scores_are_scripted() -> None:
    engine = ScriptedEngine(
        ["done"], score=lambda prompt, options: [-1.0 if option == "Yes" else -2.0 for option in options]
    )
    assert asyncio.run(engine.generate(GenerationRequest((65,), max_tokens=5))).stop_reason == "eos"
    assert asyncio.run(engine.score((65,), [b"Yes", b"No"])) == (-1.0, -2.0)
