from genolm.corpus.audit.composition import compute_composition


def test_by_hand(make_data):
    data = make_data(
        ["ACGT", "GGGN", "AATTAA", "NNR", "TTC"],
        [0, 0, 0, 1, 0],
        ["train", "train", "test", "train", "train"],
        names=("other", "promoter"),
    )
    other, promoter = compute_composition(data)
    assert (other.label, other.records, other.records_by_split) == ("other", 4, {"train": 3, "test": 1})
    assert (other.min_bp, other.median_bp, other.max_bp) == (3, 4.0, 6)
    assert other.mean_gc == (0.5 + 1 + 0 + 1 / 3) / 4
    assert (other.records_with_other_letters, other.other_letters) == (1, {"N": 1})
    assert promoter.records_by_split == {"train": 1, "test": 0}
    assert promoter.mean_gc is None
    assert promoter.other_letters == {"N": 2, "R": 1}


def test_without_splits(make_data):
    zero, one = compute_composition(make_data(["AC", "G"], [0, 1]))
    assert zero.records_by_split == one.records_by_split == {}
    assert (zero.mean_gc, one.mean_gc) == (0.5, 1.0)
