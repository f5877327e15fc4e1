"""Rows come from segments and nothing else; batches are full, alike in length, and a function of their number."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genprm.engines.tokenizers import ByteTokenizer
from genprm.errors import InputError
from genprm.lab.corpus import Corpus
from genprm.prompts import IGNORED, Row, encode, render
from genprm.train.rows import BATCHES_PER_POOL, Batches, CorpusRows, partition, survey

ROWS = CorpusRows(Corpus(seed=0), ByteTokenizer())


class Lengths:
    """Rows of given lengths; the first token is the row's index."""

    def __init__(self, *lengths: int) -> None:
        self.lengths = lengths

    def row(self, index: int) -> Row:
        length = self.lengths[index % len(self.lengths)]
        return Row((index,) * length, (IGNORED,) + (1,) * (length - 1))


@pytest.mark.parametrize("index", range(12))
def test_the_loss_counts_on_exactly_what_the_model_writes(index: int) -> None:
    talk, row = ROWS.corpus.conversation(index), ROWS.row(index)
    segments = render(talk.problem, talk.steps, talk.turns, ROWS.tokenizer, mode=talk.mode)
    authors = encode(segments, ROWS.tokenizer).authors
    assert [label != IGNORED for label in row.labels] == [author == "model" for author in authors]
    assert all(label in (IGNORED, token) for token, label in zip(row.input_ids, row.labels, strict=True))


def test_code_output_is_in_the_row_and_out_of_the_loss() -> None:
    index = next(i for i in range(50) if ROWS.corpus.conversation(i).mode == "code")
    outputs = [s.text for turn in ROWS.corpus.conversation(index).turns for s in turn if s.author == "code"]
    assert outputs and all(outputs)
    row = ROWS.row(index)
    assert outputs[0] in ROWS.tokenizer.decode(row.input_ids)
    trained = sum(label != IGNORED for label in row.labels)
    unmasked = CorpusRows(ROWS.corpus, ROWS.tokenizer, mask_code_output=False).row(index)
    assert unmasked.input_ids == row.input_ids
    more = sum(label != IGNORED for label in unmasked.labels) - trained
    assert more == sum(len(ROWS.tokenizer.encode(text)) for text in outputs)


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=200), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_a_partition_loses_nothing_and_has_the_number_of_groups(lengths: list[int], batches: int) -> None:
    groups = partition(lengths, batches)
    assert sorted(index for group in groups for index in group) == list(range(len(lengths)))
    assert len(groups) == min(batches, len(lengths)) and all(groups)


def test_little_of_a_batch_is_padding() -> None:
    batches = Batches.sized(ROWS, 8192 / survey(ROWS, 60, 10**6).mean_tokens, 10**6, seed=0)
    made = list(islice(batches.iterate(), BATCHES_PER_POOL))
    held = sum(len(row.input_ids) for batch in made for row in batch)
    padded = sum(len(batch) * max(len(row.input_ids) for row in batch) for batch in made)
    assert held / padded > 0.9
    assert held / len(made) == pytest.approx(8192, rel=0.25)


def test_a_batch_depends_on_its_number_alone() -> None:
    batches = Batches(Lengths(5, 9, 3, 7, 4), pool=80, max_length=100)
    whole = list(islice(batches.iterate(), 2 * BATCHES_PER_POOL + 8))
    assert list(islice(batches.iterate(first=40), len(whole) - 40)) == whole[40:]
    first, second = batches.iterate(0, stride=2), batches.iterate(1, stride=2)
    assert [batch for pair in zip(islice(first, 20), islice(second, 20), strict=True) for batch in pair] == whole[:40]


def test_every_row_comes_once() -> None:
    batches = Batches(Lengths(5, 9, 3), pool=70, max_length=100)
    seen = [row.input_ids[0] for batch in islice(batches.iterate(), 2 * BATCHES_PER_POOL) for row in batch]
    assert sorted(seen) == list(range(140))


@given(size=st.integers(1, 400), rows=st.integers(1, 9), counted=st.booleans())
@settings(max_examples=40, deadline=None)
def test_every_row_of_a_data_set_comes_once_in_every_epoch(size: int, rows: int, counted: bool) -> None:
    data = Lengths(*(1 + index % 7 for index in range(size)))
    batches = (Batches.counted if counted else Batches.sized)(data, rows, 100, 0, size)
    steps = batches.steps(1.0, 1)
    made = list(islice(batches.iterate(), 2 * steps))
    for epoch in (made[:steps], made[steps:]):
        assert sorted(row.input_ids[0] % size for batch in epoch for row in batch) == list(range(size))
    assert not counted or max(map(len, made)) <= rows


def test_long_rows_are_counted_and_left_out_never_cut() -> None:
    rows = Lengths(10, 10, 50)
    measured = survey(rows, 30, max_length=20)
    assert (measured.longest, measured.over_length, measured.mean_tokens) == (50, 10, 10)
    assert measured.supervised_share == pytest.approx(0.9)
    batches = Batches(rows, pool=60, max_length=20)
    made = list(islice(batches.iterate(), BATCHES_PER_POOL))
    assert {len(row.input_ids) for batch in made for row in batch} == {10}
    with pytest.raises(InputError, match="longest 50"):
        survey(rows, 3, max_length=5)
