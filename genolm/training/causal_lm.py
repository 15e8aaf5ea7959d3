"""Stage 1 of ULMFiT: a causal language model of a genome."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from genolm.corpus.bases import (
    CorpusBases,
    compute_corpus_fingerprint,
    load_corpus_bases,
    load_held_out_bases,
    locate_bases,
)
from genolm.errors import SettingsError
from genolm.models import AwdLstmConfig, AwdLstmForCausalLM
from genolm.models.settings import AwdLstmSettings, DropoutSettings
from genolm.progress import Reporter
from genolm.tokenization.scheme import KmerScheme
from genolm.training.job import LoopSettings, TrainingJob
from genolm.training.lm_score import compute_lm_score, cut_windows, describe_lm_score, encode_windows
from genolm.training.loop import run_training
from genolm.training.persistence.run_folder import finish_run_folder, open_run_folder
from genolm.training.schedules import PhasedSchedule, PhaseSettings, ScheduleName
from genolm.training.token_stream import TokenStream, TokenStreamSettings


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
    bases, held_out = load_corpus_bases(corpus, "train"), load_held_out_bases(corpus)
    reporter = reporter or Reporter()
    if (bases.row_weights != 1).any():
        reporter.note("  the genomes' weights are for windows drawn at random; here every base is read alike")
    stream = TokenStream(
        bases.codes,
        bases.row_starts,
        scheme=scheme,
        settings=settings.stream,
        seed=seed,
        locate=lambda positions: locate_bases(corpus, "train", positions),
        direction=settings.model.direction,
    )
    with open_run_folder(
        output,
        command="pretrain causal",
        settings={**asdict(settings), "tokenizer": scheme.name, "seed": seed},
        inputs={"corpus": compute_corpus_fingerprint(corpus)},
    ) as finished:
        return finished or _train(
            stream, held_out, output, scheme=scheme, settings=settings, seed=seed, reporter=reporter
        )


def _train(
    stream: TokenStream,
    held_out: Mapping[str, CorpusBases],
    output: Path,
    *,
    scheme: KmerScheme,
    settings: PretrainCausalSettings,
    seed: int,
    reporter: Reporter,
) -> dict[str, Any]:
    windows = {
        split: cut_windows(part, window_bp=settings.eval_window_bp, min_bp=scheme.k + 1)
        for split, part in held_out.items()
    }
    every = math.ceil(settings.eval_window_bp * len(windows["validation"]) / settings.eval_max_bp)
    watched = encode_windows(windows["validation"][::every], scheme)
    model = build_causal_lm(scheme, settings, seed=seed)

    def evaluate(current: PreTrainedModel) -> dict[str, float]:
        return compute_lm_score(current, watched, scheme=scheme)._asdict()

    outcome = run_training(
        _build_job(stream, evaluate, settings=settings),
        model=model,
        run_folder=output,
        settings=settings.loop,
        seed=seed,
        reporter=reporter,
    )
    metrics = outcome.describe(bases_per_token=scheme.stride)
    for split, part in windows.items():
        metrics[split] = describe_lm_score(model, encode_windows(part, scheme), scheme)
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


def _build_job(
    stream: TokenStream,
    evaluate: Callable[[PreTrainedModel], dict[str, float]],
    *,
    settings: PretrainCausalSettings,
) -> TrainingJob:
    num_steps = math.ceil(settings.tokens / (settings.stream.lanes * settings.stream.bptt_tokens))

    return TrainingJob(
        title="genome LM",
        batches=stream,
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
        is_language_model=True,
        bases_per_token=stream.scheme.stride,
    )
