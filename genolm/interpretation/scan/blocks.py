"""What a classifier says of the windows of one block of a contig, on each strand."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from genolm.alphabet import Codes, reverse_complement
from genolm.inference.classify import Classifier
from genolm.interpretation.genome_codes import GenomeCodes
from genolm.interpretation.scan.settings import ScanSettings
from genolm.interpretation.targets import Target, compute_target
from genolm.interpretation.window_tokens import build_window_encoder, has_only_known_bases
from genolm.models.scoring import iter_logits

Values = npt.NDArray[np.float32]
NUM_STRANDS = 2


class Block(NamedTuple):
    """A run of neighboring windows of one contig."""

    contig: str
    first: int
    """number of the first window in its contig"""
    num_windows: int

    def find_starts(self, stride_bp: int) -> npt.NDArray[np.int64]:
        """Return the first base of each window in the contig, int64 [windows]."""
        return (self.first + np.arange(self.num_windows)) * stride_bp


def iter_blocks(genome: GenomeCodes, settings: ScanSettings) -> Iterator[Block]:
    """Cut a genome into blocks of windows; a window that would reach past the end of its contig is none."""
    for contig, codes in genome.contigs.items():
        total = max((len(codes) - settings.window_bp) // settings.stride_bp + 1, 0)
        for first in range(0, total, settings.block_windows):
            yield Block(contig, first, min(settings.block_windows, total - first))


def cut_block(genome: GenomeCodes, block: Block, settings: ScanSettings) -> Codes:
    """Return the bases that the windows of a block see, uint8 [bp]."""
    start = block.first * settings.stride_bp
    length_bp = (block.num_windows - 1) * settings.stride_bp + settings.window_bp
    return np.asarray(genome.contigs[block.contig][start : start + length_bp])


def score_block(classifier: Classifier, codes: Codes, target: Target, settings: ScanSettings) -> Values:
    """Classify every window of a block on both strands.

    Args:
        classifier: of whole sequences, in eval mode.
        codes: uint8 [bp], from the first base of the first window to the last of the last one.
        target: what is said of a window.
        settings: of the scan.

    Returns:
        float32 [2, windows], of the plus and the minus strand in the order of the plus strand; NaN where a
        window holds a base other than A, T, C and G.
    """
    starts = np.arange(0, len(codes) - settings.window_bp + 1, settings.stride_bp)
    is_known = has_only_known_bases(codes, starts, window_bp=settings.window_bp)
    values = np.full((NUM_STRANDS, len(starts)), np.nan, dtype=np.float32)
    known = starts[is_known]
    values[0, is_known] = _score_windows(classifier, codes, known, target, settings)
    turned = len(codes) - settings.window_bp - known
    values[1, is_known] = _score_windows(classifier, reverse_complement(codes), turned, target, settings)
    return values


def _score_windows(
    classifier: Classifier,
    codes: Codes,
    starts: npt.NDArray[np.int64],
    target: Target,
    settings: ScanSettings,
) -> Values:
    if not len(starts):
        return np.empty(0, dtype=np.float32)
    encode = build_window_encoder(codes, classifier.scheme, window_bp=settings.window_bp)
    parts = []
    for first in range(0, len(starts), settings.batch_size):
        rows = encode(starts[first : first + settings.batch_size])
        for _, logits in iter_logits(classifier.model, list(rows), batch_size=len(rows)):
            with torch.inference_mode():
                parts.append(compute_target(logits, target).cpu().numpy())
    return np.concatenate(parts).astype(np.float32)
