"""The stages of a pipeline after its corpus, one function each; all processes call them, only one writes."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from genolm.corpus.labeled import LabeledData
from genolm.embeddings.features import build_embedding_matrix
from genolm.embeddings.vectors import KmerVectors, load_vectors
from genolm.embeddings.word2vec import train_word2vec
from genolm.errors import SettingsError
from genolm.evaluation.report import ClassifierRow, LanguageModelRow
from genolm.models.bert import build_masked_lm
from genolm.models.scoring import Task
from genolm.pipeline.controls import (
    fit_data_controls,
    fit_vector_control,
    score_markov,
    score_two_sided,
)
from genolm.pipeline.recipe import Recipe, RecipeRun
from genolm.tokenization.tokens import identify_tokens, require_kmers
from genolm.training.adaptation import adapt
from genolm.training.causal_lm import pretrain_causal
from genolm.training.classifier import finetune
from genolm.training.masked_lm import PretrainMaskedSettings, pretrain_masked
from genolm.training.persistence.run_folder import finish_run_folder, open_run_folder

START_TITLES = {
    "scratch": "from scratch",
    "word2vec": "word2vec",
    "genome-lm": "genome LM",
    "domain-lm": "genome LM + domain LM",
    "untrained-lm": "masked LM from scratch",
    "masked-lm": "masked LM",
}
ARCHITECTURE_TITLES = {"bert": "BERT", "modernbert": "ModernBERT"}


def list_starts(recipe: Recipe) -> dict[str, str]:
    """Return what the classifiers of a recipe start from, with their names in the report, in its order."""
    if recipe.masked is None:
        return {start: START_TITLES[start] for start in ("scratch", "word2vec", "genome-lm", "domain-lm")}
    return {
        "scratch": "AWD-LSTM from scratch",  # another network than the masked language model
        "word2vec": START_TITLES["word2vec"],
        "untrained-lm": f"{ARCHITECTURE_TITLES[recipe.masked.model.architecture]} from scratch",
        "masked-lm": START_TITLES["masked-lm"],
    }


def train_genome_lm(
    run: RecipeRun, *, corpus: Path | None = None, output: Path | None = None
) -> dict[str, Any]:
    """Do stage 1, in the recipe's folders unless others are given; return the content of metrics.json."""
    return pretrain_causal(
        corpus or run.corpus,
        output or run.genome_lm,
        scheme=require_kmers(run.scheme, what="a causal language model"),
        settings=run.recipe.pretrain,
        seed=run.recipe.seed,
        reporter=run.reporter,
    )


def train_masked_lm(
    run: RecipeRun,
    *,
    corpus: Path | None = None,
    pretrained: Path | None = None,
    output: Path | None = None,
) -> dict[str, Any]:
    """Train a masked LM, in the recipe's folders unless others are given; return what metrics.json holds.

    Raises:
        SettingsError: the recipe has none.
    """
    return pretrain_masked(
        corpus or run.corpus,
        output or run.masked_lm,
        scheme=run.scheme,
        settings=require_masked_settings(run),
        pretrained=pretrained,
        seed=run.recipe.seed,
        reporter=run.reporter,
    )


def save_untrained_lm(run: RecipeRun) -> Path:
    """Write the masked LM with the random weights that its training begins with; return the folder.

    Fine-tuned as the trained one is, it says what the pretraining was worth.

    Raises:
        SettingsError: the recipe has none.
        RunFolderError: the folder is of other settings.
    """
    settings, seed = require_masked_settings(run).model, run.recipe.seed
    identity = {"model": asdict(settings), "tokenizer": run.scheme.name, "seed": seed}
    with open_run_folder(
        run.untrained_lm, command="random weights", settings=identity, inputs=identify_tokens(run.scheme)
    ) as finished:
        if not finished:
            model = build_masked_lm(run.scheme, settings, seed=seed)
            finish_run_folder(run.untrained_lm, model=model, scheme=run.scheme, metrics={"steps": 0})
    return run.untrained_lm


