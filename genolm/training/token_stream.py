"""A genome as a contiguous token stream for a stateful language model.

The stretches of a corpus are cut into documents; an epoch visits every document once on each strand, in an
order drawn anew. Documents follow one another as `[CLS] k-mers [SEP]`, and the stream is laid out in parallel
lanes (the rows of a batch), along which the hidden state is carried. No token crosses a document's edge.
For a model that reads backward every document stands in the stream as `[SEP] k-mers [CLS]`, the last k-mer
first.

Any batch is computed from its step number alone: tokens are gathered from the base codes when needed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

from genolm.alphabet import COMPLEMENT_OF_CODE, UNKNOWN_CODE
from genolm.errors import DataError, SettingsError
from genolm.models.settings import Direction
from genolm.tokenization.scheme import CLS_ID, NUM_SPECIAL_TOKENS, SEP_ID, UNK_ID, KmerScheme
from genolm.training.chance import build_generator
from genolm.training.micro_batches import StepInput

IGNORED_LABEL = -100


@dataclass(frozen=True, kw_only=True)
class TokenStreamSettings:
    """How a corpus is laid out as a token stream."""

    lanes: int = 64  # parallel streams, the rows of a batch
    bptt_tokens: int = 70  # tokens of a lane in one step, on average
    vary_bptt: bool = (
        True  # draw the length of each step around bptt_tokens (Merity et al. 2017, section 4.1)
    )
    document_bp: int = 5_000  # bases of a document
    both_strands: bool = True  # visit every document also as its reverse complement

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.lanes, self.bptt_tokens) < 1 or self.document_bp < 100:
            raise SettingsError(
                found=f"lanes {self.lanes}, bptt_tokens {self.bptt_tokens}, document_bp {self.document_bp}",
                expected="lanes and bptt_tokens of at least 1, document_bp of at least 100",
                remedy="correct the stream settings",
            )


class _Epoch(NamedTuple):
    starts_bp: np.ndarray  # int64 [documents], in the order of the visit
    lengths_bp: np.ndarray  # int64 [documents]
    reverse: np.ndarray  # bool [documents]
    token_ends: np.ndarray  # int64 [documents], position in the stream after the document's [SEP]
    step_edges: np.ndarray  # int64 [steps + 1], position in a lane


class TokenStream:
    """Batches of a contiguous token stream, each a function of its step number."""

    def __init__(
        self,
        codes: np.ndarray,
        row_starts: np.ndarray,
        *,
        scheme: KmerScheme,
        settings: TokenStreamSettings,
        seed: int,
        locate: Callable[[Sequence[int]], list[str]] | None = None,
        direction: Direction = "forward",
    ) -> None:
        """Lay out a corpus.

        Args:
            codes: uint8 [bases], base codes of all stretches, one after the other; may be memory-mapped.
            row_starts: int64 [stretches + 1], where each stretch starts in `codes`, and the end.
            scheme: how bases become tokens.
            settings: the layout.
            seed: of the order, the reading phase and the step lengths.
            locate: says where in their genomes positions of `codes` lie, for messages.
            direction: in which the model reads.

        Raises:
            DataError: the corpus is too short to fill the lanes.
        """
        self.codes, self.scheme, self.settings, self.seed = codes, scheme, settings, seed
        self.is_backward = direction == "backward"
        self.locate_positions = locate or (lambda positions: [f"base {position}" for position in positions])
        self.document_starts, self.document_lengths = cut_documents(
            row_starts, settings.document_bp, scheme.k
        )
        self._epoch = lru_cache(maxsize=2)(self._build_epoch)
        if len(self.document_starts) == 0 or self._lane_tokens(self._build_ends(self.document_lengths)) < 2:
            raise DataError(
                found=f"a corpus of {len(codes):,} bases",
                expected=f"enough to fill {settings.lanes} lanes",
                remedy="add sequence or set fewer lanes",
            )

    def locate(self, step: int) -> tuple[int, int]:
        """Return the epoch of a step and the step's number within that epoch."""
        epoch = 0
        while step >= (steps := len(self._epoch(epoch).step_edges) - 1):
            step -= steps
            epoch += 1
        return epoch, step

    def count_rows(self, step: int) -> int:
        """Return the number of lanes."""
        return self.settings.lanes

    def build_input(self, step: int, rows: slice) -> StepInput:
        """Return the input of some lanes at a step, both int64 [lanes, tokens].

        `shift_labels[b, t]` is read after `input_ids[b, t]`, and is -100 where that is no new base. The
        tokens stand in the order of the genome, as models take them: one that reads backward turns them.
        """
        epoch_number, step_in_epoch = self.locate(step)
        epoch = self._epoch(epoch_number)
        first, last = epoch.step_edges[step_in_epoch : step_in_epoch + 2]
        ids = self._gather(epoch, self._find_lanes(epoch, rows)[:, None] + np.arange(first, last + 1))
        labels = np.where(
            (ids[:, :-1] >= NUM_SPECIAL_TOKENS) & (ids[:, 1:] >= NUM_SPECIAL_TOKENS),
            ids[:, 1:],
            IGNORED_LABEL,
        )
        read_ids = ids[:, :-1]
        if self.is_backward:
            read_ids, labels = np.flip(read_ids, axis=1), np.flip(labels, axis=1)
        inputs = {
            "input_ids": torch.from_numpy(read_ids.copy()),
            "shift_labels": torch.from_numpy(labels.copy()),
        }
        weight = int((labels != IGNORED_LABEL).sum())
        return StepInput(inputs, labels.size, weight, keeps_carry=step_in_epoch > 0)

    def build_largest(self, num_rows: int) -> StepInput:
        """Return the input of the longest step of the first epoch, for so many lanes."""
        longest = int(np.diff(self._epoch(0).step_edges).argmax())
        step_input = self.build_input(longest, slice(0, min(num_rows, self.settings.lanes)))
        return step_input._replace(keeps_carry=False)

    def name_rows(self, step: int, rows: slice) -> list[str]:
        """Return where the document begins that each lane reads at a step."""
        epoch_number, step_in_epoch = self.locate(step)
        epoch = self._epoch(epoch_number)
        positions = self._find_lanes(epoch, rows) + epoch.step_edges[step_in_epoch]
        documents = np.searchsorted(epoch.token_ends, positions, side="right")
        return self.locate_positions(epoch.starts_bp[documents].tolist())

    def _find_lanes(self, epoch: _Epoch, rows: slice) -> np.ndarray:
        """Return where each of the lanes starts in the stream, int64 [lanes]."""
        lanes = np.arange(self.settings.lanes, dtype=np.int64)[rows]
        return lanes * self._lane_tokens(epoch.token_ends)

    def _build_ends(self, lengths_bp: np.ndarray) -> np.ndarray:
        return np.cumsum((lengths_bp - self.scheme.k) // self.scheme.stride + 1 + 2)

    def _lane_tokens(self, token_ends: np.ndarray) -> int:
        return int(token_ends[-1]) // self.settings.lanes

    def _build_epoch(self, epoch: int) -> _Epoch:
        generator = build_generator(self.seed, epoch)
        num_documents = len(self.document_starts)
        visits = generator.permutation(num_documents * (2 if self.settings.both_strands else 1))
        document, reverse = visits % num_documents, visits >= num_documents
        phase_bp = generator.integers(self.scheme.stride, size=len(visits))
        lengths_bp = self.document_lengths[document] - phase_bp
        starts_bp = self.document_starts[document] + np.where(reverse, 0, phase_bp)
        token_ends = self._build_ends(lengths_bp)
        lane_tokens = self._lane_tokens(token_ends)
        return _Epoch(
            starts_bp, lengths_bp, reverse, token_ends, self._draw_step_edges(lane_tokens, generator)
        )

    def _draw_step_edges(self, lane_tokens: int, generator: np.random.Generator) -> np.ndarray:
        """Cut a lane into steps; its last token is only a label."""
        base = self.settings.bptt_tokens
        num_draws = 4 * lane_tokens // base + 2
        steps = np.full(num_draws, base)
        if self.settings.vary_bptt:
            halved = generator.random(num_draws) < 0.05
            steps = np.where(halved, base // 2, base) + np.rint(generator.normal(0, 0.07 * base, num_draws))
            steps = np.maximum(steps, 5).astype(np.int64)
        edges = np.concatenate([[0], np.cumsum(steps)])
        return np.append(edges[edges < lane_tokens - 1], lane_tokens - 1)

    def _gather(self, epoch: _Epoch, stream_positions: np.ndarray) -> np.ndarray:
        """Return the token ids, int64, at positions of an epoch's stream."""
        k, stride = self.scheme.k, self.scheme.stride
        document = np.searchsorted(epoch.token_ends, stream_positions, side="right")
        num_kmers = (epoch.lengths_bp - k) // stride + 1
        token = stream_positions - (epoch.token_ends - num_kmers - 2)[document] - 1
        if self.is_backward:
            token = num_kmers[document] - 1 - token
        is_cls, is_sep = token < 0, token == num_kmers[document]
        offset_bp = np.where(is_cls | is_sep, 0, token)[..., None] * stride + np.arange(k)
        length_bp, reverse = epoch.lengths_bp[document][..., None], epoch.reverse[document][..., None]
        offset_bp = np.where(reverse, length_bp - 1 - offset_bp, offset_bp)
        bases = self.codes[epoch.starts_bp[document][..., None] + offset_bp]
        bases = np.where(reverse, COMPLEMENT_OF_CODE[bases], bases)
        ids = bases.astype(np.int64) @ 4 ** np.arange(k - 1, -1, -1) + NUM_SPECIAL_TOKENS
        ids[(bases == UNKNOWN_CODE).any(axis=-1)] = UNK_ID
        ids[is_cls], ids[is_sep] = CLS_ID, SEP_ID
        return ids


def cut_documents(row_starts: np.ndarray, document_bp: int, min_bp: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut every stretch into documents: starts and lengths, int64 [documents], in bases.

    A rest shorter than a tenth of a document goes to the document before it; a stretch shorter than twice
    `min_bp` is left out.

    >>> cut_documents(np.array([0, 250, 252]), 100, 3)
    (array([  0, 100, 200]), array([100, 100,  50]))
    """
    starts, lengths = [], []
    for start, end in pairwise(row_starts):
        if end - start < 2 * min_bp:
            continue
        edges = np.append(np.arange(start, end, document_bp), end)
        if len(edges) > 2 and edges[-1] - edges[-2] < max(2 * min_bp, document_bp // 10):
            edges = np.delete(edges, -2)
        starts.append(edges[:-1])
        lengths.append(np.diff(edges))
    empty = np.empty(0, dtype=np.int64)
    return np.concatenate([empty, *starts]), np.concatenate([empty, *lengths])
