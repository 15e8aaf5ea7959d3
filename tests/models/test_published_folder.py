"""A saved folder must load with plain transformers where genolm cannot be imported."""

import json

import pytest
import torch
from safetensors import safe_open
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    Trainer,
    TrainingArguments,
)

from genolm.models import AwdLstmConfig, AwdLstmForCausalLM, AwdLstmForSequenceClassification, AwdLstmModel

IDS = torch.tensor([[2, 5, 6, 9, 3, 0], [2, 11, 15, 20, 8, 3]])

# Runs where genolm cannot be imported; prints the logits of the two folders.
LOAD_WITHOUT_GENOLM = """
import json, sys
sys.modules["genolm"] = None
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
ids, lm_folder, classifier_folder = json.loads(sys.stdin.read())
ids = torch.tensor(ids)
with torch.no_grad():
    lm = AutoModelForCausalLM.from_pretrained(lm_folder, trust_remote_code=True).eval()
    classifier = AutoModelForSequenceClassification.from_pretrained(classifier_folder, trust_remote_code=True)
    classifier.eval()
    masked = lm(input_ids=ids).logits
    print(json.dumps({
        "lm": masked.masked_fill(masked == float("-inf"), -1e30).tolist(),
        "classifier": classifier(input_ids=ids, attention_mask=(ids != 0).long()).logits.tolist(),
        "labels": classifier.config.id2label,
        "module": type(lm).__module__,
        "genolm": sorted(name for name in sys.modules if name.startswith("genolm")),
    }))
"""


