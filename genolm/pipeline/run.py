"""A whole pipeline from one recipe.

Genomes become a corpus, the corpus a language model, adapted to the labeled sequences, then three classifiers
(random weights, genome LM, genome LM + domain LM) and their controls. With a masked language model in the
recipe the classifiers are an AWD-LSTM from random weights, the masked LM's network from random weights, and
the masked LM. The classifier is chosen on validation. The recipe may ask for the same in the other direction
(`backward`), and for the classifiers on parts of the train split (`learning_curve`).
"""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from genolm.corpus.labeled import LabeledData
from genolm.embeddings.vectors import KmerVectors
from genolm.errors import SettingsError
from genolm.evaluation.report import (
    AblationReport,
    ClassifierRow,
    LanguageModelRow,
    build_classifier_table,
    build_language_model_table,
    build_learning_curve_table,
    choose_network,
    render_markdown,
)
from genolm.files import atomic_folder, write_json, write_text
from genolm.pipeline.audit import audit_run_data, keep_audit
from genolm.pipeline.bidirectional import run_backward
from genolm.pipeline.corpus_stage import build_recipe_corpus
from genolm.pipeline.labeled_data import read_recipe_data
from genolm.pipeline.learning_curve import plot_learning_curve, train_learning_curve
from genolm.pipeline.recipe import Recipe, RecipeRun, open_run
from genolm.pipeline.stages import (
    fit_run_controls,
    list_starts,
    load_given_vectors,
    save_untrained_lm,
    score_recipe_markov,
    score_recipe_two_sided,
    train_classifier,
    train_domain_lm,
    train_genome_lm,
    train_masked_lm,
    train_vectors,
)
from genolm.progress import Reporter
from genolm.tokenization.scheme import KmerScheme


class PipelineResult(NamedTuple):
    """What a pipeline ends with."""

    report: AblationReport
    model_folder: Path


def run_pipeline(recipe: Recipe, output: Path, *, reporter: Reporter | None = None) -> PipelineResult:
    """Run a recipe in `output`, going on where an earlier run of the same recipe stopped.

    With several processes, all of them must call this; each gets the result.

    Raises:
        GenolmError: bad input, or a folder of another run.
    """
    run = open_run(recipe, name=output.name, folder=output, reporter=reporter)
    if not recipe.data:
        raise SettingsError(
            found=f"a recipe without labeled sequences ({run.name})",
            expected="data to fine-tune and evaluate on",
            remedy="add data: to the recipe, or run genolm pretrain masked, which needs none",
        )
    data = read_recipe_data(run)
    vectors = load_given_vectors(run)
    build_recipe_corpus(run, data)
    audit = audit_run_data(run, data, run.folder)
    language_models = _train_language_models(run, data)
    vectors = vectors or train_vectors(run)
    controls = fit_run_controls(run, data, run.folder, vectors=vectors)
    keep_audit(run, audit, run.folder)  # the controls refuse a folder of other labels
    networks = _train_classifiers(run, data, vectors)
    ensembles: tuple[ClassifierRow, ...] = ()
    if recipe.backward:
        backward = run_backward(run, data)
        networks, ensembles = networks | backward.networks, (backward.ensemble,)
        language_models = (*language_models, backward.language_model)
    report = AblationReport(
        classifiers=(*controls, *networks.values(), *ensembles),
        language_models=language_models,
        chosen=choose_network(list(networks.values())),  # one model folder, so no ensemble
        num_test=len(data.select("test")),
        learning_curve=train_learning_curve(run, data),
    )
    chosen = next(folder for folder, row in networks.items() if row.name == report.chosen)
    model_folder = output / "model"
    run.ranks.on_main(lambda: _publish(report, chosen, output, model_folder))
    return PipelineResult(report, model_folder)


def _train_language_models(run: RecipeRun, data: LabeledData) -> tuple[LanguageModelRow, ...]:
    """Do stages 1 and 2; return the language model's score beside those of counts of bases."""
    floors = [score_recipe_markov(run)]
    if run.recipe.masked:
        floors.append(score_recipe_two_sided(run))
        # Its bits per base are those of hidden tokens: see `compute_bpe_score`.
        limit = "" if isinstance(run.scheme, KmerScheme) else f"; compare within {run.scheme.name} only"
        name, metrics = f"masked LM (sees both sides{limit})", train_masked_lm(run)
    else:
        name, metrics = "genome LM", train_genome_lm(run)
        train_domain_lm(run, data)
    language_model = LanguageModelRow(
        name=name,
        validation_bits_per_base=metrics["validation"]["bits_per_base"],
        test_bits_per_base=metrics["test"]["bits_per_base"],
    )
    return (*floors, language_model)


def _train_classifiers(
    run: RecipeRun, data: LabeledData, vectors: KmerVectors | None
) -> dict[Path, ClassifierRow]:
    """Do stage 3 from each start: random weights, vectors, each language model; return folders and rows."""
    pretrained = {"genome-lm": run.genome_lm, "domain-lm": run.domain_lm}
    if run.recipe.masked:
        pretrained = {"untrained-lm": save_untrained_lm(run), "masked-lm": run.masked_lm}
    rows = {}
    for start, title in list_starts(run.recipe).items():
        if start == "word2vec" and vectors is None:
            continue
        if start == "scratch" and not isinstance(run.scheme, KmerScheme):
            run.reporter.note(f"  no row {title}: an AWD-LSTM takes k-mers, not {run.scheme.name}")
            continue
        folder = run.find_classifier(start)
        metrics = train_classifier(
            run,
            data,
            folder,
            pretrained=pretrained.get(start),
            vectors=vectors if start == "word2vec" else None,
        )
        rows[folder] = ClassifierRow(
            name=title, is_control=False, validation=metrics["validation"], test=metrics["test"]
        )
    return rows


def _publish(report: AblationReport, chosen: Path, output: Path, model_folder: Path) -> None:
    """Write the report, and copy the chosen classifier's model files, without log and figure of training."""
    write_json(output / "report.json", asdict(report))
    tables = [build_classifier_table(report), build_language_model_table(report)]
    if report.learning_curve:
        tables.append(build_learning_curve_table(report))
        plot_learning_curve(report.learning_curve, output / "learning_curve.png")
    write_text(output / "report.md", "\n\n".join(render_markdown(rows) for rows in tables) + "\n")
    with atomic_folder(model_folder) as temporary:
        for file in chosen.iterdir():
            if file.is_file() and file.name not in ("training_log.jsonl", "loss_curve.png"):
                shutil.copy2(file, temporary / file.name)
