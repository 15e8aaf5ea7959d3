"""Fine-tuning with a label for each base."""

import json
from dataclasses import replace

import numpy as np
import pytest
from breaking import BreakingReporter, BrokenOffError
from small_masked_lms import DATA, MODELS, SCHEME, SETTINGS, SHORT, SMALL_DATA, save_pretrained

from genolm.corpus.labeled import LabeledData
from genolm.errors import DataError, SettingsError
from genolm.evaluation.classifier import evaluate_classifier
from genolm.files import read_json
from genolm.inference.classify import classify_bases, load_classifier
from genolm.training.classifier import finetune
from genolm.training.finetuning.settings import FinetuneSettings
from genolm.training.job import LoopSettings

TOKENS = {"task": "token_classification", "monitor": "mcc"}
LONG = replace(SETTINGS, **TOKENS)
BRIEF = replace(SHORT, **TOKENS)


def mark_boxes(data: LabeledData) -> LabeledData:
    """Label the bases of TATAAT with B, and all others with a dot."""
    labels = tuple(sequence.replace("TATAAT", "BBBBBB") for sequence in data.sequences)
    labels = tuple("".join("B" if letter == "B" else "." for letter in label) for label in labels)
    names = tuple(sorted(set(labels)))
    return replace(data, labels=np.array([names.index(label) for label in labels]), label_names=names)


