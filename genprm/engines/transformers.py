"""The transformers engine: any Hugging Face causal language model on a CPU or a GPU, continuously batched.

One worker thread owns the model. Requests join and leave the running batch at every token: each step feeds one token
of every sequence that is writing and as much of the new prompts as fits a budget, all in one ragged forward pass
(``attention``), and known prefixes are not computed again (``kv``). Each request draws from its own random generator
(``sampling``), so what it says does not depend on who else is there, but for floating-point noise.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from genprm.engines import attention, loading, sampling
from genprm.engines.base import Completion, GenerationRequest
from genprm.engines.kv import Geometry, KVSlots, Row
from genprm.engines.tasks import GenerateTask, ScoreTask, Task
from genprm.engines.tokenizers import HFTokenizer
from genprm.errors import EngineUnavailable, InputError, ModelError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_CLOSED = "the transformers engine is closed; open a new one"
_MIN_GAIN = 16
"""A prompt waits for another one being prefilled when that saves at least this many tokens."""
_SMALL_BYTES = 64 << 20
_MANY_TOKENS = 512
"""A small model's step over fewer tokens than this runs on one thread."""


class TransformersEngine:
    """Runs a model folder or hub name with the transformers library.

    ``max_batch``: most sequences in one step. ``context_length``: most tokens of one sequence (default: what the model
    was built for). ``kv_gigabytes``: memory for keys and values (default: half of what is free); it bounds
    how many sequences run and stay remembered. ``prefill_tokens``: most prompt tokens in one step.

    Raises ``ModelError`` for a model that cannot be loaded, ``MissingDependency`` without torch or transformers.
    """

    def __init__(
        self,
        model: str,
        *,
        dtype: str = "auto",
        device: str = "auto",
        max_batch: int = 64,
        context_length: int | None = None,
        kv_gigabytes: float | None = None,
        prefill_tokens: int = 1024,
        reuse_prefixes: bool = True,
    ) -> None:
        if max_batch < 1 or prefill_tokens < 1:
            raise InputError(f"max_batch and prefill_tokens must be at least 1, not {max_batch} and {prefill_tokens}")
        loading.require_libraries()
        attention.register()
        place = loading.resolve_device(device)
        kind = loading.resolve_dtype(dtype, place)
        network = loading.load_model(model, dtype=kind, device=place, attention=attention.NAME)
        self._tokenizer = HFTokenizer(loading.load_tokenizer(model))
        self._vocabulary = int(network.get_input_embeddings().weight.shape[0])
        self._context_length = _context_length(model, network, context_length)
        self._identity = {
            "engine": "transformers",
            "model": model,
            "revision": loading.revision(model, network.config),
            "dtype": str(kind).removeprefix("torch."),
        }
        kv = _make_slots(network, kind, place, self._context_length, max_batch, kv_gigabytes)
        self._eos = loading.eos_ids(model, self._tokenizer.hf, network.config)
        self._worker = _Worker(network, kv, min(max_batch, kv.count), prefill_tokens, reuse_prefixes)
        self._worker.probe()
        thread = threading.Thread(target=self._worker.run, name="genprm-engine", daemon=True)
        thread.start()
        self._thread = thread
        # Runs when the engine is forgotten and at interpreter exit, where a thread inside torch would crash.
        self._finalizer = weakref.finalize(self, _stop, self._worker, thread)

    @property
    def tokenizer(self) -> HFTokenizer:
        return self._tokenizer

    @property
    def context_length(self) -> int:
        return self._context_length

    @property
    def identity(self) -> Mapping[str, str]:
        return dict(self._identity)

    @property
    def statistics(self) -> Mapping[str, int]:
        """Counters since the start: steps, and tokens of prompts, reused, fed and generated."""
        return dict(self._worker.statistics)

    async def generate(self, request: GenerationRequest) -> Completion:
        sampling.check(request.sampling)
        self._check_prompt(request.prompt)
        self._worker.check_open()
        prompt_tokens = len(request.prompt)
        if prompt_tokens >= self._context_length:
            return Completion("", (), prompt_tokens, "context")
        if request.max_tokens < 1:
            return Completion("", (), prompt_tokens, "length")
        task = GenerateTask(request, self._tokenizer.decode, self._eos, self._context_length)
        completion: Completion = await self._submit(task)
        return completion

    async def score(self, prompt: Sequence[int], options: Sequence[Sequence[int]]) -> tuple[float, ...]:
        """As the protocol says; ``InputError`` if the prompt and its longest option do not fit the context."""
        self._check_prompt(prompt)
        self._worker.check_open()
        for option in options:
            self._check_ids(option)
        longest = max((len(option) for option in options), default=0)
        if longest == 0:
            return tuple(0.0 for _ in options)
        # The last token of an option is read off, never fed, so it needs no room.
        if len(prompt) + longest - 1 > self._context_length:
            raise InputError(
                f"a prompt of {len(prompt)} tokens and an option of {longest} do not fit the context of "
                f"{self._context_length} tokens; shorten the history"
            )
        scores: tuple[float, ...] = await self._submit(ScoreTask(prompt, options))
        return scores

    async def aclose(self) -> None:
        await asyncio.to_thread(self._finalizer)

    async def _submit(self, task: Task) -> Any:
        task.future = asyncio.get_running_loop().create_future()
        self._worker.submit(task)
        try:
            return await task.future
        except asyncio.CancelledError:
            task.cancelled = True
            raise

    def _check_prompt(self, prompt: Sequence[int]) -> None:
        if not prompt:
            raise InputError("a prompt needs at least one token; begin it with the model's first token")
        self._check_ids(prompt)

    def _check_ids(self, ids: Sequence[int]) -> None:
        if ids and not 0 <= min(ids) <= max(ids) < self._vocabulary:
            raise InputError(
                f"token ids must be from 0 to {self._vocabulary - 1}, these go from {min(ids)} to {max(ids)}; "
                "encode with the engine's own tokenizer"
            )


