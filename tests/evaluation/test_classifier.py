from dataclasses import replace

import evaluate
import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, roc_auc_score
from transformers import BertConfig, BertForTokenClassification

from genolm.corpus.labeled import LabeledData
from genolm.errors import DataError
from genolm.evaluation.classifier import evaluate_classifier
from genolm.inference.classify import Classifier, classify_bases, classify_sequences
from genolm.metrics import compute_classification_report
from genolm.models import AwdLstmConfig, AwdLstmForSequenceClassification
from genolm.tokenization.scheme import KmerScheme

SCHEME = KmerScheme(k=2, stride=1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", tmp_path)


def build_classifier(*label_names: str, problem_type: str | None = None) -> Classifier:
    torch.manual_seed(0)
    config = AwdLstmConfig(
        vocab_size=21,
        embedding_size=6,
        lstm_size=8,
        num_layers=2,
        num_labels=len(label_names),
        problem_type=problem_type,
    )
    return Classifier(AwdLstmForSequenceClassification(config).eval(), SCHEME, label_names)


def build_data(*label_names: str) -> LabeledData:
    generator = np.random.default_rng(0)
    sequences = ["".join(generator.choice(list("ACGT"), size=20)) for _ in range(24)]
    return LabeledData(
        sequences=sequences,
        labels=generator.integers(len(label_names), size=24),
        label_names=label_names,
        splits=("test",) * 24,
        ids=tuple(map(str, range(24))),
    )


def compare(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    assert found["confusion"] == expected["confusion"]
    for name in ("accuracy", "mcc", "auroc", "auprc"):
        assert found[name] == pytest.approx(expected[name], abs=1e-6)
        assert found["ci95"][name] == pytest.approx(expected["ci95"][name], abs=1e-6)


def test_two_classes_give_the_report_of_metrics_json():
    classifier, data = build_classifier("no", "yes"), build_data("no", "yes")
    scores = classify_sequences(classifier, data.sequences)[:, 1]
    compare(evaluate_classifier(classifier, data), compute_classification_report(data.labels, scores))


def test_three_classes_give_the_report_of_metrics_json():
    classifier, data = build_classifier("a", "b", "c"), build_data("a", "b", "c")
    scores = classify_sequences(classifier, data.sequences)
    compare(evaluate_classifier(classifier, data), compute_classification_report(data.labels, scores))


def test_labels_are_matched_by_name_and_not_by_number():
    classifier, data = build_classifier("no", "yes"), build_data("no", "yes")
    swapped = replace(data, labels=1 - data.labels, label_names=("yes", "no"))
    assert evaluate_classifier(classifier, swapped) == evaluate_classifier(classifier, data)
    one_class = replace(data, labels=np.zeros(24, dtype=np.int64), label_names=("yes",))
    figures = evaluate_classifier(classifier, one_class)
    assert figures["confusion"][0] == [0, 0]
    assert figures["auroc"] is None


def test_a_label_that_the_classifier_does_not_know_is_refused():
    with pytest.raises(
        DataError, match="the unknown label maybe; expected sequences with the labels no, yes"
    ):
        evaluate_classifier(build_classifier("no", "yes"), build_data("maybe", "yes"))


def test_no_sequence_is_refused():
    data = build_data("no", "yes").select("train")
    with pytest.raises(DataError, match="found no sequence; expected sequences with the labels no, yes"):
        evaluate_classifier(build_classifier("no", "yes"), data)


def test_a_regression_is_told_in_correlations_and_squared_error():
    classifier, data = build_classifier("value"), build_data("1.5", "2", "-3e0")
    values = np.array([1.5, 2.0, -3.0])[data.labels]
    outputs = classify_sequences(classifier, data.sequences)[:, 0]
    figures = evaluate_classifier(classifier, data)
    assert figures["n"] == 24
    assert figures["mse"] == pytest.approx(np.mean((values - outputs) ** 2))
    assert figures["spearman"] == pytest.approx(spearmanr(values, outputs).statistic)
    for name in ("mse", "pearson", "spearman"):
        low, high = figures["ci95"][name]
        assert low < figures[name] < high
    with pytest.raises(DataError, match="the label 'high'; expected a number"):
        evaluate_classifier(classifier, build_data("high", "2"))
    with pytest.raises(DataError, match="no sequence; expected sequences with numbers"):
        evaluate_classifier(classifier, data.select("train"))


def test_several_labels_are_matched_by_name():
    classifier = build_classifier("x", "y", "z", problem_type="multi_label_classification")
    data = build_data("z;y", ";", "z")  # in the data no sequence has x
    figures = evaluate_classifier(classifier, data)
    outputs = classify_sequences(classifier, data.sequences)
    assert (figures["n"], set(figures["labels"])) == (24, {"x", "y", "z"})
    assert figures["labels"]["x"]["auroc"] is None
    y, z = (roc_auc_score(np.isin(data.labels, rows), outputs[:, i]) for i, rows in ((1, [0]), (2, [0, 2])))
    assert figures["labels"]["y"]["auroc"] == pytest.approx(y)
    assert figures["labels"]["z"]["auroc"] == pytest.approx(z)
    assert figures["auroc"] == pytest.approx((y + z) / 2)
    assert set(figures["labels"]["z"]["ci95"]) > {"auroc", "auprc"}
    with pytest.raises(DataError, match="the unknown label w; expected sequences with the labels x, y, z"):
        evaluate_classifier(classifier, build_data("w;x", "y"))


def test_labels_of_bases_are_matched_by_letter():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=21,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_labels=3,
        initializer_range=0.5,
        architectures=["BertForTokenClassification"],
    )
    classifier = Classifier(BertForTokenClassification(config).eval(), SCHEME, tuple(".EI"))
    data = build_data("EEEEEEEEEEIIIIIIIIII", "-" * 10 + "I" * 10)  # E and I are classes 0 and 1 in the data
    labels = np.array([[1] * 10 + [2] * 10, [-1] * 10 + [2] * 10])[data.labels]
    predicted = np.stack([rows.argmax(axis=1) for rows in classify_bases(classifier, data.sequences)])
    figures = evaluate_classifier(classifier, data)
    known = labels >= 0
    assert figures["accuracy"] == pytest.approx(accuracy_score(labels[known], predicted[known]))
    assert figures["bases"] == known.sum()
    assert (figures["classes"]["."]["bases"], figures["classes"]["."]["recall"]) == (0, None)
    with pytest.raises(DataError, match=r"the unknown label x; expected sequences with the labels \., E, I"):
        evaluate_classifier(classifier, build_data("x" * 20, "E" * 20))
