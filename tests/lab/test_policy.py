"""The policy's corpus: right in the end, varied on the way, and no critique worth obeying."""

from __future__ import annotations

from collections import Counter

from genprm.engines.tokenizers import ByteTokenizer
from genprm.lab.policy import CRITIQUES, LARGEST, MOST_STEPS, Dialogue, PolicyCorpus, policy_problem, solution_text
from genprm.lab.tokenizer import train
from genprm.lab.truth import check, first_error, split_answer
from genprm.prompts import IGNORED


def dialogues(count: int, **options: float) -> list[Dialogue]:
    corpus = PolicyCorpus(3, **options)  # type: ignore[arg-type]
    return [corpus.dialogue(index) for index in range(count)]


def names(dialogue: Dialogue) -> list[str | None]:
    return [step.quantity for step in check(dialogue.problem, dialogue.solutions[-1])]


def test_a_dialogue_depends_on_seed_and_index_alone() -> None:
    assert PolicyCorpus(1).dialogue(7) == PolicyCorpus(1).dialogue(7)
    assert PolicyCorpus(1).dialogue(7) != PolicyCorpus(2).dialogue(7)


def test_every_last_solution_boxes_the_hidden_answer_and_problems_are_small() -> None:
    for dialogue in dialogues(300):
        assert split_answer(dialogue.solutions[-1][-1])[1] == str(dialogue.problem.answer)
        assert len(dialogue.problem.nodes) <= MOST_STEPS
        assert all(node.value <= LARGEST for node in dialogue.problem.nodes)
    assert policy_problem(5) == policy_problem(5) != policy_problem(6)


def test_training_problems_are_never_test_problems() -> None:
    seen = {dialogue.problem.text for dialogue in dialogues(400)}
    assert seen.isdisjoint(policy_problem(seed).text for seed in range(400))


def test_problems_grow_where_the_corpus_says_so() -> None:
    growing = dialogues(200, grow_over=100, most_steps=6)
    assert all(len(d.problem.nodes) <= 2 + index // 20 for index, d in enumerate(growing))
    assert any(len(d.problem.nodes) == 6 for d in growing[100:])


def test_solutions_vary_in_order_and_in_what_they_state() -> None:
    plain = dialogues(400, most_steps=6, largest=200, refine_share=0.0, mend_share=0.0)
    orders = [[n.name for n in d.problem.nodes] for d in plain]
    stated = [names(d) for d in plain]
    assert sum(len(set(s)) < len(s) for s in stated) > 20, "computed again"
    assert sum(set(s) < set(o) for s, o in zip(stated, orders, strict=True)) > 20, "left out"
    assert sum(bool(set(s) - set(o)) for s, o in zip(stated, orders, strict=True)) > 20, "added"
    assert sum(set(s) == set(o) and len(s) == len(o) and s != o for s, o in zip(stated, orders, strict=True)) > 10


def test_a_mended_solution_has_one_wrong_step_and_ends_right() -> None:
    found = dialogues(100, largest=200, refine_share=0.0, mend_share=1.0, again_share=0.0)
    labels = [first_error(check(d.problem, d.solutions[0])) for d in found]
    assert sum(label >= 0 for label in labels) > 60
    for dialogue, label in zip(found, labels, strict=True):
        findings = [step.finding for step in check(dialogue.problem, dialogue.solutions[0])]
        assert sum(finding != "right" for finding in findings) == (label >= 0)


def test_critiques_are_right_wrong_and_empty_in_equal_share_and_obeying_them_does_not_pay() -> None:
    found = dialogues(600, refine_share=1.0)
    counts = Counter(dialogue.critique for dialogue in found)
    assert set(counts) == set(CRITIQUES) and max(counts.values()) < 1.35 * min(counts.values())
    for dialogue in found:
        label = first_error(check(dialogue.problem, dialogue.solutions[0]))
        quoted = (dialogue.request or "").partition(">")[2].partition("\n")[0].partition(": ")
        assert first_error(check(dialogue.problem, dialogue.solutions[1])) == -1
        if dialogue.critique == "right":
            step = dialogue.solutions[0][label]
            assert label >= 0 and (quoted[2] or quoted[0]) in step
    wrong = [first_error(check(d.problem, d.solutions[0])) >= 0 for d in found if d.critique != "right"]
    assert 0.35 < sum(wrong) / len(wrong) < 0.6


def test_only_the_last_solution_and_its_end_are_trained_on() -> None:
    tokenizer = ByteTokenizer()
    for dialogue in dialogues(40, refine_share=0.5):
        row = dialogue.row(tokenizer)
        trained = [label for label in row.labels if label != IGNORED]
        solution = tokenizer.encode(solution_text(dialogue.solutions[-1]))
        assert tuple(trained[:-1]) == solution
        assert tuple(trained[-1:]) == tokenizer.encode("<|im_end|>", special=True)
        assert dialogue.problem.text in tokenizer.decode(row.input_ids)


def test_a_solution_cut_after_a_step_has_the_tokens_of_the_whole() -> None:
    from genprm.engines.tokenizers import HFTokenizer

    tokenizer = HFTokenizer(train(PolicyCorpus(0), vocab_size=900, conversations=60))
    for dialogue in dialogues(20):
        steps = dialogue.solutions[-1]
        whole = tokenizer.encode(solution_text(steps))
        for length in range(len(steps)):
            opening = tokenizer.encode(solution_text([*steps[:length], ""]))
            assert whole[: len(opening)] == opening
