"""What is hidden from a masked language model, what it is shown, what it must tell."""

from itertools import pairwise

import numpy as np
import pytest

from genolm.alphabet import decode_bases, encode_bases
from genolm.errors import DataError, SettingsError
from genolm.tokenization.encoder import encode_sequences, pad_batch
from genolm.tokenization.scheme import MASK_ID, NUM_SPECIAL_TOKENS, UNK_ID, KmerScheme
from genolm.training.masking.chance import draw_words, to_fractions
from genolm.training.masking.leak import compute_copying_accuracy
from genolm.training.masking.windows import (
    MaskSettings,
    build_keys,
    compute_label_share,
    mask_token_ids,
    mask_windows,
)

K6 = KmerScheme(k=6, stride=1)
SCHEMES = [KmerScheme(k=k, stride=stride) for k in range(1, 7) for stride in range(1, k + 1)]


def draw_codes(num_rows, length_bp, *, unknown_share=0.0, seed=0):
    generator = np.random.default_rng(seed)
    codes = generator.integers(4, size=(num_rows, length_bp)).astype(np.uint8)
    codes[generator.random(codes.shape) < unknown_share] = 4
    return codes


def mask(codes, scheme=K6, *, lengths=None, keys=None, share_done=0.0, soft_masked=None, **settings):
    return mask_windows(
        codes,
        np.full(len(codes), codes.shape[1]) if lengths is None else np.array(lengths),
        scheme=scheme,
        settings=MaskSettings(**settings),
        keys=build_keys(0, 0, np.arange(len(codes))) if keys is None else keys,
        share_done=share_done,
        soft_masked=soft_masked,
    )


def encode(codes, lengths, scheme):
    texts = [decode_bases(row[:length]) for row, length in zip(codes, lengths, strict=True)]
    return pad_batch(encode_sequences(texts, scheme))


def read_kmer(token_id, k):
    return [int(token_id - NUM_SPECIAL_TOKENS) // 4 ** (k - 1 - place) % 4 for place in range(k)]


def group_by_hand(hidden, scheme, num_tokens):
    """Return the bases and tokens of each group: runs of hidden bases joined where one token sees two."""
    runs = []
    for base in np.flatnonzero(hidden).tolist():
        windows = [range(i * scheme.stride, i * scheme.stride + scheme.k) for i in range(num_tokens)]
        is_joined = runs and any(base in window and runs[-1][-1] in window for window in windows)
        if is_joined or (runs and runs[-1][-1] == base - 1):
            runs[-1].append(base)
        else:
            runs.append([base])
    tokens = [[i for i in range(num_tokens) if set(windows[i]) & set(run)] for run in runs]
    return list(zip(runs, tokens, strict=True))


def name_fate(shown, true, group, scheme, codes):
    """Return what was done with a group, after a check that it was done with all of it."""
    bases, tokens = group
    known = [i for i in tokens if true[i] != UNK_ID]
    assert all(shown[i] == UNK_ID for i in tokens if true[i] == UNK_ID)
    if all(shown[i] == MASK_ID for i in known):
        return "mask"
    if all(shown[i] == true[i] for i in known):
        return "keep"
    seen = {}
    for i in known:
        for place, base in enumerate(read_kmer(shown[i], scheme.k)):
            assert seen.setdefault(i * scheme.stride + place, base) == base, "tokens contradict each other"
    assert all((seen[place] != codes[place]) == (place in bases) for place in seen)
    return "random"


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)
def test_a_hidden_base_is_hidden_in_all_tokens_that_see_it(scheme):
    fates = set()
    for span_bp in range(1, 9):
        codes = draw_codes(6, 40, unknown_share=0.03, seed=span_bp)
        lengths = np.array([40, 40, 33, 40, 12, 40])
        keys = build_keys(span_bp, 0, np.arange(6))
        batch = mask(
            codes, scheme, lengths=lengths, keys=keys, span_bp=span_bp, mask_share=0.4, random_share=0.3
        )
        true = encode(codes, lengths, scheme)
        np.testing.assert_array_equal(batch.attention_mask, true.attention_mask)
        for row, length in enumerate(lengths.tolist()):
            num_tokens = scheme.count_tokens(length)
            groups = group_by_hand(batch.hidden[row], scheme, num_tokens)
            true_ids, shown = true.input_ids[row, 1:], batch.input_ids[row, 1:]
            scored = {i for _, tokens in groups for i in tokens if true_ids[i] != UNK_ID}
            expected = [true_ids[i] if i in scored else -100 for i in range(true_ids.size)]
            assert batch.labels[row].tolist() == [-100, *expected]
            others = [i for i in range(true_ids.size) if i not in scored]
            assert shown[others].tolist() == true_ids[others].tolist()
            fates |= {name_fate(shown, true_ids, group, scheme, codes[row]) for group in groups}
            has_kmer = (true_ids >= NUM_SPECIAL_TOKENS).any()
            assert batch.hidden[row].any() == has_kmer, "every window with a k-mer has a hidden base"
    assert fates == {"mask", "random", "keep"}


