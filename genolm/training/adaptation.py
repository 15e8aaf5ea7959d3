"""Stage 2 of ULMFiT: a language model goes on training on unlabeled target sequences."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from genolm.errors import DataError, RunFolderError, SettingsError
from genolm.files import compute_fingerprint
from genolm.models import AwdLstmForCausalLM
from genolm.models.settings import DropoutSettings
from genolm.progress import Reporter
from genolm.tokenization.encoder import TokenIds, encode_sequences
from genolm.tokenization.scheme import KmerScheme
from genolm.tokenization.tokenizer_json import load_scheme
from genolm.training.job import LoopSettings, TrainingJob
from genolm.training.lm_score import compute_lm_score, describe_lm_score
from genolm.training.loop import run_training
from genolm.training.persistence.run_folder import (
    compute_model_sha256,
    finish_run_folder,
    open_run_folder,
)
from genolm.training.schedules import PhasedSchedule, PhaseSettings, ScheduleName
from genolm.training.sequence_batches import SequenceBatches


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
        DataError: a split has no sequence.
        RunFolderError: `pretrained` is no finished language model, or `output` holds another run.
    """
    scheme = load_scheme(pretrained)
    if not train_sequences or not validation_sequences:
        raise DataError(
            found="no sequence to train on" if not train_sequences else "no validation sequence",
            expected="unlabeled target sequences for train and validation",
            remedy="check the train and validation splits",
        )
    inputs = {
        "pretrained": compute_model_sha256(pretrained),
        "sequences": compute_fingerprint([list(train_sequences), list(validation_sequences)]),
    }
    model = _load_language_model(pretrained, settings.dropout)
    with open_run_folder(
        output, command="adapt", settings={**asdict(settings), "seed": seed}, inputs=inputs
    ) as finished:
        return finished or _train(
            model,
            output,
            train=encode_sequences(train_sequences, scheme),
            held_out=encode_sequences(validation_sequences, scheme),
            scheme=scheme,
            settings=settings,
            seed=seed,
            reporter=reporter or Reporter(),
        )


def _train(
    model: AwdLstmForCausalLM,
    output: Path,
    *,
    train: Sequence[TokenIds],
    held_out: Sequence[TokenIds],
    scheme: KmerScheme,
    settings: AdaptSettings,
    seed: int,
    reporter: Reporter,
) -> dict[str, Any]:
    direction = model.config.direction
    batches = SequenceBatches(train, batch_size=settings.batch_size, seed=seed, direction=direction)
    before = describe_lm_score(model, held_out, scheme)

    def evaluate(current: PreTrainedModel) -> dict[str, float]:
        return compute_lm_score(current, held_out, scheme=scheme)._asdict()

    outcome = run_training(
        _build_job(batches, evaluate, scheme=scheme, settings=settings),
        model=model,
        run_folder=output,
        settings=settings.loop,
        seed=seed,
        reporter=reporter,
    )
    metrics = {
        "steps": outcome.steps,
        "best_step": outcome.best_step,
        "tokens_seen": outcome.tokens,
        "validation": describe_lm_score(model, held_out, scheme),
        "validation_before": before,
    }
    finish_run_folder(output, model=model, scheme=scheme, metrics=metrics)
    return metrics


def _load_language_model(folder: Path, dropout: DropoutSettings) -> AwdLstmForCausalLM:
    loaded: Any = AwdLstmForCausalLM.from_pretrained(
        folder, output_loading_info=True, **dropout.build_config()
    )
    model, info = loaded
    if info["missing_keys"]:
        raise RunFolderError(
            found=f"a model without a language model's head in {folder} (a classifier?)",
            expected="the folder of a finished language model",
            remedy="name the folder of genolm pretrain or genolm adapt",
        )
    return model


def _build_job(
    batches: SequenceBatches,
    evaluate: Callable[[PreTrainedModel], dict[str, float]],
    *,
    scheme: KmerScheme,
    settings: AdaptSettings,
) -> TrainingJob:
    return TrainingJob(
        title="domain LM",
        batches=batches,
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
        is_language_model=True,
        bases_per_token=scheme.stride,
    )
