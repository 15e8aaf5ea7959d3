from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from genolm.errors import RunFolderError
from genolm.inference.classify import Classifier, classify_sequences, load_classifier, predict_table
from genolm.models import AwdLstmConfig, AwdLstmForCausalLM, AwdLstmForSequenceClassification
from genolm.progress import Reporter
from genolm.tokenization.encoder import encode_sequences, pad_batch
from genolm.tokenization.scheme import KmerScheme
from genolm.tokenization.tokenizer_json import save_tokenizer
from genolm.training.persistence.run_folder import save_model_folder

SCHEME = KmerScheme(k=2, stride=1)
SIZE = {"vocab_size": 21, "embedding_size": 6, "lstm_size": 8, "num_layers": 2, "kmer_k": 2}
SEQUENCES = ["ACGTACGTAC", "ac", "GGGUUUAAACCC", "TTGNN", "CATCAT"]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return AwdLstmForSequenceClassification(AwdLstmConfig(**SIZE, id2label={0: "x", 1: "y", 2: "z"}))


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "classifier"
    save_model_folder(path, model=model, scheme=SCHEME)
    return path


def test_a_classifier_comes_back_in_eval_mode_with_its_scheme_and_class_names(model, folder):
    classifier = load_classifier(folder)
    assert classifier.scheme == SCHEME
    assert classifier.label_names == ("x", "y", "z")
    assert not classifier.model.training
    for name, weight in model.state_dict().items():
        assert torch.equal(classifier.model.state_dict()[name], weight)


def test_probabilities_are_those_of_the_model_whatever_the_batch(model, folder):
    classifier = load_classifier(folder)
    found = classify_sequences(classifier, SEQUENCES, batch_size=2)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(classify_sequences(classifier, SEQUENCES), found, atol=1e-5)
    with torch.no_grad():
        logits = model.eval()(input_ids=torch.tensor([[2, 7, 3]])).logits[0]  # [CLS] AC [SEP]
    np.testing.assert_allclose(found[1], logits.softmax(-1).numpy(), atol=1e-5)


def test_the_progress_counts_sequences(folder):
    class Recorder(Reporter):
        def __init__(self) -> None:
            self.seen = []

        @contextmanager
        def task(self, title: str, *, total: int):
            self.seen.append((title, total))
            yield SimpleNamespace(update=lambda completed: self.seen.append(completed))

    reporter = Recorder()
    classify_sequences(load_classifier(folder), SEQUENCES, batch_size=2, reporter=reporter)
    assert reporter.seen == [("predict", 5), 2, 4, 5]


def test_a_language_model_is_no_classifier(tmp_path):
    save_model_folder(tmp_path / "lm", model=AwdLstmForCausalLM(AwdLstmConfig(**SIZE)), scheme=SCHEME)
    with pytest.raises(RunFolderError, match=r"without a classifier's head in .*; run genolm finetune on it"):
        load_classifier(tmp_path / "lm")


def test_an_unfinished_folder_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match=r"no tokenizer_config.json in"):
        load_classifier(tmp_path)
    save_tokenizer(SCHEME, tmp_path)
    with pytest.raises(RunFolderError, match=r"no model.safetensors in .*; finish the training first"):
        load_classifier(tmp_path)


def test_a_table_of_classes_has_the_likeliest_and_all_probabilities(folder):
    classifier = load_classifier(folder)
    header, *rows = predict_table(classifier, SEQUENCES, ids=list("abcde"), batch_size=2)
    assert header == ("id", "label", "p_x", "p_y", "p_z")
    found = classify_sequences(classifier, SEQUENCES)
    for name, row, (sequence_id, label, *probabilities) in zip("abcde", found, rows, strict=True):
        assert (sequence_id, label) == (name, "xyz"[row.argmax()])
        assert [float(each) for each in probabilities] == pytest.approx(row, abs=1e-5)


def build_linear(task: str, num_labels: int) -> Classifier:
    """A model whose outputs are made large, and on both sides of 0."""
    problem_type = {"regression": "regression", "multi_label": "multi_label_classification"}[task]
    torch.manual_seed(0)
    config = AwdLstmConfig(**SIZE, num_labels=num_labels, problem_type=problem_type)
    model = AwdLstmForSequenceClassification(config).eval()
    last = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
    with torch.no_grad():
        last.weight.mul_(100.0)
        batch = pad_batch(encode_sequences(SEQUENCES, SCHEME))
        inputs = torch.from_numpy(batch.input_ids), torch.from_numpy(batch.attention_mask)
        last.bias.sub_(model(input_ids=inputs[0], attention_mask=inputs[1]).logits.mean(dim=0))
    return Classifier(model, SCHEME, tuple("abc"[:num_labels]))


def test_a_table_of_a_regression_has_its_values():
    classifier = build_linear("regression", 1)
    header, *rows = predict_table(classifier, SEQUENCES, ids=list("abcde"))
    assert header == ("id", "value")
    values = classify_sequences(classifier, SEQUENCES)[:, 0]
    assert [float(value) for _, value in rows] == pytest.approx(values, rel=1e-5)
    assert np.ptp(values) > 0.5, "the sequences must differ for this test"


def test_a_table_of_several_labels_names_those_from_one_half_on():
    classifier = build_linear("multi_label", 3)
    header, *rows = predict_table(classifier, SEQUENCES, ids=list("abcde"))
    assert header == ("id", "labels", "p_a", "p_b", "p_c")
    for _, labels, *probabilities in rows:
        assert labels == (
            ";".join(n for n, p in zip("abc", probabilities, strict=True) if float(p) >= 0.5) or ";"
        )
    assert len({labels for _, labels, *_ in rows}) > 1, "the sequences must differ for this test"