def test_a_window_by_hand():
    codes = encode_bases("AATCGNGGA")[None]
    batch = mask(codes, KmerScheme(k=3, stride=1), mask_share=1.0, random_share=0.0, rate=0.999)
    # All bases but N are hidden; AAT ATC TCG are scored, then three tokens see N, then GGA.
    assert batch.hidden[0].tolist() == [True] * 5 + [False] + [True] * 3
    assert batch.input_ids.tolist() == [[2, 4, 4, 4, 1, 1, 1, 4, 3]]
    assert batch.labels.tolist() == [[-100, 6, 11, 32, -100, -100, -100, 65, -100]]
    assert batch.attention_mask.tolist() == [[1] * 9]
    assert batch.label_weights is None


def test_what_is_too_short_or_unknown_is_framed_and_not_masked():
    codes = encode_bases("ACGTNNNN" + "NNNNNNNN").reshape(2, 8)
    batch = mask(codes, KmerScheme(k=3, stride=1), lengths=[2, 3])
    assert batch.input_ids.tolist() == [[2, 3, 0], [2, 1, 3]]
    assert (batch.labels == -100).all()
    assert not batch.hidden.any()
    assert mask(codes[:, :2], KmerScheme(k=3, stride=1)).input_ids.tolist() == [[2, 3], [2, 3]]


@pytest.mark.parametrize("style", ["base_spans", "dnabert", "tokens"])
def test_where_nothing_is_replaced_the_ids_are_those_of_the_encoder(style):
    codes, lengths = draw_codes(5, 60, unknown_share=0.02), [60, 31, 5, 0, 44]
    batch = mask(codes, lengths=lengths, style=style, mask_share=0.0, random_share=1e-12, rate=0.5)
    true = encode(codes, lengths, K6)
    np.testing.assert_array_equal(batch.input_ids, true.input_ids)
    scored = batch.labels != -100
    assert scored.any()
    np.testing.assert_array_equal(batch.labels[scored], true.input_ids[scored])


@pytest.mark.parametrize("style", ["base_spans", "dnabert", "tokens"])
def test_a_row_depends_on_its_bases_and_key_alone(style):
    codes, lengths = draw_codes(8, 90, unknown_share=0.01), np.array([90, 8, 50, 6, 77, 90, 30, 90])
    keys = build_keys(3, 1, np.arange(100, 108))
    settings = {"style": style, "span_bp": 3, "span_lengths": "geometric"}
    batch = mask(codes, lengths=lengths, keys=keys, **settings)
    for row, length in enumerate(lengths.tolist()):
        alone = mask(codes[[row], :length], lengths=[length], keys=keys[[row]], **settings)
        num_tokens = alone.input_ids.shape[1]
        padded = np.pad(codes[[row], :length], ((0, 0), (0, 200)), constant_values=2)  # as if there were more
        for other in (alone, mask(padded, lengths=[length], keys=keys[[row]], **settings)):
            assert other.input_ids.tolist() == [batch.input_ids[row, :num_tokens].tolist()]
            assert other.labels.tolist() == [batch.labels[row, :num_tokens].tolist()]
            assert other.hidden[0, :length].tolist() == batch.hidden[row, :length].tolist()
        assert not batch.input_ids[row, num_tokens:].any()
    others = mask(codes, lengths=lengths, keys=build_keys(3, 2, np.arange(100, 108)), **settings)
    assert (others.labels != batch.labels).any(), "another epoch masks otherwise"


