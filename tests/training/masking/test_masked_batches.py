import numpy as np
import pytest
import torch
from made_up_dna import make_dna

from genolm.alphabet import decode_bases, encode_bases
from genolm.corpus.bases import CorpusBases
from genolm.corpus.window_epochs import WindowSettings
from genolm.tokenization.encoder import encode_sequence
from genolm.tokenization.scheme import KmerScheme
from genolm.training.masking.batches import MaskedBatches, order_by_length, reverse_rows
from genolm.training.masking.windows import MaskSettings
from genolm.training.micro_batches import StepInput

SCHEME = KmerScheme(k=3, stride=1)
ROWS = [make_dna(length, seed) for seed, length in enumerate((700, 90, 400))]
TEXT = "".join(ROWS)
PAIRS = str.maketrans("ACGT", "TGCA")


def build_batches(*, batch_size: int = 6, seed: int = 0, mask=None, both_strands=True, **windows):
    bases = CorpusBases(
        codes=encode_bases(TEXT),
        row_starts=np.cumsum([0, *map(len, ROWS)]),
        row_weights=np.ones(3),
        soft_masked=np.array([[0, 350], [800, 1000]]),
    )
    return MaskedBatches(
        bases,
        scheme=SCHEME,
        windows=WindowSettings(**{"kind": "random", "length_bp": 40, **windows}),
        mask=mask or MaskSettings(rate=0.2),
        batch_size=batch_size,
        num_steps=100,
        seed=seed,
        both_strands=both_strands,
    )


def build_whole(batches: MaskedBatches, step: int) -> StepInput:
    return batches.build_input(step, slice(0, batches.count_rows(step)))


def find_strand(row: torch.Tensor, labels: torch.Tensor) -> str:
    """Say on which strand of the corpus the window of a row lies: + or -, by its true tokens."""
    truth = torch.where(labels != -100, labels, row).tolist()
    found = ""
    for start in range(len(TEXT) - 40 + 1):
        window = TEXT[start : start + 40]
        for strand, text in (("+", window), ("-", window[::-1].translate(PAIRS))):
            if encode_sequence(text, SCHEME).tolist() == truth:
                found = strand
    return found


def test_rows_are_windows_of_the_corpus_on_both_strands():
    inputs = build_whole(build_batches(batch_size=24), 0).inputs
    strands = [find_strand(*row) for row in zip(inputs["input_ids"], inputs["labels"], strict=True)]
    assert set(strands) == {"+", "-"}, "each row is a window, and both strands are there"
    assert 6 <= strands.count("+") <= 18
    inputs = build_whole(build_batches(both_strands=False), 0).inputs
    strands = [find_strand(*row) for row in zip(inputs["input_ids"], inputs["labels"], strict=True)]
    assert set(strands) == {"+"}


@pytest.mark.parametrize("kind", ["random", "tiles", "dnabert"])
def test_any_rows_of_a_step_are_those_of_the_whole_step(kind):
    batches = build_batches(kind=kind, min_bp=8)
    for step in (0, 3, 31):
        whole = build_whole(batches, step)
        for rows in (slice(0, 1), slice(1, 4), slice(4, 6)):
            part = build_batches(kind=kind, min_bp=8).build_input(step, rows)
            width = part.inputs["input_ids"].shape[1]
            for name in ("input_ids", "labels"):
                assert torch.equal(part.inputs[name], whole.inputs[name][rows, :width]), name
        pieces = [batches.build_input(step, slice(row, row + 1)) for row in range(6)]
        assert sum(piece.weight for piece in pieces) == whole.weight
        assert sum(piece.tokens for piece in pieces) == whole.tokens


def test_seed_and_epoch_change_windows_and_masks():
    batches = build_batches()
    per_epoch = len(batches._build_epoch(0)) // 6
    inputs = [
        build_whole(build_batches(), 0),
        build_whole(build_batches(seed=1), 0),
        build_whole(batches, per_epoch),
    ]
    assert len({str(each.inputs["input_ids"].tolist()) for each in inputs}) == 3


def test_an_epoch_of_tiles_visits_each_window_once():
    batches = build_batches(kind="tiles", min_bp=3, vary_phase=False, batch_size=5)
    num_windows = len(batches._build_epoch(0))
    steps = num_windows // 5
    names = [name for step in range(steps) for name in batches.name_rows(step, slice(0, 5))]
    assert len(names) == len(set(names)) == 5 * steps
    assert num_windows - len(names) < 5
    assert {batches.count_rows(step) for step in range(2 * steps)} == {5}


