"""Stage 3 of ULMFiT: a classifier on a pretrained language model, or from random weights."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from genolm.corpus.labeled import LabeledData
from genolm.errors import DataError, SettingsError
from genolm.files import compute_fingerprint
from genolm.metrics import compute_classification_metrics, compute_classification_report
from genolm.models import AwdLstmConfig, AwdLstmForSequenceClassification
from genolm.models.initialization import load_embedding_matrix
from genolm.models.scoring import compute_probabilities, select_scores
from genolm.models.settings import AwdLstmSettings, DropoutSettings
from genolm.progress import Reporter
from genolm.tokenization.encoder import TokenIds, encode_sequences
from genolm.tokenization.scheme import KmerScheme
from genolm.tokenization.tokenizer_json import load_scheme
from genolm.training.hardware.ranks import get_ranks
from genolm.training.job import LoopSettings, TrainingJob
from genolm.training.loop import run_training
from genolm.training.persistence.run_folder import (
    compute_model_sha256,
    finish_run_folder,
    open_run_folder,
)
from genolm.training.schedules import PhasedSchedule, PhaseSettings, ScheduleName
from genolm.training.sequence_batches import SequenceBatches


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """Stage 3: a classifier. The phases unfreeze the layer groups from the output down."""

    phases: tuple[PhaseSettings, ...] = (
        PhaseSettings(epochs=1, learning_rate=2e-2, trained_groups=1),
        PhaseSettings(epochs=1, learning_rate=1e-2, trained_groups=2),
        PhaseSettings(epochs=1, learning_rate=5e-3, trained_groups=3),
        PhaseSettings(epochs=4, learning_rate=5e-3),
    )
    group_factor: float = 2.6  # each layer group learns this many times slower than the one above it
    schedule: ScheduleName = "slanted_triangular"
    batch_size: int = 64  # sequences
    monitor: str = "auroc"  # what chooses the epoch, on validation: auroc, mcc, accuracy or loss
    patience: int = 0  # epochs without a gain on validation before it stops; 0 means never
    classifier_dropout: float = 0.2  # before the head
    freeze_embeddings: bool = False  # given embeddings stay as they are; they learn otherwise
    dropout: DropoutSettings = field(default_factory=DropoutSettings)
    model: AwdLstmSettings = field(default_factory=AwdLstmSettings)  # of a classifier from random weights
    loop: LoopSettings = field(default_factory=LoopSettings)

    def __post_init__(self) -> None:
        """Check the ranges."""
        monitors = ("auroc", "mcc", "accuracy", "loss")
        if not self.phases or self.batch_size < 1 or self.monitor not in monitors:
            raise SettingsError(
                found=f"{len(self.phases)} phases, batch_size {self.batch_size}, monitor {self.monitor!r}",
                expected=f"a phase or more, batch_size of at least 1, monitor one of {', '.join(monitors)}",
                remedy="correct the finetune settings",
            )


def finetune(
    data: LabeledData,
    output: Path,
    *,
    settings: FinetuneSettings,
    pretrained: Path | None = None,
    scheme: KmerScheme | None = None,
    embeddings: npt.NDArray[np.float32] | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Train a classifier and evaluate it; return the content of metrics.json.

    The epoch is chosen on the validation split; the test split, if there is one, is read once, at the end.

    Args:
        data: labeled sequences with a train and a validation split.
        output: run folder; at the end a Hugging Face model folder.
        settings: of the training.
        pretrained: folder of a language model to start from; without it the weights are random.
        scheme: how to cut the sequences; that of the pretrained model if there is one.
        embeddings: float32 [vocabulary, embedding_size], what the embedding starts from instead of random
            weights, such as `genolm.embeddings.features.build_embedding_matrix` gives; not with `pretrained`.
        seed: of the head's weights, the order and the dropout.
        reporter: shows the progress.

    Raises:
        DataError: a split is empty or lacks a class.
        RunFolderError: `output` holds another run, or `pretrained` no finished model.
    """
    reporter = reporter or Reporter()
    if pretrained and embeddings is not None:
        raise SettingsError(
            found="a pretrained model and embeddings",
            expected="one of them: a pretrained model has its own embedding",
            remedy="leave one out",
        )
    scheme = load_scheme(pretrained) if pretrained else scheme
    if scheme is None:
        raise SettingsError(
            found="neither a pretrained model nor a tokenizer",
            expected="one of them",
            remedy="name a pretrained folder, or a scheme such as kmer_k3_s1",
        )
    for split in ("train", "validation"):
        _check_split(data, split)
    with open_run_folder(
        output,
        command="finetune",
        settings={**asdict(settings), "tokenizer": scheme.name, "seed": seed},
        inputs=_identify_inputs(data, pretrained, embeddings),
    ) as finished:
        if finished:
            return finished
        model = _build_classifier(scheme, settings, data.label_names, pretrained=pretrained, seed=seed)
        if embeddings is not None:
            load_embedding_matrix(model, embeddings)
        outcome = run_training(
            _build_job(
                data,
                scheme,
                settings,
                seed=seed,
                title=f"classifier {_name_start(pretrained, embeddings)}",
                group_factor=settings.group_factor if pretrained else 1.0,
                freeze_embeddings=settings.freeze_embeddings and embeddings is not None,
            ),
            model=model,
            run_folder=output,
            settings=settings.loop,
            seed=seed,
            reporter=reporter,
        )
        metrics: dict[str, Any] = {"steps": outcome.steps, "best_step": outcome.best_step}
        for split in ("validation", "test"):
            if part := data.select(split):
                token_ids = encode_sequences(part.sequences, scheme)
                probabilities = _compute_probabilities(model.eval(), token_ids)
                metrics[split] = compute_classification_report(part.labels, select_scores(probabilities))
        finish_run_folder(output, model=model, scheme=scheme, metrics=metrics)
        return metrics


