from itertools import pairwise

import numpy as np
import pytest
import torch

from genolm.errors import DataError
from genolm.models import AwdLstmConfig, AwdLstmForSequenceClassification
from genolm.models.scoring import (
    check_lengths,
    compute_probabilities,
    cut_long_inputs,
    find_longest_input,
    find_max_tokens,
    find_task,
    select_scores,
)
from genolm.tokenization.encoder import encode_sequences
from genolm.tokenization.scheme import KmerScheme

SCHEME = KmerScheme(2, 1)
SEQUENCES = ["ACGTACGTAC", "AC", "GGGTTTAAACCC", "TTG", "CATCATN"]


def build_model(num_labels: int) -> AwdLstmForSequenceClassification:
    torch.manual_seed(0)
    config = AwdLstmConfig(vocab_size=21, embedding_size=6, lstm_size=8, num_layers=2, num_labels=num_labels)
    return AwdLstmForSequenceClassification(config).eval()


@pytest.mark.parametrize("num_labels", [2, 3])
def test_probabilities_keep_the_order_and_do_not_depend_on_the_batches(num_labels):
    model, token_ids = build_model(num_labels), encode_sequences(SEQUENCES, SCHEME)
    found = compute_probabilities(model, token_ids, batch_size=2)
    assert found.dtype == np.float32
    assert found.shape == (5, num_labels)
    for ids, row in zip(token_ids, found, strict=True):
        with torch.no_grad():
            logits = model(input_ids=torch.from_numpy(ids)[None].long()).logits[0]
        np.testing.assert_allclose(row, logits.softmax(-1).numpy(), atol=1e-5)
    np.testing.assert_allclose(compute_probabilities(model, token_ids), found, atol=1e-5)
    assert len({tuple(row) for row in found.round(6)}) == 5, "the sequences must differ for this test"


def test_progress_counts_sequences():
    done = []
    compute_probabilities(
        build_model(2), encode_sequences(SEQUENCES, SCHEME), batch_size=2, on_batch=done.append
    )
    assert done == [2, 4, 5]


def test_no_sequence_gives_an_empty_table():
    assert compute_probabilities(build_model(3), []).shape == (0, 3)


def test_two_classes_are_scored_by_the_second_and_more_by_all():
    two, three = np.array([[0.25, 0.75]]), np.array([[0.25, 0.5, 0.25]])
    assert select_scores(two).tolist() == [0.75]
    assert select_scores(three).tolist() == three.tolist()


@pytest.mark.parametrize(
    ("num_labels", "problem_type", "task"),
    [
        (1, None, "regression"),
        (1, "multi_label_classification", "multi_label"),
        (2, None, "classification"),
        (2, "single_label_classification", "classification"),
        (2, "multi_label_classification", "multi_label"),
    ],
)
def test_the_task_decides_what_the_logits_mean(num_labels, problem_type, task):
    model, token_ids = build_model(num_labels), encode_sequences(SEQUENCES, SCHEME)
    model.config.problem_type = problem_type
    assert find_task(model.config) == task
    with torch.no_grad():
        logits = model(input_ids=torch.from_numpy(token_ids[0])[None].long()).logits
    link = {
        "regression": torch.clone,
        "classification": lambda x: x.softmax(-1),
        "multi_label": torch.sigmoid,
    }
    found = compute_probabilities(model, token_ids)
    np.testing.assert_allclose(found[0], link[task](logits)[0].numpy(), atol=1e-5)


@pytest.mark.parametrize("num_tokens", [1, 8, 9, 10, 15, 16, 17, 40])
@pytest.mark.parametrize("max_tokens", [3, 4, 10])
def test_windows_cover_every_token_and_overlap(num_tokens, max_tokens):
    ids = np.array([2, *range(5, 5 + num_tokens), 3])
    windows = cut_long_inputs([ids], max_tokens=max_tokens).token_ids
    assert all((window[0], window[-1]) == (2, 3) for window in windows)
    assert all(len(window) == min(max_tokens, len(ids)) for window in windows)
    assert {token for window in windows for token in window} == set(ids)
    for before, after in pairwise(windows):
        assert 0 < after[1] - before[1] <= max(1, (max_tokens - 2) // 2 + (max_tokens - 2) % 2)


def test_the_progress_over_windows_counts_sequences():
    model = build_model(2)
    model.config.max_position_embeddings, model.config.long_inputs = 5, "windows"
    done = []
    found = compute_probabilities(
        model, encode_sequences(SEQUENCES, SCHEME), batch_size=4, on_batch=done.append
    )
    assert found.shape == (5, 2)
    assert done == sorted(done)
    assert done[-1] == 5


def test_a_head_of_parts_reads_a_sequence_in_one_piece():
    whole, parts = (AwdLstmConfig(classifier_parts=number, max_bptt_tokens=11) for number in (1, 4))
    assert (find_longest_input(whole), find_longest_input(parts)) == (None, 11)
    assert find_max_tokens(parts) is None  # its states of any number of tokens may be looked at
    token_ids = encode_sequences(SEQUENCES, SCHEME)
    check_lengths(whole, token_ids, scheme=SCHEME)
    with pytest.raises(DataError, match=r"c with 13 tokens; .* or fine-tune with head\.parts=1"):
        check_lengths(parts, token_ids, scheme=SCHEME, names=list("abcde"))


def test_the_length_limit_names_the_sequence_and_the_bases_that_fit():
    config = build_model(2).config
    token_ids = encode_sequences(SEQUENCES, SCHEME)
    check_lengths(config, token_ids, scheme=SCHEME)
    config.max_position_embeddings = 11
    with pytest.raises(DataError, match=r"c with 13 tokens; expected at most 11 .* \(10 bp in kmer_k2_s1\)"):
        check_lengths(config, token_ids, scheme=SCHEME, names=list("abcde"))
    config.long_inputs = "windows"
    check_lengths(config, token_ids, scheme=SCHEME)