def build_config(**changes) -> AwdLstmConfig:
    settings = {"vocab_size": 21, "embedding_size": 8, "lstm_size": 12, "num_layers": 2, "kmer_k": 2}
    return AwdLstmConfig(**{**settings, **changes})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return (language model, its folder, classifier, its folder)."""
    folder = tmp_path_factory.mktemp("published")
    torch.manual_seed(0)
    lm = AwdLstmForCausalLM(build_config()).eval()
    names = {0: "promoter", 1: "other"}
    reading = {"direction": "backward", "max_bptt_tokens": 3, "bptt_tokens": 2, "classifier_norm": "batch"}
    classifier = AwdLstmForSequenceClassification(build_config(id2label=names, **reading)).eval()
    with torch.no_grad():
        lm.decoder.bias.uniform_(-1, 1)
    lm.save_pretrained(folder / "lm")
    classifier.save_pretrained(folder / "classifier")
    return lm, folder / "lm", classifier, folder / "classifier"


def test_a_saved_folder_holds_safetensors_the_modeling_file_and_its_names(saved):
    for folder in (saved[1], saved[3]):
        assert sorted(file.name for file in folder.iterdir()) == [
            "config.json",
            "model.safetensors",
            "modeling_awd_lstm.py",
        ]
        config = json.loads((folder / "config.json").read_text())
        assert config["model_type"] == "awd_lstm"
        assert config["auto_map"]["AutoConfig"] == "modeling_awd_lstm.AwdLstmConfig"
    assert config["auto_map"]["AutoModelForSequenceClassification"] == (
        "modeling_awd_lstm.AwdLstmForSequenceClassification"
    )


def test_the_tied_matrix_is_saved_once(saved):
    with safe_open(saved[1] / "model.safetensors", framework="pt") as file:
        names = set(file.keys())
    assert {name for name in names if "lstm_layers" not in name} == {
        "awd_lstm.embedding.weight",
        "decoder.bias",
    }


def test_folders_load_where_genolm_cannot_be_imported(saved, run_plain):
    lm, lm_folder, classifier, classifier_folder = saved
    request = json.dumps([IDS.tolist(), str(lm_folder), str(classifier_folder)])
    answer = json.loads(run_plain(LOAD_WITHOUT_GENOLM, text=request))
    with torch.no_grad():
        lm_logits = lm(input_ids=IDS).logits
        logits = classifier(input_ids=IDS, attention_mask=(IDS != 0).long()).logits
    finite = lm_logits.masked_fill(lm_logits == float("-inf"), -1e30)
    assert torch.equal(torch.tensor(answer["lm"]), finite)
    assert torch.equal(torch.tensor(answer["classifier"]), logits)
    assert answer["labels"] == {"0": "promoter", "1": "other"}
    assert answer["module"].startswith("transformers_modules.")
    assert answer["genolm"] == ["genolm"], "only the entry that blocks the import"


def test_auto_classes_find_the_models_without_remote_code(saved):
    _, lm_folder, classifier, classifier_folder = saved
    assert type(AutoModelForCausalLM.from_pretrained(lm_folder)) is AwdLstmForCausalLM
    assert type(AutoModel.from_pretrained(lm_folder)) is AwdLstmModel
    loaded = AutoModelForSequenceClassification.from_pretrained(classifier_folder)
    assert type(loaded) is AwdLstmForSequenceClassification
    for name, weight in classifier.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight), name


def test_a_loaded_language_model_is_tied_again(saved):
    loaded = AwdLstmForCausalLM.from_pretrained(saved[1])
    assert loaded.decoder.weight is loaded.awd_lstm.embedding.weight
    assert torch.equal(loaded.decoder.weight, saved[0].decoder.weight)


def test_a_classifier_takes_over_the_encoder_of_a_language_model_exactly(saved):
    torch.manual_seed(3)
    classifier, info = AwdLstmForSequenceClassification.from_pretrained(
        saved[1], input_dropout=0.5, output_loading_info=True
    )
    expected = saved[0].awd_lstm.state_dict()
    for name, weight in classifier.awd_lstm.state_dict().items():
        assert torch.equal(weight, expected[name]), name
    assert all(name.startswith("head.") for name in info["missing_keys"])
    assert classifier.config.input_dropout == 0.5
    assert classifier.head.norm.weight.tolist() == [1.0] * 24
    assert classifier.head.inner.weight.abs().max() <= 24**-0.5
    torch.manual_seed(3)
    again = AwdLstmForSequenceClassification.from_pretrained(saved[1])
    assert torch.equal(classifier.head.inner.weight, again.head.inner.weight), "the head follows the seed"


def build_trainer(model, folder, **settings) -> Trainer:
    rows = [{"input_ids": IDS[index % 2], "labels": IDS[index % 2]} for index in range(4)]
    if isinstance(model, AwdLstmForSequenceClassification):
        rows = [{**row, "labels": index % 2} for index, row in enumerate(rows)]
    arguments = TrainingArguments(
        output_dir=str(folder),
        **{"max_steps": 2, **settings},
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        save_strategy="no",
    )
    return Trainer(model=model, args=arguments, train_dataset=rows, eval_dataset=rows)


@pytest.mark.parametrize("model_class", [AwdLstmForCausalLM, AwdLstmForSequenceClassification])
def test_a_model_trains_with_the_trainer_of_transformers(model_class, tmp_path):
    model = model_class(build_config())
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    trainer = build_trainer(model, tmp_path, per_device_train_batch_size=2, learning_rate=1e-2)
    outcome = trainer.train()
    assert outcome.global_step == 2
    assert 0 < outcome.training_loss < 10
    assert all(not torch.equal(before[name], parameter) for name, parameter in model.named_parameters())


@pytest.mark.parametrize("model_class", [AwdLstmForCausalLM, AwdLstmForSequenceClassification])
def test_the_trainer_of_transformers_evaluates_the_loss(model_class, tmp_path):
    trainer = build_trainer(model_class(build_config()), tmp_path)
    assert 0 < trainer.evaluate()["eval_loss"] < 10


@pytest.mark.parametrize("model_class", [AwdLstmForCausalLM, AwdLstmForSequenceClassification])
def test_accumulated_batches_train_like_one_large_batch(model_class, tmp_path):
    names = ("embedding", "input", "hidden", "weight", "output", "classifier")
    no_chance = {f"{name}_dropout": 0.0 for name in names}
    no_penalty = {"activation_regularization": 0.0, "temporal_activation_regularization": 0.0}
    weights = []
    for batch_size, accumulation in [(4, 1), (2, 2)]:
        torch.manual_seed(0)
        model = model_class(build_config(**no_chance, **no_penalty))
        build_trainer(
            model,
            tmp_path,
            max_steps=1,
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulation,
            optim="sgd",
            learning_rate=1.0,
            max_grad_norm=0.0,
            lr_scheduler_type="constant",
        ).train()
        weights.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    # A mean of means weighs the tokens of a language model a little differently.
    tolerance = 1e-5 if model_class is AwdLstmForSequenceClassification else 2e-2
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=tolerance)
