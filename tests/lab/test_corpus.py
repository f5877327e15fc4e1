"""The training corpus: indexable, deterministic, in the format of inference."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

from genprm.lab.corpus import Corpus
from genprm.lab.tokenizer import train

ROWS = [{"problem": "Ann has 3 apples and buys 4.", "steps": ["She has 3 + 4 = <<3+4=7>>7 apples."]}]


def test_a_conversation_depends_on_seed_and_index_alone() -> None:
    assert Corpus(1, ROWS).conversation(7) == Corpus(1, ROWS).conversation(7)
    assert Corpus(1).conversation(7) != Corpus(2).conversation(7)
    assert Corpus(1).conversation(7) != Corpus(1).conversation(8)


def test_each_turn_judges_one_step_and_only_the_model_is_trained_on() -> None:
    for index in range(200):
        conversation = Corpus(0, ROWS).conversation(index)
        assert len(conversation.turns) == len(conversation.steps) >= 1
        for turn in conversation.turns:
            assert turn[-1].author == "model" and turn[-1].text.endswith("}$\n</output>\n")
            assert {segment.author for segment in turn} <= {"harness", "model", "code"}


def test_conversations_grow_where_the_corpus_says_so() -> None:
    corpus = Corpus(0, ROWS, grow_over=80)
    assert all(len(corpus.conversation(index).turns) <= 2 + index // 10 for index in range(80))
    assert any(len(corpus.conversation(index).turns) > 6 for index in range(80, 200))


def test_outputs_are_what_the_code_prints_unless_swapped_at_the_end() -> None:
    for index in range(200):
        conversation = Corpus(0, flip_share=0.0).conversation(index)
        space: dict[str, object] = {}
        for turn in conversation.turns:
            for before, head, output in zip(turn, turn[1:], turn[2:], strict=False):
                if head.author == "harness" and output.author == "code" and "Error" not in output.text:
                    assert printed(before.text, space) == output.text


def printed(block: str, space: dict[str, object]) -> str:
    source = block.split("```python\n")[-1].removesuffix("\n```\n")
    stream = io.StringIO()
    with redirect_stdout(stream):
        exec(source, space)
    return stream.getvalue()


def test_the_tokenizer_keeps_digits_apart_and_phrases_whole() -> None:
    tokenizer = train(Corpus(0, ROWS), vocab_size=700, conversations=100)
    text = "</verify>\n<output>\n**Judgement**: $\\boxed{Yes}$\n</output>\n"
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert len(ids) <= 7 and tokenizer.decode(ids) == text
    name = tokenizer.encode("Ann", add_special_tokens=False)
    assert tokenizer.encode("Yes, Ann", add_special_tokens=False)[-len(name) :] == name
    assert [tokenizer.decode([i]) for i in tokenizer.encode("1250", add_special_tokens=False)] == ["1", "2", "5", "0"]
