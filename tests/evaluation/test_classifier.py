from dataclasses import replace

import evaluate
import numpy as np
import pytest
import torch

from genolm.corpus.labeled import LabeledData
from genolm.errors import DataError
from genolm.evaluation.classifier import evaluate_classifier
from genolm.inference.classify import Classifier, classify_sequences
from genolm.metrics import compute_classification_report
from genolm.models import AwdLstmConfig, AwdLstmForSequenceClassification
from genolm.tokenization.scheme import KmerScheme

SCHEME = KmerScheme(k=2, stride=1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", tmp_path)


def build_classifier(*label_names: str) -> Classifier:
    torch.manual_seed(0)
    config = AwdLstmConfig(
        vocab_size=21, embedding_size=6, lstm_size=8, num_layers=2, num_labels=len(label_names)
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
