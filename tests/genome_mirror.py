"""The folders of NCBI, UCSC, Ensembl and EPDnew, as their servers lay them out, with small genomes."""

import gzip
import hashlib
import json
from pathlib import Path

from made_up_dna import make_dna

ACCESSION = "GCF_000005845.2"
NCBI_FOLDER = "ncbi/genomes/all/GCF/000/005/845/GCF_000005845.2_ASM584v2"
NCBI_SEQUENCE = f"{NCBI_FOLDER}/GCF_000005845.2_ASM584v2_genomic.fna.gz"
NCBI_MD5 = f"{NCBI_FOLDER}/md5checksums.txt"
UCSC_FOLDER = "ucsc/goldenPath/sacCer3/bigZips"
ENSEMBL_FOLDER = "ensembl/pub/release-112/fasta/homo_sapiens/dna"
PLANTS_FOLDER = "ensembl-genomes/pub/plants/release-59/fasta/arabidopsis_thaliana/dna"
EPDNEW_FILE = "epdnew/H_sapiens/006/Hs_EPDnew_006_hg38.bed"
NAMES = ("ncbi", "ncbi-api", "ucsc", "ensembl", "ensembl-genomes", "epdnew")

REPORT = (
    "# Assembly name:  ASM584v2\n"
    "# Organism name:  Escherichia coli str. K-12 substr. MG1655 (E. coli)\n"
    "# Sequence-Name\tSequence-Role\n"
    "ANONYMOUS\tassembled-molecule\n"
)


def list_mirrors(url: str) -> list[str]:
    """What --mirror takes, for a server at `url` of the folder that `write_mirror` wrote."""
    return [f"{name}={url}{name}" for name in NAMES]


def make_fasta(*, seed: int, length_bp: int = 20_000) -> bytes:
    """Two records, gzipped; the second has half the length."""
    first, second = make_dna(length_bp, seed=seed), make_dna(length_bp // 2, seed=seed + 1)
    return gzip.compress(f">chr{seed} first\n{first}\n>chrM\n{second}\n".encode(), mtime=0)


def write_mirror(root: Path) -> None:
    """Write all providers below `root`."""
    write_assembly(root, ACCESSION, "ASM584v2", seed=1)
    write_assembly(root, "GCF_000005845.1", "ASM584v1", seed=5)
    write_assembly(root, "GCF_000006765.1", "ASM676v1", seed=9)
    write_ucsc(root)
    write_ensembl(root / ENSEMBL_FOLDER, "Homo_sapiens.GRCh38", ("primary_assembly", "toplevel"), release=112)
    write_ensembl(root / PLANTS_FOLDER, "Arabidopsis_thaliana.TAIR10", ("toplevel",), release=59)
    (root / "ensembl/pub/release-98").mkdir()
    taxon = {"accession": ACCESSION, "paired_accession": "GCA_000005845.2", "organism": {"tax_id": 562}}
    twin = {"accession": "GCA_000005845.2", "paired_accession": ACCESSION, "organism": {"tax_id": 562}}
    write_api(root, "genome/taxon/562", [taxon, twin])
    write_api(root, "genome/taxon/Escherichia coli", [taxon])
    write_file(root / EPDNEW_FILE, b"chr1\t959207\t959267\tNOC2L_1\t900\t-\t959207\t959218\n")


def write_assembly(root: Path, accession: str, assembly: str, *, seed: int, length_bp: int = 20_000) -> None:
    """Write the folder of one assembly, with the files whose names end like that of the sequence."""
    digits = accession.partition("_")[2]
    stem = f"{accession}_{assembly}"
    folder = root / "ncbi/genomes/all/GCF" / digits[:3] / digits[3:6] / digits[6:9] / stem
    contents = {
        f"{stem}_assembly_report.txt": REPORT.encode(),
        f"{stem}_cds_from_genomic.fna.gz": make_fasta(seed=seed + 2, length_bp=300),
        f"{stem}_genomic.fna.gz": make_fasta(seed=seed, length_bp=length_bp),
        f"{stem}_genomic.gff.gz": gzip.compress(b"##gff-version 3\n", mtime=0),
        f"{stem}_rna_from_genomic.fna.gz": make_fasta(seed=seed + 3, length_bp=200),
    }
    for name, content in contents.items():
        write_file(folder / name, content)
    lines = [f"{hashlib.md5(content).hexdigest()}  ./{name}\n" for name, content in contents.items()]
    write_file(folder / "md5checksums.txt", "".join(lines).encode())


def write_ucsc(root: Path) -> None:
    """Write sacCer3; UCSC has no checksums of genes."""
    fasta = make_fasta(seed=20)
    write_file(root / UCSC_FOLDER / "sacCer3.fa.gz", fasta)
    write_file(root / UCSC_FOLDER / "genes/sacCer3.ncbiRefSeq.gtf.gz", gzip.compress(b"chrI\n", mtime=0))
    lines = f"{hashlib.md5(fasta).hexdigest()}  sacCer3.fa.gz\n{'0' * 32}  sacCer3.2bit\n"
    write_file(root / UCSC_FOLDER / "md5sum.txt", lines.encode())


def write_ensembl(folder: Path, stem: str, levels: tuple[str, ...], *, release: int) -> None:
    """Write a species; the 16-bit sums are not looked at and thus made up."""
    contents = {f"{stem}.dna.{levels[0]}.fa.gz": make_fasta(seed=30)}
    for number, level in enumerate(levels):
        contents[f"{stem}.dna_sm.{level}.fa.gz"] = make_fasta(seed=31 + number)
    genes = {f"{stem}.{release}.gff3.gz": gzip.compress(b"##gff-version 3\n", mtime=0)}
    genes[f"{stem}.{release}.chr.gff3.gz"] = gzip.compress(b"##gff-version 3\n#chr\n", mtime=0)
    species = folder.parent.name
    for place, files in ((folder, contents), (folder.parents[2] / "gff3" / species, genes)):
        for name, content in files.items():
            write_file(place / name, content)
        lines = [
            f"{7 * len(name):05d} {-(-len(content) // 1024)} {name}\n" for name, content in files.items()
        ]
        write_file(place / "CHECKSUMS", "".join(lines).encode())


def write_api(root: Path, path: str, reports: list[dict[str, object]]) -> None:
    """Write an answer of the Datasets API."""
    answer = {"reports": reports, "total_count": len(reports)} if reports else {}
    write_file(root / "ncbi-api" / path / "dataset_report", json.dumps(answer).encode())


def write_file(path: Path, content: bytes) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
