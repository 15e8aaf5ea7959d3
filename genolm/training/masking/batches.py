"""Batches of windows with hidden bases, for masked language models.

The strand and the masks of a window are functions of (seed, epoch, number of the window), the windows of an
epoch of (seed, epoch): so a batch is a function of its step and rows alone.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from genolm.alphabet import COMPLEMENT_OF_CODE, UNKNOWN_CODE, Codes
from genolm.corpus.bases import CorpusBases
from genolm.corpus.window_epochs import EpochWindows, WindowSettings
from genolm.corpus.windows import Positions, Windows, gather_soft_mask, gather_windows, normalize_weights
from genolm.tokenization.tokens import BpeTokens, Tokens
from genolm.training.chance import mix_seed
from genolm.training.masking.bpe import mask_bpe_windows, mask_longest_bpe_window
from genolm.training.masking.chance import Words, build_keys
from genolm.training.masking.settings import MaskSettings
from genolm.training.masking.windows import MaskedBatch, mask_windows
from genolm.training.micro_batches import StepInput
from genolm.training.token_stream import IGNORED_LABEL

BUCKET_ROWS = 32  # windows of like length that stand side by side, for micro-batches of so many or fewer
_STRANDS = 1  # a stream of chance beside that of the masks
_GOLDEN_RATIO = 0.6180339887498949


class MaskedRows(NamedTuple):
    """Some windows of a step, before and after bases were hidden."""

    codes: Codes
    """uint8 [rows, longest], on the strand that is read"""
    lengths: Positions
    """int64 [rows], bp"""
    batch: MaskedBatch


class MaskedBatches:
    """The windows of a corpus, batch after batch, each window on a strand drawn for it, with hidden bases."""

    def __init__(
        self,
        bases: CorpusBases,
        *,
        scheme: Tokens,
        windows: WindowSettings,
        mask: MaskSettings,
        batch_size: int,
        num_steps: int,
        seed: int,
        both_strands: bool = True,
        locate: Callable[[Sequence[int]], list[str]] | None = None,
    ) -> None:
        """Take the bases of a split.

        Args:
            bases: of the training split.
            scheme: how bases become tokens.
            windows: which windows an epoch visits; `batch_size` there is not read.
            mask: which bases are hidden, and how.
            batch_size: windows of a step; the rest of an epoch that does not fill one is left out.
            num_steps: of the whole training, by which a mask rate that changes is chosen.
            seed: of windows, strands and masks.
            both_strands: read every other window, by chance, as its reverse complement.
            locate: says where in their genomes positions of the codes lie, for messages.

        Raises:
            DataError: no row is long enough for a window.
        """
        self.bases, self.scheme, self.windows, self.mask = bases, scheme, windows, mask
        self.batch_size, self.num_steps, self.seed = batch_size, num_steps, seed
        self.both_strands = both_strands
        self.locate_positions = locate or (lambda positions: [f"base {position}" for position in positions])
        self._epoch = lru_cache(maxsize=2)(self._build_epoch)
        self._epoch(0)

    def count_rows(self, step: int) -> int:
        """Return the windows of a step; fewer than a batch only where an epoch has fewer."""
        return min(self.batch_size, len(self._epoch(self._find(step)[0])))

    def build_input(self, step: int, rows: slice) -> StepInput:
        """Return the input of some windows of a step."""
        return build_step_input(self.mask_rows(step, rows).batch)

    def mask_rows(self, step: int, rows: slice) -> MaskedRows:
        """Return some windows of a step, with what is hidden of them."""
        epoch, numbers, windows = self._locate(step, rows)
        codes = gather_windows(self.bases.codes, windows)
        soft_masked = None
        if self.mask.soft_masked_weight != 1.0:
            soft_masked = gather_soft_mask(self.bases.soft_masked, windows)
        if self.both_strands:
            is_reverse = build_keys(mix_seed(self.seed, _STRANDS), epoch, numbers) >> np.uint64(63) == 1
            codes = reverse_rows(codes, windows.lengths, is_reverse, complement=True)
            if soft_masked is not None:
                soft_masked = reverse_rows(soft_masked, windows.lengths, is_reverse, complement=False)
        batch = self._hide(
            codes,
            windows.lengths,
            keys=build_keys(self.seed, epoch, numbers),
            share_done=step / self.num_steps,
            soft_masked=soft_masked,
        )
        return MaskedRows(codes, windows.lengths, batch)

    def build_largest(self, num_rows: int) -> StepInput:
        """Return the input of windows with the most tokens, of any bases."""
        length_bp = min(self.windows.length_bp, int(np.diff(self.bases.row_starts).max()))
        keys = build_keys(self.seed, 0, np.arange(num_rows))
        if isinstance(self.scheme, BpeTokens):
            batch = mask_longest_bpe_window(
                num_rows, length_bp, tokens=self.scheme, settings=self.mask, keys=keys
            )
        else:
            codes = np.resize(np.arange(4, dtype=np.uint8), (num_rows, length_bp))
            batch = self._hide(codes, np.full(num_rows, length_bp), keys=keys)
        return build_step_input(batch)

    def _hide(
        self,
        codes: Codes,
        lengths: Positions,
        *,
        keys: Words,
        share_done: float = 0.0,
        soft_masked: np.ndarray | None = None,
    ) -> MaskedBatch:
        scheme, settings = self.scheme, self.mask
        if isinstance(scheme, BpeTokens):
            return mask_bpe_windows(
                codes, lengths, tokens=scheme, settings=settings, keys=keys, share_done=share_done
            )
        return mask_windows(
            codes,
            lengths,
            scheme=scheme,
            settings=settings,
            keys=keys,
            share_done=share_done,
            soft_masked=soft_masked,
        )

    def name_rows(self, step: int, rows: slice) -> list[str]:
        """Return where in its genome each window begins."""
        return self.locate_positions(self._locate(step, rows)[2].starts.tolist())

    def _locate(self, step: int, rows: slice) -> tuple[int, Positions, Windows]:
        """Return the epoch, and of some windows of a step their numbers in it and their places.

        Windows of many lengths are in the order of `order_by_length`, which leaves little padding.
        """
        epoch, first = self._find(step)
        if self.windows.kind != "dnabert":
            numbers = np.arange(first + rows.start, first + rows.stop)
            return epoch, numbers, self._epoch(epoch).locate(first + rows.start, first + rows.stop)
        windows = self._epoch(epoch).locate(first, first + self.count_rows(step))
        chosen = order_by_length(windows.lengths)[rows]
        return epoch, first + chosen, Windows(*(values[chosen] for values in windows))

    def _build_epoch(self, epoch: int) -> EpochWindows:
        return EpochWindows(
            self.bases.row_starts,
            settings=self.windows,
            key=(self.seed, epoch),
            row_weights=normalize_weights(self.bases.row_weights, self.bases.row_starts),
        )

    def _find(self, step: int) -> tuple[int, int]:
        """Return the epoch of a step, and the number of its first window."""
        epoch = 0
        while step >= (num_steps := max(1, len(self._epoch(epoch)) // self.batch_size)):
            step -= num_steps
            epoch += 1
        return epoch, step * self.batch_size


def order_by_length(lengths: Positions) -> Positions:
    """Return an order of windows in which every 32 are of like length, int64 [windows].

    These buckets follow one another by the golden ratio, so that the rows of a process, which are consecutive
    ones, have short and long windows in equal shares. What does not fill a bucket comes last.

    >>> order_by_length(np.arange(128))[::32].tolist()
    [0, 64, 32, 96]
    """
    order = np.argsort(lengths, kind="stable")
    buckets = np.arange(len(order)) // BUCKET_ROWS
    places = buckets * _GOLDEN_RATIO % 1
    places[buckets == len(order) // BUCKET_ROWS] = 1
    return order[np.argsort(places, kind="stable")]


def reverse_rows(
    codes: np.ndarray, lengths: Positions, is_reverse: np.ndarray, *, complement: bool
) -> np.ndarray:
    """Turn some rows around, each within its length; with `complement` also exchange A with T and C with G.

    >>> reverse_rows(np.array([[0, 2, 4]], dtype=np.uint8), np.array([2]), np.array([True]), complement=True)
    array([[3, 1, 4]], dtype=uint8)
    """
    columns = np.arange(codes.shape[1])
    turned = lengths[is_reverse, None] - 1 - columns
    rows = np.take_along_axis(codes[is_reverse], np.maximum(turned, 0), axis=1)
    if complement:
        rows = np.where(turned >= 0, COMPLEMENT_OF_CODE[rows], UNKNOWN_CODE)
    else:
        rows = np.where(turned >= 0, rows, 0)
    result = codes.copy()
    result[is_reverse] = rows
    return result


def build_step_input(masked: MaskedBatch) -> StepInput:
    """Turn arrays into what the model takes; the attention mask is left out where nothing is padded."""
    inputs = {"input_ids": torch.from_numpy(masked.input_ids), "labels": torch.from_numpy(masked.labels)}
    if not masked.attention_mask.all():
        inputs["attention_mask"] = torch.from_numpy(masked.attention_mask)
    is_scored = masked.labels != IGNORED_LABEL
    weight: float = int(is_scored.sum())
    if masked.label_weights is not None:
        inputs["label_weights"] = torch.from_numpy(masked.label_weights)
        weight = float(masked.label_weights[is_scored].sum())
    return StepInput(inputs, int(masked.attention_mask.sum()), weight)
