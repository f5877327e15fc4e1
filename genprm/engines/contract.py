"""The engine contract as checks that run: every engine passes all that apply to it.

A check is an async function of a ``Subject``; it opens engines through ``Subject.open`` and raises ``AssertionError``
with a sentence when a promise is broken. ``CHECKS`` lists them all; ``checks_for(subject)`` those that apply.

    for check in checks_for(subject):
        asyncio.run(check(subject))
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from genprm.engines.base import Completion, Engine, GenerationRequest, Sampling
from genprm.errors import EngineUnavailable

GREEDY = Sampling(temperature=0.0)
WIDE = Sampling(temperature=1.0, top_p=1.0, top_k=0)
CROWD = 32
PATIENCE = 60.0
"""Seconds after which a call counts as lost."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What the checks need to know of an engine.

    ``open`` makes a fresh engine of one and the same model. ``prompts``: a few different token prompts, each of which
    the engine continues by at least 24 tokens of text under ``GREEDY``, well inside its context. ``samples``: it
    really draws tokens (a scripted engine does not). ``reference``: log-probability of one option after a prompt,
    computed slowly by other means, if there are any. ``near_tie``: share of sampled completions in a crowd that may
    differ from the same request alone, for engines whose floating-point noise may flip a near tie.
    """

    open: Callable[[], Engine]
    prompts: tuple[tuple[int, ...], ...]
    samples: bool = True
    reference: Callable[[Sequence[int], Sequence[int]], float] | None = None
    near_tie: float = 0.0


Check = Callable[[Subject], Awaitable[None]]


@contextlib.asynccontextmanager
async def _opened(subject: Subject) -> AsyncIterator[Engine]:
    engine = subject.open()
    try:
        yield engine
    finally:
        await engine.aclose()


async def _soon(engine: Engine, request: GenerationRequest) -> Completion:
    return await asyncio.wait_for(engine.generate(request), PATIENCE)


def _demand(truth: bool, sentence: str) -> None:
    if not truth:
        raise AssertionError(sentence)


async def max_tokens_is_exact(subject: Subject) -> None:
    """A completion that nothing else stops has exactly ``max_tokens`` tokens, and its text is their text."""
    async with _opened(subject) as engine:
        for limit in (1, 7, 24):
            got = await _soon(engine, GenerationRequest(subject.prompts[0], max_tokens=limit, sampling=GREEDY))
            _demand(len(got.ids) == limit, f"{len(got.ids)} tokens for max_tokens {limit}")
            _demand(got.stop_reason == "length", f"max_tokens {limit} ended with '{got.stop_reason}'")
            _demand(got.text == engine.tokenizer.decode(got.ids), f"the text {got.text!r} is not that of its tokens")
            _demand(got.prompt_tokens == len(subject.prompts[0]), f"prompt_tokens is {got.prompt_tokens}")


async def stop_strings_are_kept_and_cut(subject: Subject) -> None:
    """The text ends right after the first stop string, also one that spans tokens or ends inside one."""
    async with _opened(subject) as engine:
        free = await _soon(engine, GenerationRequest(subject.prompts[0], max_tokens=24, sampling=GREEDY))
        _demand(len(free.text) >= 8, f"the first prompt must be continued by some text, not by {free.text!r}")
        for start, length in (
            (0, 1),
            (2, 3),
            (len(free.text) // 2, 4),
            (len(free.text) - 6, 5),
            (0, len(free.text) - 1),
        ):
            stop = free.text[start : start + length]
            if "\N{REPLACEMENT CHARACTER}" in stop:
                continue
            request = GenerationRequest(
                subject.prompts[0], stop=("\N{SNOWMAN} never", stop), max_tokens=24, sampling=GREEDY
            )
            got = await _soon(engine, request)
            end = free.text.index(stop) + len(stop)
            _demand(got.stop_reason == "stop", f"stop string {stop!r} ended with '{got.stop_reason}'")
            _demand(got.text == free.text[:end], f"stop string {stop!r} gave {got.text!r}, not {free.text[:end]!r}")
            _demand(got.ids == free.ids[: len(got.ids)], "a stop string changed the tokens before it")
            _demand(stop not in engine.tokenizer.decode(got.ids[:-1]), f"tokens were drawn after stop string {stop!r}")


async def the_earliest_stop_string_wins(subject: Subject) -> None:
    """Of several stop strings, the one that is complete first ends the text, whatever their order in the request."""
    async with _opened(subject) as engine:
        free = await _soon(engine, GenerationRequest(subject.prompts[0], max_tokens=24, sampling=GREEDY))
        early, late = free.text[2:4], free.text[:6]
        for stop in ((early, late), (late, early)):
            got = await _soon(engine, GenerationRequest(subject.prompts[0], stop=stop, max_tokens=24, sampling=GREEDY))
            end = min(free.text.index(text) + len(text) for text in stop)
            _demand(got.text == free.text[:end], f"stop strings {stop!r} gave {got.text!r}, not {free.text[:end]!r}")


async def the_context_ends_a_completion(subject: Subject) -> None:
    """A full context ends with ``context``; a prompt that fills it alone yields no tokens."""
    async with _opened(subject) as engine:
        filler = subject.prompts[0] * (engine.context_length // len(subject.prompts[0]) + 1)
        for room in (3, 1):
            prompt = filler[: engine.context_length - room]
            got = await _soon(engine, GenerationRequest(prompt, max_tokens=24, sampling=GREEDY))
            if got.stop_reason == "eos":
                continue
            _demand(got.stop_reason == "context", f"a full context ended with '{got.stop_reason}'")
            _demand(len(got.ids) == room, f"{len(got.ids)} tokens where the context had room for {room}")
        for length in (engine.context_length, engine.context_length + 5):
            got = await _soon(engine, GenerationRequest((filler * 2)[:length], max_tokens=24, sampling=GREEDY))
            _demand(got == Completion("", (), length, "context"), f"a prompt of {length} tokens gave {got}")


async def greedy_is_the_same_in_a_crowd(subject: Subject) -> None:
    """A greedy request gives the same completion alone and among ``CROWD`` others."""
    await _same_alone_and_in_a_crowd(subject, GREEDY, 0.0)


async def sampled_is_the_same_in_a_crowd(subject: Subject) -> None:
    """A seeded request gives the same completion alone and among ``CROWD`` others, near ties apart."""
    await _same_alone_and_in_a_crowd(subject, Sampling(), subject.near_tie)


async def _same_alone_and_in_a_crowd(subject: Subject, sampling: Sampling, may_differ: float) -> None:
    requests = [
        GenerationRequest(subject.prompts[n % len(subject.prompts)], max_tokens=8 + n % 17, seed=n, sampling=sampling)
        for n in range(CROWD)
    ]
    async with _opened(subject) as engine:
        crowd = await asyncio.gather(*(_soon(engine, request) for request in requests))
    async with _opened(subject) as engine:
        alone = [await _soon(engine, request) for request in requests]
    different = [n for n in range(CROWD) if crowd[n] != alone[n]]
    _demand(
        len(different) <= may_differ * CROWD,
        f"{len(different)} of {CROWD} requests gave something else in a crowd than alone: {different}",
    )


async def seeds_differ(subject: Subject) -> None:
    """Different seeds give different completions; the same seed gives the same one."""
    async with _opened(subject) as engine:
        request = GenerationRequest(subject.prompts[0], max_tokens=16, sampling=WIDE)
        got = await asyncio.gather(*(_soon(engine, replace(request, seed=seed)) for seed in (1, 2, 3, 2**63 + 1, 2)))
        _demand(len({one.ids for one in got}) == 4, f"five requests with four seeds gave {[one.ids for one in got]}")
        _demand(got[1] == got[4], "the same seed gave two completions")


async def top_k_one_is_greedy(subject: Subject) -> None:
    """With ``top_k`` 1, or a tiny ``top_p``, sampling has nothing to choose."""
    async with _opened(subject) as engine:
        greedy = await _soon(engine, GenerationRequest(subject.prompts[0], max_tokens=12, sampling=GREEDY))
        for sampling in (Sampling(1.5, 1.0, 1), Sampling(1.5, 1e-9, 0)):
            got = await _soon(engine, GenerationRequest(subject.prompts[0], max_tokens=12, seed=5, sampling=sampling))
            _demand(got == greedy, f"{sampling} chose something other than the most likely tokens")


def _options(prompt: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Options of one, two and four tokens, the longer ones beginning alike."""
    return ((prompt[-1],), tuple(prompt[:2]), (prompt[0], prompt[1], prompt[-1], prompt[0]), (prompt[1],))


