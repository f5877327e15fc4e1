"""The truth of solutions that anybody wrote: it agrees with the world's own labels and reads more than it writes."""

from __future__ import annotations

import random
from collections import Counter
from fractions import Fraction
from itertools import islice

import pytest

from genprm.lab.policy import PolicyCorpus, policy_problem
from genprm.lab.truth import check, first_error, pairs, split_answer, told
from genprm.lab.world import KINDS, WorldProblem, make_problem, solutions


@pytest.mark.parametrize("held_out", [False, True])
def test_it_agrees_with_the_worlds_own_labels_on_every_step(held_out: bool) -> None:
    kinds = Counter()
    for solution in islice(solutions(11, "test", held_out=held_out), 300):
        truth = check(solution.problem, [step.text for step in solution.steps])
        kinds[solution.kind] += 1
        assert first_error(truth) == solution.label
        for said, step in zip(truth, solution.steps, strict=True):
            assert (said.new_error, said.prefix_ok, said.holds) == (step.new_error, step.prefix_ok, step.holds)
    assert set(kinds) == set(KINDS)


@pytest.fixture(scope="module")
def problem() -> WorldProblem:
    """The first problem with a told quantity, a counted one and a sum of all."""
    for seed in range(400):
        found = policy_problem(seed)
        if len(told(found)) == 1 and found.nodes[-1].name == "total" and len(found.nodes) == 3:
            return found
    raise AssertionError("no such problem among 400")


def findings(problem: WorldProblem, *steps: str) -> list[str]:
    return [step.finding for step in check(problem, steps)]


def test_a_true_quantity_is_right_whether_it_is_needed_or_not() -> None:
    for seed in range(60):
        problem = policy_problem(seed)
        for node in pairs(problem):
            for draw in range(4):
                step = node.say(node.expression, node.expression.value() or 0, random.Random(draw))  # type: ignore[arg-type]
                assert findings(problem, step) == ["right"]


def test_what_is_told_may_be_repeated_and_must_be_repeated_rightly(problem: WorldProblem) -> None:
    ((entity, operand),) = told(problem).items()
    node = next(n for n in problem.nodes if n.name != "total")
    verb = node.claim.split("{v}")[0].split()[-1]
    item = node.claim.split()[-1]
    assert findings(problem, f"This means that {entity} {verb} {operand.value} {item}.") == ["right"]
    assert findings(problem, f"This means that {entity} {verb} {operand.value + 1} {item}.") == ["value"]


def test_each_way_to_go_wrong_has_its_name(problem: WorldProblem) -> None:
    node = problem.nodes[-1]
    text, value = node.expression.text(), node.value
    claim = node.claim.format(v=value)
    assert findings(problem, f"{text} = {value}, so {claim}.") == ["right"]
    assert findings(problem, f"{text} = {value + 1}, so {node.claim.format(v=value + 1)}.") == ["arithmetic"]
    assert findings(problem, f"{text} = {value + 1}, so {claim}.") == ["arithmetic"]
    assert findings(problem, f"1 + {value - 1} = {value}, so {claim}.") == ["expression"]
    assert findings(problem, f"This means that {node.claim.format(v=value + 1)}.") == ["value"]
    assert findings(problem, f"This means that {claim}. The answer is \\boxed{{{value + 1}}}.") == ["answer"]
    assert findings(problem, f"{text} = {value}, so all is well.") == ["unread"]
    assert findings(problem, "") == ["unread"]


def test_numbers_may_come_in_any_order_and_be_computed_on_the_way(problem: WorldProblem) -> None:
    node = problem.nodes[-1]
    reversed_sum = " + ".join(str(operand.value) for operand in reversed(node.expression.operands))
    assert findings(problem, f"Next, {node.what}: {reversed_sum} = {node.value}.") == ["right"]
    first = problem.nodes[0]
    inside = " + ".join(
        f"({first.expression.text()})" if operand.name == first.name else str(operand.value)
        for operand in node.expression.operands
    )
    assert findings(problem, f"Next, {node.what}: {inside} = {node.value}.") == ["right"]


def test_building_on_a_wrong_value_is_no_new_error_and_computing_again_is_right(problem: WorldProblem) -> None:
    first, last = problem.nodes[0], problem.nodes[-1]
    wrong = first.value + 10
    slip = f"{first.expression.text()} = {wrong}, so {first.claim.format(v=wrong)}."
    rest = problem.nodes[1:-1]
    terms = [wrong if o.name == first.name else int(o.value) for o in last.expression.operands]
    carried = f"{' + '.join(map(str, terms))} = {sum(terms)}, so {last.claim.format(v=sum(terms))}."
    truth = check(problem, [slip, carried])
    assert [step.finding for step in truth] == ["arithmetic", "right"]
    assert not truth[1].prefix_ok and not truth[1].holds and first_error(truth) == 0
    again = f"{first.expression.text()} = {first.value}, so {first.claim.format(v=first.value)}."
    others = [f"{n.expression.text()} = {n.value}, so {n.claim.format(v=n.value)}." for n in rest]
    truth = check(problem, [slip, again, *others, f"This means that {last.claim.format(v=last.value)}."])
    assert all(step.holds for step in truth[1:]) and first_error(truth) == 0
    assert findings(problem, carried) == ["expression"], "nobody claimed that value before"


def test_numbers_of_steps_and_the_boxed_answer_are_taken_off() -> None:
    assert split_answer("It is 5. The answer is \\boxed{5}.") == ("It is 5.", "5")
    assert split_answer("It is 5.") == ("It is 5.", None)
    problem = make_problem(3, "test")
    node = problem.nodes[0]
    step = f"This means that {node.claim.format(v=node.value)}."
    assert findings(problem, f"Step 1: {step}") == ["right"]


def test_any_text_is_judged_and_none_is_an_error() -> None:
    rng = random.Random(0)
    for seed in range(30):
        problem = policy_problem(seed)
        node = problem.nodes[-1]
        text = list(f"To find {node.what}, compute {node.expression.text()} = {node.value}.")
        for _ in range(20):
            text[rng.randrange(len(text))] = rng.choice("0123456789+-*/()x. =")
            assert len(check(problem, ["".join(text)])) == 1


def test_every_dialogue_of_the_corpus_ends_in_a_right_answer_and_all_that_it_states_last_is_true() -> None:
    corpus = PolicyCorpus(0, mend_share=0.0)
    for index in range(300):
        dialogue = corpus.dialogue(index)
        truth = check(dialogue.problem, dialogue.solutions[-1])
        assert first_error(truth) == -1 and all(step.holds for step in truth)


def test_a_quoted_sentence_must_be_of_the_story_and_have_to_do_with_the_step() -> None:
    problem = next(
        one for one in map(policy_problem, range(500)) if len(one.nodes) > 1 and all(n.because for n in one.nodes)
    )
    rng = random.Random(0)
    for node in problem.nodes:
        right = node.quote(node.expression, Fraction(node.value))
        claim = right.removeprefix(node.because[0].removesuffix(".") + ", so ")
        sentences = [f"{sentence.removesuffix('.')}." for sentence in problem.text.split(". ")]
        other = next(sentence for sentence in sentences if sentence not in node.because)
        findings = {
            right: "right",
            f"{node.because[0].removesuffix('.')}, so {node.say(node.expression, Fraction(node.value), rng)}": "right",
            f"{other.removesuffix('.')}, so {claim}": "reason",
            f"Nobody said this, so {claim}": "unread",
        }
        for text, finding in findings.items():
            (found,) = check(problem, [text])
            assert found.finding == finding, text