class _Worker:
    """The thread that owns the model; everything but ``submit`` and ``close`` happens on it."""

    def __init__(
        self, network: PreTrainedModel, kv: KVSlots, max_batch: int, prefill_tokens: int, reuse_prefixes: bool
    ) -> None:
        import torch

        self._network: PreTrainedModel | None = network
        self._kv: KVSlots | None = kv
        self._max_batch = max_batch
        self._prefill_tokens = prefill_tokens
        self._reuse = reuse_prefixes
        self._wake = threading.Condition()
        self._incoming: list[Task] = []
        self._waiting: deque[Task] = deque()
        self._running: list[Task] = []
        self._families = 0
        self._refusal: str | None = None
        size = sum(parameter.nbytes for parameter in network.parameters())
        self._threads = torch.get_num_threads()
        self._small = network.device.type == "cpu" and size < _SMALL_BYTES
        self.statistics = dict.fromkeys(
            ("steps", "prompt_tokens", "reused_tokens", "fed_tokens", "generated_tokens"), 0
        )

    def check_open(self) -> None:
        if self._refusal is not None:
            raise EngineUnavailable(self._refusal)

    def submit(self, task: Task) -> None:
        with self._wake:
            self.check_open()
            self._incoming.append(task)
            self._wake.notify()

    def close(self, reason: str) -> None:
        with self._wake:
            self._refusal = self._refusal or reason
            self._wake.notify()

    def probe(self) -> None:
        """One token through the model: raises ``ModelError`` for an architecture that this engine cannot run."""
        import torch

        kv = self._slots()
        plan = attention.Plan(kv, [Row(0, 0, 1)], batched=False)
        with torch.inference_mode():
            self._forward(plan, [0], [0])
        if plan.layers_seen != kv.geometry.layers:
            raise ModelError(
                f"{type(self._network).__name__} has layers that are not ordinary attention "
                f"({plan.layers_seen} of {kv.geometry.layers} are); use another engine for it"
            )

    def run(self) -> None:
        import torch

        try:
            with torch.inference_mode():
                while self._collect():
                    self._admit()
                    self._step()
        except Exception as error:  # noqa: BLE001 - the thread's outermost frame: whatever happened, nobody may wait for ever
            summary = " ".join(str(error).split())[:300]
            self.close(f"the transformers engine failed ({type(error).__name__}: {summary}); open a new one")
        torch.set_num_threads(self._threads)
        with self._wake:
            left = [*self._running, *self._waiting, *self._incoming]
            self._incoming.clear()
        for task in left:
            task.fail(EngineUnavailable(self._refusal or _CLOSED))
        self._running, self._network, self._kv = [], None, None
        self._waiting.clear()

    def _collect(self) -> bool:
        """Take over what was submitted, waiting if there is nothing else to do; false once closed."""
        with self._wake:
            while self._refusal is None and not (self._incoming or self._waiting or self._running):
                self._wake.wait()
            self._waiting.extend(self._incoming)
            self._incoming.clear()
        for task in [task for task in self._running if task.cancelled]:
            self._leave(task)
        return self._refusal is None

    def _admit(self) -> None:
        """Give waiting tasks a slot while there are slots, oldest first.

        A prompt that shares its beginning with one being prefilled right now stays back until that is done: votes on
        one solution start together, and this way their common prompt is computed once.
        """
        kv, held = self._slots(), []
        while self._waiting and len(self._running) < self._max_batch and kv.idle:
            task = self._waiting.popleft()
            if task.cancelled:
                continue
            prefix = kv.find(task.prompt) if self._reuse else kv.NOTHING
            if prefix.promised >= prefix.length + _MIN_GAIN:
                held.append(task)
                continue
            task.slot = kv.claim(task.prompt, prefix)
            task.family = self._family(task)
            task.position = int(kv.filled[task.slot])
            self.statistics["prompt_tokens"] += len(task.prompt)
            self.statistics["reused_tokens"] += task.position
            self._running.append(task)
        self._waiting.extendleft(reversed(held))

    def _family(self, task: Task) -> int:
        """A number for all running tasks with this prompt."""
        same = next((one for one in self._running if np.array_equal(one.prompt, task.prompt)), None)
        if same is not None:
            return same.family
        self._families += 1
        return self._families

    def _step(self) -> None:
        if not self._running:
            return
        kv = self._slots()
        chosen = self._choose()
        rows = [Row(task.slot, task.position, count, task.family, len(task.prompt) - 1) for task, count in chosen]
        plan = attention.Plan(kv, rows, batched=kv.geometry.device.type != "cpu")
        ids: list[int] = []
        outputs: list[int] = []
        spans: list[tuple[Task, int]] = []
        for task, count in chosen:
            new, wanted = task.feed(count)
            outputs.extend(range(len(ids) + count - wanted, len(ids) + count))
            spans.append((task, wanted))
            ids.extend(new)
        self._use_threads(len(ids))
        logits = self._forward(plan, ids, outputs)
        kv.record(plan.rows, ids)
        self.statistics["steps"] += 1
        self.statistics["fed_tokens"] += len(ids)
        if logits is not None:
            self._answer(spans, logits)

    def _use_threads(self, tokens: int) -> None:
        """One thread for the small steps of a small model on a CPU: threads would wait for each other for longer than
        they compute. The count is the process's, so other torch code beside a running engine sees it too."""
        import torch

        if self._small:
            wanted = self._threads if tokens >= _MANY_TOKENS else 1
            if torch.get_num_threads() != wanted:
                torch.set_num_threads(wanted)

    def _choose(self) -> list[tuple[Task, int]]:
        """Which tasks take part in this step and with how many tokens; those with one token first, by family."""
        singles = [(task, 1) for task in sorted(self._running, key=lambda task: task.family) if task.pending == 1]
        longs, budget = [], self._prefill_tokens
        for task in self._running:
            if task.pending > 1 and budget > 0:
                count = min(task.pending, budget)
                longs.append((task, count))
                budget -= count
        return singles + [pair for pair in longs if pair[1] == 1] + [pair for pair in longs if pair[1] > 1]

    def _forward(self, plan: attention.Plan, ids: Sequence[int], outputs: Sequence[int]) -> torch.Tensor | None:
        """Logits (float32 ``[outputs, vocabulary]``) at the places ``outputs`` of the fed tokens."""
        import torch

        if self._network is None:
            raise EngineUnavailable(_CLOSED)
        device = plan.positions.device
        # Without wanted places the head still runs on one token: an empty selection is not worth a special case.
        result = self._network(
            input_ids=torch.tensor(ids, device=device).unsqueeze(0),
            position_ids=plan.positions.unsqueeze(0),
            use_cache=False,
            logits_to_keep=torch.tensor(outputs or [0], device=device),
            plan=plan,
        )
        logits: torch.Tensor = result.logits[0].float()
        return logits if outputs else None

    def _answer(self, spans: Sequence[tuple[Task, int]], logits: torch.Tensor) -> None:
        """Hand each task the logits it wanted and let those that are done leave."""
        places: list[int] = []
        writers: list[GenerateTask] = []
        done: list[Task] = []
        offset = 0
        for task, wanted in spans:
            if wanted and isinstance(task, GenerateTask):
                writers.append(task)
                places.append(offset)
            elif wanted and isinstance(task, ScoreTask) and task.read(logits[offset : offset + wanted]):
                done.append(task)
            offset += wanted
        if writers:
            rows = logits if len(places) == len(logits) else logits[places]
            tokens = sampling.draw(
                rows, [task.sampling for task in writers], [task.uniforms.random() for task in writers]
            )
            self.statistics["generated_tokens"] += len(tokens)
            done.extend(task for task, token in zip(writers, tokens, strict=True) if task.push(token))
        for task in done:
            self._leave(task)
            task.succeed()

    def _leave(self, task: Task) -> None:
        self._running.remove(task)
        self._slots().release(task.slot)

    def _slots(self) -> KVSlots:
        if self._kv is None:
            raise EngineUnavailable(_CLOSED)
        return self._kv


