"""Tells a story of a family: which relations hold, in which order, with which numbers, and what is asked.

First each entity gets its quantity (told, counted in groups, or compared with another), then the quantities may be
pooled and the pool used up, shared, sold, converted. Numbers are drawn so that every true value is a whole number.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction

from genprm.lab.families import PARTS, TIMES, Family
from genprm.lab.program import Expression, Node, Operand

LARGEST = 20000
SIDE_SHARE = 0.25
"""Share of the stories of 4 and more steps whose solution has a step that is true and leads nowhere."""


@dataclass(frozen=True, slots=True)
class Story:
    text: str
    nodes: tuple[Node, ...]
    numbers: tuple[int, ...]


@dataclass(slots=True)
class _Draft:
    """A story while it is being told."""

    family: Family
    rng: random.Random
    item: str
    box: str
    other: str
    sentences: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    known: dict[str, Operand] = field(default_factory=dict)
    """Entity to its quantity."""
    facts: dict[str, str] = field(default_factory=dict)
    """Entity to the sentence that tells of its quantity."""

    def told(self, relation: str, **slots: object) -> str:
        template = self.rng.choice(self.family.relations[relation])
        sentence = template.format(item=self.item, box=self.box, other=self.other, **slots)
        self.sentences.append(sentence)
        self.numbers += [value for value in slots.values() if isinstance(value, int)]
        return sentence

    def because(self, sentence: str, *entities: str) -> tuple[str, ...]:
        """What a step rests on: its own sentence, and those that tell of ``entities``."""
        return (sentence, *(self.facts[entity] for entity in entities))

    def can(self, relation: str) -> bool:
        return relation in self.family.relations

    def add(self, node: Node) -> Operand:
        self.nodes.append(node)
        return Operand(Fraction(node.value), node.name)


def tell(family: Family, rng: random.Random, steps: int, side_share: float = SIDE_SHARE) -> Story | None:
    """A story whose solution has ``steps`` steps; ``None`` where the drawn numbers do not work out."""
    draft = _Draft(family, rng, rng.choice(family.items), rng.choice(family.boxes), rng.choice(family.others))
    pooled = rng.random() < (0.35 if steps == 2 else 0.85)
    side = steps >= 4 and rng.random() < side_share
    tail = rng.randint(1, min(5, steps - 1)) if pooled else 0
    if not _entities(draft, steps - tail - side, pooled):
        return None
    if side:
        _side_step(draft)
    if pooled and not _tail(draft, tail):
        return None
    if len(draft.nodes) != steps or any(not 0 < node.value <= LARGEST for node in draft.nodes):
        return None
    _distract(draft)
    question = f"Find out {draft.nodes[-1].what}."
    return Story(" ".join([*draft.sentences, question]), tuple(draft.nodes), tuple(draft.numbers))


def _lit(value: int) -> Operand:
    return Operand(Fraction(value))


def _entity_node(draft: _Draft, entity: str, because: tuple[str, ...], operands: tuple[Operand, ...], ops: str) -> None:
    verb, item = draft.family.verb, draft.item
    node = Node(
        entity.split()[-1],
        f"how many {item} {entity} {verb}",
        f"{entity} {verb} {{v}} {item}",
        because,
        Expression(operands, tuple(ops)),
    )
    draft.known[entity] = draft.add(node)
    draft.facts[entity] = because[0]


def _entities(draft: _Draft, steps: int, pooled: bool) -> bool:
    """Give quantities to entities until ``steps`` steps are made."""
    rng = draft.rng
    if steps < 0 or steps > 6:
        return False
    names = list(draft.family.entities)
    rng.shuffle(names)
    if rng.random() < 0.5 or steps == 0:
        _given(draft, names.pop())
    while len(draft.nodes) < steps:
        if draft.known and rng.random() < 0.7:
            relation = rng.choice(("more", "fewer", "times", "part"))
            if not _compare(draft, names.pop(), relation):
                return False
        else:
            _count(draft, names.pop())
    if pooled and len(draft.known) < 2:
        _given(draft, names.pop())
    return bool(draft.nodes) or pooled


def _given(draft: _Draft, entity: str) -> None:
    value = draft.rng.randint(5, 90)
    draft.facts[entity] = draft.told("given", E=entity, k=value)
    draft.known[entity] = _lit(value)


def _count(draft: _Draft, entity: str) -> None:
    """A base quantity counted from the story's own numbers, in the order in which they are told."""
    rng = draft.rng
    relation = rng.choice([name for name in ("groups", "groups", "loose", "loose", "dozen", "week") if draft.can(name)])
    n, k, m = rng.randint(2, 12), rng.randint(3, 40), rng.randint(2, 30)
    if relation == "groups":
        sentence = draft.told("groups", E=entity, n=n, k=k)
        _entity_node(draft, entity, (sentence,), _in_order(sentence, n, k), "*")
    elif relation == "loose":
        sentence = draft.told("loose", E=entity, n=n, k=k, m=m)
        _entity_node(draft, entity, (sentence,), (*_in_order(sentence, n, k), _lit(m)), "*+")
    elif relation == "dozen":
        sentence = draft.told("dozen", E=entity, n=n)
        _entity_node(draft, entity, (sentence, "A dozen is 12."), (_lit(n), _lit(12)), "*")
    else:
        n = rng.randint(2, 5)
        sentence = draft.told("week", E=entity, n=n, k=k)
        _entity_node(draft, entity, (sentence, "A week has 7 days."), (_lit(k), _lit(n), _lit(7)), "**")


