from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from made_up_dna import make_dna
from torch import nn

from genolm.alphabet import encode_bases
from genolm.errors import DataError
from genolm.tokenization.scheme import NUM_SPECIAL_TOKENS, KmerScheme
from genolm.training.masking.score import compute_base_chances, compute_masked_score
from genolm.training.masking.windows import MaskSettings

MASK = MaskSettings(rate=0.15, mask_share=1.0, random_share=0.0)
WINDOWS = [encode_bases(make_dna(length, seed=length)) for length in (60, 41, 60, 25, 60)]


class Told(nn.Module):
    """A model that is told the labels: it gives the right k-mer some weight, and all others the same."""

    def __init__(self, scheme: KmerScheme, weight: float) -> None:
        super().__init__()
        self.vocab_size, self.weight = scheme.vocab_size, weight
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, input_ids, labels, attention_mask=None, return_logits=False) -> SimpleNamespace:
        wanted = labels[labels != -100]
        logits = torch.zeros(len(wanted), self.vocab_size)
        logits[torch.arange(len(wanted)), wanted] = self.weight
        return SimpleNamespace(loss=None, logits=logits)


@pytest.mark.parametrize("scheme", [KmerScheme(k=k, stride=s) for k, s in ((1, 1), (3, 1), (3, 3), (4, 2))])
def test_a_uniform_model_scores_two_bits_and_one_that_knows_scores_none(scheme):
    uniform = compute_masked_score(Told(scheme, 0.0), WINDOWS, scheme=scheme, settings=MASK)
    assert uniform.bits_per_base == pytest.approx(2.0, abs=1e-6)
    assert uniform.loss == pytest.approx(np.log(scheme.vocab_size), rel=1e-5)
    sure = compute_masked_score(Told(scheme, 50.0), WINDOWS, scheme=scheme, settings=MASK)
    assert sure.bits_per_base == pytest.approx(0.0, abs=1e-6)
    assert (sure.accuracy, sure.base_accuracy) == (1.0, 1.0)
    assert sure.bases == uniform.bases
    total_bp = sum(map(len, WINDOWS))
    assert 0.05 * total_bp < sure.bases < 0.3 * total_bp


def test_the_score_does_not_depend_on_the_batches():
    scheme = KmerScheme(k=3, stride=1)
    scores = [
        compute_masked_score(Told(scheme, 2.0), WINDOWS, scheme=scheme, settings=MASK, batch_size=size)
        for size in (1, 2, 5, 64)
    ]
    for score in scores[1:]:
        assert score == pytest.approx(scores[0], rel=1e-6)


def test_chances_of_bases_are_sums_over_kmers_and_means_over_tokens():
    scheme = KmerScheme(k=2, stride=1)
    logits = torch.randn(3, scheme.vocab_size, generator=torch.Generator().manual_seed(0))
    rows, starts = torch.tensor([0, 0, 1]), torch.tensor([0, 1, 2])
    found = compute_base_chances(logits, rows, starts, scheme=scheme, shape=(2, 4))
    probabilities = logits[:, NUM_SPECIAL_TOKENS:].softmax(dim=-1)
    expected = torch.zeros(2, 4, 4)
    tokens_at = {
        (0, 0): [(0, 0)],
        (0, 1): [(0, 1), (1, 0)],
        (0, 2): [(1, 1)],
        (1, 2): [(2, 0)],
        (1, 3): [(2, 1)],
    }
    for (row, place), tokens in tokens_at.items():
        for token, offset in tokens:
            for number, kmer in enumerate(product(range(4), repeat=2)):
                expected[row, place, kmer[offset]] += probabilities[token, number] / len(tokens)
    torch.testing.assert_close(found, expected)


def test_windows_without_a_known_base_are_refused():
    scheme = KmerScheme(k=3, stride=1)
    with pytest.raises(DataError, match="found no base to hide in the held-out sequences"):
        compute_masked_score(Told(scheme, 0.0), [np.full(30, 4, np.uint8)], scheme=scheme, settings=MASK)
