"""Variants from a file, a genome and a model folder to an annotated VCF and a table."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from genolm.errors import DataError, SettingsError
from genolm.files import atomic_path, compute_sha256
from genolm.interpretation.chosen_model import check_window, open_for_inference
from genolm.interpretation.genome_codes import GenomeCodes, open_genome_codes
from genolm.interpretation.variants.alleles import (
    NO_ALTERNATIVE,
    PAST_END,
    REF_MISMATCH,
    UNKNOWN_CONTIG,
    AllelePair,
    build_contig_names,
    build_pair,
    check_alternative,
    check_reference,
)
from genolm.interpretation.variants.output import (
    AlleleResult,
    annotate_record,
    prepare_vcf_header,
    write_table_header,
    write_table_rows,
)
from genolm.interpretation.variants.records import VariantRecord, is_vcf, iter_table, load_pysam, open_vcf
from genolm.interpretation.variants.scores import Scorer, load_scorer
from genolm.interpretation.variants.settings import MAX_MISMATCH_SHARE, VariantSettings
from genolm.progress import Reporter

ENDINGS = (".vcf.gz", ".vcf", ".tsv")


class AnnotatedVariants(NamedTuple):
    """What was done."""

    num_alleles: int
    """alternative alleles in the file"""
    num_scored: int
    skipped: dict[str, int]
    """alternative alleles by the reason why they were not scored"""
    paths: tuple[Path, ...]
    """files written"""


class _Survey(NamedTuple):
    """What a first reading of the file found."""

    num_records: int
    contigs: tuple[str, ...]


def annotate_variants(
    variants_path: Path,
    genome_path: Path,
    model_folder: Path,
    output: Path,
    *,
    settings: VariantSettings,
    reporter: Reporter | None = None,
) -> AnnotatedVariants:
    """Score both alleles of each variant in its place in the genome.

    The file is read twice, record by record: first REF is compared with the genome, then the model works.

    Args:
        variants_path: VCF, plain or bgzip, or a CSV or TSV table; see `records.iter_table`.
        genome_path: FASTA, plain or gzipped.
        model_folder: of a classifier, a regression or a language model.
        output: a path that ends with .vcf.gz, .vcf or .tsv; for a VCF both VCF and table are written.
        settings: what the model is shown.
        reporter: shows the progress.

    Raises:
        DataError: a file is not usable, or more than 1 % of the REF alleles disagree with the genome.
        RunFolderError: the model folder holds no finished model.
        SettingsError: the ending of `output`, the class or the window is not usable, or pysam is missing.
    """
    reporter = reporter or Reporter()
    from_vcf = is_vcf(variants_path)
    table_path, vcf_path = _name_outputs(output, from_vcf=from_vcf)
    if variants_path.resolve() in (table_path.resolve(), vcf_path and vcf_path.resolve()):
        raise SettingsError(
            found=f"--output {output.name} for the variants of {variants_path.name}",
            expected="files other than the input",
            remedy="choose another --output",
        )
    if from_vcf:
        load_pysam()
    scorer = load_scorer(model_folder, settings)
    check_window(scorer.model.config, scorer.scheme, window_bp=settings.window_bp)
    with open_genome_codes(genome_path) as genome, ExitStack() as stack:
        names = build_contig_names(genome.contigs)
        survey = _survey(variants_path, genome, names, from_vcf=from_vcf)
        source, records = stack.enter_context(_open(variants_path, from_vcf=from_vcf))
        table = stack.enter_context(
            open(stack.enter_context(atomic_path(table_path)), "w", encoding="utf-8", newline="\n")
        )
        write_table_header(table, scorer.fields)
        vcf = None
        if vcf_path is not None:
            prepare_vcf_header(
                source.header,
                scorer.fields,
                contigs={each: genome.contigs.get(names.get(each, "")) for each in survey.contigs},
                model_sha256=compute_sha256(model_folder / "model.safetensors"),
                description=f"window_bp={settings.window_bp},offset_bp={settings.place_bp},"
                f"strand={settings.strand}",
            )
            temporary = stack.enter_context(atomic_path(vcf_path))
            mode = "wz" if vcf_path.suffix == ".gz" else "w"
            vcf = stack.enter_context(load_pysam().VariantFile(str(temporary), mode, header=source.header))
        counts: Counter[str] = Counter()
        task = stack.enter_context(reporter.task("variants", total=survey.num_records))
        stack.enter_context(
            open_for_inference(scorer.model, precision="no", num_tokens=settings.window_bp + 2)
        )
        scored = _iter_scored(records, genome, names, scorer, settings)
        for number, (record, results) in enumerate(scored, start=1):
            counts.update(reason for reason, _ in results)
            write_table_rows(table, record, results, num_fields=len(scorer.fields))
            if vcf is not None:
                annotate_record(record.source, scorer.fields, results)
                vcf.write(record.source)
            if number % settings.records_at_a_time == 0:
                task.update(number)
    num_scored = counts.pop("", 0)
    paths = (table_path,) if vcf_path is None else (vcf_path, table_path)
    return AnnotatedVariants(num_scored + counts.total(), num_scored, dict(counts.most_common()), paths)


def _iter_scored(
    records: Iterator[VariantRecord],
    genome: GenomeCodes,
    names: dict[str, str],
    scorer: Scorer,
    settings: VariantSettings,
) -> Iterator[tuple[VariantRecord, list[AlleleResult]]]:
    """Yield each record with its results, some hundred records in memory at a time."""
    while batch := list(islice(records, settings.records_at_a_time)):
        yield from zip(batch, _score_records(batch, genome, names, scorer, settings), strict=True)


def _name_outputs(output: Path, *, from_vcf: bool) -> tuple[Path, Path | None]:
    """Return where the table goes, and the VCF if there is one."""
    ending = next((each for each in ENDINGS if output.name.endswith(each)), None)
    if ending is None or (ending != ".tsv" and not from_vcf):
        raise SettingsError(
            found=f"--output {output.name}" + ("" if from_vcf else " for variants from a table"),
            expected="a name that ends with .vcf.gz, .vcf or .tsv"
            if from_vcf
            else "a name that ends with .tsv",
            remedy="correct --output",
        )
    stem = output.name.removesuffix(ending)
    vcf_ending = ".vcf.gz" if ending == ".tsv" else ending
    return output.with_name(f"{stem}.tsv"), output.with_name(stem + vcf_ending) if from_vcf else None


@contextmanager
def _open(path: Path, *, from_vcf: bool) -> Iterator[tuple[Any, Iterator[VariantRecord]]]:
    if not from_vcf:
        yield None, iter_table(path)
        return
    with open_vcf(path) as opened:
        yield opened


def _survey(path: Path, genome: GenomeCodes, names: dict[str, str], *, from_vcf: bool) -> _Survey:
    """Compare every REF with the genome before the model works.

    Raises:
        DataError: there is no record, no contig is known, or more than 1 % of the REF alleles disagree.
    """
    reasons: Counter[str] = Counter()
    contigs: dict[str, None] = {}
    first_wrong = ""
    with _open(path, from_vcf=from_vcf) as (_, records):
        for record in records:
            reason = check_reference(record, genome.contigs, names)
            reasons[reason] += 1
            contigs.setdefault(record.contig)
            if reason == REF_MISMATCH and not first_wrong:
                first_wrong = f"{record.contig}:{record.position_1based} {record.ref[:20]}"
    total = reasons.total()
    if total == 0 or reasons[UNKNOWN_CONTIG] == total:
        raise DataError(
            found=f"no variant in {path.name}"
            if total == 0
            else f"no contig of {path.name} in the genome ({', '.join(list(contigs)[:3])})",
            expected=f"variants on the contigs of the genome, such as {next(iter(genome.contigs))}",
            remedy="check that both files belong together; chr1 and 1 count as the same",
        )
    compared = total - reasons[UNKNOWN_CONTIG] - reasons[PAST_END]
    if reasons[REF_MISMATCH] > MAX_MISMATCH_SHARE * compared:
        raise DataError(
            found=f"{reasons[REF_MISMATCH]:,} of {compared:,} REF alleles that differ from the genome "
            f"(first {first_wrong})",
            expected=f"at most {MAX_MISMATCH_SHARE:.0%}",
            remedy="give the assembly that the variants were called on",
        )
    return _Survey(total, tuple(contigs))


def _score_records(
    records: list[VariantRecord],
    genome: GenomeCodes,
    names: dict[str, str],
    scorer: Scorer,
    settings: VariantSettings,
) -> list[list[AlleleResult]]:
    """Return for each record and each of its alternative alleles why it has no figures, and the figures."""
    found: list[list[AllelePair | str]] = [
        _pair_alleles(record, genome, names, settings) for record in records
    ]
    pairs = [each for alleles in found for each in alleles if isinstance(each, AllelePair)]
    figures = iter(scorer.score(pairs).tolist() if pairs else [])
    return [
        [(each, ()) if isinstance(each, str) else ("", next(figures)) for each in alleles]
        for alleles in found
    ]


def _pair_alleles(
    record: VariantRecord, genome: GenomeCodes, names: dict[str, str], settings: VariantSettings
) -> list[AllelePair | str]:
    if not record.alts:
        return [NO_ALTERNATIVE]
    if reason := check_reference(record, genome.contigs, names):
        return [reason] * len(record.alts)
    codes = genome.contigs[names[record.contig]]
    return [check_alternative(alt) or build_pair(codes, record, alt, settings) for alt in record.alts]
