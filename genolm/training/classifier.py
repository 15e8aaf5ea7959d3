"""Fine-tuning: a classifier or a regression on a pretrained model, or from random weights.

On an AWD-LSTM it is stage 3 of ULMFiT; a BERT or a ModernBERT stays a plain model of transformers.
"""

import hashlib
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedModel

from genolm.corpus.labeled import SPLITS, LabeledData
from genolm.errors import SettingsError
from genolm.files import compute_fingerprint
from genolm.models.cpu_kernels import choose_cpu_kernels
from genolm.models.initialization import load_embedding_matrix
from genolm.models.scoring import Task, compute_probabilities
from genolm.models.strands import averages_strands
from genolm.models.token_scoring import compute_token_probabilities, spread_over_bases
from genolm.progress import Reporter
from genolm.threshold import choose_threshold
from genolm.tokenization.tokens import BpeTokens, Tokens, identify_tokens, require_kmers
from genolm.training.finetuning.augmentation import build_augmentation
from genolm.training.finetuning.data import (
    Examples,
    Unit,
    build_batches,
    build_targets,
    check_targets,
    encode_split,
    find_unit,
)
from genolm.training.finetuning.methods import finish_method, prepare_method
from genolm.training.finetuning.metrics import compute_report, compute_training_figures
from genolm.training.finetuning.models import build_classifier, build_config, load_pretrained_scheme
from genolm.training.finetuning.settings import SMALLER_IS_BETTER, FinetuneSettings, LoraSettings
from genolm.training.finetuning.token_labels import split_rows
from genolm.training.hardware.precision import choose_precision
from genolm.training.hardware.ranks import get_ranks
from genolm.training.job import TrainingJob
from genolm.training.loop import run_training
from genolm.training.persistence.run_folder import (
    compute_model_sha256,
    finish_run_folder,
    open_run_folder,
)
from genolm.training.schedules import PhasedSchedule

__all__ = ["FinetuneSettings", "LoraSettings", "finetune"]

COUNTED_SEQUENCES = 1_000  # by which the bases of a BPE token are told


