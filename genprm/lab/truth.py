"""The truth of a solution that anybody wrote: each step is read and compared with the hidden program.

A step states a quantity of the story in one of the world's phrasings, mostly with the arithmetic behind it, and may
quote a sentence of the story first; one that quotes what the story does not say cannot be read. It is right
when the arithmetic holds and computes that quantity from the right numbers, in any order, from the values of earlier
steps or from the numbers that those were computed from. A quantity may be one that the answer does not need. A step
that builds on an earlier wrong value makes no error of its own; what comes after the first error is spoiled all the
same. A step that cannot be read is wrong and told apart::

    truth = check(problem, steps)
    first_error(truth)                    # 0-based, -1 for none
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import permutations, product
from typing import Literal

from genprm.errors import InputError
from genprm.lab.arithmetic import evaluate, normalise
from genprm.lab.families import FAMILIES, Family
from genprm.lab.program import Expression, Node, Operand
from genprm.lab.story import pair_node
from genprm.lab.world import WorldProblem

Finding = Literal["right", "arithmetic", "expression", "value", "reason", "answer", "unread"]
"""What is wrong with a step: ``arithmetic`` the right calculation with a wrong result, ``expression`` a calculation of
something else, ``value`` a bare claim that is not so, ``reason`` a quoted sentence that has nothing to do with it,
``answer`` another answer than the steps give."""

_NUMBER = r"\d+(?:\.\d+)?"
_EXPRESSION = r"[(\d][\d.()+\-*/x ]* [+\-*/x] [\d.()+\-*/x ]*[)\d]"
_EQUATION = rf"(?P<expression>{_EXPRESSION}) (?:=|gives) (?P<value>{_NUMBER})"
_ANSWER = re.compile(r"(?P<step>.*?)\s*The answer is \\boxed\{(?P<answer>[^}]*)\}\.?\s*", re.DOTALL)
_WORDS = (
    (re.compile(rf"Adding ({_NUMBER}) to ({_NUMBER})"), r"\2 + \1"),
    (re.compile(rf"Taking ({_NUMBER}) from ({_NUMBER})"), r"\2 - \1"),
    (re.compile(rf"Multiplying ({_NUMBER}) by ({_NUMBER})"), r"\1 * \2"),
    (re.compile(rf"Dividing ({_NUMBER}) by ({_NUMBER})"), r"\1 / \2"),
)
_ABOUT = re.compile(rf"(?:To find (?P<what>.+), compute|Next, (?P<next>.+):) {_EQUATION}\.")
_FOLLOWS = re.compile(rf"(?:We get )?{_EQUATION}(?:, so|\. So) (?P<claim>.+)\.")
_BARE = re.compile(r"(?:This means that )?(?P<claim>.+)\.")
_STATED = re.compile(rf"(?:(?P<expression>{_EXPRESSION}) = )?(?<![\d.])(?P<value>{_NUMBER})(?![\d.])")
_MOST_WAYS = 4000


@dataclass(frozen=True, slots=True)
class StepTruth:
    """The truth of one step."""

    finding: Finding
    prefix_ok: bool
    """No step so far, this one included, has gone wrong."""
    holds: bool
    """What the step states is true of the story."""
    quantity: str | None = None
    """Name of what it computes, if it could be read."""

    @property
    def new_error(self) -> bool:
        """This step goes wrong by itself."""
        return self.finding != "right"


@dataclass(frozen=True, slots=True)
class _Statement:
    node: Node
    expression: str | None
    value: Fraction
    agrees: bool = True
    """The value of the calculation and that of the claim are the same."""


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to compute a quantity: the numbers used, and what they give."""

    numbers: tuple[Fraction, ...]
    value: Fraction


def check(problem: WorldProblem, steps: Sequence[str]) -> tuple[StepTruth, ...]:
    """The truth of every step. ``Step 3: `` before a step and the boxed answer at its end may be there."""
    known = _statements(problem)
    claimed: dict[str, list[Fraction]] = {}
    found: list[StepTruth] = []
    ok = True
    for step in steps:
        text, boxed = split_answer(re.sub(r"^\s*Step \d+: ", "", step))
        quoted, text = _quoted(text, problem.text)
        statement = _read(text, known)
        finding: Finding = "unread"
        holds = False
        if statement is not None:
            finding, holds = _judge(problem, statement, claimed)
            if finding == "right" and quoted and statement.node.because and quoted not in statement.node.because:
                finding, holds = "reason", False
            claimed.setdefault(statement.node.name, []).append(statement.value)
        if finding == "right" and boxed is not None and not _concludes(problem, boxed, claimed):
            finding, holds = "answer", False
        ok = ok and finding == "right"
        found.append(StepTruth(finding, ok, holds, None if statement is None else statement.node.name))
    return tuple(found)


def first_error(truth: Sequence[StepTruth]) -> int:
    """0-based index of the first wrong step, -1 for none."""
    return next((index for index, step in enumerate(truth) if not step.prefix_ok), -1)


def split_answer(text: str) -> tuple[str, str | None]:
    """A step without the sentence that boxes the answer, and what is boxed there."""
    found = _ANSWER.fullmatch(text)
    return (text.strip(), None) if found is None else (found["step"], found["answer"].strip())


def told(problem: WorldProblem) -> dict[str, Operand]:
    """The entities whose quantity the story tells outright."""
    family, item = _family_and_item(problem)
    sentence = re.compile(rf"(?:^|(?<=\. ))({'|'.join(family.entities)}) {family.verb} (\d+) {item}\.")
    return {found[1]: Operand(Fraction(found[2])) for found in sentence.finditer(problem.text)}


