"""Classifiers of every kind with random weights that differ between sequences, and sequences for them."""

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    PreTrainedModel,
)

from genolm.alphabet import encode_bases
from genolm.inference.classify import Classifier
from genolm.models import AwdLstmConfig, AwdLstmForSequenceClassification
from genolm.models.sequence_nets import SequenceNetSettings, build_sequence_net
from genolm.tokenization.scheme import KmerScheme

NAMES = ("other", "promoter")
LABELS = {"id2label": dict(enumerate(NAMES)), "label2id": {name: i for i, name in enumerate(NAMES)}}
KINDS = ("awd_lstm", "backward", "bert", "modernbert", "deepbind", "gru")
SEQUENCES = ["ACGTTGACATTATAATGCA", "GGGCCNTTACG"]


def make_classifier(kind: str, *, k: int = 3, stride: int = 1, **entries: object) -> Classifier:
    """A classifier whose weights are a function of its kind and scheme."""
    scheme = KmerScheme(k=k, stride=stride)
    torch.manual_seed(7)
    model: PreTrainedModel
    if kind in ("awd_lstm", "backward"):
        direction = "backward" if kind == "backward" else "forward"
        sizes = {"vocab_size": scheme.vocab_size, "embedding_size": 6, "lstm_size": 8, "num_layers": 2}
        config = AwdLstmConfig(
            **sizes, kmer_k=k, kmer_stride=stride, direction=direction, **LABELS, **entries
        )
        model = AwdLstmForSequenceClassification(config)
    elif kind in ("bert", "modernbert"):
        sizes = {
            "vocab_size": scheme.vocab_size,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "initializer_range": 0.3,
            "pad_token_id": 0,
            **LABELS,
            **{"max_position_embeddings": 64, **entries},
        }
        if kind == "bert":
            model = BertForSequenceClassification(BertConfig(**sizes))
        else:
            ends = {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
            model = ModernBertForSequenceClassification(ModernBertConfig(**ends, **sizes))
    else:
        settings = SequenceNetSettings(architecture=kind, embedding_size=None if k == 1 else 6)
        model = build_sequence_net(scheme, settings, names=NAMES, seed=0)
        for name, value in entries.items():
            setattr(model.config, name, value)
    with torch.no_grad():  # so that a substitution changes more than rounding does
        for parameter in model.parameters():
            if kind in ("awd_lstm", "backward"):
                parameter.mul_(2)
    return Classifier(model.eval(), scheme, NAMES)


def make_word_net(word: str) -> Classifier:
    """A DeepBind whose log-odds of promoter are the most letters that a window has in common with a word."""
    scheme = KmerScheme(k=1, stride=1)
    settings = SequenceNetSettings(architecture="deepbind", num_kernels=1, kernel_width=len(word))
    net = build_sequence_net(scheme, settings, names=NAMES, seed=0).eval()
    convolution = net.encoder.layers[0].kernels.conv
    with torch.no_grad():
        convolution.weight[0] = torch.eye(4)[encode_bases(word).astype(int)].T
        convolution.bias.zero_()
        net.head.out.weight[:] = torch.tensor([[0.0], [1.0]])
        net.head.out.bias.zero_()
    return Classifier(net, scheme, NAMES)