def _in_order(sentence: str, n: int, k: int) -> tuple[Operand, Operand]:
    """Two factors as the sentence tells them."""
    return (_lit(n), _lit(k)) if _first(sentence, n, k) else (_lit(k), _lit(n))


def _first(sentence: str, n: int, k: int) -> bool:
    """Whether the sentence tells ``n`` before ``k``."""
    words = re.findall(r"\d+", sentence)
    return words.index(str(n)) <= words.index(str(k))


def _compare(draft: _Draft, entity: str, relation: str) -> bool:
    """A quantity told by comparison with one told before."""
    rng = draft.rng
    friend = rng.choice(list(draft.known))
    base = draft.known[friend]
    if relation == "more":
        k = rng.randint(2, 40)
        sentence = draft.told("more", E=entity, F=friend, k=k)
    elif relation == "fewer":
        if base.value < 6:
            return False
        k = rng.randint(2, min(40, int(base.value) - 1))
        sentence = draft.told("fewer", E=entity, F=friend, k=k)
    elif relation == "times":
        k = rng.choice(list(TIMES))
        sentence = draft.told("times", E=entity, F=friend, times=TIMES[k])
    else:
        parts = [k for k in PARTS if base.value % k == 0]
        if not parts:
            return False
        k = rng.choice(parts)
        sentence = draft.told("part", E=entity, F=friend, part=PARTS[k])
    operation = {"more": "+", "fewer": "-", "times": "*", "part": "/"}[relation]
    _entity_node(draft, entity, draft.because(sentence, friend), (base, _lit(k)), operation)
    return True


def _side_step(draft: _Draft) -> None:
    """A step that is true and leads nowhere."""
    if len(draft.known) < 2:
        return
    (first, a), (second, b) = draft.rng.sample(list(draft.known.items()), 2)
    if a.value < b.value:
        (first, a), (second, b) = (second, b), (first, a)
    together = draft.rng.random() < 0.5 or a.value == b.value
    node = pair_node(draft.family.verb, draft.item, (first, a), (second, b), together=together)
    draft.add(replace(node, because=draft.because("", first, second)[1:]))


def pair_node(verb: str, item: str, one: tuple[str, Operand], other: tuple[str, Operand], *, together: bool) -> Node:
    """What two entities have together, or how many more ``one`` has than ``other``: true, and of no use."""
    (first, a), (second, b) = one, other
    if together:
        what = f"how many {item} {first} and {second} {verb} together"
        claim = f"{first} and {second} {verb} {{v}} {item} together"
        return Node("both", what, claim, (), Expression((a, b), ("+",)), True)
    what = f"how many more {item} {first} {verb} than {second}"
    claim = f"{first} {verb} {{v}} more {item} than {second}"
    return Node("gap", what, claim, (), Expression((a, b), ("-",)), True)


def _tail(draft: _Draft, steps: int) -> bool:
    """Pool the quantities and go on with the pool."""
    if not 2 <= len(draft.known) <= 4:
        return False
    names = list(draft.known)
    sentence = draft.told("pool", all=f"{', '.join(names[:-1])} and {names[-1]}")
    operands = tuple(draft.known.values())
    expression = Expression(operands, ("+",) * (len(operands) - 1))
    what, claim = f"how many {draft.item} there are in all", f"all together there are {{v}} {draft.item}"
    current = draft.add(Node("total", what, claim, draft.because(sentence, *names), expression))
    want = steps - 1
    for group in ((_used, _used2), (_share, _percent, _ratio), (_price, _minutes, _cents), (_cost, _hours)):
        if want == 0:
            break
        if draft.rng.random() < 0.2 and want < 3:
            continue
        options = list(group)
        draft.rng.shuffle(options)
        for option in options:
            made = option(draft, current)
            if made is not None:
                current, want = made, want - 1
                break
    return want == 0


_Step = Callable[[_Draft, Operand], Operand | None]


