import numpy as np
import pytest
from scipy.sparse import csr_matrix

from genolm.corpus.audit.sharing import GroupSharing, SplitSharing, build_incidence, compute_sharing

# Records by hand: three in train (classes 0, 0, 1), one in validation (0), two in test (1, 0).
LABELS = [0, 0, 1, 0, 1, 0]
SPLITS = ["train", "train", "train", "validation", "test", "test"]
COLUMNS = {
    "two of a class in train": [1, 1, 0, 0, 0, 0],
    "two classes, two splits": [1, 0, 0, 0, 1, 0],
    "test with validation": [0, 0, 0, 1, 0, 1],
    "held by one": [0, 0, 1, 0, 0, 0],
}


def group(split, label, *counts):
    names = ("records", "other_split", "other_class", "own_class", "any_other")
    return GroupSharing(split=split, label=label, **dict(zip(names, counts, strict=True)))


def test_counts_by_hand(make_data):
    data = make_data(["A"] * 6, LABELS, SPLITS)
    sharing = compute_sharing(csr_matrix(np.array(list(COLUMNS.values()), dtype=np.int32).T), data)
    assert sharing.groups == (
        group("train", "0", 2, 1, 1, 2, 2),
        group("train", "1", 1, 0, 0, 0, 0),
        group("validation", "0", 1, 1, 0, 1, 1),
        group("test", "0", 1, 1, 0, 1, 1),
        group("test", "1", 1, 1, 1, 0, 1),
    )
    assert sharing.splits == (
        SplitSharing(split="validation", other="train", records=1, shared=0),
        SplitSharing(split="test", other="train", records=2, shared=1),
        SplitSharing(split="test", other="validation", records=2, shared=1),
    )
    assert sharing.count("any_other") == 5
    assert sharing.count("own_class", label="0") == 4


def test_without_splits(make_data):
    data = make_data(["A"] * 3, [0, 1, 1])
    sharing = compute_sharing(build_incidence([np.array([1]), np.array([2])], num_records=3), data)
    assert sharing.groups == (group("", "0", 1, 0, 0, 0, 0), group("", "1", 2, 0, 0, 2, 2))
    assert sharing.splits == ()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_brute_force(make_data, seed):
    generator = np.random.default_rng(seed)
    n = 30
    labels, splits = generator.integers(0, 3, n), generator.choice(["train", "validation", "test"], n)
    dense = (generator.random((n, 25)) < 0.06).astype(np.int32)
    sharing = compute_sharing(csr_matrix(dense), make_data(["A"] * n, labels, splits.tolist(), names="abc"))
    common = dense @ dense.T > 0
    np.fill_diagonal(common, False)
    for found in sharing.groups:
        inside = (splits == found.split) & (labels == "abc".index(found.label))
        assert found.records == inside.sum()
        assert found.other_split == common[inside][:, splits != found.split].any(axis=1).sum()
        assert found.other_class == common[inside][:, labels != "abc".index(found.label)].any(axis=1).sum()
        assert found.own_class == common[inside][:, labels == "abc".index(found.label)].any(axis=1).sum()
        assert found.any_other == common[inside].any(axis=1).sum()
    for found in sharing.splits:
        assert found.shared == common[splits == found.split][:, splits == found.other].any(axis=1).sum()
    assert 0 < sharing.count("any_other") < n


def test_no_columns(make_data):
    data = make_data(["A"] * 2, [0, 1])
    assert compute_sharing(csr_matrix((2, 0), dtype=np.int32), data).count("any_other") == 0
