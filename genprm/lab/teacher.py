"""The scripted annotator: writes GenPRM rationales for steps whose truth it may see.

Each rationale restates what the step should compute, checks it in Python and judges by what the code printed. The
*check* varies, not only its words: recomputation from the problem's own numbers (``numbers``), undoing the operation
(``inverse``), the step's own arithmetic (``direct``) and the size of the result (``size``). The last two are weak: they
miss errors that the others catch. A rationale whose printed verdict contradicts the truth is never taught; a stronger
check takes its place. In the micro-world the analysis quotes the sentences of the story that the check rests on.

The code of one solution runs in one namespace, as in a vote's session: later checks use earlier variables. It is the
teacher's own code, so it runs in process here.
"""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from genprm.lab.arithmetic import Equation, evaluate
from genprm.lab.gsm8k import holds
from genprm.lab.program import Expression, Node, number
from genprm.lab.world import WorldStep
from genprm.rationale.grammar import CodeRound, Rationale
from genprm.types import Judgement, Mode

Check = Literal["numbers", "inverse", "direct", "size"]
_WORLD_CHECKS: tuple[tuple[Check, float], ...] = (
    ("numbers", 0.72), ("inverse", 0.16), ("direct", 0.06), ("size", 0.06),
)  # fmt: skip
_TEXT_CHECKS: tuple[tuple[Check, float], ...] = (("direct", 0.78), ("inverse", 0.16), ("size", 0.06))
_UNDO = {"+": "-", "-": "+", "*": "/", "/": "*"}
_PLANS: dict[Check, tuple[str, ...]] = {
    "numbers": ("Let me compute it again.", "I compute it from the problem."),
    "inverse": ("I undo the calculation.", "Working backwards tests this."),
    "direct": ("I redo the arithmetic.", "I check the arithmetic as written."),
    "size": ("I look at the size of the result.", "Is the result of the right size?"),
}
_AGREES = ("", "", "The check agrees with the step.\n", "The code confirms the step.\n")
_DISAGREES = ("", "", "The check does not agree with the step.\n", "The code contradicts the step.\n")
_FLIP = {"True": "False", "False": "True"}


@dataclass(frozen=True, slots=True)
class _Style:
    """The wording of one conversation: drawn once, so that a reader of its first turn knows the others'."""

    about: str
    quoting: str
    says: str
    opening: str
    plan: int
    ending: int

    @classmethod
    def draw(cls, rng: random.Random) -> _Style:
        return cls(
            rng.choice(("This step finds", "The step works out", "Here we look for")),
            rng.choice(("The problem says:", "We are told:")),
            rng.choice(("The step says", "It claims")),
            rng.choice(("The step says that", "It claims that", "This step computes")),
            rng.randrange(2),
            rng.randrange(len(_AGREES)),
        )

    def world(self, node: Node, claimed: str, check: Check) -> str:
        """Says what is looked for, quotes what the story tells of it, and says what it should be."""
        quoted = " ".join((self.quoting, *node.because, "")) if node.because else ""
        right = node.expression.text(names=True)
        return f"{self.about} {node.what}. {quoted}So it is {right}. {self.says} {claimed}. {_PLANS[check][self.plan]}"

    def text(self, equations: Sequence[Equation], check: Check) -> str:
        """Says which arithmetic a step of real text claims."""
        if not equations:
            return "This step has no arithmetic to check."
        said = " and ".join(f"{equation.expression} = {equation.claimed}" for equation in equations)
        return f"{self.opening} {said}. {_PLANS[check][self.plan]}"

    def closing(self, judgement: Judgement) -> str:
        return (_AGREES if judgement == "Yes" else _DISAGREES)[self.ending]


class Teacher:
    """Writes the rationales of one solution, step after step, in one code namespace."""

    def __init__(self, mode: Mode, rng: random.Random) -> None:
        self._mode = mode
        self._rng = rng
        self._space: dict[str, Any] = {"__name__": "__main__"}
        self._style = _Style.draw(rng)

    def world(self, nodes: Sequence[Node], index: int, step: WorldStep) -> Rationale:
        """The rationale for step ``index`` of a micro-world solution."""
        node = nodes[index]
        truth: Judgement = "Yes" if step.holds else "No"
        if self._mode == "direct":
            return Rationale(None, (), truth)
        claimed = number(step.claimed)
        check, source = self._world_check(nodes, index, step, truth)
        analysis = self._style.world(node, claimed, check)
        return self._written(analysis, source, truth)

    def arithmetic(self, equations: Sequence[Equation]) -> Rationale:
        """The rationale for a step of real text with these equations in it (none: nothing to check)."""
        truth: Judgement = "Yes" if all(holds(equation) for equation in equations) else "No"
        if self._mode == "direct":
            return Rationale(None, (), truth)
        check, source = self._text_check(equations, truth)
        return self._written(self._style.text(equations, check), source, truth)

    def _written(self, analysis: str, source: str, truth: Judgement) -> Rationale:
        if self._mode == "analyze":
            return Rationale(analysis, (), truth)
        rounds = [CodeRound(source, self._run(source))]
        if self._rng.random() < 0.02 and "print(" in source:
            broken = source.replace("print(", "print(result, ", 1)
            again = CodeRound(source, rounds[0].output, "The code failed, so I run it again.\n")
            rounds = [CodeRound(broken, self._run(broken)), again]
        closing = self._style.closing(truth)
        return Rationale(None if self._mode == "code-only" else analysis, tuple(rounds), truth, closing)

    def _world_check(self, nodes: Sequence[Node], index: int, step: WorldStep, truth: Judgement) -> tuple[Check, str]:
        """A drawn check if it tells the truth here, else the recomputation."""
        check = _draw(_WORLD_CHECKS, self._rng)
        source = _world_source(check, nodes, index, step)
        if source is None or not self._tells(source, truth):
            check, source = "numbers", _world_source("numbers", nodes, index, step)
        assert source is not None
        return check, source

    def _text_check(self, equations: Sequence[Equation], truth: Judgement) -> tuple[Check, str]:
        if not equations:
            return "direct", "# no arithmetic in this step\nprint(True)"
        check = _draw(_TEXT_CHECKS, self._rng)
        source = "\n".join(_text_lines(check, equation) for equation in equations)
        if not self._tells(source, truth):
            check, source = "direct", "\n".join(_text_lines("direct", equation) for equation in equations)
        return check, source

    def _tells(self, source: str, truth: Judgement) -> bool:
        """Whether this code's printed verdict is the truth. Leaves the namespace as it was."""
        return ("False" not in _run(source, dict(self._space))) == (truth == "Yes")

    def _run(self, source: str) -> str:
        return _run(source, self._space)