@pytest.mark.parametrize(("k", "span_bp", "length_bp"), [(6, 1, 515), (6, 6, 515), (3, 4, 90), (1, 1, 64)])
def test_the_rate_holds_and_changes_in_the_course_of_the_training(k, span_bp, length_bp):
    scheme = KmerScheme(k=k, stride=1)
    codes = draw_codes(1_200_000 // length_bp, length_bp)
    settings = {"span_bp": span_bp, "later_rate": 0.2, "later_from": 0.8}
    for share_done, rate in ((0.79, 0.15), (0.8, 0.2)):
        batch = mask(codes, scheme, share_done=share_done, **settings)
        assert batch.hidden.mean() == pytest.approx(rate, rel=0.01)
        if length_bp > 500:
            scored = (batch.labels[:, 1:-1] != -100)[:, 6:-6].mean()
            expected = compute_label_share(scheme, MaskSettings(**settings), share_done=share_done)
            assert scored == pytest.approx(expected, rel=0.01)


def test_each_span_has_one_fate_in_the_shares_asked_for():
    codes = draw_codes(400, 512)
    batch = mask(codes, span_bp=2, rate=0.05)
    true = encode(codes, [512] * 400, K6).input_ids
    counts = dict.fromkeys(("mask", "random", "keep"), 0)
    for row in range(400):
        places = np.flatnonzero(batch.hidden[row])
        for bases in np.split(places, np.flatnonzero(np.diff(places) >= 6) + 1):
            tokens = range(max(bases[0] - 5, 0), min(bases[-1], 506) + 1)
            group = (bases.tolist(), tokens)
            counts[name_fate(batch.input_ids[row, 1:], true[row, 1:], group, K6, codes[row])] += 1
    total = sum(counts.values())
    assert total > 3000
    for fate, share in (("mask", 0.8), ("random", 0.1), ("keep", 0.1)):
        assert abs(counts[fate] - share * total) < 3 * np.sqrt(share * (1 - share) * total)


def test_random_bases_are_each_of_the_three_others_alike():
    codes = draw_codes(300, 256)
    batch = mask(codes, KmerScheme(k=1, stride=1), mask_share=0.0, random_share=1.0)
    shown = batch.input_ids[:, 1:-1] - NUM_SPECIAL_TOKENS
    np.testing.assert_array_equal(shown != codes, batch.hidden)
    steps = np.bincount((shown - codes)[batch.hidden] % 4 * 4 + codes[batch.hidden], minlength=16)
    assert steps[:4].sum() == 0
    expected = steps.sum() / 12
    assert ((steps[4:] - expected) ** 2 / expected).sum() < 26.8  # chi-square, 11 degrees of freedom, 0.5 %


@pytest.mark.parametrize("scheme", [K6, KmerScheme(k=4, stride=2), KmerScheme(k=6, stride=6)])
@pytest.mark.parametrize("span_bp", [1, 6])
def test_copying_from_the_neighbors_gains_nothing(scheme, span_bp):
    codes = draw_codes(64, 300)
    batch = mask(codes, scheme, span_bp=span_bp)
    assert compute_copying_accuracy(codes, batch, scheme) == 0.25


def test_copying_from_the_neighbors_gains_much_under_the_rule_of_dnabert():
    codes = draw_codes(200, 512)
    assert compute_copying_accuracy(codes, mask(codes, style="dnabert"), K6) > 0.5
    leaky = mask(codes, style="tokens")
    shown = compute_copying_accuracy(codes, leaky._replace(hidden=np.ones_like(leaky.hidden)), K6)
    assert shown > 0.95, "the decoder reads what is shown"


@pytest.mark.parametrize(("k", "before", "after"), [(3, 1, 1), (4, 1, 2), (5, 2, 2), (6, 2, 3)])
def test_dnabert_masks_runs_around_centers_as_the_original(k, before, after):
    scheme = KmerScheme(k=k, stride=1)
    codes, keys = draw_codes(40, 60), build_keys(1, 0, np.arange(40))
    batch = mask(codes, scheme, keys=keys, style="dnabert", rate=0.3)
    num_tokens = 60 - k + 1
    for row in range(40):
        draws = to_fractions(draw_words(keys[[row]], np.arange(num_tokens), purpose=0))
        scored = set()
        for center in np.flatnonzero(draws < 0.3 / k).tolist():
            scored |= set(range(max(center - before, 0), min(center + after, num_tokens - 1) + 1))
        assert set(np.flatnonzero(batch.labels[row, 1:-1] != -100).tolist()) == scored
        hidden = [
            all(i in scored for i in range(max(base - k + 1, 0), min(base, num_tokens - 1) + 1))
            for base in range(60)
        ]
        assert batch.hidden[row].tolist() == hidden


def test_dnabert_gives_each_token_a_fate_of_its_own_and_draws_no_special_token():
    codes = draw_codes(2000, 517)
    batch = mask(codes, style="dnabert")
    shown, true = (field[batch.labels != -100] for field in (batch.input_ids, batch.labels))
    expected = compute_label_share(K6, MaskSettings(style="dnabert"))
    assert len(true) / (2000 * 512) == pytest.approx(expected, rel=0.02)
    others = shown[(shown != MASK_ID) & (shown != true)]
    assert others.min() >= NUM_SPECIAL_TOKENS
    assert (shown == MASK_ID).mean() == pytest.approx(0.8, abs=0.01)
    assert len(others) / len(true) == pytest.approx(0.1, abs=0.01)


def test_single_token_ids_are_masked():
    ids = np.random.default_rng(0).integers(NUM_SPECIAL_TOKENS, 25, size=(300, 130))
    ids[:, 0], ids[:, 100], ids[:, 101:], ids[::2, 7] = 2, 3, 0, UNK_ID
    keys = build_keys(0, 0, np.arange(300))
    masked = mask_token_ids(ids, settings=MaskSettings(style="tokens"), keys=keys, vocab_size=25)
    scored = masked.labels != -100
    can_be = ids >= NUM_SPECIAL_TOKENS
    assert not scored[~can_be].any()
    assert scored[can_be].mean() == pytest.approx(0.15, abs=0.006)
    np.testing.assert_array_equal(masked.labels[scored], ids[scored])
    np.testing.assert_array_equal(masked.input_ids[~scored], ids[~scored])
    np.testing.assert_array_equal(masked.attention_mask, ids != 0)
    shown = masked.input_ids[scored]
    assert (shown == MASK_ID).mean() == pytest.approx(0.8, abs=0.02)
    others = shown[(shown != MASK_ID) & (shown != ids[scored])]
    assert set(others.tolist()) == set(range(NUM_SPECIAL_TOKENS, 25))
    alone = mask_token_ids(
        ids[5:6, :50], settings=MaskSettings(style="tokens"), keys=keys[5:6], vocab_size=25
    )
    assert alone.input_ids[0].tolist() == masked.input_ids[5, :50].tolist()
    with pytest.raises(
        SettingsError, match="of the style base_spans for token ids; expected the style tokens"
    ):
        mask_token_ids(ids, settings=MaskSettings(), keys=keys, vocab_size=25)


@pytest.mark.parametrize("style", ["base_spans", "dnabert"])
def test_a_label_weighs_as_its_hidden_bases(style):
    scheme = KmerScheme(k=3, stride=1)
    codes, soft_masked = draw_codes(20, 50), np.random.default_rng(1).random((20, 50)) < 0.5
    settings = {"style": style, "rate": 0.3, "soft_masked_weight": 0.1}
    batch = mask(codes, scheme, soft_masked=soft_masked, **settings)
    assert batch.label_weights.dtype == np.float32
    for row, token in np.ndindex(20, 48):
        bases = range(token, token + 3)
        counted = [base for base in bases if batch.hidden[row, base]] or list(bases)
        expected = np.mean([0.1 if soft_masked[row, base] else 1.0 for base in counted])
        expected *= batch.labels[row, token + 1] != -100
        assert batch.label_weights[row, token + 1] == pytest.approx(expected)
    assert not batch.label_weights[:, [0, -1]].any()
    assert mask(codes, scheme, **settings).label_weights is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 0.0}, r"found rate = 0.0; expected rate above 0 \(nothing hidden\)"),
        ({"rate": 1.0}, r"below 1 \(everything hidden\)"),
        ({"rate": float("nan")}, "found rate = nan"),
        ({"later_rate": 1.5}, "found later_rate = 1.5"),
        ({"later_from": -0.1}, "later_from from 0 to 1"),
        ({"style": "spans"}, "found style = spans; expected style: base_spans, dnabert or tokens"),
        ({"span_bp": 0}, "found span_bp = 0"),
        ({"span_lengths": "poisson"}, "found span_lengths = poisson"),
        ({"mask_share": 0.0, "random_share": 0.0}, "mask_share = 0.0, random_share = 0.0; .* in sum above 0"),
        ({"mask_share": 0.8, "random_share": 0.3}, "at most 1"),
        ({"soft_masked_weight": 2.0, "span_bp": 1.5}, "found span_bp = 1.5, soft_masked_weight = 2.0"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(SettingsError, match=message):
        MaskSettings(**settings)


def test_shapes_that_do_not_fit_are_refused():
    codes = draw_codes(2, 20)
    with pytest.raises(DataError, match=r"keys \(3,\).*one key for each row"):
        mask(codes, keys=build_keys(0, 0, np.arange(3)))
    with pytest.raises(DataError, match=r"lengths up to 21; .*from 0 to L"):
        mask(codes, lengths=[20, 21])
    with pytest.raises(DataError, match=r"soft_masked \(2, 19\)"):
        mask(codes, soft_masked=np.zeros((2, 19), dtype=bool))


def test_neighboring_keys_have_nothing_in_common():
    keys = build_keys(0, 0, np.arange(2000))
    words = draw_words(keys[:, None], np.arange(-3, 40), purpose=0)
    assert np.unique(words).size == words.size
    bits = (words[..., None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)).astype(float)
    assert abs(bits.mean(axis=(0, 1)) - 0.5).max() < 0.5 / np.sqrt(words.size) * 4.5
    for first, second in pairwise((words, draw_words(keys[:, None], np.arange(-3, 40), purpose=1), words)):
        correlation = np.corrcoef(to_fractions(first).ravel(), to_fractions(second).ravel())[0, 1]
        assert abs(correlation) < 4.5 / np.sqrt(words.size)
