"""The controls that stand beside every result: logistic or ridge regressions on simple features.

A network that does not beat them has learnt composition, or the alignment of the windows, and little more.
Each control is fitted on the training split, its settings are chosen on the validation split (by MCC, or the
squared error of numbers), and the test split is only predicted.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.alphabet import BASES, encode_bases
from genolm.errors import DataError
from genolm.kmer_profiles import compute_dense_profiles, compute_sparse_profiles
from genolm.kmers import compute_kmer_codes
from genolm.metrics import compute_classification_metrics

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

KMER_RANGES: tuple[tuple[int, int], ...] = ((3, 3), (4, 4), (5, 5), (6, 6), (3, 4), (3, 5), (3, 6))
# Inverse strengths of the L2 penalty, for features scaled to a mean squared row norm of 1.
C_GRID: tuple[float, ...] = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
# Of several labels each has a regression of its own, so there are fewer choices.
MULTI_LABEL_KMER_RANGES, MULTI_LABEL_C_GRID = ((3, 3), (4, 4), (3, 6)), (1.0, 10.0, 100.0)
MAX_ITERATIONS = 10_000
PROFILE_CELLS = 1 << 24

Floats = npt.NDArray[np.float64]
Builder = Callable[[Sequence[str]], "csr_matrix"]


class LabeledSplit(NamedTuple):
    """Sequences (DNA text) and what belongs to them: classes, int [n], numbered from 0; numbers [n]; or of
    several labels 0 and 1, [n, labels]."""

    sequences: Sequence[str]
    labels: npt.NDArray[Any]


class ControlResult(NamedTuple):
    """One fitted control: the settings that validation chose, and what it predicts with them.

    Scores are probabilities: float64 [n] of class 1, [n, classes] for more than two classes, [n, labels] of
    several labels; of a regression they are the numbers, float64 [n].
    """

    name: str
    description: str
    settings: dict[str, Any]
    validation_scores: Floats
    test_scores: Floats


class _Design(NamedTuple):
    """One choice of features, the same columns in all three splits (train, validation, test)."""

    settings: dict[str, Any]
    features: "tuple[csr_matrix, csr_matrix, csr_matrix]"


class _Candidate(NamedTuple):
    quality: float
    num_features: int
    settings: dict[str, Any]
    validation_scores: Floats
    test_scores: Floats

    @property
    def rank(self) -> tuple[float, int, float]:
        """The better on validation; on a tie fewer features, then the stronger penalty."""
        return (self.quality, -self.num_features, -self.settings["C"])


class _Learner(NamedTuple):
    """What is fitted to features, and how good its scores are."""

    name: str
    fit: Callable[[Any, npt.NDArray[Any], float], Callable[[Any], Floats]]
    """features of the training split, its labels and C to what turns features into scores"""
    judge: Callable[[npt.NDArray[Any], Floats], float]
    """labels and scores of the validation split to a number, the higher the better"""
    kmer_ranges: tuple[tuple[int, int], ...]
    c_grid: tuple[float, ...]


def fit_controls(
    train: LabeledSplit, validation: LabeledSplit, test: LabeledSplit, *, seed: int
) -> list[ControlResult]:
    """Fit the four controls gc, kmer, position and kmer_position.

    Args:
        train: the only split that is fitted.
        validation: chooses the k-mer lengths and the penalty C, by MCC; on a tie the smaller model.
        test: predicted with the chosen model; its labels are not read.
        seed: handed to the solver (lbfgs draws nothing, so the result is the same for every seed).

    Returns:
        One `ControlResult` for each control, in the order above.

    Raises:
        DataError: a split is empty, its labels do not fit, or a class is missing from the training split.
    """
    learner = _build_classifier(_check_splits(train, validation, test), seed=seed)
    return _fit_controls(learner, train, validation, test)


def fit_regression_controls(
    train: LabeledSplit, validation: LabeledSplit, test: LabeledSplit
) -> list[ControlResult]:
    """Fit the same four controls to numbers, as ridge regressions.

    Args:
        train: the only split that is fitted.
        validation: chooses the k-mer lengths and the penalty 1 / C, by the squared error.
        test: predicted with the chosen model.

    Raises:
        DataError: a split is empty, or its labels do not fit.
    """
    _check_sizes(train, validation, test)
    learner = _Learner("ridge regression", _fit_ridge, _judge_numbers, KMER_RANGES, C_GRID)
    return _fit_controls(learner, train, validation, test)


def fit_multi_label_controls(
    train: LabeledSplit, validation: LabeledSplit, test: LabeledSplit
) -> list[ControlResult]:
    """Fit the same four controls to several labels, each label by a logistic regression of its own.

    Args:
        train: the only split that is fitted.
        validation: chooses the k-mer lengths and the penalty C, the same for all labels, by the mean AUROC.
        test: predicted with the chosen model.

    Raises:
        DataError: a split is empty, or its labels do not fit.
    """
    _check_sizes(train, validation, test)
    learner = _Learner(
        "a logistic regression for each label",
        _fit_labels,
        _judge_labels,
        MULTI_LABEL_KMER_RANGES,
        MULTI_LABEL_C_GRID,
    )
    return _fit_controls(learner, train, validation, test)


def _fit_controls(learner: _Learner, *splits: LabeledSplit) -> list[ControlResult]:
    gc = [_Design({}, _build_features(splits, _build_gc_fraction))]
    kmer_blocks = {k: _build_features(splits, partial(_build_kmer_counts, k=k)) for k in range(3, 7)}
    kmer = [
        _Design({"k_min": low, "k_max": high}, _join(*(kmer_blocks[k] for k in range(low, high + 1))))
        for low, high in learner.kmer_ranges
    ]
    lengths_bp = [{len(sequence) for sequence in split.sequences} for split in splits]
    build_position = partial(_build_position_columns, length_bp=max(lengths_bp[0]))
    position = [_Design({}, _build_features(splits, build_position))]
    both = [_Design(design.settings, _join(position[0].features, design.features)) for design in kmer]
    aligned = "one-hot base and dinucleotide at each position"
    if len(set().union(*lengths_bp)) > 1:
        aligned += " (lengths differ: aligned on the first base, positions past the end are zero)"
    controls = {
        "gc": ("GC fraction", gc),
        "kmer": ("k-mer counts", kmer),
        "position": (aligned, position),
        "kmer_position": (f"k-mer counts and {aligned}", both),
    }
    return [
        _fit_control(name, features, learner=learner, designs=designs, splits=splits)
        for name, (features, designs) in controls.items()
    ]


def fit_feature_control(
    name: str,
    description: str,
    build: Builder,
    *,
    train: LabeledSplit,
    validation: LabeledSplit,
    test: LabeledSplit,
    seed: int,
) -> ControlResult:
    """Fit one more control, on features of your own.

    Args:
        name: of the result.
        description: what the features are.
        build: turns n sequences into a sparse matrix [n, features].
        train: the only split that is fitted.
        validation: chooses the penalty C, by MCC.
        test: predicted with the chosen model.
        seed: handed to the solver.

    Raises:
        DataError: as `fit_controls`.
    """
    splits = (train, validation, test)
    learner = _build_classifier(_check_splits(*splits), seed=seed)
    designs = [_Design({}, _build_features(splits, build))]
    return _fit_control(name, description, learner=learner, designs=designs, splits=splits)


def _check_sizes(train: LabeledSplit, validation: LabeledSplit, test: LabeledSplit) -> None:
    for name, split in (("train", train), ("validation", validation), ("test", test)):
        if len(split.sequences) == 0 or len(split.sequences) != len(split.labels):
            raise DataError(
                found=f"{len(split.sequences)} sequences and {len(split.labels)} labels in the {name} split",
                expected="at least one sequence, and one label for each",
                remedy="check the split column of the labeled data",
            )


def _check_splits(train: LabeledSplit, validation: LabeledSplit, test: LabeledSplit) -> int:
    """Return the number of classes, at least 2."""
    _check_sizes(train, validation, test)
    present = set(np.unique(np.asarray(train.labels)).tolist())
    others = set(np.unique(np.concatenate([validation.labels, test.labels])).tolist())
    expected = set(range(max(2, len(present))))
    if present != expected or not others <= expected:
        raise DataError(
            found=f"the classes {sorted(present)} in the train split and {sorted(others)} in the others",
            expected="classes numbered 0, 1, ... without a gap, every one of them in the train split",
            remedy="number the classes from 0 and split so that each class has training sequences",
        )
    return len(expected)


def _build_classifier(num_classes: int, *, seed: int) -> _Learner:
    from sklearn.linear_model import LogisticRegression

    def fit(features: Any, labels: npt.NDArray[Any], c: float) -> Callable[[Any], Floats]:
        model = LogisticRegression(C=c, solver="lbfgs", max_iter=MAX_ITERATIONS, random_state=seed)
        model.fit(features, labels)
        if num_classes == 2:
            return lambda part: np.asarray(model.predict_proba(part)[:, 1])
        return lambda part: np.asarray(model.predict_proba(part))

    def judge(labels: npt.NDArray[Any], scores: Floats) -> float:
        return compute_classification_metrics(labels, scores)["mcc"]

    return _Learner("logistic regression", fit, judge, KMER_RANGES, C_GRID)


def _fit_ridge(features: Any, labels: npt.NDArray[Any], c: float) -> Callable[[Any], Floats]:
    from sklearn.linear_model import Ridge

    model = Ridge(alpha=1 / c).fit(features, np.asarray(labels, dtype=np.float64))
    return lambda part: np.asarray(model.predict(part))


def _judge_numbers(labels: npt.NDArray[Any], scores: Floats) -> float:
    return -float(((np.asarray(labels, dtype=np.float64) - scores) ** 2).mean())


def _fit_labels(features: Any, labels: npt.NDArray[Any], c: float) -> Callable[[Any], Floats]:
    from sklearn.linear_model import LogisticRegression

    def fit(has_label: npt.NDArray[Any]) -> Callable[[Any], Floats]:
        if has_label.min() == has_label.max():  # nothing to learn
            return lambda part: np.full(part.shape[0], float(has_label[0]))
        model = LogisticRegression(C=c, max_iter=MAX_ITERATIONS).fit(features, has_label)
        return lambda part: np.asarray(model.predict_proba(part)[:, 1])

    predictors = [fit(column) for column in labels.T]
    return lambda part: np.column_stack([predict(part) for predict in predictors])


def _judge_labels(labels: npt.NDArray[Any], scores: Floats) -> float:
    """Return the mean AUROC over the labels that some sequences have and others lack; 0 without one."""
    columns = zip(labels.T.astype(np.int64), scores.T, strict=True)
    found = [compute_classification_metrics(*column)["auroc"] for column in columns]
    return float(np.mean([auroc for auroc in found if auroc is not None] or [0.0]))


def _fit_control(
    name: str,
    features: str,
    *,
    learner: _Learner,
    designs: list[_Design],
    splits: tuple[LabeledSplit, ...],
) -> ControlResult:
    """Fit every design at every C and keep the one that is best on validation."""
    train, validation, _ = splits
    best: _Candidate | None = None
    for design in designs:
        parts = _scale(design.features)
        for c in learner.c_grid:
            predict = learner.fit(parts[0], train.labels, c)
            scores = [predict(part) for part in parts[1:]]
            quality = learner.judge(validation.labels, scores[0])
            candidate = _Candidate(quality, parts[0].shape[1], {**design.settings, "C": c}, *scores)
            if best is None or candidate.rank > best.rank:
                best = candidate
    assert best is not None  # noqa: S101  (there is always a design)
    description = f"{learner.name} on {features}"
    return ControlResult(name, description, best.settings, best.validation_scores, best.test_scores)


def _scale(
    features: "tuple[csr_matrix, csr_matrix, csr_matrix]",
) -> "tuple[csr_matrix, csr_matrix, csr_matrix]":
    """Divide by one number, so that C means the same for every window length and k, and lbfgs converges.

    Standardizing each column, or each block on its own, gives the same MCC on validation within 0.01.
    """
    squared_norm = features[0].multiply(features[0]).sum() / features[0].shape[0]
    scale = 1 / np.sqrt(squared_norm) if squared_norm > 0 else 1.0
    train, validation, test = (part * scale for part in features)
    return train, validation, test


def _build_features(
    splits: tuple[LabeledSplit, ...], build: Builder
) -> "tuple[csr_matrix, csr_matrix, csr_matrix]":
    train, validation, test = (build(split.sequences) for split in splits)
    return train, validation, test


def _join(
    *blocks: "tuple[csr_matrix, csr_matrix, csr_matrix]",
) -> "tuple[csr_matrix, csr_matrix, csr_matrix]":
    """Put the columns of several blocks side by side, split by split."""
    from scipy.sparse import hstack

    train, validation, test = (hstack(parts, format="csr") for parts in zip(*blocks, strict=True))
    return train, validation, test


def _build_gc_fraction(sequences: Sequence[str]) -> "csr_matrix":
    """Return G + C over the known bases, [n, 1]; 0 where there is none."""
    from scipy.sparse import csr_matrix

    counts = compute_dense_profiles(sequences, k=1)
    gc = counts[:, BASES.index("C")] + counts[:, BASES.index("G")]
    return csr_matrix((gc / np.maximum(counts.sum(axis=1), 1))[:, None])


def _build_kmer_counts(sequences: Sequence[str], *, k: int) -> "csr_matrix":
    """Return k-mer counts [n, 4^k], made a few thousand sequences at a time."""
    from scipy.sparse import csr_matrix, vstack

    rows = max(1, PROFILE_CELLS // 4**k)
    return vstack(
        [
            csr_matrix(compute_sparse_profiles(sequences[start : start + rows], k=k).astype(np.float64))
            for start in range(0, len(sequences), rows)
        ],
        format="csr",
    )


def _build_position_columns(sequences: Sequence[str], *, length_bp: int) -> "csr_matrix":
    """Return one-hot bases and dinucleotides, [n, 20 x length_bp].

    Sequences are aligned on the first base. Unknown bases, and positions past the end of a sequence, have
    only zeros; bases past length_bp are left out.
    """
    from scipy.sparse import csr_matrix, hstack

    lengths = np.array([len(sequence) + 1 for sequence in sequences])  # with the separator
    codes = encode_bases("N".join(sequences))
    rows = np.repeat(np.arange(len(sequences)), lengths)
    positions = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    blocks = []
    for width in (1, 2):
        kmer_codes = compute_kmer_codes(codes, k=width)
        row, position = rows[: kmer_codes.size], positions[: kmer_codes.size]
        kept = (kmer_codes >= 0) & (position + width <= length_bp)
        columns = position[kept] * 4**width + kmer_codes[kept]
        shape = (len(sequences), length_bp * 4**width)
        blocks.append(csr_matrix((np.ones(len(columns)), (row[kept], columns)), shape=shape))
    return hstack(blocks, format="csr")
