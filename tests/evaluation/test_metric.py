import socket
import subprocess
import sys

import evaluate
import numpy as np
import pytest

from genolm.errors import DataError
from genolm.evaluation.metric import MULTICLASS, SequenceClassificationMetric
from genolm.metrics import compute_classification_metrics

LABELS = [0, 1, 1, 0, 1, 0, 0]
SCORES = np.array([0.1, 0.9, 0.4, 0.6, 0.8, 0.3, 0.2], dtype=np.float32)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args):
        raise AssertionError("the metric reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def build_metric(tmp_path):
    return lambda *args: SequenceClassificationMetric(*args, cache_dir=str(tmp_path))


def test_compute_returns_the_metrics_of_genolm(build_metric):
    found = build_metric().compute(predictions=SCORES, references=LABELS)
    assert found == compute_classification_metrics(LABELS, SCORES)
    assert found["confusion"] == [[3, 1], [1, 2]]


def test_batches_add_up_and_do_not_stay_for_the_next_round(build_metric):
    metric = build_metric()
    for _ in range(2):
        for batch in (slice(0, 3), slice(3, 7)):
            metric.add_batch(predictions=SCORES[batch], references=LABELS[batch])
        assert metric.compute() == compute_classification_metrics(LABELS, SCORES)


def test_the_threshold_is_passed_on(build_metric):
    found = build_metric().compute(predictions=SCORES, references=LABELS, threshold=0.35)
    assert found["confusion"] == [[3, 1], [0, 3]]


def test_combine(build_metric):
    class Prevalence(evaluate.Metric):
        def _info(self):
            return evaluate.MetricInfo(
                description="", citation="", inputs_description="", features=build_metric().features
            )

        def _compute(self, predictions, references):
            return {"prevalence": sum(references) / len(references)}

    combined = evaluate.combine([build_metric(), Prevalence(cache_dir=build_metric().data_dir)])
    combined.add_batch(predictions=SCORES, references=LABELS)
    expected = compute_classification_metrics(LABELS, SCORES) | {"prevalence": 3 / 7}
    assert combined.compute() == expected


def test_multiclass_takes_one_probability_a_class(build_metric):
    scores = np.array(
        [[0.7, 0.2, 0.1], [0.2, 0.2, 0.6], [0.3, 0.4, 0.3], [0.5, 0.25, 0.25]], dtype=np.float32
    )
    found = build_metric(MULTICLASS).compute(predictions=scores, references=[0, 2, 1, 1])
    assert found == compute_classification_metrics([0, 2, 1, 1], scores)
    assert found["accuracy"] == 0.75


def test_logits_are_refused(build_metric):
    with pytest.raises(DataError, match="apply softmax or sigmoid"):
        build_metric().compute(predictions=[-3.0, 2.0], references=[0, 1])


def test_the_inputs_are_documented(build_metric):
    assert "the probability of class 1 (not the predicted class" in build_metric().inputs_description


def test_importing_the_package_loads_no_heavy_library():
    code = (
        "import sys, genolm.evaluation, genolm.evaluation.controls, genolm.evaluation.markov\n"
        "print(sorted({'evaluate', 'datasets', 'sklearn', 'scipy', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