BOXES, SMALL_BOXES = mark_boxes(DATA), mark_boxes(SMALL_DATA)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Pretrained folders by model type."""
    root = tmp_path_factory.mktemp("pretrained")
    save_pretrained(root)
    return root


@pytest.fixture(scope="module", params=MODELS)
def trained(request, folders, tmp_path_factory):
    """The model type, a fine-tuned folder and its metrics."""
    folder = tmp_path_factory.mktemp("trained") / request.param
    return request.param, folder, finetune(BOXES, folder, settings=LONG, pretrained=folders / request.param)


def test_it_finds_the_bases_of_a_motif(trained):
    metrics = trained[2]
    test = metrics["test"]
    assert test["mcc"] > 0.85
    assert test["ci95"]["mcc"][0] < test["mcc"] < test["ci95"]["mcc"][1]
    assert test["classes"]["B"]["recall"] > 0.8
    assert (test["n"], test["bases"]) == (60, 60 * 30)
    assert set(metrics["validation"]["classes"]) == {".", "B"}


def test_the_folder_is_a_plain_one(trained):
    model_type, folder, metrics = trained
    config = read_json(folder / "config.json")
    classes = {"bert": "BertForTokenClassification", "modernbert": "ModernBertForTokenClassification"}
    assert config["architectures"] == [classes[model_type]]
    assert config["id2label"] == {"0": ".", "1": "B"}
    assert "auto_map" not in config
    classifier = load_classifier(folder)
    assert (classifier.task, classifier.label_names) == ("token_classification", (".", "B"))
    assert evaluate_classifier(classifier, BOXES.select("test")) == metrics["test"]


def test_a_base_does_not_depend_on_the_rest_of_the_batch(trained):
    sequences = [DATA.sequences[1], DATA.sequences[3][:11], DATA.sequences[5][:3], DATA.sequences[7]]
    classifier = load_classifier(trained[1])
    together = classify_bases(classifier, sequences)
    for sequence, rows in zip(sequences, together, strict=True):
        assert rows.shape == (len(sequence), 2)
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(classify_bases(classifier, [sequence])[0], rows, atol=1e-5)


def test_without_genolm_the_folder_gives_the_same_probabilities(folders, run_plain, tmp_path):
    finetune(SMALL_BOXES, tmp_path / "run", settings=BRIEF, pretrained=folders / "bert")
    program = (
        "import json, sys, torch\n"
        "from transformers import AutoModelForTokenClassification, AutoTokenizer\n"
        "tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])\n"
        "model = AutoModelForTokenClassification.from_pretrained(sys.argv[1])\n"
        "with torch.no_grad():\n"
        "    logits = model(**tokenizer(sys.argv[2], return_tensors='pt')).logits[0]\n"
        "assert 'genolm' not in sys.modules\n"
        "print(json.dumps(logits.softmax(-1).tolist()))\n"
    )
    folder, sequence = tmp_path / "run", DATA.sequences[1]
    shown = run_plain(program, folder, sequence)
    tokens = np.array(json.loads(shown))[1:-1]  # 28 3-mers for 30 bases, without [CLS] and [SEP]
    found = classify_bases(load_classifier(folder), [sequence])[0]
    np.testing.assert_allclose(found[1:-1], tokens, atol=1e-5)
    np.testing.assert_allclose(found[[0, -1]], tokens[[0, -1]], atol=1e-5)


def test_its_encoder_can_be_finetuned_again_for_whole_sequences(trained, tmp_path):
    finetune(SMALL_DATA, tmp_path / "run", settings=SHORT, pretrained=trained[1])
    classifier = load_classifier(tmp_path / "run")
    assert (classifier.task, classifier.label_names) == ("classification", ("none", "box"))


def test_bases_without_a_label_teach_nothing_and_are_not_scored(folders, tmp_path):
    dashed = tuple("-" * 10 + label[10:] for label in SMALL_BOXES.label_names)
    metrics = finetune(
        replace(SMALL_BOXES, label_names=dashed), tmp_path, settings=BRIEF, pretrained=folders / "bert"
    )
    assert metrics["validation"]["bases"] == 10 * 20


@pytest.mark.parametrize("method", ["probe", "lora"])
def test_a_broken_off_finetuning_ends_like_an_unbroken_one(method, folders, tmp_path):
    settings = replace(BRIEF, method=method)
    whole = finetune(SMALL_BOXES, tmp_path / "whole", settings=settings, pretrained=folders / "modernbert")
    with pytest.raises(BrokenOffError, match="after step 7"):
        finetune(
            SMALL_BOXES,
            tmp_path / "parts",
            settings=settings,
            pretrained=folders / "modernbert",
            reporter=BreakingReporter(7),
        )
    again = finetune(SMALL_BOXES, tmp_path / "parts", settings=settings, pretrained=folders / "modernbert")
    assert again == whole
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]


def test_how_a_batch_is_cut_changes_only_rounding(folders, tmp_path):
    """Sequences have different numbers of labels, so a micro-batch must count by its labels."""
    labels = tuple(
        "-" * (number % 25) + label[number % 25 :] for number, label in enumerate(SMALL_BOXES.label_names)
    )
    data = replace(SMALL_BOXES, label_names=labels)
    losses = []
    for rows in (0, 3):
        loop = LoopSettings(precision="no", log_every_steps=1, micro_batch_rows=rows)
        settings = replace(BRIEF, loop=loop, classifier_dropout=0.0)  # a ModernBERT has no other dropout
        folder = tmp_path / str(rows)
        finetune(data, folder, settings=settings, pretrained=folders / "modernbert")
        lines = [json.loads(line) for line in (folder / "training_log.jsonl").read_text().splitlines()]
        losses.append([line["loss"] for line in lines if "grad_norm" in line])
    assert len(losses[0]) == 9
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_long_sequences_are_labeled_in_windows(folders, tmp_path):
    data = mark_boxes(replace(SMALL_DATA, sequences=[text * 2 for text in SMALL_DATA.sequences]))
    with pytest.raises(DataError, match="record_0 with 60 tokens; expected at most 32"):
        finetune(data, tmp_path / "run", settings=BRIEF, pretrained=folders / "bert")
    settings = replace(BRIEF, long_inputs="windows")
    metrics = finetune(data, tmp_path / "run", settings=settings, pretrained=folders / "bert")
    assert metrics["steps"] == 3 * 9, "24 sequences of 58 k-mers are 72 windows of 30"
    assert metrics["validation"]["bases"] == 10 * 60
    assert [len(rows) for rows in classify_bases(load_classifier(tmp_path / "run"), data.sequences[:2])] == [
        60,
        60,
    ]


def test_an_awd_lstm_has_no_head_for_tokens(tmp_path):
    with pytest.raises(
        SettingsError,
        match=r"task token_classification for an AWD-LSTM; expected a model with attention: bert or .*; sta",
    ):
        finetune(SMALL_BOXES, tmp_path / "run", settings=BRIEF, scheme=SCHEME)
    assert not (tmp_path / "run").exists()


def test_what_chooses_the_epoch_must_be_a_figure_of_the_task():
    with pytest.raises(SettingsError, match=r"monitor 'auroc'; expected .* mcc, accuracy, loss"):
        FinetuneSettings(task="token_classification")
