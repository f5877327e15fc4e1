"""What an annotator and a judge are taught: the truth of a policy's solution, in the format that curation reads."""

from __future__ import annotations

import pytest

from genprm.curate.annotation import CONCLUSION
from genprm.curate.judge import parse_index
from genprm.curate.reformat import Reformatted, reformat
from genprm.engines.tokenizers import HFTokenizer
from genprm.lab.policy import policy_problem
from genprm.lab.readers import Reader, ReaderCorpus, Reading
from genprm.lab.tokenizer import train
from genprm.lab.truth import check, first_error
from genprm.lab.world import Split
from genprm.prompts import IGNORED
from genprm.rationale.conflict import code_verdicts

READERS: tuple[Reader, ...] = ("annotator", "judge")


def readings(reader: Reader, count: int = 200) -> list[Reading]:
    corpus = ReaderCorpus(reader, 5)
    return [corpus.dialogue(index) for index in range(count)]


def said(reading: Reading) -> str:
    return "".join(segment.text for segment in reading.answer)


@pytest.mark.parametrize("reader", READERS)
def test_a_reading_depends_on_seed_and_index_alone(reader: Reader) -> None:
    assert ReaderCorpus(reader, 1).dialogue(7) == ReaderCorpus(reader, 1).dialogue(7)
    assert ReaderCorpus(reader, 1).dialogue(7) != ReaderCorpus(reader, 2).dialogue(7)


@pytest.mark.parametrize("reader", READERS)
def test_labels_are_the_truth_of_the_hidden_program(reader: Reader) -> None:
    made = readings(reader)
    assert [first_error(check(one.problem, one.steps)) for one in made] == [one.label for one in made]
    assert 0.3 < sum(one.label == -1 for one in made) / len(made) < 0.6


@pytest.mark.parametrize("reader", READERS)
def test_no_reading_is_of_a_problem_that_data_is_made_of(reader: Reader) -> None:
    splits: tuple[Split, ...] = ("curate", "test")
    held = {policy_problem(seed, split).text for seed in range(300) for split in splits}
    assert held.isdisjoint(one.problem.text for one in readings(reader, 300))


def test_a_judge_says_the_label_where_it_is_looked_for() -> None:
    for one in readings("judge"):
        assert parse_index(said(one), len(one.steps)) == one.label


def test_an_annotators_critique_becomes_rationales_that_its_code_agrees_with() -> None:
    for one in readings("annotator"):
        critique, conclusion = said(one).split(CONCLUSION)
        index = parse_index("\\boxed{" + conclusion, len(one.steps), first=1)
        made = reformat(one.answer[:-1], [index], len(one.steps))
        assert isinstance(made, Reformatted) and made.index == one.label
        assert set(code_verdicts(made.rationales)) == {"consistent"}
        assert "[Code Output]" in critique


@pytest.mark.parametrize("reader", READERS)
def test_a_row_trains_on_the_readers_own_words_and_its_end_alone(reader: Reader) -> None:
    tokenizer = HFTokenizer(train(ReaderCorpus(reader, 5), vocab_size=1024, conversations=40))
    for one in readings(reader, 8):
        trained = [label for label in one.row(tokenizer).labels if label != IGNORED]
        assert tokenizer.decode(trained[:-1]) == "".join(s.text for s in one.answer if s.author == "model")
        assert trained[-1:] == list(tokenizer.encode("<|end|>", special=True))
