"""One stage of a recipe by itself, in the folders that the whole pipeline uses, or in folders of the user.

What `genolm run RECIPE` does alone can so be done stage by stage; in the end it finds all of it finished.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from genolm.corpus.labeled import LabeledData
from genolm.embeddings.vectors import KmerVectors, load_vectors
from genolm.errors import RunFolderError, SettingsError
from genolm.evaluation.report import ClassifierRow
from genolm.pipeline.audit import audit_run_data, keep_audit
from genolm.pipeline.corpus_stage import build_recipe_corpus, claim_run_folder
from genolm.pipeline.labeled_data import read_other_data, read_recipe_data
from genolm.pipeline.recipe import RecipeRun
from genolm.pipeline.stages import (
    START_TITLES,
    fit_run_controls,
    load_given_vectors,
    require_masked_settings,
    save_untrained_lm,
    train_classifier,
    train_domain_lm,
    train_genome_lm,
    train_masked_lm,
    train_vectors,
)
from genolm.tokenization.tokenizer_json import load_scheme
from genolm.tokenization.tokens import load_tokens, require_kmers


class StageResult(NamedTuple):
    """What a stage ends with."""

    folder: Path
    metrics: dict[str, Any]
    rows: tuple[ClassifierRow, ...] = ()  # a classifier and its controls, if there is a test split


def run_pretraining(run: RecipeRun, *, corpus: Path | None = None, output: Path | None = None) -> StageResult:
    """Do stage 1 on a corpus folder, or on the recipe's own, which is built if need be.

    Raises:
        GenolmError: bad input, or a folder of another run.
    """
    _check_output(output, {"--corpus": corpus})
    require_kmers(run.scheme, what="a causal language model")  # before anything is written
    if corpus is None:
        build_recipe_corpus(run, read_recipe_data(run))
    metrics = train_genome_lm(run, corpus=corpus, output=output)
    return StageResult(output or run.genome_lm, metrics)


def run_masked_pretraining(
    run: RecipeRun,
    *,
    corpus: Path | None = None,
    pretrained: Path | None = None,
    output: Path | None = None,
) -> StageResult:
    """Train a masked language model on a corpus folder, or on the recipe's own, which is built if need be.

    Raises:
        GenolmError: bad input, or a folder of another run.
    """
    _check_output(output, {"--corpus": corpus, "--pretrained": pretrained})
    if corpus is None:
        build_recipe_corpus(run, read_recipe_data(run) if run.recipe.data else None)
    metrics = train_masked_lm(run, corpus=corpus, pretrained=pretrained, output=output)
    return StageResult(output or run.masked_lm, metrics)


def run_adaptation(
    run: RecipeRun, *, pretrained: Path | None = None, data: str | None = None, output: Path | None = None
) -> StageResult:
    """Do stage 2 from a language model, or the recipe's own, on sequences, or the recipe's own.

    Raises:
        GenolmError: bad input, a folder of another run, or no finished language model.
    """
    _check_output(output, {"--pretrained": pretrained, "--data": data})
    start = pretrained or _require_language_model(run, "genome-lm")
    k = load_scheme(start).k
    if data is None:
        labeled = read_recipe_data(run, min_length_bp=k)
    else:
        labeled = read_other_data(run, data, min_length_bp=k, require_labels=False)
    if output is None:
        claim_run_folder(run, labeled)
    metrics = train_domain_lm(run, labeled, pretrained=start, output=output)
    return StageResult(output or run.domain_lm, metrics)


def run_finetuning(
    run: RecipeRun,
    *,
    start: str | None = None,
    pretrained: Path | None = None,
    embeddings: Path | None = None,
    data: str | None = None,
    output: Path | None = None,
) -> StageResult:
    """Do stage 3, and the controls beside it where the data have a test split.

    Args:
        run: the recipe at work.
        start: what the classifier starts from in the recipe's folder: scratch, word2vec, genome-lm,
            domain-lm, untrained-lm (the masked language model's network with random weights) or masked-lm.
            Without it: domain-lm, or random weights with `data` or `embeddings`.
        pretrained: instead, the folder of a language model.
        embeddings: folder of vectors that random weights begin with.
        data: labeled sequences instead of the recipe's.
        output: folder to write instead of the recipe's classifier-START.

    Raises:
        GenolmError: bad input, a folder of another run, or no finished language model.
    """
    _check_output(output, {"--pretrained": pretrained, "--embeddings": embeddings, "--data": data})
    start = _choose_start(start, pretrained=pretrained, embeddings=embeddings, data=data)
    if start in ("genome-lm", "domain-lm", "masked-lm"):
        pretrained = _require_language_model(run, start)
    if start == "untrained-lm":
        require_masked_settings(run)  # before anything is written
    elif pretrained is None:
        require_kmers(run.scheme, what="a network from random weights")
    scheme = load_tokens(pretrained) if pretrained else run.scheme
    settings = run.recipe.finetune if pretrained or start == "untrained-lm" else run.recipe.scratch
    has_classes = settings.task == "classification"  # other labels are checked against the task later
    if data is None:
        labeled = read_recipe_data(run, min_length_bp=scheme.min_length_bp, has_classes=has_classes)
    else:
        labeled = read_other_data(run, data, min_length_bp=scheme.min_length_bp, has_classes=has_classes)
    if output is None or start == "untrained-lm":
        claim_run_folder(run, labeled if data is None else read_recipe_data(run))
    if start == "untrained-lm":
        pretrained = save_untrained_lm(run)
    vectors = load_vectors(embeddings) if embeddings else None
    if start == "word2vec":
        vectors = _prepare_recipe_vectors(run, labeled if data is None else read_recipe_data(run))
    folder = output or run.find_classifier(start)
    audit = audit_run_data(run, labeled, output or run.folder, task=settings.task)
    metrics = train_classifier(run, labeled, folder, pretrained=pretrained, vectors=vectors)
    keep_audit(run, audit, output or run.folder)
    if "test" not in metrics or settings.task == "token_classification":
        return StageResult(folder, metrics)  # for the bases of a sequence there are no controls
    controls = fit_run_controls(run, labeled, output or run.folder, task=settings.task, vectors=vectors)
    row = ClassifierRow(
        name=folder.name, is_control=False, validation=metrics["validation"], test=metrics["test"]
    )
    return StageResult(folder, metrics, (*controls, row))


def _choose_start(
    start: str | None, *, pretrained: Path | None, embeddings: Path | None, data: str | None
) -> str:
    """Return the name of the start, empty for a folder of the user; it is the default if none is given."""
    folders = {"--pretrained": pretrained, "--embeddings": embeddings}
    given = [f"{option} {folder}" for option, folder in folders.items() if folder is not None]
    if start is None:
        return "" if given else "domain-lm" if data is None else "scratch"
    if start not in START_TITLES:
        raise SettingsError(
            found=f"--start {start}",
            expected=f"one of {', '.join(START_TITLES)}",
            remedy="correct it; another model's folder goes to --pretrained",
        )
    if given:
        raise SettingsError(
            found=f"--start {start} and {' and '.join(given)}",
            expected="one thing to start from",
            remedy="leave one out",
        )
    return start


def _check_output(output: Path | None, others: Mapping[str, Any]) -> None:
    """Keep what is not made of the recipe's own parts out of the recipe's folder."""
    given = [option for option, value in others.items() if value is not None]
    if output is None and given:
        raise SettingsError(
            found=f"{' and '.join(given)} without --output",
            expected="a folder for what is not the recipe's own",
            remedy=f"add --output FOLDER, or leave {' and '.join(given)} out",
        )


def _require_language_model(run: RecipeRun, start: str) -> Path:
    """Return the folder of a finished language model of the recipe."""
    folder, command = {
        "genome-lm": (run.genome_lm, "genolm pretrain causal"),
        "domain-lm": (run.domain_lm, "genolm adapt"),
        "masked-lm": (run.masked_lm, "genolm pretrain masked"),
    }[start]
    if not (folder / "metrics.json").is_file():
        raise RunFolderError(
            found=f"no finished language model in {folder}",
            expected="the one that this stage starts from",
            remedy=f"first run {command} --recipe {run.name}",
        )
    return folder


def _prepare_recipe_vectors(run: RecipeRun, data: LabeledData) -> KmerVectors:
    """Return the recipe's vectors; they are trained on its corpus, which is built, if need be."""
    vectors = load_given_vectors(run)
    if vectors is None and run.recipe.word2vec is not None:
        build_recipe_corpus(run, data)
        vectors = train_vectors(run)
    if vectors is None:
        raise SettingsError(
            found=f"--start word2vec and no vectors in the recipe {run.name}",
            expected="its setting word2vec or embeddings",
            remedy="use the recipe ablation, or --embeddings FOLDER",
        )
    return vectors
