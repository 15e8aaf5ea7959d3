"""The figures of what is hidden, beside counts by hand and the shares asked for."""

import numpy as np
import pytest
from made_up_dna import make_dna

from genolm.alphabet import encode_bases
from genolm.corpus.bases import CorpusBases
from genolm.corpus.window_epochs import WindowSettings
from genolm.tokenization.scheme import KmerScheme
from genolm.training.masking.batches import MaskedBatches
from genolm.training.masking.statistics import MaskStatistics, compute_mask_statistics
from genolm.training.masking.windows import MaskSettings, compute_label_share


def build_batches(*, k=6, stride=1, length_bp=512, batch_size=32, num_steps=50, text=None, **mask):
    codes = encode_bases(text or make_dna(20_000, seed=1))
    bases = CorpusBases(
        codes=codes,
        row_starts=np.array([0, len(codes)]),
        row_weights=np.ones(1),
        soft_masked=np.empty((0, 2), dtype=np.int64),
    )
    return MaskedBatches(
        bases,
        scheme=KmerScheme(k=k, stride=stride),
        windows=WindowSettings(kind="random", length_bp=length_bp, depth=100),
        mask=MaskSettings(**mask),
        batch_size=batch_size,
        num_steps=num_steps,
        seed=0,
    )


@pytest.mark.parametrize("stride", [1, 6])
@pytest.mark.parametrize("span_bp", [1, 3])
def test_the_first_windows_have_the_rate_and_the_fates_asked_for(span_bp, stride):
    found = compute_mask_statistics(build_batches(span_bp=span_bp, stride=stride))
    assert (found.windows, found.bases) == (195, 195 * 512)
    assert found.seen_share == pytest.approx(1.0 if stride == 1 else 510 / 512)
    assert found.hidden_share == pytest.approx(0.15, abs=0.01)
    assert found.tokens_per_window == (507 if stride == 1 else 85)
    if stride == 1:
        label_share = compute_label_share(KmerScheme(k=6, stride=1), MaskSettings(span_bp=span_bp))
        assert found.scored_tokens_per_window == pytest.approx(507 * label_share, rel=0.05)
    noise = 3 / np.sqrt(found.spans)
    assert found.mask_share == pytest.approx(0.8, abs=0.4 * noise)
    assert found.random_share == pytest.approx(0.1, abs=0.3 * noise)
    assert found.mask_share + found.random_share + found.keep_share == pytest.approx(1.0)


@pytest.mark.parametrize("shares", [(1.0, 0.0), (0.0, 1.0), (0.5, 0.0)])
def test_other_shares_are_told_apart(shares):
    found = compute_mask_statistics(build_batches(mask_share=shares[0], random_share=shares[1]))
    expected = (*shares, 1 - sum(shares))
    assert (found.mask_share, found.random_share, found.keep_share) == pytest.approx(expected, abs=0.03)


def test_single_tokens_are_spans_of_their_own():
    found = compute_mask_statistics(build_batches(k=1, style="tokens", rate=0.3))
    assert found.spans == pytest.approx(found.scored_tokens_per_window * found.windows)
    assert found.hidden_share == pytest.approx(0.3, abs=0.01)
    assert found.random_share == pytest.approx(0.1 * 3 / 4, abs=0.01), "one of four draws is the true base"
    assert found.bases_per_token == 1


def test_one_window_by_hand():
    """All that can be is hidden; the tokens that see the unknown base join both sides into one span."""
    batches = build_batches(
        k=3, text="AATCGNGGATC", length_bp=11, batch_size=1, num_steps=1, rate=0.999, mask_share=1.0,
        random_share=0.0,
    )  # fmt: skip
    found = compute_mask_statistics(batches)
    assert found == MaskStatistics(1, 10, 1.0, 1.0, 6.0, 6.0, 1, 1.0, 0.0, 0.0)
    assert found.describe() == (
        "in the first 1 windows 100.0% of the bases are hidden and 100.0% of the tokens scored (6.0 in a "
        "window); of 1 spans 100.0% are [MASK], 0.0% replaced, 0.0% as they are"
    )


def test_a_short_training_is_counted_whole():
    found = compute_mask_statistics(build_batches(length_bp=40, batch_size=8, num_steps=3))
    assert (found.windows, found.bases) == (24, 960)