def pairs(problem: WorldProblem) -> tuple[Node, ...]:
    """All steps that compare two entities or take them together: true, and mostly of no use."""
    family, item = _family_and_item(problem)
    amounts = told(problem) | {
        entity: Operand(Fraction(node.value), node.name)
        for node in problem.nodes
        for entity in family.entities
        if node.what == f"how many {item} {entity} {family.verb}"
    }
    made = []
    for one, other in permutations(amounts.items(), 2):
        made.append(pair_node(family.verb, item, one, other, together=True))
        if one[1].value > other[1].value:
            made.append(pair_node(family.verb, item, one, other, together=False))
    return tuple(made)


@lru_cache(maxsize=512)
def _statements(problem: WorldProblem) -> Mapping[str, Node]:
    """What a step can be about: the words of a quantity, and of a claim with ``{v}`` for its value, to its node."""
    family, item = _family_and_item(problem)
    given = [
        Node(entity.split()[-1], f"how many {item} {entity} {family.verb}", f"{entity} {family.verb} {{v}} {item}", (),
             Expression((operand,), ()))
        for entity, operand in told(problem).items()
    ]  # fmt: skip
    every = (*pairs(problem), *given, *problem.nodes)
    return {_lower(words): node for node in every for words in (node.what, node.claim)}


def _family_and_item(problem: WorldProblem) -> tuple[Family, str]:
    """The words of the story, and the thing that its entities have."""
    family = next(family for family in FAMILIES if family.name == problem.family)
    places = {item: problem.text.find(f" {item}") for item in family.items}
    return family, min((place, item) for item, place in places.items() if place >= 0)[1]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _quoted(text: str, story: str) -> tuple[str, str]:
    """The sentence of the story that a step quotes at its beginning, empty if it does not, and the step without it."""
    for sentence in re.split(r"(?<=\.) ", story):
        opening = f"{sentence.removesuffix('.')}, so "
        if text.startswith(opening):
            return sentence, text[len(opening) :]
    return "", text


def _read(text: str, known: Mapping[str, Node]) -> _Statement | None:
    for words, form in _WORDS:
        text = words.sub(form, text, count=1)
    about = _ABOUT.fullmatch(text)
    if about is not None:
        node = known.get(_lower(about["what"] or about["next"]))
        return None if node is None else _Statement(node, about["expression"], Fraction(about["value"]))
    follows = _FOLLOWS.fullmatch(text)
    if follows is not None:
        said = _claim(follows["claim"], known)
        if said is None or said.expression is not None:
            return None
        same = said.value == Fraction(follows["value"])
        return _Statement(said.node, follows["expression"], said.value, same)
    bare = _BARE.fullmatch(text)
    return None if bare is None else _claim(bare["claim"], known)


def _claim(text: str, known: Mapping[str, Node]) -> _Statement | None:
    """``Ben picked 20 + 5 = 25 apples``: the one reading whose words are known."""
    for found in _STATED.finditer(text):
        node = known.get(_lower(f"{text[: found.start()]}{{v}}{text[found.end() :]}"))
        if node is not None:
            return _Statement(node, found["expression"], Fraction(found["value"]))
    return None


def _judge(
    problem: WorldProblem, statement: _Statement, claimed: Mapping[str, Sequence[Fraction]]
) -> tuple[Finding, bool]:
    """What is wrong with a statement, and whether it is true of the story."""
    node = statement.node
    nodes = {other.name: other for other in problem.nodes}
    if statement.expression is None:
        ways = _ways(node.expression, nodes, claimed)
        if all(way.value != statement.value for way in ways):
            return "value", False
        return "right", statement.value == node.value
    try:
        expression = normalise(statement.expression)
        computed = evaluate(expression)
    except InputError:
        return "unread", False
    way = _Way(tuple(sorted(map(Fraction, re.findall(_NUMBER, expression)))), computed)
    if way not in _ways(node.expression, nodes, claimed):
        return "expression", False
    if computed != statement.value or not statement.agrees:
        return "arithmetic", False
    return "right", way in _ways(node.expression, nodes, {})


def _ways(
    expression: Expression, nodes: Mapping[str, Node], claimed: Mapping[str, Sequence[Fraction]]
) -> frozenset[_Way]:
    """All ways to compute ``expression``: a named operand as it is, as claimed before, or as it is computed itself."""
    choices = [tuple(_operand(operand, nodes, claimed)) for operand in expression.operands]
    ways = set()
    for count, chosen in enumerate(product(*choices)):
        if count == _MOST_WAYS:
            break
        operands = tuple(Operand(way.value) for way in chosen)
        value = Expression(operands, expression.operations).value()
        if value is not None:
            ways.add(_Way(tuple(sorted(n for way in chosen for n in way.numbers)), value))
    return frozenset(ways)


def _operand(operand: Operand, nodes: Mapping[str, Node], claimed: Mapping[str, Sequence[Fraction]]) -> Iterator[_Way]:
    for value in dict.fromkeys((operand.value, *claimed.get(operand.name or "", ()))):
        yield _Way((value,), value)
    if operand.name is not None:
        yield from _ways(nodes[operand.name].expression, nodes, claimed)


def _concludes(problem: WorldProblem, boxed: str, claimed: Mapping[str, Sequence[Fraction]]) -> bool:
    """Whether the boxed answer is the true one, or the last value that was claimed for what is asked."""
    if re.fullmatch(_NUMBER, boxed) is None:
        return False
    last = claimed.get(problem.nodes[-1].name, ())[-1:]
    return Fraction(boxed) in (Fraction(problem.answer), *last)
