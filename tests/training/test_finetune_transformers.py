"""Fine-tuning of masked language models: plain BERT and ModernBERT folders of transformers."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from breaking import BreakingReporter, BrokenOffError
from safetensors.torch import load_file
from small_masked_lms import DATA, MODELS, SCHEME, SETTINGS, SHORT, SMALL_DATA, save_pretrained
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    Trainer,
    TrainingArguments,
)

from genolm.corpus.labeled import LabeledData
from genolm.files import read_json
from genolm.inference.classify import classify_sequences, load_classifier
from genolm.models.scoring import compute_probabilities
from genolm.tokenization.encoder import encode_sequences
from genolm.training.classifier import LoraSettings, finetune
from genolm.training.finetuning.data import Unit
from genolm.training.finetuning.methods import finish_method, prepare_method
from genolm.training.finetuning.models import build_classifier, build_config
from genolm.training.job import LoopSettings
from genolm.training.schedules import PhaseSettings

METHODS = {"full": 1.0, "probe": 4.0, "lora": 2.0}  # and how many times faster each has to learn


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Pretrained folders by model type."""
    root = tmp_path_factory.mktemp("pretrained")
    save_pretrained(root)
    return root


@pytest.fixture(
    scope="module", params=[("bert", "full"), ("bert", "probe"), ("bert", "lora"), ("modernbert", "lora")]
)
def trained(request, folders, tmp_path_factory):
    """A fine-tuned folder, its metrics, the pretrained folder and the method."""
    model_type, method = request.param
    phases = (PhaseSettings(epochs=6, learning_rate=5e-3 * METHODS[method]),)
    folder = tmp_path_factory.mktemp("trained") / f"{model_type}-{method}"
    metrics = finetune(
        DATA,
        folder,
        settings=replace(SETTINGS, method=method, phases=phases),
        pretrained=folders / model_type,
    )
    return folder, metrics, folders / model_type, method


def test_each_method_finds_a_planted_motif(trained):
    assert trained[1]["test"]["auroc"] > 0.9


def load_weights(folder) -> dict[str, torch.Tensor]:
    """The weights by today's names; transformers 5.0 writes a loaded BERT's norms by the oldest ones."""
    norms = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
    weights = load_file(folder / "model.safetensors")
    for old, new in norms.items():
        weights = {name.replace(old, new): tensor for name, tensor in weights.items()}
    return weights


def test_each_method_changes_what_it_should(trained):
    folder, _, pretrained, method = trained
    before, after = load_weights(pretrained), load_weights(folder)
    is_encoder = [name for name in before if ".embeddings." in name or "layer" in name]
    changed = {name for name in is_encoder if not torch.equal(before[name], after[name])}
    if method == "full":
        assert changed == set(is_encoder)
    elif method == "probe":
        assert changed == set()
    else:
        adapted = ("query.weight", "value.weight", "Wqkv.weight")
        assert changed == {name for name in is_encoder if name.endswith(adapted)}
        for name in changed:
            assert torch.linalg.matrix_rank(after[name] - before[name], rtol=1e-3) <= 8


def test_the_folder_is_a_plain_one(trained):
    folder, _, pretrained, _ = trained
    config = read_json(folder / "config.json")
    assert "auto_map" not in config
    assert config["id2label"] == {"0": "none", "1": "box"}
    assert config["problem_type"] == "single_label_classification"
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "loss_curve.png",
        "metrics.json",
        "model.safetensors",
        "run_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "training_log.jsonl",
    }
    classes = {"bert": "BertForSequenceClassification", "modernbert": "ModernBertForSequenceClassification"}
    assert config["architectures"] == [classes[pretrained.name]]


def test_the_metrics_are_those_of_the_saved_model(trained):
    folder, metrics, _, _ = trained
    test = DATA.select("test")
    found = classify_sequences(load_classifier(folder), test.sequences)
    assert ((found[:, 1] >= 0.5) == test.labels).mean() == metrics["test"]["accuracy"]