async def scores_equal_the_reference(subject: Subject) -> None:
    """``score`` is the raw log-probability, for options of several tokens and for many calls at once."""
    if subject.reference is None:
        return
    async with _opened(subject) as engine:
        scored = await asyncio.gather(*(engine.score(prompt, _options(prompt)) for prompt in subject.prompts))
    for prompt, scores in zip(subject.prompts, scored, strict=True):
        for option, score in zip(_options(prompt), scores, strict=True):
            expected = subject.reference(prompt, option)
            _demand(
                abs(score - expected) < 2e-3, f"option {option} scored {score:.5f}, the reference says {expected:.5f}"
            )


async def scores_are_probabilities(subject: Subject) -> None:
    """Options that exclude each other have probabilities that sum to at most one."""
    async with _opened(subject) as engine:
        tokens = sorted(set(subject.prompts[0]))[:5]
        scores = await engine.score(subject.prompts[0], [(token,) for token in tokens])
        _demand(len(scores) == len(tokens), f"{len(scores)} scores for {len(tokens)} options")
        _demand(all(score <= 1e-6 for score in scores), f"log-probabilities above 0: {scores}")
        total = sum(map(math.exp, scores))
        _demand(total <= 1 + 1e-4, f"probabilities of different tokens sum to {total}")