def require_masked_settings(run: RecipeRun) -> PretrainMaskedSettings:
    """Return the settings of the recipe's masked LM.

    Raises:
        SettingsError: the recipe has none.
    """
    if run.recipe.masked is None:
        raise SettingsError(
            found=f"no masked language model in the recipe {run.name}",
            expected="its setting masked",
            remedy="use the recipe dnabert_k3_bacteria or dnabert_k6_human, or add masked: to yours",
        )
    return run.recipe.masked


def train_domain_lm(
    run: RecipeRun, data: LabeledData, *, pretrained: Path | None = None, output: Path | None = None
) -> dict[str, Any]:
    """Do stage 2, in the recipe's folders unless others are given; return the content of metrics.json."""
    return adapt(
        pretrained or run.genome_lm,
        output or run.domain_lm,
        train_sequences=data.select("train").sequences,
        validation_sequences=data.select("validation").sequences,
        settings=run.recipe.adapt,
        seed=run.recipe.seed,
        reporter=run.reporter,
    )


def train_classifier(
    run: RecipeRun,
    data: LabeledData,
    output: Path,
    *,
    pretrained: Path | None = None,
    vectors: KmerVectors | None = None,
) -> dict[str, Any]:
    """Do stage 3 from a language model, from vectors or from random weights; return the metrics."""
    return finetune(
        data,
        output,
        settings=run.recipe.finetune if pretrained else run.recipe.scratch,
        pretrained=pretrained,
        scheme=run.scheme,
        embeddings=_build_matrix(run, vectors) if vectors is not None else None,
        seed=run.recipe.seed,
        reporter=run.reporter,
    )


def _build_matrix(run: RecipeRun, vectors: KmerVectors) -> npt.NDArray[np.float32]:
    scheme, size = require_kmers(run.scheme, what="word2vec"), run.recipe.scratch.model.embedding_size
    return build_embedding_matrix(vectors, scheme, size=size)


def load_given_vectors(run: RecipeRun) -> KmerVectors | None:
    """Return the word2vec vectors that the recipe names, if any.

    Raises:
        RunFolderError: there are none in the folder.
        SettingsError: they do not fit the network.
    """
    if not run.recipe.embeddings:
        return None
    vectors = load_vectors(Path(run.recipe.embeddings))
    _build_matrix(run, vectors)
    return vectors


def train_vectors(run: RecipeRun) -> KmerVectors | None:
    """Return word2vec vectors of the corpus; None if the recipe wants none."""
    settings = run.recipe.word2vec
    if settings is None:
        return None
    run.ranks.on_main(
        lambda: train_word2vec(
            run.corpus,
            run.vectors,
            scheme=require_kmers(run.scheme, what="word2vec"),
            settings=settings,
            seed=run.recipe.seed,
            reporter=run.reporter,
        )
    )
    return load_vectors(run.vectors)


def score_recipe_markov(run: RecipeRun) -> LanguageModelRow:
    """Return the row of the best Markov model on the recipe's corpus."""
    return run.ranks.on_main(
        lambda: score_markov(
            run.corpus,
            run.folder / "markov.json",
            scheme=run.scheme,
            window_bp=(
                run.recipe.masked.windows.length_bp
                if run.recipe.masked
                else run.recipe.pretrain.eval_window_bp
            ),
            reporter=run.reporter,
        )
    )


def score_recipe_two_sided(run: RecipeRun) -> LanguageModelRow:
    """Return the row of the best counts of both sides on the corpus of a recipe with a masked LM."""
    return run.ranks.on_main(
        lambda: score_two_sided(
            run.corpus,
            run.folder / "two-sided.json",
            window_bp=require_masked_settings(run).windows.length_bp,
            reporter=run.reporter,
        )
    )


def fit_run_controls(
    run: RecipeRun,
    data: LabeledData,
    folder: Path,
    *,
    task: Task = "classification",
    vectors: KmerVectors | None = None,
) -> list[ClassifierRow]:
    """Return the rows of all controls, and of one on the vectors if given; they are kept in `folder`.

    The one on the vectors is for a classification alone.
    """

    def fit() -> list[ClassifierRow]:
        rows = fit_data_controls(data, folder / "controls.json", task=task, reporter=run.reporter)
        if vectors is not None and task == "classification":
            path = folder / "control-word2vec.json"
            rows.append(fit_vector_control(data, vectors, path, reporter=run.reporter))
        return rows

    return run.ranks.on_main(fit)
