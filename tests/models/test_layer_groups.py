"""Layer groups: every parameter once, from the input to the output."""

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
)

from genolm.models import AwdLstmConfig, AwdLstmForCausalLM
from genolm.models.bert import BertSettings, build_masked_lm
from genolm.models.layer_groups import list_layer_groups
from genolm.tokenization.scheme import KmerScheme


def build(kind: str, architecture: str) -> nn.Module:
    masked_lm = build_masked_lm(
        KmerScheme(k=2, stride=1), BertSettings(architecture=architecture, size="debug"), seed=0
    )
    heads = {
        "sequence": AutoModelForSequenceClassification,
        "token": AutoModelForTokenClassification,
    }
    return masked_lm if kind == "masked" else heads[kind].from_config(masked_lm.config)


def name_groups(model: nn.Module) -> list[set[str]]:
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [{names[id(parameter)] for parameter in group} for group in list_layer_groups(model)]


@pytest.mark.parametrize("architecture", ["bert", "modernbert"])
@pytest.mark.parametrize("kind", ["masked", "sequence", "token"])
def test_embeddings_layers_and_head_hold_every_parameter_once(architecture, kind):
    model = build(kind, architecture)
    listed = [id(parameter) for group in list_layer_groups(model) for parameter in group]
    assert sorted(listed) == sorted(id(parameter) for parameter in model.parameters())
    embeddings, first, second, head = name_groups(model)
    layer = "bert.encoder.layer" if architecture == "bert" else "model.layers"
    assert all(".embeddings." in name for name in embeddings)
    assert all(name.startswith(f"{layer}.0.") for name in first)
    assert all(name.startswith(f"{layer}.1.") for name in second)
    assert not any("embeddings" in name or name.startswith(layer) for name in head)
    own_head = {
        ("bert", "masked"): "cls.predictions.bias",
        ("modernbert", "masked"): "decoder.bias",
    }.get((architecture, kind), "classifier.weight")
    final = "model.final_norm.weight" if architecture == "modernbert" else None
    pooler = "bert.pooler.dense.weight" if (architecture, kind) == ("bert", "sequence") else None
    assert {own_head, final, pooler} - {None} <= head


def test_a_bare_encoder_is_split_too():
    model = BertModel(build("masked", "bert").config)
    assert [len(group) for group in list_layer_groups(model)] == [5, 16, 16, 2]  # the head is the pooler


def test_an_untied_lm_head_belongs_to_the_head():
    config = build("masked", "bert").config
    config.tie_word_embeddings = False
    model = type(build("masked", "bert"))(config)
    assert "cls.predictions.decoder.weight" in name_groups(model)[-1]
    assert sum(map(len, list_layer_groups(model))) == len(list(model.parameters()))


def test_a_model_with_its_own_groups_gives_them():
    model = AwdLstmForCausalLM(AwdLstmConfig(embedding_size=4, lstm_size=6, num_layers=2))
    expected = [[id(parameter) for parameter in group] for group in model.layer_groups()]
    assert [[id(parameter) for parameter in group] for group in list_layer_groups(model)] == expected
    assert len(expected) == 4


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)),
        DistilBertModel(DistilBertConfig(vocab_size=9, dim=8, n_layers=2, n_heads=2, hidden_dim=8)),
    ],
    ids=["torch", "transformers"],
)
def test_any_other_model_is_one_group(model):
    assert [list(map(id, group)) for group in list_layer_groups(model)] == [list(map(id, model.parameters()))]


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks by the old name
@pytest.mark.parametrize("architecture", ["bert", "modernbert"])
def test_with_peft_only_what_learns_is_listed_in_the_same_groups(architecture):
    peft = pytest.importorskip("peft")
    targets = ["query", "value"] if architecture == "bert" else ["Wqkv"]
    model = peft.get_peft_model(
        build("sequence", architecture), peft.LoraConfig(r=2, target_modules=targets, task_type="SEQ_CLS")
    )
    groups = list_layer_groups(model)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert sorted(id(p) for group in groups for p in group) == sorted(map(id, learning))
    embeddings, first, second, head = name_groups(model)
    assert embeddings == set()
    assert len(first) == len(second) == 2 * len(targets)
    assert all(".0." in name and "lora_" in name for name in first)
    assert any("classifier" in name for name in head)
    assert not any("lora_" in name for name in head)
    torch.optim.AdamW([{"params": group} for group in groups])  # takes the empty group