async def scoring_between_turns_changes_nothing(subject: Subject) -> None:
    """A dialogue that scores a position and goes on gets what it gets from a fresh engine."""
    async with _opened(subject) as engine:
        first = await _soon(engine, GenerationRequest(subject.prompts[0], max_tokens=12, sampling=GREEDY))
        history = subject.prompts[0] + first.ids
        await engine.score(history[:-3], [(history[0],), tuple(history[1:4])])
        request = GenerationRequest(history + subject.prompts[1][:9], max_tokens=12, sampling=GREEDY)
        warm = await _soon(engine, request)
    async with _opened(subject) as engine:
        cold = await _soon(engine, request)
    _demand(warm == cold, f"after a score the dialogue went on with {warm.text!r}, not {cold.text!r}")


async def cancelling_frees_the_slot(subject: Subject) -> None:
    """Cancelled calls end at once, and the engine goes on serving others, more often than it has slots."""
    async with _opened(subject) as engine:
        request = GenerationRequest(subject.prompts[0], max_tokens=20, sampling=GREEDY)
        expected = await _soon(engine, request)
        for _ in range(3):
            tasks = [asyncio.ensure_future(engine.generate(replace(request, seed=n))) for n in range(CROWD)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)
            _demand(
                all(isinstance(one, asyncio.CancelledError | Completion) for one in outcomes),
                f"cancelled calls ended with {[type(one).__name__ for one in outcomes]}",
            )
        _demand(await _soon(engine, request) == expected, "cancelled calls changed a later completion")