def test_where_an_epoch_has_fewer_windows_than_a_batch_a_step_has_them_all():
    batches = build_batches(kind="tiles", vary_phase=False, batch_size=1_000)
    assert batches.count_rows(0) == len(batches._build_epoch(0)) == batches.count_rows(1)
    assert build_whole(batches, 1).inputs["input_ids"].shape[0] == batches.count_rows(1)


def test_the_largest_input_has_the_length_of_the_longest_window_and_as_many_rows_as_wanted():
    largest = build_batches().build_largest(9)
    assert largest.inputs["input_ids"].shape == (9, 40 - 3 + 1 + 2)
    assert largest.weight > 0
    assert "attention_mask" not in largest.inputs, "nothing is padded"


def test_padding_is_masked():
    inputs = build_whole(build_batches(kind="dnabert", min_bp=5, batch_size=20), 0).inputs
    assert torch.equal(inputs["attention_mask"] == 0, inputs["input_ids"] == 0)
    assert (inputs["attention_mask"] == 0).any()
    assert (inputs["labels"][inputs["attention_mask"] == 0] == -100).all()


def test_windows_of_like_length_stand_side_by_side_and_none_is_lost():
    batches = build_batches(kind="dnabert", min_bp=5, batch_size=12)
    windows = [batches._build_epoch(0).locate(number, number + 1) for number in range(12)]
    names = [f"base {window.starts[0]}" for window in windows]
    assert sorted(batches.name_rows(0, slice(0, 12))) == sorted(names)
    lengths = [int(batches.mask_rows(0, slice(row, row + 1)).lengths[0]) for row in range(12)]
    assert lengths == sorted(int(window.lengths[0]) for window in windows), "12 rows are one bucket"


@pytest.mark.parametrize("num_rows", [31, 64, 500])
def test_buckets_have_like_lengths_and_any_share_of_them_the_same_work(num_rows):
    lengths = np.random.default_rng(0).integers(5, 511, size=num_rows)
    order = order_by_length(lengths)
    assert sorted(order.tolist()) == list(range(num_rows))
    ordered = lengths[order]
    buckets = [ordered[start : start + 32] for start in range(0, num_rows, 32)]
    for bucket in buckets:
        others = np.setdiff1d(np.arange(num_rows), order[np.isin(ordered, bucket)])
        inside = (lengths[others] > bucket.min()) & (lengths[others] < bucket.max())
        assert not inside.any(), "no other window would fit in between"
    if num_rows == 500:
        halves = ordered[:256].mean(), ordered[256:].mean()
        assert abs(halves[0] - halves[1]) < 0.2 * lengths.mean()
        assert sum(bucket.max() * len(bucket) for bucket in buckets) < 1.1 * lengths.sum()
        assert sum(part.max() * len(part) for part in np.split(lengths, 10)) > 1.8 * lengths.sum()


def test_soft_masked_bases_count_less():
    mask = MaskSettings(rate=0.2, soft_masked_weight=0.25)
    weighted, plain = (build_whole(build_batches(mask=each), 0) for each in (mask, MaskSettings(rate=0.2)))
    weights = weighted.inputs["label_weights"][weighted.inputs["labels"] != -100]
    assert weighted.weight == pytest.approx(float(weights.sum()))
    assert set(weights.tolist()) >= {0.25, 1.0}
    assert weighted.weight < plain.weight
    assert torch.equal(weighted.inputs["input_ids"], plain.inputs["input_ids"])


def test_rows_are_turned_around_within_their_length():
    codes = encode_bases("AACGTAACGT").reshape(2, 5)
    codes[1, 3:] = 4
    turned = reverse_rows(codes, np.array([5, 3]), np.array([True, True]), complement=True)
    assert [decode_bases(turned[0]), decode_bases(turned[1, :3])] == ["ACGTT", "GTT"]
    assert turned[1, 3:].tolist() == [4, 4]
    same = reverse_rows(codes, np.array([5, 3]), np.array([False, False]), complement=True)
    assert np.array_equal(same, codes)
    flags = np.array([[True, False, False]])
    assert reverse_rows(flags, np.array([2]), np.array([True]), complement=False).tolist() == [
        [False, True, False]
    ]