def _identify_inputs(
    data: LabeledData, pretrained: Path | None, embeddings: npt.NDArray[np.float32] | None
) -> dict[str, str]:
    inputs = {
        "data": compute_fingerprint(
            [data.sequences, data.labels.tolist(), list(data.label_names), list(data.splits)]
        ),
        "pretrained": compute_model_sha256(pretrained) if pretrained else "none",
    }
    if embeddings is not None:
        inputs["embeddings"] = hashlib.sha256(embeddings.tobytes()).hexdigest()
    return inputs


def _build_job(
    data: LabeledData,
    scheme: KmerScheme,
    settings: FinetuneSettings,
    *,
    seed: int,
    title: str,
    group_factor: float,
    freeze_embeddings: bool,
) -> TrainingJob:
    train, validation = data.select("train"), data.select("validation")
    batches = SequenceBatches(
        encode_sequences(train.sequences, scheme),
        batch_size=settings.batch_size,
        seed=seed,
        labels=train.labels,
        names=train.ids,
    )
    held_out = encode_sequences(validation.sequences, scheme)

    def evaluate(current: PreTrainedModel) -> dict[str, float]:
        probabilities = _compute_probabilities(current, held_out)
        figures = compute_classification_metrics(validation.labels, select_scores(probabilities))
        return {
            "loss": _compute_log_loss(validation.labels, probabilities),
            **{name: figures[name] for name in ("accuracy", "mcc", "auroc")},
        }

    return TrainingJob(
        title=title,
        batches=batches,
        schedule=PhasedSchedule(
            phases=settings.phases,
            steps_per_epoch=batches.steps_per_epoch,
            schedule=settings.schedule,
            group_factor=group_factor,
            frozen_groups=int(freeze_embeddings),
        ),
        evaluate=evaluate,
        monitor=settings.monitor,
        larger_is_better=settings.monitor != "loss",
        eval_every_steps=batches.steps_per_epoch,
        patience=settings.patience,
        bases_per_token=scheme.stride,
    )


def _compute_probabilities(model: PreTrainedModel, token_ids: Sequence[TokenIds]) -> np.ndarray:
    """Return the probabilities of all sequences on every process, each of which computes its share.

    The last one fills up the shares, since sharded parameters want every process to call as often.
    """
    ranks = get_ranks()
    own = list(token_ids[ranks.split_rows(len(token_ids))])
    filled = own + [token_ids[-1]] * (math.ceil(len(token_ids) / ranks.count) - len(own))
    return ranks.gather_rows(compute_probabilities(model, filled)[: len(own)])


def _name_start(pretrained: Path | None, embeddings: npt.NDArray[np.float32] | None) -> str:
    if pretrained:
        return f"on {pretrained.name}"
    return "from scratch" if embeddings is None else "from embeddings"


def _build_classifier(
    scheme: KmerScheme,
    settings: FinetuneSettings,
    label_names: tuple[str, ...],
    *,
    pretrained: Path | None,
    seed: int,
) -> AwdLstmForSequenceClassification:
    torch.manual_seed(seed)
    changes: dict[str, Any] = {
        **settings.dropout.build_config(),
        "classifier_dropout": settings.classifier_dropout,
        "id2label": dict(enumerate(label_names)),
        "label2id": {name: index for index, name in enumerate(label_names)},
    }
    if pretrained:
        return AwdLstmForSequenceClassification.from_pretrained(pretrained, **changes)
    config = AwdLstmConfig(
        vocab_size=scheme.vocab_size,
        kmer_k=scheme.k,
        kmer_stride=scheme.stride,
        **asdict(settings.model),
        **changes,
    )
    return AwdLstmForSequenceClassification(config)


def _check_split(data: LabeledData, split: str) -> None:
    present = set(data.select(split).labels.tolist())
    if len(present) < len(data.label_names):
        missing = [name for index, name in enumerate(data.label_names) if index not in present]
        raise DataError(
            found=f"no sequence with label {', '.join(missing)} in the {split} split",
            expected="every label in the train and validation splits",
            remedy="correct the split column",
        )


def _compute_log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean negative log-probability of the right class, in nats."""
    right = np.clip(probabilities[np.arange(len(labels)), labels], 1e-12, 1.0)
    return float(-np.log(right).mean())
