"""Clusters found by MMseqs2, a program of its own (Steinegger and Soeding 2017), where it is installed."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genolm.errors import SettingsError

PROGRAM = "mmseqs"
MIN_COVERAGE = 0.5
"""share of the shorter record that an alignment spans"""
KMER_BP = 12
"""of its index; its own choice for DNA, 15, takes 8 GB and a minute for any number of records"""


def cluster_with_mmseqs(sequences: Sequence[str], *, identity: float) -> npt.NDArray[np.int64]:
    """Cluster records with `mmseqs easy-cluster`, as connected components of its alignments.

    Args:
        sequences: DNA text.
        identity: smallest share of equal bases in an alignment that spans half of the shorter record.

    Returns:
        int64 [n], a number per record; records of one cluster have the same.

    Raises:
        SettingsError: the program is not installed, or failed.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise SettingsError(
            found=f"no program {PROGRAM} on the path",
            expected="MMseqs2, which was asked for",
            remedy="install it (conda install -c bioconda mmseqs2), or leave out --with mmseqs",
        )
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder) / "records.fa", Path(folder) / "clusters"
        source.write_text("".join(f">{number}\n{text}\n" for number, text in enumerate(sequences)))
        command = [program, "easy-cluster", str(source), str(result), str(Path(folder) / "tmp")]
        command += ["--min-seq-id", str(identity), "-c", str(MIN_COVERAGE), "--cov-mode", "5"]
        command += ["--cluster-mode", "1", "--dbtype", "2", "-k", str(KMER_BP)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        table = result.with_name("clusters_cluster.tsv")
        if done.returncode or not table.is_file():
            lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
            raise SettingsError(
                found=f"{PROGRAM} that ended with {done.returncode}: {lines[-1][:200]}",
                expected="a table of clusters",
                remedy="leave out --with mmseqs, or check its installation",
            )
        clusters = np.arange(len(sequences))
        for line in table.read_text().splitlines():
            representative, member = line.split("\t")
            clusters[int(member)] = int(representative)
    return clusters
