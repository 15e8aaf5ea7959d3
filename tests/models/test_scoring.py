import numpy as np
import pytest
import torch

from genolm.models import AwdLstmConfig, AwdLstmForSequenceClassification
from genolm.models.scoring import compute_probabilities, select_scores
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
