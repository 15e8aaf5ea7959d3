import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genolm.alphabet import UNKNOWN_CODE, encode_bases, reverse_complement
from genolm.errors import DataError, SettingsError
from genolm.evaluation import markov
from genolm.evaluation.markov import compute_markov_bits, fit_markov, select_markov_order

PIECES = st.lists(st.text("ACGTN", max_size=30).map(encode_bases), max_size=4)


def draw_chain(transitions, length_bp, *, seed):
    """An order-1 chain over base codes, from a [4, 4] table of chances."""
    draws = np.random.default_rng(seed).random(length_bp)
    cumulative = np.cumsum(transitions, axis=1)
    codes = np.zeros(length_bp, dtype=np.uint8)
    for i in range(1, length_bp):
        codes[i] = np.searchsorted(cumulative[codes[i - 1]], draws[i])
    return np.minimum(codes, 3)


def read_context(piece, i, order):
    """The known bases before base i, at most `order`, oldest first."""
    context = []
    for code in piece[:i][::-1]:
        if code == UNKNOWN_CODE or len(context) == order:
            break
        context.insert(0, int(code))
    return tuple(context)


def compute_naive_counts(pieces, order, *, both_strands):
    counts = {}
    strands = [*pieces, *(reverse_complement(piece) for piece in pieces)] if both_strands else pieces
    for piece in strands:
        for i, code in enumerate(piece):
            context = read_context(piece, i, order)
            if code != UNKNOWN_CODE and len(context) == order:
                counts.setdefault(context, [0] * 4)[code] += 1
    return counts


def compute_naive_bits(counts, pieces, order, *, context_bp, pseudocount):
    bits, bases = 0.0, 0
    for piece in pieces:
        for i in range(context_bp, len(piece)):
            if piece[i] == UNKNOWN_CODE:
                continue
            context = read_context(piece, i, order)
            skipped = order - len(context)  # a short context: sum over what the missing bases may be
            rows = [row for key, row in counts.items() if key[skipped:] == context]
            next_counts = np.sum(rows, axis=0) if rows else np.zeros(4)
            bits -= math.log2((next_counts[piece[i]] + pseudocount) / (next_counts.sum() + 4 * pseudocount))
            bases += 1
    return bits, bases


@settings(max_examples=60, deadline=None)
@given(
    train=PIECES,
    scored=PIECES,
    order=st.integers(0, 3),
    context_bp=st.integers(0, 6),
    both_strands=st.booleans(),
    batch_bp=st.sampled_from([1, 7, 1 << 22]),
)
def test_counts_and_bits_equal_brute_force(train, scored, order, context_bp, both_strands, batch_bp):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markov, "BATCH_BP", batch_bp)  # pieces joined, and pieces cut
        model = fit_markov(train, order=order, both_strands=both_strands, pseudocount=0.5)
        found = compute_markov_bits(model, scored, context_bp=context_bp)
    counts = compute_naive_counts(train, order, both_strands=both_strands)
    for context, row in counts.items():
        index = sum(code * 4 ** (order - 1 - i) for i, code in enumerate(context))
        assert model.counts[index].tolist() == row
    assert model.counts.shape == (4**order, 4)
    assert model.counts.sum() == sum(map(sum, counts.values()))
    bits, bases = compute_naive_bits(counts, scored, order, context_bp=context_bp, pseudocount=0.5)
    assert found.bases == bases
    assert found.total_bits == pytest.approx(bits, abs=1e-9)


def test_hand_computed_bits():
    # contexts of AATA: A>A, A>T, T>A; with pseudocount 1: P(A|A) = 2/6, P(T|A) = 2/6, P(C|T) = 1/5
    model = fit_markov([encode_bases("AATA")], order=1, both_strands=False)
    found = compute_markov_bits(model, [encode_bases("ATC")], context_bp=1)
    assert found.bases == 2
    assert found.total_bits == pytest.approx(math.log2(3) + math.log2(5))
    assert found.bits_per_base == pytest.approx(math.log2(15) / 2)


def test_a_model_that_has_seen_nothing_is_uniform_and_scores_two_bits():
    model = fit_markov([], order=5)
    found = compute_markov_bits(model, [encode_bases("ACGTNACGGT" * 20)], context_bp=0)
    assert found == (2.0 * 180, 180)
    assert found.bits_per_base == pytest.approx(2, rel=1e-15)


def test_random_dna_costs_two_bits_at_low_orders_and_more_when_overfitted():
    generator = np.random.default_rng(0)
    train, held_out = (generator.integers(0, 4, 200_000).astype(np.uint8) for _ in range(2))
    selection = select_markov_order([train], [held_out])
    assert selection.order == 1
    assert selection.bits_per_base_by_order[1] == pytest.approx(2, abs=1e-3)
    assert list(selection.bits_per_base_by_order) == list(range(1, 11))
    assert selection.bits_per_base_by_order[10] > 2.01