def _used(draft: _Draft, current: Operand) -> Operand | None:
    if current.value < 10 or not draft.can("used"):
        return None
    k = draft.rng.randint(2, int(current.value) // 2)
    sentence = draft.told("used", k=k)
    return draft.add(_left(draft, sentence, Expression((current, _lit(k)), ("-",))))


def _used2(draft: _Draft, current: Operand) -> Operand | None:
    if current.value < 15 or not draft.can("used2"):
        return None
    k, m = (draft.rng.randint(2, int(current.value) // 4 + 1) for _ in range(2))
    sentence = draft.told("used2", k=k, m=m)
    return draft.add(_left(draft, sentence, Expression((current, _lit(k), _lit(m)), ("-", "-"))))


def _left(draft: _Draft, sentence: str, expression: Expression) -> Node:
    item = draft.item
    return Node("left", f"how many {item} are left", f"there are {{v}} {item} left", (sentence,), expression)


def _share(draft: _Draft, current: Operand) -> Operand | None:
    sizes = [n for n in range(2, 13) if current.value % n == 0 and current.value // n > 1]
    if not sizes or not draft.can("share"):
        return None
    n = draft.rng.choice(sizes)
    sentence = draft.told("share", n=n)
    what, claim = f"how many {draft.item} are in each part", f"each part is {{v}} {draft.item}"
    node = Node("each", what, claim, (sentence,), Expression((current, _lit(n)), ("/",)))
    draft.item = f"{draft.item} of one part" if not draft.item.endswith("of one part") else draft.item
    return draft.add(node)


def _percent(draft: _Draft, current: Operand) -> Operand | None:
    shares = [p for p in (10, 20, 25, 30, 40, 50, 60, 75, 80) if current.value * p % 100 == 0]
    if not shares or not draft.can("percent"):
        return None
    p = draft.rng.choice(shares)
    sentence = draft.told("percent", k=p)
    what, claim = f"how many {draft.item} these {p}% are", f"these {p}% are {{v}} {draft.item}"
    expression = Expression((current, _lit(p), _lit(100)), ("*", "/"))
    return draft.add(Node("part", what, claim, (sentence,), expression))


def _ratio(draft: _Draft, current: Operand) -> Operand | None:
    sizes = [n for n in range(2, 13) if current.value % n == 0]
    if not sizes or not draft.can("ratio"):
        return None
    n = draft.rng.choice(sizes)
    k = draft.rng.choice([value for value in range(2, 10) if value != n])
    sentence = draft.told("ratio", n=n, k=k)
    what, claim = f"how many {draft.other} that makes", f"that makes {{v}} {draft.other}"
    if _first(sentence, n, k):
        expression = Expression((current, _lit(n), _lit(k)), ("/", "*"))
    else:
        expression = Expression((current, _lit(k), _lit(n)), ("*", "/"))
    node = Node("made", what, claim, (sentence,), expression)
    draft.item = draft.other
    return draft.add(node)


def _price(draft: _Draft, current: Operand) -> Operand | None:
    if not draft.can("price") or current.value > 3000:
        return None
    k = draft.rng.randint(2, 9)
    sentence = draft.told("price", k=k)
    expression = Expression((current, _lit(k)), ("*",))
    return draft.add(Node("money", "how many dollars that is", "that is {v} dollars", (sentence,), expression))


def _minutes(draft: _Draft, current: Operand) -> Operand | None:
    if not draft.can("minutes") or current.value > 3000:
        return None
    whole = [k for k in range(2, 13) if current.value * k % 60 == 0]
    k = draft.rng.choice(whole) if whole else draft.rng.randint(2, 12)
    sentence = draft.told("minutes", k=k)
    expression = Expression((current, _lit(k)), ("*",))
    return draft.add(Node("minutes", "how many minutes that takes", "that takes {v} minutes", (sentence,), expression))


def _cents(draft: _Draft, current: Operand) -> Operand | None:
    if not draft.can("cents") or current.value > 190:
        return None
    because = (draft.told("cents"), "A dollar is 100 cents.")
    expression = Expression((current, _lit(100)), ("*",))
    return draft.add(Node("cents", "how many cents that is", "that is {v} cents", because, expression))


def _cost(draft: _Draft, current: Operand) -> Operand | None:
    if current.name != "money" or not draft.can("cost") or current.value < 10:
        return None
    k = draft.rng.randint(2, int(current.value) // 2)
    sentence = draft.told("cost", k=k)
    expression = Expression((current, _lit(k)), ("-",))
    return draft.add(Node("profit", "how many dollars remain", "{v} dollars remain", (sentence,), expression))


def _hours(draft: _Draft, current: Operand) -> Operand | None:
    if current.name != "minutes" or current.value % 60:
        return None
    expression = Expression((current, _lit(60)), ("/",))
    sentence = "The plan gives this time in hours."
    draft.sentences.append(sentence)
    because = (sentence, "An hour has 60 minutes.")
    return draft.add(Node("hours", "how many hours that is", "that is {v} hours", because, expression))


def _distract(draft: _Draft) -> None:
    """Facts with numbers that no step needs."""
    rng = draft.rng
    for sentence in rng.sample(draft.family.distractors, rng.choice((0, 1, 1, 2))):
        k = rng.randint(3, 60)
        told = sentence.format(E=rng.choice(list(draft.known)), k=k)
        draft.numbers.append(k)
        draft.sentences.insert(rng.randint(0, len(draft.sentences)), told)
