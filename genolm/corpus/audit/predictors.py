"""What predictors that know no biology reach: length, GC, 3-mers, and k-mers in common with training records.

They are fitted on the training split and tried on the test split. Without both, records are divided into five
random folds, stratified by class, each predicted from the other four.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genolm.corpus.kmer_matrix import build_kmer_matrix, cap_columns
from genolm.corpus.labeled import SPLITS, LabeledData
from genolm.kmer_profiles import compute_dense_profiles
from genolm.metrics import compute_classification_metrics

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

NUM_FOLDS = 5
SHORT_RULE_BP, LONG_RULE_BP = 16, 31
SHORT_RECORD_BP = 150
"""median length below which a shared 16-mer, instead of a 31-mer, makes the rule"""
MAX_TRAINING_RECORDS_PER_KMER = 64

_TREE_DEPTH = 2
_BLOCK_ROWS = 2_000

Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Fold(NamedTuple):
    """Numbers of the records to fit on, and of those to predict."""

    train: Numbers
    test: Numbers


@dataclass(frozen=True, kw_only=True)
class TrivialPredictor:
    """How well a predictor without biology does."""

    name: str
    """length, gc, kmer_3, shared_kmer_rule"""
    description: str
    mcc: float
    """of all predicted records together"""


@dataclass(frozen=True, kw_only=True)
class TrivialPredictors:
    """The predictors, and the records they were tried on."""

    protocol: str
    """such as `train to test`; empty where a class has too few records to be predicted"""
    predictors: tuple[TrivialPredictor, ...]

    def find(self, name: str) -> TrivialPredictor | None:
        """Return the best predictor of this name."""
        found = [predictor for predictor in self.predictors if predictor.name == name]
        return max(found, key=lambda predictor: predictor.mcc, default=None)


def try_trivial_predictors(data: LabeledData) -> TrivialPredictors:
    """Try every trivial predictor; there is none where a class has a single record and no split is given."""
    protocol, folds = _build_folds(data)
    if not folds:
        return TrivialPredictors(protocol="", predictors=())
    bases = compute_dense_profiles(data.sequences, k=1)
    gc = bases[:, 2:].sum(axis=1) / np.maximum(bases.sum(axis=1), 1)  # the order is A, T, C, G
    lengths = np.fromiter(map(len, data.sequences), dtype=np.float64, count=len(data))
    kmers = compute_dense_profiles(data.sequences, k=3, values="frequencies")
    fitted = (
        ("length", "length alone, in up to four ranges", lengths[:, None], _build_tree),
        ("gc", "GC fraction alone, in up to four ranges", gc[:, None], _build_tree),
        ("kmer_3", "logistic regression on 3-mer frequencies", kmers, _build_regression),
    )
    found = [
        (name, description, _predict_from_features(features, data.labels, folds, build))
        for name, description, features, build in fitted
    ]
    predictors = [
        TrivialPredictor(name=name, description=description, mcc=_compute_mcc(data, folds, predicted))
        for name, description, predicted in found
    ]
    return TrivialPredictors(
        protocol=protocol, predictors=(*predictors, *_try_rules(data, folds, median_bp=np.median(lengths)))
    )


def _build_folds(data: LabeledData) -> tuple[str, list[Fold]]:
    """Return what is predicted from what, in words and in numbers of records."""
    from sklearn.model_selection import StratifiedKFold

    splits = np.array(data.splits)
    present = [split for split in SPLITS if (splits == split).any()]
    if len(present) > 1:
        train, test = (np.flatnonzero(splits == present[place]) for place in (0, -1))
        if len(np.unique(data.labels[train])) > 1:
            return f"{present[0]} to {present[-1]}", [Fold(train, test)]
    smallest = np.unique(data.labels, return_counts=True)[1].min()
    if smallest < 2:
        return "", []
    num_folds = int(min(NUM_FOLDS, smallest))
    folder = StratifiedKFold(num_folds, shuffle=True, random_state=0)
    folds = [Fold(*fold) for fold in folder.split(np.zeros(len(data)), data.labels)]
    return f"random {num_folds}-fold cross-validation", folds


def _build_tree() -> Any:
    """Ranges of one feature, so that a class between two others, or one of a single length, is found too."""
    from sklearn.tree import DecisionTreeClassifier

    return DecisionTreeClassifier(max_depth=_TREE_DEPTH, random_state=0)


def _build_regression() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))


def _predict_from_features(features: Floats, labels: Numbers, folds: list[Fold], build: Any) -> Numbers:
    predicted = np.zeros(len(labels), dtype=np.int64)
    for train, test in folds:
        predicted[test] = build().fit(features[train], labels[train]).predict(features[test])
    return predicted


def _try_rules(data: LabeledData, folds: list[Fold], *, median_bp: float) -> Iterator[TrivialPredictor]:
    """Yield a rule for the records of each of two classes, or one rule for more classes."""
    k = SHORT_RULE_BP if median_bp < SHORT_RECORD_BP else LONG_RULE_BP
    shared = build_kmer_matrix(data.sequences, k=k).shared
    if len(data.label_names) > 2:
        predicted = _predict_by_nearest(shared, data.labels, folds)
        description = f"class of the training record with which it shares most {k}-mers"
        yield TrivialPredictor(
            name="shared_kmer_rule", description=description, mcc=_compute_mcc(data, folds, predicted)
        )
        return
    for label, name in enumerate(data.label_names):
        mcc = _compute_mcc(data, folds, _predict_by_class(shared, data.labels, folds, label=label))
        # Negatives made from pieces of positives share k-mers with these: then the rule holds upside down.
        answer = data.label_names[label if mcc >= 0 else 1 - label]
        description = f"'{answer}' if it shares a {k}-mer with a training record of '{name}'"
        yield TrivialPredictor(name="shared_kmer_rule", description=description, mcc=abs(mcc))


def _predict_by_class(shared: "csr_matrix", labels: Numbers, folds: list[Fold], *, label: int) -> Numbers:
    """Predict the class where a record holds a k-mer of its training records, else the other class."""
    predicted = np.zeros(len(labels), dtype=np.int64)
    for train, test in folds:
        held = np.asarray(shared[train[labels[train] == label]].sum(axis=0)).ravel() > 0
        is_found = shared[test] @ held.astype(np.int32) > 0
        predicted[test] = np.where(is_found, label, 1 - label)
    return predicted


def _predict_by_nearest(shared: "csr_matrix", labels: Numbers, folds: list[Fold]) -> Numbers:
    """Predict the class of the training record with the most k-mers in common, else the largest class."""
    predicted = np.zeros(len(labels), dtype=np.int64)
    for train, test in folds:
        holders = cap_columns(shared[train], max_records=MAX_TRAINING_RECORDS_PER_KMER).T.tocsr()
        predicted[test] = np.bincount(labels[train]).argmax()
        for start in range(0, len(test), _BLOCK_ROWS):
            rows = test[start : start + _BLOCK_ROWS]
            common = shared[rows] @ holders
            nearest = np.asarray(common.argmax(axis=1)).ravel()
            is_found = common.getnnz(axis=1) > 0
            predicted[rows[is_found]] = labels[train[nearest[is_found]]]
    return predicted


def _compute_mcc(data: LabeledData, folds: list[Fold], predicted: Numbers) -> float:
    tested = np.concatenate([fold.test for fold in folds])
    scores = np.eye(len(data.label_names))[predicted[tested]]
    return float(compute_classification_metrics(data.labels[tested], scores)["mcc"])
