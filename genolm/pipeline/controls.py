"""What stands beside the networks in a pipeline's report: controls of classifiers, and models of counts."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from genolm.alphabet import Codes
from genolm.corpus.bases import load_corpus_bases, read_corpus_info
from genolm.corpus.labeled import LabeledData
from genolm.embeddings.features import compute_embedding_profiles
from genolm.embeddings.vectors import KmerVectors
from genolm.evaluation.controls import (
    LabeledSplit,
    fit_controls,
    fit_feature_control,
    fit_multi_label_controls,
    fit_regression_controls,
)
from genolm.evaluation.markov import compute_markov_bits, fit_markov, select_markov_order
from genolm.evaluation.report import ClassifierRow, LanguageModelRow
from genolm.evaluation.two_sided import compute_two_sided_bits, select_two_sided
from genolm.files import compute_fingerprint
from genolm.metrics import compute_classification_report
from genolm.models.scoring import Task
from genolm.pipeline.kept_values import keep_json
from genolm.progress import Reporter
from genolm.tokenization.tokens import Tokens
from genolm.training.finetuning.data import build_targets
from genolm.training.finetuning.metrics import compute_multi_label_report, compute_regression_report
from genolm.training.lm_score import cut_windows

CONTROL_NAMES = {
    "gc": "control: GC fraction",
    "kmer": "control: k-mers",
    "position": "control: positions",
    "kmer_position": "control: k-mers + positions",
}


def score_markov(
    corpus: Path, path: Path, *, scheme: Tokens, window_bp: int, reporter: Reporter
) -> LanguageModelRow:
    """Return the best Markov model, scored on the language model's windows; it is kept in the file `path`."""
    key = compute_fingerprint([read_corpus_info(corpus)["splits"], window_bp, scheme.name])

    def compute() -> dict[str, Any]:
        pieces = _cut_held_out(corpus, window_bp=window_bp, min_bp=scheme.min_length_bp + 1)
        train = list(load_corpus_bases(corpus, "train").iter_pieces())
        order = select_markov_order(train, pieces["validation"]).order
        model = fit_markov(train, order=order)
        bits = {
            split: compute_markov_bits(model, windows, context_bp=scheme.min_length_bp).bits_per_base
            for split, windows in pieces.items()
        }
        return {"order": order, **bits}

    value = _compute_once(path, key, compute, title="Markov models", reporter=reporter)
    return LanguageModelRow(
        name=f"Markov model of order {value['order']}",
        validation_bits_per_base=value["validation"],
        test_bits_per_base=value["test"],
    )


def score_two_sided(corpus: Path, path: Path, *, window_bp: int, reporter: Reporter) -> LanguageModelRow:
    """Return the best counts of both sides, scored on the masked LM's windows; they are kept in `path`."""
    key = compute_fingerprint([read_corpus_info(corpus)["splits"], window_bp])

    def compute() -> dict[str, Any]:
        pieces = _cut_held_out(corpus, window_bp=window_bp, min_bp=1)
        train = load_corpus_bases(corpus, "train").iter_pieces()
        model = select_two_sided(train, pieces["validation"]).model
        bits = {
            split: compute_two_sided_bits(model, windows).bits_per_base for split, windows in pieces.items()
        }
        return {"half_bp": model.half_bp, "strengths": model.strengths, **bits}

    value = _compute_once(path, key, compute, title="counts of both sides", reporter=reporter)
    return LanguageModelRow(
        name=f"counts of both sides (m = {value['half_bp']})",
        validation_bits_per_base=value["validation"],
        test_bits_per_base=value["test"],
    )


def _cut_held_out(corpus: Path, *, window_bp: int, min_bp: int) -> dict[str, list[Codes]]:
    return {
        split: cut_windows(load_corpus_bases(corpus, split), window_bp=window_bp, min_bp=min_bp)
        for split in ("validation", "test")
    }


def fit_data_controls(
    data: LabeledData, path: Path, *, task: Task = "classification", reporter: Reporter | None = None
) -> list[ClassifierRow]:
    """Return the rows of the controls on data with all three splits; they are kept in the file `path`.

    Args:
        data: labeled sequences; of a regression, the labels are numbers.
        path: JSON file.
        task: any but token_classification.
        reporter: shows the work.
    """
    parts = [data.select(split) for split in ("train", "validation", "test")]
    targets = [build_targets(part, task) for part in parts]
    splits = [LabeledSplit(part.sequences, each.values) for part, each in zip(parts, targets, strict=True)]
    key = compute_fingerprint([[part.sequences, part.labels.tolist()] for part in splits])

    def report(labels: Any, scores: Any) -> dict[str, Any]:
        if task == "multi_label":
            return compute_multi_label_report(labels, scores, names=targets[0].names)
        if task == "regression":
            return compute_regression_report(labels, scores)
        return compute_classification_report(labels, scores)

    def compute() -> list[dict[str, Any]]:
        fit = {"regression": fit_regression_controls, "multi_label": fit_multi_label_controls}
        controls = fit.get(task, partial(fit_controls, seed=0))(*splits)
        return [
            {
                "name": CONTROL_NAMES[control.name],
                "description": control.description,
                "settings": control.settings,
                "validation": report(splits[1].labels, control.validation_scores),
                "test": report(splits[2].labels, control.test_scores),
            }
            for control in controls
        ]

    rows = _compute_once(path, key, compute, title="controls", reporter=reporter or Reporter())
    return [
        ClassifierRow(name=row["name"], is_control=True, validation=row["validation"], test=row["test"])
        for row in rows
    ]


def fit_vector_control(
    data: LabeledData, vectors: KmerVectors, path: Path, *, reporter: Reporter | None = None
) -> ClassifierRow:
    """Return the row of a linear classifier on mean vectors; it is kept in the file `path`."""
    train, validation, test = (
        LabeledSplit(part.sequences, part.labels)
        for part in map(data.select, ("train", "validation", "test"))
    )
    key = compute_fingerprint(
        [[part.sequences, part.labels.tolist()] for part in (train, validation, test)]
        + [vectors.words, vectors.vectors.tolist()]
    )

    def compute() -> dict[str, Any]:
        from scipy.sparse import csr_matrix

        control = fit_feature_control(
            "word2vec",
            "the mean word2vec vector of the k-mers",
            lambda sequences: csr_matrix(compute_embedding_profiles(sequences, vectors)),
            train=train,
            validation=validation,
            test=test,
            seed=0,
        )
        return {
            "settings": control.settings,
            "validation": compute_classification_report(validation.labels, control.validation_scores),
            "test": compute_classification_report(test.labels, control.test_scores),
        }

    row = _compute_once(path, key, compute, title="word2vec control", reporter=reporter or Reporter())
    return ClassifierRow(
        name="control: mean word2vec vector", is_control=True, validation=row["validation"], test=row["test"]
    )


def _compute_once(path: Path, key: str, compute: Callable[[], Any], *, title: str, reporter: Reporter) -> Any:
    """Return the value of `keep_json`, and show the work where there is any."""

    def compute_and_tell() -> Any:
        with reporter.task(title, total=1) as task:
            value = compute()
            task.update(1)
        return value

    return keep_json(path, key, compute_and_tell)