async def closing_is_final_and_idempotent(subject: Subject) -> None:
    """``aclose`` may be called twice; later calls, and those still running, raise ``EngineUnavailable``."""
    engine = subject.open()
    request = GenerationRequest(subject.prompts[0], max_tokens=24, sampling=GREEDY)
    running = asyncio.ensure_future(engine.generate(request))
    await asyncio.sleep(0)
    await engine.aclose()
    await engine.aclose()
    outcome = (await asyncio.wait_for(asyncio.gather(running, return_exceptions=True), PATIENCE))[0]
    _demand(isinstance(outcome, EngineUnavailable | Completion), f"a call during aclose ended with {outcome!r}")
    for call in (engine.generate(request), engine.score(subject.prompts[0], [(subject.prompts[0][0],)])):
        try:
            await asyncio.wait_for(call, PATIENCE)
        except EngineUnavailable:
            continue
        raise AssertionError("a closed engine answered a call")


async def text_never_becomes_a_control_token(subject: Subject) -> None:
    """With special parsing off, the text of a control token is text; with it on, it is that token."""
    async with _opened(subject) as engine:
        tokenizer = engine.tokenizer
        for text in sorted(tokenizer.special_tokens):
            control = tokenizer.encode(text, special=True)
            _demand(len(control) == 1, f"{text!r} with special parsing on is {len(control)} tokens")
            hostile = f"a {text}b"
            plain = tokenizer.encode(hostile)
            _demand(not set(control) & set(plain), f"{text!r} in a plain text became a control token")
            _demand(tokenizer.decode(plain) == hostile, f"{hostile!r} came back as {tokenizer.decode(plain)!r}")
            _demand(tokenizer.decode(control) == "", f"the control token {text!r} shows in decoded text")


async def tokenizer_adds_and_drops_nothing(subject: Subject) -> None:
    """Encoding adds no tokens, decoding keeps every space, and pieces decode to the pieces of the whole."""
    async with _opened(subject) as engine:
        tokenizer = engine.tokenizer
        _demand(tokenizer.encode("") == (), "an empty text has tokens")
        for text in (
            "a",
            " leading",
            "trailing ",
            "two  spaces , and . marks",
            "x = 3 * 4\n\n    y\t",
            "žluťoučký 数 🙂",
        ):
            ids = tokenizer.encode(text)
            _demand(tokenizer.decode(ids) == text, f"{text!r} came back as {tokenizer.decode(ids)!r}")
        ids = tokenizer.encode("one two three 12 + 5")
        joined = "".join(tokenizer.decode((token,)) for token in ids)
        _demand(joined == "one two three 12 + 5", f"token by token the text is {joined!r}")


async def identity_and_context_are_stated(subject: Subject) -> None:
    """``identity`` says in strings what determines results and is the same for the same model."""
    async with _opened(subject) as first, _opened(subject) as second:
        _demand(dict(first.identity) == dict(second.identity), "two engines of one model have different identities")
        _demand({"engine", "model"} <= first.identity.keys(), f"the identity has only {sorted(first.identity)}")
        _demand(all(isinstance(value, str) for value in first.identity.values()), "identity values must be strings")
        _demand(first.context_length > 0, f"context_length is {first.context_length}")


CHECKS: tuple[Check, ...] = (
    max_tokens_is_exact,
    stop_strings_are_kept_and_cut,
    the_earliest_stop_string_wins,
    the_context_ends_a_completion,
    greedy_is_the_same_in_a_crowd,
    sampled_is_the_same_in_a_crowd,
    seeds_differ,
    top_k_one_is_greedy,
    scores_equal_the_reference,
    scores_are_probabilities,
    scoring_between_turns_changes_nothing,
    cancelling_frees_the_slot,
    closing_is_final_and_idempotent,
    text_never_becomes_a_control_token,
    tokenizer_adds_and_drops_nothing,
    identity_and_context_are_stated,
)
_NEED_SAMPLING = (seeds_differ,)


def checks_for(subject: Subject) -> tuple[Check, ...]:
    """The checks that mean something for this engine."""
    return tuple(
        check
        for check in CHECKS
        if (subject.samples or check not in _NEED_SAMPLING)
        and (subject.reference is not None or check is not scores_equal_the_reference)
    )
