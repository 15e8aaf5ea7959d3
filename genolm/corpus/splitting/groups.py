"""Groups of records that must stay on one side of a split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from genolm.corpus.splitting.mmseqs import cluster_with_mmseqs
from genolm.corpus.splitting.similar_pairs import SimilarPairs, find_similar_pairs
from genolm.errors import SettingsError
from genolm.genome.intervals import Interval
from genolm.kmers import MAX_CANONICAL_K

Engine = Literal["own", "mmseqs"]
Groups = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """Which records are too similar to stand on two sides of a split."""

    identity: float = 0.1
    """k-mers in common, as a share of those of the record that has fewer; for mmseqs, of equal bases"""
    kmer_bp: int = 12
    """bp; length of a k-mer"""
    engine: Engine = "own"
    """who finds the clusters; mmseqs must be installed"""

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            SettingsError: a setting is out of its range.
        """
        if not 0 < self.identity <= 1:
            raise SettingsError(
                found=f"identity = {self.identity}", expected="above 0, at most 1", remedy="choose 0.1 or so"
            )
        if not 1 <= self.kmer_bp <= MAX_CANONICAL_K:
            raise SettingsError(
                found=f"kmer_bp = {self.kmer_bp}",
                expected=f"1 to {MAX_CANONICAL_K}",
                remedy="choose 12 or so: shorter ones are shared by chance, longer ones miss diverged copies",
            )
        if self.engine not in ("own", "mmseqs"):
            raise SettingsError(
                found=f"the program '{self.engine}'", expected="own or mmseqs", remedy="use one of these"
            )


def build_groups(sequences: Sequence[str], *, settings: ClusterSettings) -> Groups:
    """Put records into one group that are similar, or linked by a chain of similar records.

    So no two records of different groups are similar: single linkage, which is what a split needs.

    Args:
        sequences: DNA text.
        settings: what is similar.

    Returns:
        int64 [n], the groups, numbered in the order of their first records.

    Raises:
        SettingsError: mmseqs is asked for and is not installed, or failed.

    >>> build_groups(["AACCGGTA", "GGGGGGGG", "ACCGGTAT"], settings=ClusterSettings(kmer_bp=5)).tolist()
    [0, 1, 0]
    """
    if settings.engine == "mmseqs":
        return number_groups(cluster_with_mmseqs(sequences, identity=settings.identity))
    pairs = find_similar_pairs(sequences, k=settings.kmer_bp, min_share=settings.identity)
    return link_groups(pairs, num_records=len(sequences), min_share=settings.identity)


def link_groups(pairs: SimilarPairs, *, num_records: int, min_share: float) -> Groups:
    """Return the connected components (int64 [num_records]) of the pairs that have at least a share.

    >>> pairs = SimilarPairs(np.array([0, 1]), np.array([2, 3]), np.array([0.9, 0.4]))
    >>> link_groups(pairs, num_records=4, min_share=0.5).tolist()
    [0, 1, 0, 2]
    """
    keep = pairs.share >= min_share - 1e-9
    return _link(pairs.first[keep], pairs.second[keep], num_records)


def group_by_blocks(places: Sequence[Interval], *, block_bp: int) -> Groups:
    """Put records into one group whose middles lie in one block of a contig.

    Blocks are joined where records of theirs overlap, so that no base is on two sides of a split.

    Args:
        places: contig, start and end of each record.
        block_bp: length of a block; 0 makes each contig one block.

    Returns:
        int64 [n], the groups, numbered in the order of their first records.

    Raises:
        SettingsError: block_bp is negative.

    >>> places = [Interval("c", 10, 50), Interval("c", 80, 110), Interval("c", 100, 130), Interval("d", 0, 9)]
    >>> group_by_blocks(places[:2] + places[3:], block_bp=90).tolist()
    [0, 1, 2]
    >>> group_by_blocks([Interval("c", 0, 80), *places[1:]], block_bp=100).tolist()
    [0, 0, 0, 1]
    """
    if block_bp < 0:
        raise SettingsError(
            found=f"block_bp = {block_bp}",
            expected="0 or more",
            remedy="raise it, or give 0 for whole contigs",
        )
    contigs = number_groups([place.contig for place in places])
    starts = np.array([place.start for place in places], dtype=np.int64)
    ends = np.array([place.end for place in places], dtype=np.int64)
    blocks = (starts + ends) // 2 // block_bp if block_bp else np.zeros_like(starts)
    _, blocks = np.unique(np.stack([contigs, blocks], axis=1), axis=0, return_inverse=True)

    order = np.lexsort((starts, contigs))
    span = int(ends.max()) + 1 if len(ends) else 1  # contigs one behind the other: one array for all
    reach = np.maximum.accumulate((contigs * span + ends)[order])
    overlaps = np.flatnonzero((contigs * span + starts)[order][1:] < reach[:-1])
    # Whoever overlaps what came before, overlaps the one of them that reaches farthest; a chain through
    # neighbors joins the same records.
    blocks = blocks.ravel()
    joined = _link(blocks[order[overlaps]], blocks[order[overlaps + 1]], int(blocks.max(initial=-1)) + 1)
    return number_groups(joined[blocks])


def number_groups(names: Sequence[str] | Groups) -> Groups:
    """Number any names in the order in which they come first: int64 [n].

    >>> number_groups(["b", "a", "b"]).tolist()
    [0, 1, 0]
    """
    _, first, inverse = np.unique(np.asarray(names), return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse.ravel()]


def _link(first: Groups, second: Groups, size: int) -> Groups:
    """Return the connected components of the links between 0 .. size - 1, numbered by their first member."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    links = coo_matrix((np.ones(len(first), dtype=np.int8), (first, second)), shape=(size, size))
    return number_groups(connected_components(links, directed=False)[1])
