"""Variants one by one from a VCF file or from a table; every unusable file is one clear line."""

import csv
import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from genolm.errors import DataError, SettingsError
from genolm.genome.text_files import check_text_start, open_by_content, read_start

COLUMN_NAMES = {
    "contig": ("contig", "chrom", "#chrom", "chromosome", "chr"),
    "position": ("position", "pos", "position_1based"),
    "ref": ("ref", "reference"),
    "alt": ("alt", "alternative"),
}
NO_BASE = "-"  # how tables write an allele without a base


class VariantRecord(NamedTuple):
    """One line of the file."""

    contig: str
    """as the file calls it"""
    position_1based: int
    """of the first base of `ref`"""
    id: str
    ref: str
    alts: tuple[str, ...]
    """alternative alleles; an empty one is a deletion"""
    source: Any
    """the record of pysam, to be written again; None of a table"""


def is_vcf(path: Path) -> bool:
    """Tell a VCF from a table by its first line.

    Raises:
        DataError: the file is missing or foreign, or a VCF without its header.
    """
    with open_by_content(path) as stream:
        start = read_start(stream)
    if start.startswith(b"BCF"):
        raise DataError(
            found=f"a BCF file ({path.name})", expected="VCF", remedy="convert it: bcftools view -Oz"
        )
    check_text_start(path, start, expected="VCF, CSV or TSV")
    if start.startswith(b"##fileformat=VCF"):
        return True
    if start.startswith(b"##") or any(suffix == ".vcf" for suffix in path.suffixes):
        raise DataError(
            found=f"a VCF without its header ({path.name})",
            expected="a first line such as ##fileformat=VCFv4.2",
            remedy="put the header back: bcftools reheader, or head of the file that it was cut from",
        )
    return False


@contextmanager
def open_vcf(path: Path) -> Iterator[tuple[Any, Iterator[VariantRecord]]]:
    """Open a VCF, plain or bgzip, and yield the file of pysam, for its header, and the records.

    Raises:
        SettingsError: pysam is not installed.
        DataError: the header or a record is damaged.
    """
    pysam = load_pysam()
    pysam.set_verbosity(0)  # htslib would print its own lines
    try:
        file = pysam.VariantFile(str(path))
    except NotImplementedError as error:  # htslib cannot move in it
        raise DataError(
            found=f"a VCF compressed by gzip ({path.name})",
            expected="a plain file, or one compressed by bgzip",
            remedy="run gunzip on it, or gunzip and bgzip",
        ) from error
    except (ValueError, OSError) as error:
        raise DataError(
            found=f"a VCF header that cannot be read in {path.name} ({error})",
            expected="a header that ends with the #CHROM line",
            remedy="check the file with bcftools view -h",
        ) from error
    with file:
        yield file, _iter_vcf(path.name, file)


def _iter_vcf(name: str, file: Iterable[Any]) -> Iterator[VariantRecord]:
    records, number = iter(file), 0
    while True:
        number += 1
        try:
            record = next(records)
        except StopIteration:
            return
        except (ValueError, OSError) as error:
            raise DataError(
                found=f"record {number} of {name}, which is no VCF line",
                expected="eight columns or more, divided by tabs",
                remedy="check the file with bcftools view",
            ) from error
        alts = tuple(record.alts or ())
        yield VariantRecord(record.chrom, record.pos, record.id or ".", record.ref, alts, record)


def load_pysam() -> Any:
    """Return the module pysam.

    Raises:
        SettingsError: it is not installed.
    """
    try:
        import pysam
    except ImportError as error:
        raise SettingsError(
            found="a VCF file without the package pysam",
            expected="pysam beside genolm",
            remedy="pip install 'genolm[variants]', or give the variants as a TSV table",
        ) from error
    return pysam


def iter_table(path: Path) -> Iterator[VariantRecord]:
    """Yield the rows of a CSV or TSV table with the columns contig, position (from 1), ref and alt.

    Several alternative alleles are divided by commas; '-' in alt is a deletion of ref.

    Raises:
        DataError: a column is missing, a position is no number, or the text is damaged.
    """
    with open_by_content(path) as stream:
        read_start(stream)
        text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="")
        first = text.readline()
        delimiter = max("\t,;", key=first.count)
        columns = [each.strip().lower() for each in next(csv.reader([first], delimiter=delimiter), [])]
        places = {
            field: next((columns.index(name) for name in names if name in columns), None)
            for field, names in COLUMN_NAMES.items()
        }
        missing = [field for field, place in places.items() if place is None]
        if missing:
            raise DataError(
                found=f"the columns {', '.join(columns)[:80]} in {path.name}",
                expected=f"columns named {', '.join(COLUMN_NAMES)}",
                remedy=f"add or rename {', '.join(missing)}; a VCF begins with ##fileformat=VCF",
            )
        for number, row in enumerate(csv.reader(text, delimiter=delimiter), start=2):
            if row:
                yield _parse_row(row, places, where=f"line {number} of {path.name}")


def _parse_row(row: list[str], places: dict[str, Any], *, where: str) -> VariantRecord:
    try:
        contig, position, ref, alt = (row[places[field]].strip() for field in COLUMN_NAMES)
        alts = tuple("" if each == NO_BASE else each for each in alt.split(",") if each)
        return VariantRecord(contig, int(position), ".", ref, alts, None)
    except (IndexError, ValueError) as error:
        raise DataError(
            found=f"'{' '.join(row)[:60]}' at {where}",
            expected="a contig, a position counted from 1, ref and alt",
            remedy="correct the line",
        ) from error
