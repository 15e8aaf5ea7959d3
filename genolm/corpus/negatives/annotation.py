"""Genes from GFF3, GTF or GenBank files: where they lie, on which strand, and what of them is coding."""

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from genolm.errors import DataError
from genolm.genome.text_files import open_by_content, read_start

CODING = "CDS"

_GENE_KINDS = {CODING, "gene", "ncRNA_gene", "pseudogene", "transcript", "primary_transcript", "tmRNA"}
_GENBANK_START = b"LOCUS "
_GENBANK_FEATURE = re.compile(r" {5}(\S+) +(\S.*)")
_GENBANK_SPAN = re.compile(r"<?(\d+)(?:\.\.>?(\d+))?")


class Feature(NamedTuple):
    """A gene, or a part of one that is transcribed or coding; 0-based and half-open, in bp."""

    contig: str
    start: int
    end: int
    strand: str
    """+ or -; . where the file says nothing"""
    kind: str
    """as in the file: gene, CDS, tRNA ..."""

    @property
    def begin(self) -> int | None:
        """0-based place of its first base in the direction of transcription; None without a strand."""
        if self.strand == "+":
            return self.start
        return self.end - 1 if self.strand == "-" else None


def read_features(path: Path) -> list[Feature]:
    """Read genes, transcripts and coding stretches, from GFF3, GTF or GenBank, plain or gzipped.

    Whole contigs, repeats and other features that are no part of a gene are left out.

    Args:
        path: the file; its content decides the format.

    Raises:
        DataError: the file is missing or of another format, a row is damaged, or there is no gene in it.
    """
    with open_by_content(path) as stream:
        is_genbank = read_start(stream).startswith(_GENBANK_START)
        lines = enumerate(io.TextIOWrapper(stream, encoding="utf-8", errors="replace"), start=1)
        features = list(_iter_genbank(lines) if is_genbank else _iter_gff(lines, name=path.name))
    if not features:
        raise DataError(
            found=f"no gene in {path.name}",
            expected="GFF3, GTF or GenBank with genes or CDS",
            remedy="give the annotation of the genome (genolm genome download --annotation fetches it)",
        )
    return features


def rename_contigs(
    features: Iterable[Feature], contigs: Iterable[str], *, aliases: Mapping[str, str]
) -> list[Feature]:
    """Give features the names of contigs that the genome has.

    Args:
        features: under the names of the annotation.
        contigs: the names of the genome.
        aliases: which names mean the same, from `genolm.genome.promoters.read_contig_aliases`; names are
            never guessed.

    >>> rename_contigs([Feature("chr1", 0, 9, "+", "gene")], ["NC_1.1"], aliases={"chr1": "1", "NC_1.1": "1"})
    [Feature(contig='NC_1.1', start=0, end=9, strand='+', kind='gene')]
    """
    name_of = {aliases.get(name, name): name for name in contigs}
    return [
        each._replace(contig=name_of.get(aliases.get(each.contig, each.contig), each.contig))
        for each in features
    ]


def _is_gene_kind(kind: str) -> bool:
    return kind in _GENE_KINDS or kind.endswith("RNA")


def _iter_gff(lines: Iterator[tuple[int, str]], *, name: str) -> Iterator[Feature]:
    for number, line in lines:
        if line.startswith("##FASTA"):
            return
        if line.startswith("#") or not line.strip():
            continue
        fields = line.rstrip("\r\n").split("\t")
        try:
            contig, kind, start, end, strand = fields[0], fields[2], int(fields[3]), int(fields[4]), fields[6]
            is_good = 1 <= start <= end and strand in ("+", "-", ".", "?")
        except (IndexError, ValueError):
            is_good = False
        if not is_good:
            raise DataError(
                found=f"'{line.strip()[:60]}' at line {number} of {name}",
                expected="GFF3 or GTF: contig, source, kind, start, end, score, strand, divided by tabs",
                remedy="give the annotation file as it was downloaded",
            )
        if _is_gene_kind(kind):
            yield Feature(contig, start - 1, end, strand if strand in "+-" else ".", kind)


def _iter_genbank(lines: Iterator[tuple[int, str]]) -> Iterator[Feature]:
    """Yield the features of all records; a contig is called as VERSION says, else ACCESSION, else LOCUS."""
    contig, kind, location = "", "", ""
    for _, line in lines:
        match = _GENBANK_FEATURE.match(line)
        is_continued = bool(kind) and line.startswith(" " * 21) and line.lstrip()[:1] != "/"
        if is_continued:
            location += line.strip()
            continue
        yield from _parse_location(contig, kind, location)
        kind, location = "", ""
        words = line.split()
        if line.startswith(("LOCUS", "ACCESSION", "VERSION")) and len(words) > 1:
            contig = words[1]
        elif match and _is_gene_kind(match[1]):
            kind, location = match[1], match[2].strip()
    yield from _parse_location(contig, kind, location)


def _parse_location(contig: str, kind: str, location: str) -> Iterator[Feature]:
    """Yield each stretch of a location such as complement(join(5..9,20..31)); those of other records not."""
    strand = "-" if location.startswith("complement") else "+"
    for part in re.split(r"[,(]", location) if kind else ():
        match = _GENBANK_SPAN.match(part)
        if match and ":" not in part:
            start, end = int(match[1]), int(match[2] or match[1])
            yield Feature(contig, start - 1, end, strand, kind)