def _stop(worker: _Worker, thread: threading.Thread) -> None:
    worker.close(_CLOSED)
    if thread is not threading.current_thread():
        thread.join()


def _context_length(model: str, network: PreTrainedModel, asked: int | None) -> int:
    known: int | None = getattr(network.config.get_text_config(), "max_position_embeddings", None)
    if asked is not None and asked < 1:
        raise InputError(f"context_length must be at least 1, not {asked}")
    if asked is not None and known is not None and asked > known:
        raise InputError(f"context_length {asked} is more than the {known} tokens that '{model}' was built for")
    length = asked if asked is not None else known
    if length is None:
        raise ModelError(f"the configuration of '{model}' does not say its context length; give context_length")
    return length


def _make_slots(
    network: PreTrainedModel,
    dtype: torch.dtype,
    device: torch.device,
    context: int,
    max_batch: int,
    gigabytes: float | None,
) -> KVSlots:
    config = network.config.get_text_config()
    heads = int(config.num_attention_heads)
    geometry = Geometry(
        layers=int(config.num_hidden_layers),
        heads=int(getattr(config, "num_key_value_heads", None) or heads),
        head_dim=int(getattr(config, "head_dim", None) or config.hidden_size // heads),
        dtype=dtype,
        device=device,
    )
    budget = int(gigabytes * 1e9) if gigabytes is not None else _free_bytes(device) // 2
    count = min(2 * max_batch, budget // (geometry.bytes_per_token * context))
    if count < 1:
        raise InputError(
            f"{budget / 1e9:.2f} GB for keys and values do not hold one sequence of {context} tokens "
            f"({geometry.bytes_per_token * context / 1e9:.2f} GB); lower context_length or raise kv_gigabytes"
        )
    return KVSlots(geometry, count, context)


def _free_bytes(device: torch.device) -> int:
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