def test_the_entropy_of_a_known_chain_is_recovered():
    transitions = np.array(
        [[0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25], [0.05, 0.05, 0.1, 0.8], [0.4, 0.3, 0.2, 0.1]]
    )
    values, vectors = np.linalg.eig(transitions.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    stationary /= stationary.sum()
    entropy = -(stationary[:, None] * transitions * np.log2(transitions)).sum()
    codes = draw_chain(transitions, 120_000, seed=1)
    train, held_out = codes[:90_000], codes[90_000:]
    model = fit_markov([train], order=1, both_strands=False)
    np.testing.assert_allclose(model.counts / model.counts.sum(axis=1, keepdims=True), transitions, atol=0.02)
    ideal = -np.log2(transitions[held_out[:-1], held_out[1:]])  # what the chain itself would pay
    assert ideal.mean() == pytest.approx(entropy, abs=4 * ideal.std() / math.sqrt(len(ideal)))
    found = compute_markov_bits(model, [held_out], context_bp=1).bits_per_base
    assert found == pytest.approx(ideal.mean(), abs=1e-3)
    assert select_markov_order([train], [held_out], orders=[0, 1, 3], both_strands=False).order == 1


@pytest.mark.parametrize("order", [0, 1, 4])
def test_both_strands_give_one_model(order):
    piece = np.random.default_rng(2).choice(5, 500, p=[0.4, 0.2, 0.2, 0.15, 0.05]).astype(np.uint8)
    forward = fit_markov([piece], order=order)
    backward = fit_markov([reverse_complement(piece)], order=order)
    both_written_out = fit_markov([piece, reverse_complement(piece)], order=order, both_strands=False)
    np.testing.assert_array_equal(forward.counts, backward.counts)
    np.testing.assert_array_equal(forward.counts, both_written_out.counts)
    one_strand = fit_markov([piece], order=order, both_strands=False)
    assert forward.counts.sum() == 2 * one_strand.counts.sum()


def test_every_order_is_scored_on_the_same_bases():
    pieces = [encode_bases(text) for text in ("ACGTNNACGTACGTTGCA" * 3, "ACG", "", "N" * 9, "A" * 20)]
    expected = sum(int((piece[4:] < UNKNOWN_CODE).sum()) for piece in pieces)
    for order in (0, 1, 2, 3, 4, 5, 8):
        model = fit_markov(pieces, order=order)
        assert compute_markov_bits(model, pieces, context_bp=4).bases == expected


def test_pieces_may_be_generators():
    pieces = [encode_bases("ACGTTGCAACGTAC" * 5), encode_bases("GGGTTTACGATCG" * 5)]
    chosen = select_markov_order(iter(pieces), iter(pieces), orders=range(1, 4))
    assert chosen == select_markov_order(pieces, pieces, orders=[3, 1, 2, 2])


def test_shorten_forgets_the_first_base_of_the_context():
    piece = encode_bases("ACGGTCATTACG" * 4)
    short = fit_markov([piece], order=2, both_strands=False).shorten()
    direct = fit_markov([piece], order=1, both_strands=False)
    assert short.order == 1
    expected = direct.counts.copy()
    expected[0, 2] -= 1  # the first A>C has no base before it
    np.testing.assert_array_equal(short.counts, expected)


@pytest.mark.parametrize("settings", [{"order": 12}, {"order": -1}, {"order": 2, "pseudocount": 0}])
def test_bad_model_settings_are_refused(settings):
    with pytest.raises(SettingsError, match=r"an order in 0\.\.11 and a pseudocount above 0"):
        fit_markov([], **settings)


def test_bad_scoring_and_selection_are_refused():
    piece = encode_bases("ACGTACGT")
    with pytest.raises(SettingsError, match="found context_bp=-1"):
        compute_markov_bits(fit_markov([piece], order=1), [piece], context_bp=-1)
    with pytest.raises(SettingsError, match="found no order"):
        select_markov_order([piece], [piece], orders=[])
    with pytest.raises(DataError, match="longer than the context"):
        select_markov_order([piece], [piece], orders=[1, 8])


def test_selection_scores_every_order_after_the_longest_context():
    train, held_out = encode_bases("ACGTTGCAACGTAC" * 5), encode_bases("TTTTTTTTACGTTGCA")
    by_order = select_markov_order([train], [held_out], orders=[1, 3, 8]).bits_per_base_by_order
    for order in (1, 3, 8):
        model = fit_markov([train], order=order)
        assert by_order[order] == compute_markov_bits(model, [held_out], context_bp=8).bits_per_base
