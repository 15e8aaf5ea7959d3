"""Convolutional and recurrent networks from random weights: their settings, as recipes give them."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import torch

from genolm.errors import SettingsError
from genolm.models.modeling_sequence_nets import SequenceNetConfig, SequenceNetForSequenceClassification
from genolm.tokenization.scheme import CLS_ID, PAD_ID, SEP_ID, BpeScheme, KmerScheme

Architecture = Literal["deepbind", "basset", "danq", "residual", "rnn", "gru", "lstm"]
Pooling = Literal["last", "max", "mean", "attention"]
ProblemType = Literal["single_label_classification", "regression", "multi_label_classification"]

# Which of the sizes mean something to an architecture; the other settings do to all.
SIZES: dict[str, tuple[str, ...]] = {
    "deepbind": ("num_kernels", "kernel_width"),
    "basset": ("num_kernels", "kernel_width", "pool_width", "num_layers"),
    "danq": ("num_kernels", "kernel_width", "pool_width", "hidden_size", "num_layers", "bidirectional"),
    "residual": ("num_kernels", "kernel_width", "num_layers"),
    "rnn": ("hidden_size", "num_layers", "bidirectional"),
    "gru": ("hidden_size", "num_layers", "bidirectional"),
    "lstm": ("hidden_size", "num_layers", "bidirectional"),
}


@dataclass(frozen=True, kw_only=True)
class SequenceNetSettings:
    """Architecture and size of a network; what is None has the architecture's own default.

    Raises:
        SettingsError: a value is out of range, or means nothing to the architecture.
    """

    architecture: Architecture = "deepbind"
    embedding_size: int | None = None
    """numbers that stand for a token and are learned; None is one-hot, for single bases alone"""
    num_kernels: int | None = None
    """convolution kernels of a layer"""
    kernel_width: int | None = None
    """tokens under a kernel of the first layer"""
    pool_width: int | None = None
    """tokens of which a convolution layer keeps the largest value"""
    hidden_size: int | None = None
    """width of a recurrent state, in each direction"""
    num_layers: int | None = None
    """layers of convolutions (basset), residual blocks, or recurrent layers"""
    bidirectional: bool | None = None
    """recurrent layers read both ways"""
    pooling: Pooling | None = None
    """how the features of the positions become those of the sequence"""
    num_parts: int | None = None
    """equal parts of a sequence that max and mean are taken over, each by itself"""
    head_size: int | None = None
    """width of a layer between the pool and the output; 0 is none"""
    hidden_dropout: float | None = None
    """probability, between the layers"""
    classifier_dropout: float | None = None
    """probability, in the head"""

    def __post_init__(self) -> None:
        """Check the choices, the ranges, and what belongs to the architecture."""
        if self.architecture not in SIZES or self.pooling not in (None, *get_args(Pooling)):
            raise SettingsError(
                found=f"architecture {self.architecture!r}, pooling {self.pooling!r}",
                expected=f"one of {', '.join(SIZES)} and one of {', '.join(get_args(Pooling))}",
                remedy="correct the model settings",
            )
        self._check_ranges()
        self._check_meaning()

    def _check_ranges(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("architecture", "pooling", "bidirectional") or value is None:
                continue
            if field.name.endswith("_dropout"):
                is_right, expected = 0 <= value < 1, "a probability from 0 to below 1"
            else:
                smallest = 0 if field.name == "head_size" else 1
                is_right, expected = type(value) is int and value >= smallest, f"at least {smallest}"
            if not is_right:
                raise SettingsError(
                    found=f"{field.name} {value!r}", expected=expected, remedy="correct the model settings"
                )

    def _check_meaning(self) -> None:
        sizes = sorted({name for names in SIZES.values() for name in names})
        given = [name for name in sizes if getattr(self, name) is not None]
        if foreign := [name for name in given if name not in SIZES[self.architecture]]:
            raise SettingsError(
                found=f"{', '.join(foreign)} for the architecture {self.architecture}",
                expected=f"no sizes but {', '.join(SIZES[self.architecture])}",
                remedy="leave it out, or choose another architecture",
            )
        if self.pooling in ("last", "attention") and self.num_parts not in (None, 1):
            raise SettingsError(
                found=f"num_parts {self.num_parts} with pooling {self.pooling}",
                expected="parts with the poolings max and mean alone",
                remedy="leave num_parts out, or set pooling=max",
            )


def build_sequence_net_config(
    scheme: KmerScheme | BpeScheme,
    settings: SequenceNetSettings,
    *,
    names: tuple[str, ...],
    problem_type: str = "single_label_classification",
) -> SequenceNetConfig:
    """Return the config of a network, with every default filled in.

    Args:
        scheme: how sequences are cut; one-hot goes with `nucleotide` alone.
        settings: architecture and sizes.
        names: of the outputs: classes, labels, or the value of a regression.
        problem_type: what is learned, as transformers calls it.

    Raises:
        SettingsError: the scheme, the settings and the outputs do not suit each other.
    """
    if isinstance(scheme, BpeScheme) or (settings.embedding_size is None and scheme.k > 1):
        raise SettingsError(
            found=f"the tokenizer {scheme.name}"
            + ("" if settings.embedding_size else " with one-hot bases (no embedding_size)"),
            expected="nucleotide for one-hot bases; any k-mers for an embedding that is learned",
            remedy="set tokenizer=nucleotide, or a k-mer tokenizer and for example embedding_size=32",
        )
    if problem_type not in get_args(ProblemType) or len(names) < 1 + (
        problem_type == get_args(ProblemType)[0]
    ):
        raise SettingsError(
            found=f"{len(names)} outputs for {problem_type}",
            expected="two classes or more, or one output or more of a regression or of several labels",
            remedy="check the labels of the data and the task",
        )
    entries: dict[str, Any] = asdict(settings)
    embedding_size = entries.pop("embedding_size")
    if embedding_size is not None:
        entries |= {"embedding": "learned", "embedding_size": embedding_size}
    return SequenceNetConfig(
        **entries,
        vocab_size=scheme.vocab_size,
        kmer_k=scheme.k,
        kmer_stride=scheme.stride,
        pad_token_id=PAD_ID,
        cls_token_id=CLS_ID,
        sep_token_id=SEP_ID,
        problem_type=problem_type,
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
    )


def build_sequence_net(
    scheme: KmerScheme | BpeScheme,
    settings: SequenceNetSettings,
    *,
    names: tuple[str, ...],
    problem_type: str = "single_label_classification",
    seed: int,
) -> SequenceNetForSequenceClassification:
    """Return a network with random weights, a function of the seed; the global random state is left alone.

    Arguments and errors are those of `build_sequence_net_config`.

    >>> settings = SequenceNetSettings(architecture="deepbind")
    >>> net = build_sequence_net(KmerScheme(k=1, stride=1), settings, names=("no", "yes"), seed=0)
    >>> net.config.num_kernels, net.config.kernel_width, net.num_parameters()
    (16, 12, 818)
    """
    config = build_sequence_net_config(scheme, settings, names=names, problem_type=problem_type)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SequenceNetForSequenceClassification(config)