def test_without_genolm_the_folder_gives_the_same_probabilities(folders, run_plain, tmp_path):
    finetune(SMALL_DATA, tmp_path / "run", settings=SHORT, pretrained=folders / "bert")
    program = (
        "import json, sys, torch\n"
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer\n"
        "folder, *sequences = sys.argv[1:]\n"
        "tokenizer = AutoTokenizer.from_pretrained(folder)\n"
        "model = AutoModelForSequenceClassification.from_pretrained(folder)\n"
        "with torch.no_grad():\n"
        "    logits = model(**tokenizer(sequences, padding=True, return_tensors='pt')).logits\n"
        "assert 'genolm' not in sys.modules\n"
        "print(json.dumps(logits.softmax(-1).tolist()))\n"
    )
    sequences = [DATA.sequences[0], DATA.sequences[1][:9]]
    shown = run_plain(program, tmp_path / "run", *sequences)
    found = classify_sequences(load_classifier(tmp_path / "run"), sequences)
    np.testing.assert_allclose(json.loads(shown), found, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_broken_off_finetuning_ends_like_an_unbroken_one(method, folders, tmp_path):
    settings = replace(SHORT, method=method, lora=LoraSettings(rank=4, dropout=0.1))
    whole = finetune(SMALL_DATA, tmp_path / "whole", settings=settings, pretrained=folders / "bert")
    for step in (2, 7):
        with pytest.raises(BrokenOffError, match=f"after step {step}"):
            finetune(
                SMALL_DATA,
                tmp_path / "parts",
                settings=settings,
                pretrained=folders / "bert",
                reporter=BreakingReporter(step),
            )
    assert finetune(SMALL_DATA, tmp_path / "parts", settings=settings, pretrained=folders / "bert") == whole
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("model_type", MODELS)
def test_the_merged_model_predicts_as_the_adapted_one(model_type, folders):
    settings = replace(SETTINGS, method="lora")
    config = build_config(SCHEME, settings, ("a", "b"), pretrained=folders / model_type)
    model = build_classifier(config, pretrained=folders / model_type, seed=0)
    prepared = prepare_method(model, settings, is_given_embedding=False, seed=0)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in prepared.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1, generator=generator)
    token_ids = encode_sequences(DATA.sequences[:20], SCHEME)
    adapted = compute_probabilities(prepared.model.eval(), token_ids)
    learn = {name for name, parameter in prepared.model.named_parameters() if parameter.requires_grad}
    head = ("lora_", "pooler", "classifier", "head", "final_norm")
    assert all(any(part in name for part in head) for name in learn)
    merged = finish_method(prepared.model, unit=Unit(0.0, 1.0))
    assert type(merged).__name__ in ("BertForSequenceClassification", "ModernBertForSequenceClassification")
    np.testing.assert_allclose(compute_probabilities(merged.eval(), token_ids), adapted, atol=1e-5)
    plain = build_classifier(config, pretrained=folders / model_type, seed=0)
    assert np.abs(compute_probabilities(plain.eval(), token_ids) - adapted).max() > 0.01


def test_layer_groups_thaw_from_the_output_down(folders, tmp_path):
    settings = replace(SHORT, phases=(PhaseSettings(epochs=1, learning_rate=1e-3, trained_groups=2),))
    finetune(SMALL_DATA, tmp_path / "run", settings=settings, pretrained=folders / "bert")
    before = load_file(folders / "bert" / "model.safetensors")
    after = load_file(tmp_path / "run" / "model.safetensors")
    for name in before.keys() & after.keys():
        is_frozen = ".embeddings." in name or ".layer.0." in name
        assert torch.equal(before[name], after[name]) == is_frozen, name


def test_lower_groups_learn_more_slowly(folders, tmp_path):
    settings = replace(
        SHORT,
        phases=(PhaseSettings(epochs=1, learning_rate=1e-3),),
        schedule="constant",
        batch_size=24,
        group_factor=10.0,
        loop=LoopSettings(precision="no", weight_decay=0.0),
    )
    finetune(SMALL_DATA, tmp_path / "run", settings=settings, pretrained=folders / "bert")
    before = load_file(folders / "bert" / "model.safetensors")
    after = load_file(tmp_path / "run" / "model.safetensors")
    for layer, rate in (("layer.1", 1e-4), ("layer.0", 1e-5)):
        name = f"bert.encoder.{layer}.output.dense.weight"
        # one step of Adam moves a weight by its rate
        assert (after[name] - before[name]).abs().max().item() == pytest.approx(rate, rel=0.05)


class EncodedRows(torch.utils.data.Dataset):
    """Sequences with labels as Trainer takes them."""

    def __init__(self, folder, data: LabeledData) -> None:
        encoded = AutoTokenizer.from_pretrained(folder)(data.sequences)
        self.rows = [
            {"input_ids": ids, "attention_mask": mask, "labels": int(label)}
            for ids, mask, label in zip(
                encoded["input_ids"], encoded["attention_mask"], data.labels, strict=True
            )
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        return self.rows[index]


def train_with_trainer(model, folder, output) -> float:
    """Return the loss after a short training by transformers' own loop."""
    arguments = TrainingArguments(
        output_dir=str(output),
        num_train_epochs=3,
        learning_rate=5e-3,
        per_device_train_batch_size=16,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=EncodedRows(folder, DATA.select("train")))
    trainer.train()
    return trainer.evaluate(EncodedRows(folder, DATA.select("train")))["eval_loss"]


@pytest.mark.filterwarnings("default::FutureWarning", "default::UserWarning")
def test_the_same_checkpoint_trains_with_trainer(folders, tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(folders / "bert")
    assert isinstance(model, BertForSequenceClassification)
    assert train_with_trainer(model, folders / "bert", tmp_path) < 0.5


@pytest.mark.filterwarnings("default::FutureWarning", "default::UserWarning")
def test_the_same_checkpoint_trains_with_peft(folders, tmp_path):
    from peft import LoraConfig, TaskType, get_peft_model

    model = AutoModelForSequenceClassification.from_pretrained(folders / "bert")
    lora = LoraConfig(task_type=TaskType.SEQ_CLS, r=8, lora_alpha=16, target_modules=["query", "value"])
    assert train_with_trainer(get_peft_model(model, lora), folders / "bert", tmp_path) < 0.6