def flipped(rationale: Rationale) -> Rationale:
    """The same rationale had its code printed the opposite: the judgement follows the output."""
    last = rationale.rounds[-1]
    output = swap_verdicts(last.output)
    judgement: Judgement = "No" if "False" in output.split() else "Yes"
    return replace(
        rationale,
        rounds=(*rationale.rounds[:-1], replace(last, output=output)),
        judgement=judgement,
        closing=(_AGREES if judgement == "Yes" else _DISAGREES)[2] if rationale.closing else "",
    )


def swap_verdicts(output: str) -> str:
    """The opposite output: printed ``False`` become ``True``; if there is none, every ``True`` becomes ``False``."""
    lines = output.split("\n")
    target = "False" if "False" in lines else "True"
    return "\n".join(_FLIP[line] if line == target else line for line in lines)


def _run(source: str, space: dict[str, Any]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            exec(source, space)  # the teacher's own code, never a model's
        except NameError as error:
            return f"{printed.getvalue()}Code execute Error: NameError: {error}\n"
    return printed.getvalue()


def _draw(checks: Sequence[tuple[Check, float]], rng: random.Random) -> Check:
    return rng.choices([name for name, _ in checks], [weight for _, weight in checks])[0]


def _world_source(check: Check, nodes: Sequence[Node], index: int, step: WorldStep) -> str | None:
    """Verification code; every check also leaves the step's quantity in a variable for later checks."""
    node, claimed = nodes[index], number(step.claimed)
    expression = node.expression
    set_and_compare = f"{node.name} = {{}}\nprint({node.name})\nprint({node.name} == {claimed})"
    if check == "numbers":
        return set_and_compare.format(expression.text(names=True))
    if check == "inverse":
        first = f"{node.name} = {expression.text(names=True)}\n"
        return f"{first}print({_undone(expression, claimed)} == {_operand(expression, 0)})"
    if check == "direct":
        shown = step.stated.text()
        visible = shown in step.text.replace(" x ", " * ")
        return set_and_compare.format(shown) if visible else None
    if not step.holds:
        return None
    return f"{node.name} = {claimed}\nprint({_size(expression, node.name)})"


def _operand(expression: Expression, place: int) -> str:
    operand = expression.operands[place]
    return operand.name or number(operand.value)


def _undone(expression: Expression, claimed: str) -> str:
    """The claimed value with every operation undone from the last to the first: should give the first operand."""
    text, loose = claimed, False
    for place in range(len(expression.operations), 0, -1):
        undo = _UNDO[expression.operations[place - 1]]
        if undo in "*/" and loose:
            text = f"({text})"
        text = f"{text} {undo} {_operand(expression, place)}"
        loose = undo in "+-"
    return text


def _size(expression: Expression, name: str) -> str:
    """A weak test that a right value passes: larger or smaller than its first operand."""
    first = _operand(expression, 0)
    relation = ">=" if expression.operations[0] in "+*" else "<="
    if expression.operations == ("*", "/") or expression.operations == ("/", "*"):
        relation = ">="
        first = "0"
    return f"{name} {relation} {first}"


def _text_lines(check: Check, equation: Equation) -> str:
    """Code for one equation; ``inverse`` and ``size`` need two plain operands, else the arithmetic is redone."""
    parts = _binary(equation.expression)
    claimed = equation.claimed
    if check == "inverse" and parts is not None:
        left, operation, right = parts
        return f"print(abs({claimed} {_UNDO[operation]} {right} - {left}) < 0.01)"
    if check == "size" and parts is not None:
        left, operation, right = parts
        relation = ">=" if (operation == "+") or (operation == "*" and float(right) >= 1) else "<="
        if operation == "/" and float(right) < 1:
            relation = ">="
        return f"print({claimed} {relation} {left})"
    value = f"value = {equation.expression}\nprint(value)\n"
    if not _near(equation) and holds(equation):
        decimals = len(claimed.partition(".")[2])
        return f"{value}print(round(value, {decimals}) == {claimed})"
    return f"{value}print(abs(value - {claimed}) < 0.01)"


def _near(equation: Equation) -> bool:
    return abs(float(evaluate(equation.expression)) - float(equation.claimed)) < 0.01


def _binary(expression: str) -> tuple[str, str, str] | None:
    for operation in "+-*/":
        left, found, right = expression.partition(operation)
        if found and _plain(left) and _plain(right) and float(right) != 0:
            return left, operation, right
    return None


def _plain(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
