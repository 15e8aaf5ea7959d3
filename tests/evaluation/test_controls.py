import csv
import gzip
from importlib.resources import files

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from genolm.errors import DataError
from genolm.evaluation import controls
from genolm.evaluation.controls import (
    LabeledSplit,
    fit_controls,
    fit_multi_label_controls,
    fit_regression_controls,
)
from genolm.metrics import compute_classification_metrics

NAMES = ["gc", "kmer", "position", "kmer_position"]
MOTIF, DECOY = "TATAAT", "AATTTA"  # the same bases, so that composition says nothing


def draw_split(n, *, seed, place="fixed", length_bp=40):
    """Random DNA with the motif (label 1) or its shuffled decoy (0), at base 20 or anywhere."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    sequences = []
    for label in labels:
        bases = "".join(generator.choice(list("ACGT"), length_bp))
        at = 20 if place == "fixed" else int(generator.integers(0, length_bp - 6))
        sequences.append(bases[:at] + (MOTIF if label else DECOY) + bases[at + 6 :])
    return LabeledSplit(sequences, labels)


def draw_splits(**settings):
    return [draw_split(n, seed=seed, **settings) for seed, n in enumerate((300, 80, 120))]


def compute_test_mcc(results, test):
    return {r.name: compute_classification_metrics(test.labels, r.test_scores)["mcc"] for r in results}


@pytest.fixture
def small_grid(monkeypatch):
    monkeypatch.setattr(controls, "KMER_RANGES", ((3, 3), (4, 4), (3, 4)))
    monkeypatch.setattr(controls, "C_GRID", (1.0, 10.0))


@pytest.fixture
def one_model(monkeypatch):
    monkeypatch.setattr(controls, "KMER_RANGES", ((3, 3),))
    monkeypatch.setattr(controls, "C_GRID", (3.0,))


def test_a_planted_position_is_found_by_position_alone(small_grid):
    splits = draw_splits(place="fixed")
    results = fit_controls(*splits, seed=0)
    assert [result.name for result in results] == NAMES
    mcc = compute_test_mcc(results, splits[2])
    assert mcc["position"] > 0.95
    assert mcc["kmer_position"] > 0.95
    assert abs(mcc["gc"]) < 0.2


def test_a_planted_word_anywhere_is_found_by_kmers(small_grid):
    splits = draw_splits(place="anywhere", length_bp=30)
    mcc = compute_test_mcc(fit_controls(*splits, seed=0), splits[2])
    assert mcc["kmer"] > 0.8
    assert mcc["kmer"] > mcc["position"] + 0.2


def test_gc_content_is_found_by_gc(one_model):
    generator = np.random.default_rng(0)
    splits = []
    for n in (200, 60, 60):
        labels = np.arange(n) % 2
        chances = [[0.2, 0.3, 0.3, 0.2], [0.35, 0.15, 0.15, 0.35]]
        rows = ["".join(generator.choice(list("ACGT"), 100, p=chances[label])) for label in labels]
        splits.append(LabeledSplit(rows, labels))
    assert compute_test_mcc(fit_controls(*splits, seed=0), splits[2])["gc"] > 0.9


def build_naive_features(sequences, *, length_bp):
    """The features of the four controls by Python loops over text, dense."""
    words = ["".join((a, b, c)) for a in "ATCG" for b in "ATCG" for c in "ATCG"]
    pairs = [word[1:] for word in words[:16]]
    gc = [[sum(base in "GC" for base in s) / len(s)] for s in sequences]
    kmer = [[sum(s[i : i + 3] == word for i in range(len(s) - 2)) for word in words] for s in sequences]
    base = [[float(s[i : i + 1] == b) for i in range(length_bp) for b in "ATCG"] for s in sequences]
    pair = [[float(s[i : i + 2] == p) for i in range(length_bp) for p in pairs] for s in sequences]
    position = np.hstack([base, pair])
    return {
        "gc": np.array(gc),
        "kmer": np.array(kmer, dtype=float),
        "position": position,
        "kmer_position": np.hstack([position, kmer]),
    }


@pytest.mark.parametrize("name", NAMES)
def test_scores_equal_a_naive_dense_pipeline(one_model, name):
    train, validation, test = (draw_split(n, seed=n, place="anywhere") for n in (60, 20, 30))
    result = dict(zip(NAMES, fit_controls(train, validation, test, seed=0), strict=True))[name]
    features = [
        build_naive_features(split.sequences, length_bp=40)[name] for split in (train, validation, test)
    ]
    scale = np.sqrt((features[0] ** 2).sum(axis=1).mean())
    model = LogisticRegression(C=3.0, max_iter=10_000).fit(features[0] / scale, train.labels)
    np.testing.assert_allclose(
        result.validation_scores, model.predict_proba(features[1] / scale)[:, 1], atol=2e-3
    )
    np.testing.assert_allclose(result.test_scores, model.predict_proba(features[2] / scale)[:, 1], atol=2e-3)
    assert result.settings["C"] == 3.0


def test_validation_alone_chooses_and_test_labels_are_not_read(small_grid):
    train, validation, test = draw_splits(place="anywhere")
    first = fit_controls(train, validation, test, seed=0)
    relabeled = LabeledSplit(test.sequences, 1 - test.labels)
    for one, other in zip(first, fit_controls(train, validation, relabeled, seed=1), strict=True):
        assert one.settings == other.settings
        np.testing.assert_array_equal(one.test_scores, other.test_scores)


def test_the_choice_is_the_best_of_the_grid_on_validation(small_grid, monkeypatch):
    splits = draw_splits(place="anywhere")
    chosen = fit_controls(*splits, seed=0)[1]
    by_settings = {}
    for low_high in ((3, 3), (4, 4), (3, 4)):
        for c in (1.0, 10.0):
            monkeypatch.setattr(controls, "KMER_RANGES", (low_high,))
            monkeypatch.setattr(controls, "C_GRID", (c,))
            scores = fit_controls(*splits, seed=0)[1].validation_scores
            by_settings[(*low_high, c)] = compute_classification_metrics(splits[1].labels, scores)["mcc"]
    assert len(set(by_settings.values())) > 1
    assert by_settings[tuple(chosen.settings.values())] == max(by_settings.values())


def test_a_tie_goes_to_the_smaller_model():
    sequences, labels = ["AAAAAAAA", "CCCCCCCC"] * 5, np.array([0, 1] * 5)
    split = LabeledSplit(sequences, labels)
    kmer = fit_controls(split, split, split, seed=0)[1]
    assert compute_classification_metrics(labels, kmer.validation_scores)["mcc"] == 1.0
    assert kmer.settings == {"k_min": 3, "k_max": 3, "C": min(controls.C_GRID)}


def test_unequal_lengths_are_aligned_on_the_first_base(one_model):
    columns = controls._build_position_columns(["AT", "GATTT", "", "ANA"], length_bp=3).toarray()
    assert columns.shape == (4, 3 * 20)
    cells = [np.flatnonzero(row).tolist() for row in columns]
    # bases: 4 x position + A 0, T 1, C 2, G 3; pairs: 12 + 16 x position + 4 x first + second
    assert cells == [[0, 5, 12 + 1], [3, 4, 9, 12 + 12, 12 + 16 + 1], [], [0, 8]]
    train = LabeledSplit(["ATATAT", "GGG", "ATA", "GCGCGC"], np.array([0, 1, 0, 1]))
    equal = LabeledSplit(["ATATAT", "GGGGGG"], np.array([0, 1]))
    uneven = fit_controls(train, equal, equal, seed=0)
    assert "aligned on the first base" in uneven[2].description
    assert "aligned on the first base" in uneven[3].description
    assert "aligned" not in fit_controls(equal, equal, equal, seed=0)[2].description


def test_lower_case_and_unknown_bases(one_model):
    train, validation, test = draw_splits()
    lower = LabeledSplit([sequence.lower() for sequence in test.sequences], test.labels)
    unknown = LabeledSplit(["N" * 40, ""], np.array([0, 1]))
    for upper, same, none in zip(
        fit_controls(train, validation, test, seed=0),
        fit_controls(train, validation, lower, seed=0),
        fit_controls(train, validation, unknown, seed=0),
        strict=True,
    ):
        np.testing.assert_array_equal(upper.test_scores, same.test_scores)
        assert none.test_scores[0] == none.test_scores[1]  # the intercept alone


def test_profiles_in_pieces_are_the_same(monkeypatch):
    sequences = draw_split(10, seed=0).sequences
    whole = controls._build_kmer_counts(sequences, k=4).toarray()
    monkeypatch.setattr(controls, "PROFILE_CELLS", 3 * 4**4)
    np.testing.assert_array_equal(controls._build_kmer_counts(sequences, k=4).toarray(), whole)
    assert whole.sum() == 10 * 37


def test_three_classes_give_a_probability_for_each(small_grid):
    splits = []
    for seed, n in enumerate((150, 45, 45)):
        generator = np.random.default_rng(seed)
        labels = np.arange(n) % 3
        rows = [
            "".join(generator.choice(list("ACGT"), 20)) + ["TATAAT", "GCCGCG", "CACAGT"][x] for x in labels
        ]
        splits.append(LabeledSplit(rows, labels))
    for result in fit_controls(*splits, seed=0):
        assert result.validation_scores.shape == result.test_scores.shape == (45, 3)
        np.testing.assert_allclose(result.test_scores.sum(axis=1), 1)
        if result.name in ("position", "kmer_position"):
            assert compute_classification_metrics(splits[2].labels, result.test_scores)["mcc"] > 0.95


GOOD = LabeledSplit(["ACGT", "TTTT"], np.array([0, 1]))


@pytest.mark.parametrize(
    ("train", "validation", "message"),
    [
        (LabeledSplit([], np.array([], dtype=int)), GOOD, "0 sequences and 0 labels in the train split"),
        (GOOD, LabeledSplit(["A"], np.array([0, 1])), "1 sequences and 2 labels in the validation split"),
        (LabeledSplit(["A", "C"], np.array([1, 1])), GOOD, r"classes \[1\] in the train split and \[0, 1\]"),
        (GOOD, LabeledSplit(["A"], np.array([2])), "every one of them in the train split"),
    ],
)
def test_splits_that_do_not_fit_are_refused(train, validation, message):
    with pytest.raises(DataError, match=message):
        fit_controls(train, validation, GOOD, seed=0)


def test_the_shipped_promoters_have_a_strong_combined_control(monkeypatch):
    monkeypatch.setattr(controls, "KMER_RANGES", ((4, 4), (3, 5)))
    monkeypatch.setattr(controls, "C_GRID", (3.0, 10.0))
    path = files("genolm.builtin_data") / "ecoli_promoters.csv.gz"
    with path.open("rb") as raw, gzip.open(raw, "rt") as file:
        rows = list(csv.DictReader(file))
    splits = [
        LabeledSplit([r["sequence"] for r in part], np.array([int(r["label"] == "promoter") for r in part]))
        for part in ([r for r in rows if r["split"] == name] for name in ("train", "validation", "test"))
    ]
    mcc = compute_test_mcc(fit_controls(*splits, seed=0), splits[2])
    assert mcc["gc"] < mcc["position"] < mcc["kmer"] < mcc["kmer_position"]
    assert 0.75 < mcc["kmer_position"] < 0.9


def count_gc(sequences):
    return np.array([sum(letter in "GC" for letter in text) for text in sequences], dtype=np.float64)


def test_numbers_are_fitted_by_ridge_regression(small_grid):
    """A number that the motif's place decides is told by positions; one that is the count of G and C by all
    that count letters, and by GC alone as least squares tell it."""
    train, validation, test = draw_splits(place="fixed")
    found = fit_regression_controls(
        *(part._replace(labels=np.where(part.labels, 7.0, -3.0)) for part in (train, validation, test))
    )
    assert [result.name for result in found] == NAMES
    by_name = {result.name: result for result in found}
    assert by_name["position"].description.startswith("ridge regression on one-hot base")
    wanted = np.where(test.labels, 7.0, -3.0)
    assert np.abs(by_name["position"].test_scores - wanted).max() < 5
    assert np.mean((by_name["position"].test_scores - wanted) ** 2) < 2
    assert np.mean((by_name["gc"].test_scores - wanted) ** 2) > 20

    parts = [part._replace(labels=count_gc(part.sequences)) for part in (train, validation, test)]
    gc, kmer, _, _ = fit_regression_controls(*parts)
    assert gc.settings == {"C": 10.0}  # the weaker penalty of the small grid
    slope, intercept = np.polyfit(count_gc(train.sequences), parts[0].labels, 1)
    exact = slope * count_gc(test.sequences) + intercept
    np.testing.assert_allclose(gc.test_scores, exact, atol=0.05 * np.ptp(exact))
    assert np.corrcoef(kmer.test_scores, parts[2].labels)[0, 1] > 0.95


def test_an_empty_split_of_numbers_is_refused():
    train = LabeledSplit(["ACGT" * 5], np.array([0.5]))
    with pytest.raises(DataError, match="0 sequences and 0 labels in the test split"):
        fit_regression_controls(train, train, LabeledSplit([], np.array([])))


def test_each_label_is_fitted_by_itself(monkeypatch):
    """A label that the motif's place decides is told by positions, one of G and C by all that count letters;
    one that every sequence has tells nothing and has no AUROC."""
    monkeypatch.setattr(controls, "MULTI_LABEL_KMER_RANGES", ((3, 3),))
    parts = []
    for part in draw_splits(place="fixed"):
        gc = count_gc(part.sequences)
        labels = np.column_stack([part.labels, gc > np.median(gc), np.ones(len(gc))]).astype(np.float32)
        parts.append(part._replace(labels=labels))
    found = fit_multi_label_controls(*parts)
    assert [result.name for result in found] == NAMES
    assert all(result.test_scores.shape == (120, 3) for result in found)
    assert found[2].description.startswith("a logistic regression for each label on one-hot base")

    def compute_auroc(result, column):
        return compute_classification_metrics(
            parts[2].labels[:, column].astype(int), result.test_scores[:, column]
        )["auroc"]

    gc, kmer, position, both = found
    assert compute_auroc(position, 0) > 0.99
    assert compute_auroc(both, 0) > 0.99
    assert compute_auroc(gc, 0) < 0.7
    assert compute_auroc(gc, 1) == 1.0
    assert compute_auroc(kmer, 1) > 0.9
    assert (gc.test_scores[:, 2] == 1).all()
