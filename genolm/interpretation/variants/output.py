"""Scored variants as a TSV table and as the annotated VCF that they came from."""

from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import numpy as np

import genolm
from genolm.alphabet import Codes
from genolm.errors import DataError
from genolm.interpretation.variants.records import NO_BASE, VariantRecord
from genolm.interpretation.variants.scores import Field

SCORED = "scored"
MISSING = "."

# Why an allele was not scored ("" if it was), and its figures.
AlleleResult = tuple[str, Sequence[float]]


def write_table_header(file: TextIO, fields: Sequence[Field]) -> None:
    """Write the names of the columns."""
    names = ("contig", "position_1based", "id", "ref", "alt", "status", *(field.name for field in fields))
    file.write("\t".join(names) + "\n")


def write_table_rows(
    file: TextIO, record: VariantRecord, results: Sequence[AlleleResult], *, num_fields: int
) -> None:
    """Write a row for each alternative allele; the status is "scored" or why it was not."""
    for alt, (reason, figures) in zip(record.alts or (MISSING,), results, strict=True):
        cells = [f"{figure:.6g}" for figure in figures] if not reason else [""] * num_fields
        place = (record.contig, str(record.position_1based), record.id, record.ref, alt or NO_BASE)
        file.write("\t".join([*place, reason or SCORED, *cells]) + "\n")


def name_info(field: Field) -> str:
    """Return what a field is called in a VCF.

    >>> name_info(Field("p_ref", ""))
    'GENOLM_P_REF'
    """
    return f"GENOLM_{field.name.upper()}"


def prepare_vcf_header(
    header: Any,
    fields: Sequence[Field],
    *,
    contigs: Mapping[str, Codes | None],
    model_sha256: str,
    description: str,
) -> None:
    """Add genolm's fields, its version, the model and the contigs that are missing to the header of pysam.

    Args:
        header: is changed.
        fields: that will be written.
        contigs: every contig of the records, with its bases if the genome has it.
        model_sha256: of model.safetensors.
        description: settings, in a few words.

    Raises:
        DataError: the file has such fields already.
    """
    names = [name_info(field) for field in fields]
    for name in (*names, "GENOLM_SKIPPED"):
        if name in header.info:
            raise DataError(
                found=f"the field {name} in the VCF already",
                expected="a VCF without genolm's fields",
                remedy="remove them: bcftools annotate -x INFO/" + ",INFO/".join([*names, "GENOLM_SKIPPED"]),
            )
    header.add_line(f"##genolm_version={genolm.__version__}")
    header.add_line(f"##genolm_model_sha256={model_sha256}")
    header.add_line(f"##genolm_variants={description}")
    source = f'Source="genolm",Version="{genolm.__version__}"'
    for name, field in zip(names, fields, strict=True):
        text = field.description.replace('"', "'")
        header.add_line(f'##INFO=<ID={name},Number=A,Type=Float,Description="{text}",{source}>')
    header.add_line(
        "##INFO=<ID=GENOLM_SKIPPED,Number=A,Type=String,"
        f'Description="why genolm did not score the allele",{source}>'
    )
    if "END" not in header.info:  # pysam gives an END to every symbolic allele that it changes
        header.add_line(
            '##INFO=<ID=END,Number=1,Type=Integer,Description="End position of the longest variant">'
        )
    for contig, codes in contigs.items():
        if contig not in header.contigs:
            length = {} if codes is None else {"length": len(codes)}
            header.contigs.add(contig, **length)


def annotate_record(record: Any, fields: Sequence[Field], results: Sequence[AlleleResult]) -> None:
    """Put the figures of a record's alternative alleles into its INFO; a record without any stays."""
    if not record.alts:
        return
    if any(reason for reason, _ in results):
        record.info["GENOLM_SKIPPED"] = tuple(reason.replace(" ", "_") or MISSING for reason, _ in results)
    if all(reason for reason, _ in results):
        return
    for column, field in enumerate(fields):
        figures = (None if reason else figures[column] for reason, figures in results)
        record.info[name_info(field)] = tuple(
            None if figure is None or np.isnan(figure) else float(figure) for figure in figures
        )