def finetune(
    data: LabeledData,
    output: Path,
    *,
    settings: FinetuneSettings,
    pretrained: Path | None = None,
    scheme: Tokens | None = None,
    embeddings: npt.NDArray[np.float32] | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Train a classifier and evaluate it; return the content of metrics.json.

    The validation split chooses the epoch and, of two classes, the `threshold` from which on the second is
    called; the metrics are at 0.5. The test split, if there is one, is read once, at the end.

    Args:
        data: labeled sequences with a train and a validation split.
        output: run folder; at the end a Hugging Face model folder.
        settings: of the training.
        pretrained: folder of a language model to start from, an AWD-LSTM, a BERT or a ModernBERT; without it
            an AWD-LSTM starts from random weights.
        scheme: how to cut the sequences; that of the pretrained model if there is one.
        embeddings: float32 [vocabulary, embedding_size], what the embedding starts from instead of random
            weights, such as `genolm.embeddings.features.build_embedding_matrix` gives; not with `pretrained`.
        seed: of the head's weights, the order and the dropout.
        reporter: shows the progress.

    Raises:
        DataError: a split is empty or lacks a class, a label does not suit the task, or a sequence is longer
            than the model.
        RunFolderError: `output` holds another run, or `pretrained` no finished model.
    """
    reporter = reporter or Reporter()
    if pretrained and embeddings is not None:
        raise SettingsError(
            found="a pretrained model and embeddings",
            expected="one of them: a pretrained model has its own embedding",
            remedy="leave one out",
        )
    if embeddings is not None and settings.network and settings.network.embedding_size is None:
        raise SettingsError(
            found="embeddings for one-hot bases",
            expected="a network that has an embedding",
            remedy="leave the embeddings out, or set network.embedding_size to their width",
        )
    scheme = load_pretrained_scheme(pretrained) if pretrained else scheme
    if scheme is None:
        raise SettingsError(
            found="neither a pretrained model nor a tokenizer",
            expected="one of them",
            remedy="name a pretrained folder, or a scheme such as kmer_k3_s1",
        )
    targets = build_targets(data, settings.task)
    check_targets(data, targets, settings.task)
    if settings.task == "token_classification":
        require_kmers(scheme, what="labels of bases")
    inputs = {**_identify_inputs(data, pretrained, embeddings), **identify_tokens(scheme)}
    config = build_config(scheme, settings, targets.names, pretrained=pretrained)
    if averages_strands(config) != settings.average_strands:
        config.average_strands = settings.average_strands  # read again where the model predicts
    examples = {
        split: encode_split(data, targets, split, scheme=scheme, model_config=config) for split in SPLITS
    }
    run_settings = {**asdict(settings), "tokenizer": scheme.name, "seed": seed}
    counts = {split: data.splits.count(split) for split in SPLITS}
    with open_run_folder(
        output,
        command="finetune",
        settings=run_settings,
        inputs=inputs,
        sources={"data": {"name": data.source, "records": counts}},
    ) as finished:
        if finished:
            return finished
        model = build_classifier(config, pretrained=pretrained, seed=seed)
        if embeddings is not None:
            load_embedding_matrix(model, embeddings)
        prepared = prepare_method(model, settings, is_given_embedding=embeddings is not None, seed=seed)
        unit = find_unit(examples["train"]) if settings.task == "regression" else Unit(0.0, 1.0)
        job = _build_job(
            examples,
            settings,
            model_config=config,
            unit=unit,
            frozen_groups=prepared.frozen_groups,
            group_factor=settings.group_factor if pretrained else 1.0,
            seed=seed,
            title=f"classifier {_name_start(pretrained, embeddings)}",
            scheme=scheme,
        )
        precision = choose_precision(settings.loop.precision)
        num_tokens = job.batches.build_largest(1).inputs["input_ids"].shape[1]
        with choose_cpu_kernels(model, precision, num_tokens=num_tokens):
            outcome = run_training(
                job,
                model=prepared.model,
                run_folder=output,
                settings=settings.loop,
                seed=seed,
                reporter=reporter,
            )
        model = finish_method(prepared.model, unit=unit)
        lengths_bp = [len(sequence) for sequence in examples["train"].sequences]
        metrics: dict[str, Any] = {
            "steps": outcome.steps,
            "best_step": outcome.best_step,
            "train_lengths_bp": [min(lengths_bp), max(lengths_bp)],
        }
        for split in ("validation", "test"):
            if examples[split].token_ids:
                outputs = _compute_outputs(model.eval(), examples[split], settings.task, scheme=scheme)
                values = examples[split].values
                metrics[split] = compute_report(settings.task, values, outputs, names=targets.names)
                if split == "validation" and settings.task == "classification" and len(targets.names) == 2:
                    metrics["threshold"] = choose_threshold(values, outputs[:, 1]).threshold
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
    examples: dict[str, Examples],
    settings: FinetuneSettings,
    *,
    model_config: Any,
    unit: Unit,
    frozen_groups: int,
    group_factor: float,
    seed: int,
    title: str,
    scheme: Tokens,
) -> TrainingJob:
    train, validation = (unit.normalize(examples[split]) for split in ("train", "validation"))
    batches = build_batches(
        train,
        task=settings.task,
        scheme=scheme,
        model_config=model_config,
        batch_size=settings.batch_size,
        seed=seed,
        augmentation=build_augmentation(train.sequences, scheme, settings=settings, seed=seed),
    )

    def evaluate(current: PreTrainedModel) -> dict[str, float]:
        outputs = _compute_outputs(current, validation, settings.task, scheme=scheme)
        return compute_training_figures(settings.task, validation.values, outputs, scale=unit.scale)

    return TrainingJob(
        title=title,
        batches=batches,
        schedule=PhasedSchedule(
            phases=settings.phases,
            steps_per_epoch=batches.steps_per_epoch,
            schedule=settings.schedule,
            group_factor=group_factor,
            frozen_groups=frozen_groups,
            warmup_steps=settings.warmup_steps,
        ),
        evaluate=evaluate,
        monitor=settings.monitor,
        larger_is_better=settings.monitor not in SMALLER_IS_BETTER,
        eval_every_steps=batches.steps_per_epoch,
        patience=settings.patience,
        bases_per_token=_find_bases_per_token(train, scheme),
    )


def _find_bases_per_token(examples: Examples, scheme: Tokens) -> float:
    """Return the bases that a token adds; of BPE on average, over the first sequences."""
    if not isinstance(scheme, BpeTokens):
        return scheme.stride
    ids = np.concatenate(examples.token_ids[:COUNTED_SEQUENCES])
    return float(scheme.token_bp[ids].sum() / ids.size)


def _compute_outputs(model: PreTrainedModel, examples: Examples, task: Task, *, scheme: Tokens) -> Any:
    """Return what a network says of all sequences on every process, each of which computes its share.

    The last one fills up the shares, since sharded parameters want every process to call as often.

    Returns:
        float32 [n, outputs]; of labels for bases a list, [bases, classes] for each sequence.
    """
    if examples.other_strand:
        strands = [examples.token_ids, examples.other_strand]
        parts = [examples._replace(token_ids=ids, other_strand=[]) for ids in strands]
        return np.mean([_compute_outputs(model, part, task, scheme=scheme) for part in parts], axis=0)
    ranks, token_ids = get_ranks(), examples.token_ids
    own = list(token_ids[ranks.split_rows(len(token_ids))])
    filled = own + [token_ids[-1]] * (math.ceil(len(token_ids) / ranks.count) - len(own))
    if task != "token_classification":
        return ranks.gather_rows(compute_probabilities(model, filled)[: len(own)])
    rows = compute_token_probabilities(model, filled)[: len(own)]
    own_rows = np.concatenate(rows) if rows else np.empty((0, int(model.config.num_labels or 0)), np.float32)
    token_rows = split_rows(ranks.gather_rows(own_rows), token_ids)
    lengths_bp = [len(labels) for labels in examples.values]
    kmers = require_kmers(scheme, what="labels of bases")
    return spread_over_bases(token_rows, lengths_bp=lengths_bp, scheme=kmers)


def _name_start(pretrained: Path | None, embeddings: npt.NDArray[np.float32] | None) -> str:
    if pretrained:
        return f"on {pretrained.name}"
    return "from scratch" if embeddings is None else "from embeddings"
