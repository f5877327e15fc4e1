"""Prompts: the one place that knows chat formats.

A dialogue is one system turn, then one user turn and one assistant turn for each step. It is rendered into
``Segment``s with an author, never into one string: the tokenizer's chat template runs over placeholders, and what it
wrote around them becomes ``template`` segments; problems and steps become ``user`` segments; assistant turns keep the
segments they came with. Only template segments may yield special tokens, and every segment is encoded alone, so a
segment boundary is a token boundary, in training and inference alike.

Two styles, for two ways that released checkpoints are prompted:

=========  ============================================  ==========================================
style      first user turn                               opening of the turn to be written
=========  ============================================  ==========================================
chat       problem, newline, step                        the template's assistant tag
official   ``Question: `` problem, blank line, step      none: it follows the user turn directly
=========  ============================================  ==========================================

In chat style the prompt of step t+1 starts with the tokens of the prompt of step t and of what was generated there,
so engines can reuse them; training rows are made of the same pieces. In official style the tag is missing from the
open turn only (as in the published code), so past turns differ from what was generated: it is for inference.

A policy, the model that solves, has one exchange: its system turn, the bare problem, and an assistant turn that may
have begun already. What it wrote so far stays in that turn, and it continues from there.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, TemplateError

from genprm import resources
from genprm.engines.base import Tokenizer
from genprm.errors import InputError, ModelError
from genprm.types import Author, Mode, Segment

PromptStyle = Literal["chat", "official"]
Role = Literal["system", "user", "assistant"]
Turn = tuple[Segment, ...]
"""What one assistant turn consists of."""
Segments = tuple[Segment, ...]

IGNORED = -100
"""Label of a token that is not trained on."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Token ids of a dialogue, and who wrote each."""

    ids: tuple[int, ...]
    authors: tuple[Author, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One training row: ``labels`` are the ids where the loss counts, -100 elsewhere."""

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]


def render(
    problem: str,
    steps: Sequence[str],
    turns: Sequence[Turn],
    tokenizer: Tokenizer,
    *,
    mode: Mode,
    style: PromptStyle = "chat",
) -> Segments:
    """The dialogue up to and including the opening of the assistant turn for step ``len(turns)``.

    With a turn for every step it is the closed dialogue, with the end of the last turn. ``turns`` are the past turns
    as the model shall see them (see ``genprm.rationale.history``); steps beyond the open one are not shown.
    Raises ``ModelError`` when the chat template does not show each message once and in order.
    """
    if len(turns) > len(steps) or not steps:
        raise InputError(
            f"a dialogue over {len(steps)} steps cannot hold {len(turns)} turns; give one step for each turn"
        )
    asked = [_user_text(problem, step, index, style) for index, step in enumerate(steps)]
    return _dialogue(_system_text(mode), asked, turns, tokenizer, style)


def render_refinement(
    problem: str, requests: Sequence[str], turns: Sequence[Turn], tokenizer: Tokenizer, *, system: str | None = None
) -> Segments:
    """The dialogue of a policy model: the problem, a solution, then each request to refine it and the new solution.

    ``system``: as for ``render_policy``.

    ``turns`` are the solutions. With one fewer than there are user turns (the problem and each of ``requests``) it
    ends with the opening of the assistant turn; with as many it is closed. Raises as ``render`` does.
    """
    if not len(requests) <= len(turns) <= len(requests) + 1:
        raise InputError(
            f"{len(requests)} requests to refine go with {len(requests)} or {len(requests) + 1} solutions, "
            f"not {len(turns)}; give one solution before each request"
        )
    system = fill("system.policy.jinja") if system is None else system
    return _dialogue(system, [problem, *requests], turns, tokenizer, "chat")


def refine_request(step: str, critique: str) -> str:
    """The user turn that asks a policy to think again about a step; the critique may be empty."""
    return fill("refine.jinja", step=step, critique=critique)


def render_policy(
    problem: str, written: Turn, tokenizer: Tokenizer, *, system: str | None = None
) -> tuple[Segment, ...]:
    """The dialogue of a policy, up to and including what its own turn consists of so far.

    ``system``: ``None`` for the shipped text, empty for no system turn. The turn is opened as the chat template opens
    one for generation. Raises ``ModelError`` when the template does not show each message once and in order.
    """
    system = fill("system.policy.jinja") if system is None else system
    messages = (*((("system", system),) if system else ()), ("user", problem))
    pieces = _around(tokenizer, [role for role, _ in messages], opening=True)
    segments: list[Segment] = []
    for piece, (_, text) in zip(pieces, messages, strict=False):
        segments += [Segment("template", piece), Segment("user", text)]
    segments += [Segment("template", pieces[-1]), *written]
    return tuple(segment for segment in segments if segment.text or segment.ids)


def render_turns(asked: Sequence[str], turns: Sequence[Turn], tokenizer: Tokenizer) -> Segments:
    """A closed dialogue of user and assistant turns, without a system turn of ours. Raises as ``render`` does."""
    pieces = _around(tokenizer, ["user", "assistant"] * len(turns))
    segments: list[Segment] = []
    for index, (text, turn) in enumerate(zip(asked, turns, strict=True)):
        segments += [Segment("template", pieces[2 * index]), Segment("user", text)]
        segments += [Segment("template", pieces[2 * index + 1]), *turn]
    segments.append(Segment("template", pieces[-1]))
    return tuple(segment for segment in segments if segment.text or segment.ids)


def encode(segments: Iterable[Segment], tokenizer: Tokenizer) -> Encoding:
    """Token ids of ``segments``, each encoded alone.

    The ids that an engine produced for a segment are kept if they say exactly its text. They are not kept when the
    last token reached past a stop string or when the model wrote a special token: then the text is encoded again.
    """
    ids: list[int] = []
    authors: list[Author] = []
    for segment in segments:
        if segment.ids and _says_its_text(segment, tokenizer):
            new = segment.ids
        else:
            new = tokenizer.encode(segment.text, special=segment.author == "template")
        ids.extend(new)
        authors.extend([segment.author] * len(new))
    return Encoding(tuple(ids), tuple(authors))


def training_row(
    problem: str,
    steps: Sequence[str],
    turns: Sequence[Turn],
    tokenizer: Tokenizer,
    *,
    mode: Mode,
    style: PromptStyle = "chat",
    mask_code_output: bool = True,
) -> Row:
    """One dialogue as ids and labels: the loss counts on ``model`` segments, and on ``code`` ones if not masked."""
    segments = render(problem, steps, turns, tokenizer, mode=mode, style=style)
    return labelled(segments, tokenizer, mask_code_output=mask_code_output)


def policy_row(problem: str, requests: Sequence[str], turns: Sequence[Turn], tokenizer: Tokenizer) -> Row:
    """A closed policy dialogue as ids and labels: the loss counts on ``model`` segments and on the token that ends
    the last turn. A verifier is stopped by its own format; a policy must know when it is done."""
    return _with_end(render_refinement(problem, requests, turns, tokenizer), tokenizer)


def answer_row(question: str, answer: Turn, tokenizer: Tokenizer, *, system: str) -> Row:
    """A closed dialogue of one question and its answer (see ``render_policy``) as ids and labels: the loss counts on
    ``model`` segments and on the token that ends the answer."""
    roles = [*(("system",) if system else ()), "user", "assistant"]
    end = Segment("template", _around(tokenizer, roles)[-1])
    return _with_end((*render_policy(question, answer, tokenizer, system=system), end), tokenizer)


def _with_end(segments: Segments, tokenizer: Tokenizer) -> Row:
    """A row whose loss also counts on the first token of the last segment, which ends the last turn."""
    row = labelled(segments, tokenizer)
    place = len(encode(segments[:-1], tokenizer).ids)
    return Row(row.input_ids, (*row.labels[:place], row.input_ids[place], *row.labels[place + 1 :]))


def labelled(segments: Iterable[Segment], tokenizer: Tokenizer, *, mask_code_output: bool = True) -> Row:
    """Segments as a training row: the loss counts on ``model`` ones, and on ``code`` ones if not masked."""
    encoding = encode(segments, tokenizer)
    trained = {"model"} if mask_code_output else {"model", "code"}
    pairs = zip(encoding.ids, encoding.authors, strict=True)
    return Row(encoding.ids, tuple(token if author in trained else IGNORED for token, author in pairs))


def messages(
    problem: str, steps: Sequence[str], turns: Sequence[str], *, mode: Mode, style: PromptStyle = "chat"
) -> tuple[tuple[Role, str], ...]:
    """The dialogue over ``turns`` as (role, content) pairs: the texts of ``render`` without a chat template around.

    ``turns[t]`` is the text of the assistant turn for ``steps[t]``; steps beyond the last turn are not shown.
    """
    if len(turns) > len(steps) or not turns:
        raise InputError(
            f"{len(turns)} turns over {len(steps)} steps are no dialogue; give one turn or more, and a step for each"
        )
    said: list[tuple[Role, str]] = [("system", _system_text(mode))]
    for index, (step, turn) in enumerate(zip(steps, turns, strict=False)):
        said += [("user", _user_text(problem, step, index, style)), ("assistant", turn)]
    return tuple(said)


def fill(name: str, **values: object) -> str:
    """The text of a shipped prompt with its placeholders filled; raises jinja's ``UndefinedError`` for one left out."""
    return _template(name).render(values)


def _dialogue(
    system: str, asked: Sequence[str], turns: Sequence[Turn], tokenizer: Tokenizer, style: PromptStyle
) -> Segments:
    """A system turn, then user turns and assistant turns up to the end of the last or the opening of the next."""
    shown = asked[: len(turns) + 1]
    contents: list[Turn] = [(Segment("user", system),)]
    for index, text in enumerate(shown):
        contents.append((Segment("user", text),))
        contents.extend(turns[index : index + 1])
    pieces = _template_pieces(tokenizer, len(shown), closed=len(turns) == len(asked), style=style)
    segments: list[Segment] = []
    for index, piece in enumerate(pieces):
        segments.append(Segment("template", piece))
        segments.extend(contents[index] if index < len(contents) else ())
    return tuple(segment for segment in segments if segment.text or segment.ids)


def _system_text(mode: Mode) -> str:
    return fill("system.direct.jinja" if mode == "direct" else "system.critique.jinja")


def _user_text(problem: str, step: str, index: int, style: PromptStyle) -> str:
    return fill(f"first.{style}.jinja" if index == 0 else "next.jinja", problem=problem, step=step)


@lru_cache(maxsize=64)
def _template(name: str) -> Template:
    # Kept, because an export fills half a million of them and a look at the disk costs ten times the filling.
    folder = resources.path("prompts", name).parent
    # Prompts are plain text for a model: escaping them as HTML would change them.
    environment = Environment(loader=FileSystemLoader(folder), undefined=StrictUndefined, autoescape=False)
    return environment.get_template(name)


def _template_pieces(tokenizer: Tokenizer, steps: int, *, closed: bool, style: PromptStyle) -> list[str]:
    """What the chat template writes before each message of the dialogue, and after the last if that is shown.

    Some templates write the last turns otherwise than past ones (an empty think block, say). So pieces are taken from
    a dialogue that goes on for one more user turn: then every turn looks as it will look when it is past, and the
    prompt of a step is a prefix of the prompt of the next.
    """
    roles = ["system", *["user", "assistant"] * steps]
    if style == "official" and not closed:
        return _around(tokenizer, roles[:-1])
    pieces = _around(tokenizer, [*roles, "user"])[: len(roles)]
    if closed:
        pieces.append(_around(tokenizer, roles)[-1])
    return pieces


def _around(tokenizer: Tokenizer, roles: Sequence[str], *, opening: bool = False) -> list[str]:
    """The template's text before each of the messages and after the last: ``len(roles) + 1`` pieces.

    ``opening``: the last piece opens an assistant turn.
    """
    marks = [f"genprmMessage{index}ofDialogue" for index in range(len(roles))]
    messages = [{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)]
    try:
        text = tokenizer.render_chat(messages, add_generation_prompt=opening)
    except TemplateError as error:
        raise ModelError(
            f"the model's chat template refuses a dialogue with a system turn ({error}); use one that takes it"
        ) from error
    pieces = []
    for role, mark in zip(roles, marks, strict=True):
        before, found, text = text.partition(mark)
        if not found or mark in text:
            raise ModelError(
                f"the model's chat template does not show the {role} message of a dialogue once and in order; "
                "give the model folder a template that shows system, user and assistant messages"
            )
        pieces.append(before)
    return [*pieces, text]


def _says_its_text(segment: Segment, tokenizer: Tokenizer) -> bool:
    if segment.author != "template" and not _special_ids(cast(Hashable, tokenizer)).isdisjoint(segment.ids):
        return False
    return tokenizer.decode(segment.ids) == segment.text


@lru_cache(maxsize=8)
def _special_ids(tokenizer: Tokenizer) -> frozenset[int]:
    tokens = (tokenizer.encode(token, special=True) for token in tokenizer.special_tokens)
    return frozenset(ids[0] for ids in tokens if len(ids) == 1)
