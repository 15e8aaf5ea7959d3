"""Stages 1 and 2 of ULMFiT: a causal language model of a genome, and its adaptation to target sequences."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from genolm.alphabet import Codes
from genolm.corpus.bases import CorpusBases, get_bases_path, load_corpus_bases, read_corpus_info
from genolm.errors import DataError, RunFolderError, SettingsError
from genolm.files import compute_fingerprint, compute_sha256
from genolm.metrics import bits_per_base
from genolm.models import AwdLstmConfig, AwdLstmForCausalLM
from genolm.progress import Reporter
from genolm.tokenization.encoder import TokenIds, encode_codes, encode_sequences, pad_batch
from genolm.tokenization.scheme import CLS_ID, NUM_SPECIAL_TOKENS, SEP_ID, KmerScheme
from genolm.tokenization.tokenizer_json import load_scheme
from genolm.training.loop import LoopSettings, StepInput, TrainingJob, run_training
from genolm.training.run_folder import (
    compute_model_sha256,
    finish_run_folder,
    open_run_folder,
    read_finished_metrics,
)
from genolm.training.schedules import PhasedSchedule, PhaseSettings, ScheduleName
from genolm.training.sequence_batches import SequenceBatches
from genolm.training.token_stream import IGNORED_LABEL, TokenStream, TokenStreamSettings


@dataclass(frozen=True, kw_only=True)
class AwdLstmSettings:
    """Size of an AWD-LSTM; the default is that of Merity et al. 2017."""

    embedding_size: int = 400
    lstm_size: int = 1152
    num_layers: int = 3


@dataclass(frozen=True, kw_only=True)
class DropoutSettings:
    """Dropout probabilities of a training stage, all scaled by `multiplier`."""

    multiplier: float = 0.3
    embedding: float = 0.02
    input: float = 0.25
    hidden: float = 0.15
    weight: float = 0.2
    output: float = 0.1

    def build_config(self) -> dict[str, Any]:
        """Return the entries of an AwdLstmConfig."""
        names = ("embedding", "input", "hidden", "weight", "output")
        return {f"{name}_dropout": self.multiplier * getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class PretrainCausalSettings:
    """Stage 1: a language model of a genome."""

    tokens: int = 100_000_000  # to train on, repeats of the genome counted
    learning_rate: float = 5e-3  # highest
    schedule: ScheduleName = "one_cycle"
    successor_softmax: bool = True  # score only the 4^stride k-mers that can follow
    activation_regularization: float = 0.0
    temporal_activation_regularization: float = 0.0
    evaluations: int = 5  # on the validation split, evenly spread
    eval_window_bp: int = 1_024  # bases scored from a fresh state
    eval_max_bp: int = 200_000  # bases of the validation split used while training; all at the end
    model: AwdLstmSettings = field(default_factory=AwdLstmSettings)
    dropout: DropoutSettings = field(default_factory=DropoutSettings)
    stream: TokenStreamSettings = field(default_factory=TokenStreamSettings)
    loop: LoopSettings = field(default_factory=LoopSettings)

    def __post_init__(self) -> None:
        """Check the ranges."""
        counts = (self.tokens, self.evaluations, self.eval_max_bp)
        if min(counts) < 1 or self.eval_window_bp < 100 or self.learning_rate <= 0:
            raise SettingsError(
                found=f"tokens {self.tokens}, evaluations {self.evaluations}, "
                f"learning_rate {self.learning_rate}, eval_window_bp {self.eval_window_bp}, "
                f"eval_max_bp {self.eval_max_bp}",
                expected="a positive learning_rate, eval_window_bp of at least 100, the others at least 1",
                remedy="correct the pretraining settings",
            )


@dataclass(frozen=True, kw_only=True)
class AdaptSettings:
    """Stage 2: the language model goes on with unlabeled target sequences."""

    epochs: int = 5  # at most
    patience: int = 2  # epochs without a gain on validation before it stops
    learning_rate: float = 1e-3  # highest, of the last layer group
    group_factor: float = 2.6  # each layer group learns this many times slower than the one above it
    schedule: ScheduleName = "slanted_triangular"
    batch_size: int = 64  # sequences
    dropout: DropoutSettings = field(default_factory=DropoutSettings)
    loop: LoopSettings = field(default_factory=LoopSettings)

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.epochs, self.batch_size) < 1 or self.learning_rate <= 0 or self.patience < 0:
            raise SettingsError(
                found=f"epochs {self.epochs}, batch_size {self.batch_size}, "
                f"learning_rate {self.learning_rate}, patience {self.patience}",
                expected="epochs and batch_size of at least 1, a positive learning_rate, patience 0 or more",
                remedy="correct the adapt settings",
            )


class LanguageModelScore(NamedTuple):
    """How well new bases are predicted: loss in nats per token, bits per base, and how many were scored."""

    loss: float
    bits_per_base: float
    bases: int


def pretrain_causal(
    corpus: Path,
    output: Path,
    *,
    scheme: KmerScheme,
    settings: PretrainCausalSettings,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Train a language model on a corpus folder; return the content of metrics.json.

    Raises:
        RunFolderError: `output` holds another run, or `corpus` is not a corpus.
    """
    reporter = reporter or Reporter()
    corpus_info = read_corpus_info(corpus)
    bases = load_corpus_bases(corpus, "train")
    stream = TokenStream(bases.codes, bases.row_starts, scheme=scheme, settings=settings.stream, seed=seed)
    step_tokens = settings.stream.lanes * settings.stream.bptt_tokens
    num_steps = math.ceil(settings.tokens / step_tokens)
    held_out = {
        split: load_corpus_bases(corpus, split)
        for split in ("validation", "test")
        if split in corpus_info["splits"]
    }
    if "validation" not in held_out:
        raise DataError(
            found=f"no validation split in {corpus}",
            expected="held-out sequence to choose the weights by",
            remedy="build the corpus with split: blocks",
        )
    open_run_folder(
        output,
        command="pretrain causal",
        settings={**asdict(settings), "tokenizer": scheme.name, "seed": seed},
        inputs={
            "corpus": compute_fingerprint(
                {split: compute_sha256(get_bases_path(corpus, split)) for split in corpus_info["splits"]}
            )
        },
    )
    if metrics := read_finished_metrics(output):
        return metrics
    windows = cut_windows(held_out["validation"], window_bp=settings.eval_window_bp, min_bp=scheme.k + 1)
    watched = _encode_windows(
        windows[:: math.ceil(settings.eval_window_bp * len(windows) / settings.eval_max_bp)], scheme
    )
    model = build_causal_lm(scheme, settings, seed=seed)

    def build_input(step: int) -> StepInput:
        batch = stream.build_batch(step)
        inputs = {"input_ids": batch.input_ids, "shift_labels": batch.shift_labels}
        return StepInput(inputs, batch.input_ids.numel(), keeps_carry=not batch.starts_epoch)

    def evaluate(current: PreTrainedModel) -> dict[str, float]:
        return compute_lm_score(current, watched, scheme=scheme)._asdict()

    outcome = run_training(
        TrainingJob(
            title="genome LM",
            build_input=build_input,
            schedule=PhasedSchedule(
                phases=(PhaseSettings(epochs=1, learning_rate=settings.learning_rate),),
                steps_per_epoch=num_steps,
                schedule=settings.schedule,
                group_factor=1.0,
            ),
            evaluate=evaluate,
            monitor="loss",
            larger_is_better=False,
            eval_every_steps=max(1, num_steps // settings.evaluations),
            patience=0,
            stateful=True,
        ),
        model=model,
        run_folder=output,
        settings=settings.loop,
        seed=seed,
        reporter=reporter,
    )
    metrics = {"steps": outcome.steps, "best_step": outcome.best_step, "tokens_seen": outcome.units}
    metrics["bases_seen"] = outcome.units * scheme.stride
    for split, split_bases in held_out.items():
        split_windows = cut_windows(split_bases, window_bp=settings.eval_window_bp, min_bp=scheme.k + 1)
        metrics[split] = _describe_score(model, _encode_windows(split_windows, scheme), scheme)
    finish_run_folder(output, model=model, scheme=scheme, metrics=metrics)
    return metrics


def adapt(
    pretrained: Path,
    output: Path,
    *,
    train_sequences: Sequence[str],
    validation_sequences: Sequence[str],
    settings: AdaptSettings,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Go on training a language model on unlabeled target sequences; return the content of metrics.json.

    Raises:
        RunFolderError: `pretrained` is no finished language model, or `output` holds another run.
    """
    reporter = reporter or Reporter()
    scheme = load_scheme(pretrained)
    if not train_sequences or not validation_sequences:
        raise DataError(
            found="no sequence to train on" if not train_sequences else "no validation sequence",
            expected="unlabeled target sequences for train and validation",
            remedy="check the train and validation splits",
        )
    pretrained_sha256 = compute_model_sha256(pretrained)
    loaded: Any = AwdLstmForCausalLM.from_pretrained(
        pretrained, output_loading_info=True, **settings.dropout.build_config()
    )
    model, info = loaded
    if info["missing_keys"]:
        raise RunFolderError(
            found=f"a model without a language model's head in {pretrained} (a classifier?)",
            expected="the folder of a finished language model",
            remedy="name the folder of genolm pretrain or genolm adapt",
        )
    open_run_folder(
        output,
        command="adapt",
        settings={**asdict(settings), "seed": seed},
        inputs={
            "pretrained": pretrained_sha256,
            "sequences": compute_fingerprint([list(train_sequences), list(validation_sequences)]),
        },
    )
    if metrics := read_finished_metrics(output):
        return metrics
    batches = SequenceBatches(
        encode_sequences(train_sequences, scheme), batch_size=settings.batch_size, seed=seed
    )
    held_out = encode_sequences(validation_sequences, scheme)
    before = _describe_score(model, held_out, scheme)

    def evaluate(current: PreTrainedModel) -> dict[str, float]:
        return compute_lm_score(current, held_out, scheme=scheme)._asdict()

    outcome = run_training(
        TrainingJob(
            title="domain LM",
            build_input=batches.build_input,
            schedule=PhasedSchedule(
                phases=(PhaseSettings(epochs=settings.epochs, learning_rate=settings.learning_rate),),
                steps_per_epoch=batches.steps_per_epoch,
                schedule=settings.schedule,
                group_factor=settings.group_factor,
            ),
            evaluate=evaluate,
            monitor="loss",
            larger_is_better=False,
            eval_every_steps=batches.steps_per_epoch,
            patience=settings.patience,
        ),
        model=model,
        run_folder=output,
        settings=settings.loop,
        seed=seed,
        reporter=reporter,
    )
    metrics = {
        "steps": outcome.steps,
        "best_step": outcome.best_step,
        "tokens_seen": outcome.units,
        "validation": _describe_score(model, held_out, scheme),
        "validation_before": before,
    }
    finish_run_folder(output, model=model, scheme=scheme, metrics=metrics)
    return metrics


def build_causal_lm(scheme: KmerScheme, settings: PretrainCausalSettings, *, seed: int) -> AwdLstmForCausalLM:
    """Return a language model with random weights drawn from the seed."""
    torch.manual_seed(seed)
    return AwdLstmForCausalLM(
        AwdLstmConfig(
            vocab_size=scheme.vocab_size,
            kmer_k=scheme.k,
            kmer_stride=scheme.stride,
            successor_softmax=settings.successor_softmax,
            activation_regularization=settings.activation_regularization,
            temporal_activation_regularization=settings.temporal_activation_regularization,
            **asdict(settings.model),
            **settings.dropout.build_config(),
        )
    )


def cut_windows(bases: CorpusBases, *, window_bp: int, min_bp: int) -> list[Codes]:
    """Cut every stretch into windows of `window_bp` base codes; rests under `min_bp` are left out."""
    windows = [
        piece[start : start + window_bp]
        for piece in bases.iter_pieces()
        for start in range(0, len(piece), window_bp)
    ]
    return [window for window in windows if len(window) >= min_bp]


def compute_lm_score(
    model: nn.Module, token_ids: Sequence[TokenIds], *, scheme: KmerScheme, batch_size: int = 64
) -> LanguageModelScore:
    """Score the new bases of encoded sequences, each from a fresh state.

    The first k-mer of a sequence is context only, so its first k bases are not scored.
    """
    nats, tokens = 0.0, 0
    device = next(model.parameters()).device
    for start in range(0, len(token_ids), batch_size):
        batch = pad_batch(token_ids[start : start + batch_size])
        input_ids = torch.from_numpy(batch.input_ids).to(device)
        is_kmer = input_ids >= NUM_SPECIAL_TOKENS
        labels = input_ids.masked_fill(~is_kmer, IGNORED_LABEL)
        labels[:, 1:].masked_fill_(~is_kmer[:, :-1], IGNORED_LABEL)  # a k-mer without context is all new
        with torch.no_grad():
            output = model(input_ids, labels=labels)
        nats += output.loss.item() * output.num_scored.item()
        tokens += int(output.num_scored.item())
    if tokens == 0:
        raise DataError(
            found="no token to score in the held-out sequences",
            expected=f"at least one sequence of {scheme.k + scheme.stride} known bases",
            remedy="check the validation split",
        )
    return LanguageModelScore(
        nats / tokens, bits_per_base(nats, tokens * scheme.stride), tokens * scheme.stride
    )


def _describe_score(model: nn.Module, token_ids: Sequence[TokenIds], scheme: KmerScheme) -> dict[str, float]:
    score = compute_lm_score(model.eval(), token_ids, scheme=scheme)
    return {**score._asdict(), "perplexity": math.exp(score.loss)}


def _encode_windows(windows: Iterable[Codes], scheme: KmerScheme) -> list[TokenIds]:
    return [
        np.concatenate([[CLS_ID], encode_codes(window, scheme), [SEP_ID]], dtype=np.int32)
        for window in windows
    ]
