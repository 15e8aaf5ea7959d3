"""Genes and positives on the small generated genome of `conftest.py`."""

from genolm.corpus.negatives.annotation import Feature
from genolm.genome.intervals import Interval

FEATURES = [
    Feature("contig_a", 1_000, 4_000, "+", "gene"),
    Feature("contig_a", 1_200, 3_900, "+", "CDS"),
    Feature("contig_a", 3_500, 6_000, "-", "gene"),
    Feature("contig_a", 3_500, 6_000, "-", "CDS"),
    Feature("contig_a", 12_000, 19_000, "-", "gene"),
    Feature("contig_a", 12_000, 19_000, "-", "CDS"),
    Feature("contig_a", 24_000, 26_000, ".", "pseudogene"),
    Feature("contig_b", 2_000, 9_000, "+", "gene"),
    Feature("contig_b", 2_000, 9_000, "+", "CDS"),
    Feature("contig_b", 7_000, 7_400, "-", "tRNA"),
]
PLACES = [
    Interval("contig_a", 940, 1_021),
    Interval("contig_a", 5_980, 6_061),
    Interval("contig_a", 18_990, 19_071),
    Interval("contig_a", 33_000, 33_081),
    Interval("contig_b", 1_930, 2_011),
    Interval("contig_b", 15_000, 15_081),
]
STRANDS = ["+", "-", "-", "+", "+", "-"]
SPLITS = ["train", "train", "train", "test", "train", "test"]


def flip(text: str) -> str:
    """Return the other strand."""
    return text.translate(str.maketrans("ACGTacgt", "TGCAtgca"))[::-1]


def cut(sequences: dict[str, str], place: Interval, strand: str) -> str:
    """Return the upper-case sequence of a place."""
    text = sequences[place.contig][place.start : place.end].upper()
    return text if strand == "+" else flip(text)


def gap_bp(one: tuple[int, int], other: tuple[int, int]) -> int:
    """Bases between two stretches; negative where they overlap."""
    return max(one[0], other[0]) - min(one[1], other[1])
