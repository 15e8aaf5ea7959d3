"""The first stage of a pipeline: its folder, and the corpus without the held-out labeled sequences."""

from dataclasses import asdict

from genolm.corpus.build import build_corpus
from genolm.corpus.builtin import resolve_genomes
from genolm.corpus.labeled import LabeledData
from genolm.errors import RunFolderError
from genolm.files import compute_fingerprint, compute_sha256, is_unused, read_json, write_json
from genolm.genome.contigs import Genome
from genolm.genome.store import GenomeStore
from genolm.pipeline.recipe import RecipeRun

MIN_EXCLUDED_BP = 16


def build_recipe_corpus(run: RecipeRun, data: LabeledData | None) -> None:
    """Build the corpus without the held-out sequences, unless that very corpus is there already.

    Raises:
        RunFolderError: the folder is that of another recipe, or holds files of another origin.
    """

    def build() -> None:
        held_out = _select_held_out(run, data)
        genomes = _claim(run, held_out)
        if not (run.corpus / "corpus.json").is_file():
            build_corpus(
                genomes,
                run.corpus,
                settings=run.recipe.corpus,
                exclude_sequences=held_out,
                reporter=run.reporter,
            )

    run.ranks.on_main(build)


def claim_run_folder(run: RecipeRun, data: LabeledData) -> None:
    """Mark the folder as this recipe's, or check that it is, for a stage that needs no corpus.

    Raises:
        RunFolderError: the folder is that of another recipe, or holds files of another origin.
    """

    def claim() -> None:
        _claim(run, _select_held_out(run, data))

    run.ranks.on_main(claim)


def _select_held_out(run: RecipeRun, data: LabeledData | None) -> list[str]:
    """Return the validation and test sequences that are long enough to be found in a genome."""
    if data is None:
        return []
    held_out = [sequence for split in ("validation", "test") for sequence in data.select(split).sequences]
    if num_short := sum(len(sequence) < MIN_EXCLUDED_BP for sequence in held_out):
        run.reporter.note(
            f"  {num_short:,} held-out sequences under {MIN_EXCLUDED_BP} bp are too short to be found in a "
            "genome, so the language model may see them"
        )
    return [sequence for sequence in held_out if len(sequence) >= MIN_EXCLUDED_BP]


def _claim(run: RecipeRun, held_out: list[str]) -> list[Genome]:
    """Write the corpus's fingerprint, or check the one that is there; return the recipe's genomes."""
    genomes = resolve_genomes(run.recipe.genomes, store=GenomeStore(reporter=run.reporter))
    identity = compute_fingerprint(
        [
            [[genome.name, genome.sha256 or compute_sha256(genome.path)] for genome in genomes],
            asdict(run.recipe.corpus),
            held_out,
        ]
    )
    marker = run.folder / "corpus.fingerprint.json"
    is_ours = marker.is_file() and read_json(marker) == identity
    if not is_ours and (run.corpus / "corpus.json").is_file():
        raise RunFolderError(
            found=f"another corpus in {run.corpus}",
            expected="the one of this recipe",
            remedy="choose another --output, or remove the folder",
        )
    if not marker.is_file() and not is_unused(run.folder):
        raise RunFolderError(
            found=f"{run.folder} with files of another origin",
            expected="an empty or new output folder",
            remedy="choose another --output",
        )
    if not is_ours:
        write_json(marker, identity)
    return genomes
