import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genolm.alphabet import encode_bases
from genolm.corpus.pieces import CorpusSettings, compute_split_spans, cut_evenly, plan_pieces
from genolm.errors import SettingsError

NO_CUTS = np.empty((0, 2), dtype=np.int64)


def test_blocks_go_to_the_split_of_their_index_modulo_the_modulus():
    spans = compute_split_spans(1_050_001, contig="x", settings=CorpusSettings())
    owner = np.full(1_050_001, -1)
    for number, split in enumerate(("train", "validation", "test")):
        for start, end in spans[split]:
            assert (owner[start:end] == -1).all()
            owner[start:end] = number
    expected = np.array([0, 0, 0, 2, 0, 1, 0, 0, 2, 0])[np.arange(1_050_001) // 50_000 % 10]
    np.testing.assert_array_equal(owner, expected)


def test_contigs_go_whole_to_their_split():
    settings = CorpusSettings(split="contigs", validation_contigs=("v",), test_contigs=("t",))
    whole, nothing = [[0, 70_000]], []
    for contig, expected in {
        "v": [nothing, whole, nothing],
        "t": [nothing, nothing, whole],
        "x": [whole, nothing, nothing],
    }.items():
        spans = compute_split_spans(70_000, contig=contig, settings=settings)
        assert [spans[split].tolist() for split in ("train", "validation", "test")] == expected


def test_none_ignores_held_out_names():
    settings = CorpusSettings(split="none", test_contigs=("t",))
    assert compute_split_spans(9, contig="t", settings=settings)["train"].tolist() == [[0, 9]]


@given(st.lists(st.integers(1, 100), max_size=8), st.integers(1, 30))
def test_even_cuts_cover_each_stretch_with_the_fewest_pieces(lengths_bp, max_piece_bp):
    ends = np.cumsum(np.array(lengths_bp, dtype=np.int64) + 1)
    stretches = np.stack([ends - lengths_bp, ends], axis=1).astype(np.int64).reshape(-1, 2)
    pieces = cut_evenly(stretches, max_piece_bp=max_piece_bp)
    pieces_bp = pieces[:, 1] - pieces[:, 0]
    assert len(pieces) == sum(-(-length_bp // max_piece_bp) for length_bp in lengths_bp)
    assert pieces_bp.sum() == sum(lengths_bp)
    for start, end in stretches:
        inside = pieces[(pieces[:, 0] >= start) & (pieces[:, 1] <= end)]
        assert inside[0, 0] == start
        assert inside[-1, 1] == end
        assert (inside[1:, 0] == inside[:-1, 1]).all()
        assert np.ptp(inside[:, 1] - inside[:, 0]) <= 1
    assert (pieces_bp <= max_piece_bp).all()


@given(
    st.text(alphabet="ACGTN", max_size=300),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)).map(sorted), max_size=4),
)
def test_every_base_of_a_contig_is_accounted_for_once(text, cuts):
    settings = CorpusSettings(
        block_bp=20,
        block_modulus=4,
        validation_blocks=(1,),
        test_blocks=(2,),
        min_piece_bp=5,
        max_piece_bp=12,
    )
    codes = encode_bases(text)
    cuts = np.array(cuts, dtype=np.int64).reshape(-1, 2)
    plan = plan_pieces(codes, contig="x", settings=settings, cuts=cuts)
    pieces = np.concatenate(list(plan.pieces.values()))
    pieces_bp = pieces[:, 1] - pieces[:, 0]
    assert pieces_bp.sum() + plan.unknown_bp + plan.excluded_bp + plan.dropped_short_bp == len(text)
    assert plan.unknown_bp == text.count("N")
    assert ((pieces_bp >= 5) & (pieces_bp <= 12)).all()
    is_cut = np.zeros(300, dtype=bool)
    for start, end in cuts:
        is_cut[start:end] = True
    assert plan.excluded_bp == np.count_nonzero((codes < 4) & is_cut[: len(text)])
    for start, end in pieces:
        assert (codes[start:end] < 4).all()
        assert not is_cut[start:end].any()


def test_default_pieces_of_a_known_megabase():
    codes = np.zeros(1_000_000, dtype=np.uint8)
    plan = plan_pieces(codes, contig="x", settings=CorpusSettings(), cuts=NO_CUTS)
    held_out = plan.pieces["validation"].tolist() + plan.pieces["test"].tolist()
    starts = [250_000, 750_000, 150_000, 400_000, 650_000, 900_000]
    assert held_out == [[start, start + 50_000] for start in starts]
    assert plan.pieces["train"][0].tolist() == [0, 150_000], "blocks of one split that touch are one row"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "random"}, "found split = random; expected blocks, contigs or none"),
        ({"block_bp": 0}, "block_bp = 0; expected 1 or more"),
        ({"block_modulus": 0}, "block_modulus = 0"),
        ({"min_piece_bp": 0}, "min_piece_bp = 0"),
        ({"max_piece_bp": 900}, r"max_piece_bp = 900; expected at least twice min_piece_bp \(500\)"),
        ({"block_bp": 400}, "block_bp = 400; expected at least min_piece_bp"),
        ({"validation_blocks": (3,)}, r"validation_blocks = \[3\] and test_blocks = \[3, 8\]"),
        ({"test_blocks": (10,)}, "each block once, from 0 to 9"),
        ({"test_blocks": (-1,)}, "each block once"),
        ({"block_modulus": 2, "validation_blocks": (0,), "test_blocks": (1,)}, "one left for train"),
        ({"split": "contigs"}, "at least one contig"),
        ({"split": "contigs", "validation_contigs": ["a"], "test_contigs": ["a"]}, "each contig once"),
        (
            {"split": "contigs", "test_contigs": "chr1"},
            r"test_contigs = chr1; expected a list; write \[chr1\]",
        ),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        CorpusSettings(**settings)


def test_lists_become_tuples():
    assert CorpusSettings(validation_blocks=[1], test_blocks=[]).validation_blocks == (1,)


def test_exclude_from_train_leaves_the_held_out_splits_whole():
    settings = CorpusSettings(
        block_bp=1_000,
        block_modulus=2,
        validation_blocks=(1,),
        test_blocks=(),
        min_piece_bp=100,
        exclude_from="train",
    )
    cuts = np.array([[200, 300], [1_200, 1_300]], dtype=np.int64)
    plan = plan_pieces(np.zeros(2_000, dtype=np.uint8), contig="x", settings=settings, cuts=cuts)
    assert plan.pieces["train"].tolist() == [[0, 200], [300, 1_000]]
    assert plan.pieces["validation"].tolist() == [[1_000, 2_000]]
    assert plan.excluded_bp == 100
