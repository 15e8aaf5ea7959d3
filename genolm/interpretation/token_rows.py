"""Rows of token ids that differ little from one another, and what a classifier says of them.

Substitutions are written into copies of the encoded sequence: a base changes the tokens that hold it alone,
at most k of them, and each by a difference of powers of 4. No text is made and nothing is encoded again.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedModel

from genolm.alphabet import BASES, UNKNOWN_CODE, Codes, decode_bases
from genolm.inference.classify import Classifier
from genolm.interpretation.changed_positions import compute_changed_logits, computes_changes
from genolm.interpretation.shared_prefix import compute_variant_logits, shares_prefixes
from genolm.interpretation.targets import Target, compute_target
from genolm.models.cpu_kernels import choose_cpu_kernels
from genolm.models.scoring import cut_long_inputs, find_max_tokens
from genolm.tokenization.encoder import TokenIds, encode_codes, encode_sequences, pad_batch
from genolm.tokenization.scheme import CLS_ID, NUM_SPECIAL_TOKENS, SEP_ID, KmerScheme
from genolm.tokenization.tokens import Tokens

Ids = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]


class Substitutions(NamedTuple):
    """Every substitution of known bases, three for each, in the order of the positions."""

    positions: npt.NDArray[np.int64]
    """[rows], 0-based"""
    bases: npt.NDArray[np.uint8]
    """[rows], the code of the new base"""


def list_substitutions(codes: Codes) -> Substitutions:
    """List the substitutions of a sequence; an unknown base has none.

    >>> [part.tolist() for part in list_substitutions(np.array([0, 4], dtype=np.uint8))]
    [[0, 0, 0], [1, 2, 3]]
    """
    known = np.flatnonzero(codes < UNKNOWN_CODE)
    changes = np.arange(1, len(BASES), dtype=np.uint8)
    return Substitutions(np.repeat(known, len(changes)), (codes[known, None] ^ changes).ravel())


def encode_with_ends(codes: Codes, scheme: KmerScheme) -> Ids:
    """Encode base codes [..., length_bp] with [CLS] and [SEP]: int64 [..., tokens]."""
    ids = np.empty((*codes.shape[:-1], scheme.count_tokens(codes.shape[-1]) + 2), dtype=np.int64)
    ids[..., 0], ids[..., -1] = CLS_ID, SEP_ID
    encode_codes(codes, scheme, out=ids[..., 1:-1])
    return ids


def build_substituted_ids(codes: Codes, changes: Substitutions, scheme: KmerScheme) -> Ids:
    """Encode a sequence and each of its substitutions, by edits of the encoded sequence.

    Args:
        codes: uint8 [length_bp], of at least k bases.
        changes: the substitutions.
        scheme: how to cut.

    Returns:
        int64 [1 + rows, tokens] with [CLS] and [SEP]; the first row is the sequence as it is.
    """
    reference = encode_with_ends(codes, scheme)
    ids = np.repeat(reference[None], 1 + len(changes.positions), axis=0)
    difference = changes.bases.astype(np.int64) - codes[changes.positions]
    # The tokens that may hold each changed base, and where in them it stands: [rows, ceil(k / stride)].
    steps = np.arange(-(-scheme.k // scheme.stride))
    token = (changes.positions // scheme.stride)[:, None] - steps
    offset = changes.positions[:, None] - token * scheme.stride
    is_held = (token >= 0) & (token < len(reference) - 2) & (offset < scheme.k)
    row, step = np.nonzero(is_held)
    place = 1 + token[row, step]
    powers = 4 ** np.arange(scheme.k - 1, -1, -1)
    change = difference[row] * powers[offset[row, step]]
    ids[1 + row, place] += np.where(reference[place] < NUM_SPECIAL_TOKENS, 0, change)
    return ids


def build_substituted_rows(codes: Codes, changes: Substitutions, tokens: Tokens) -> Ids | list[TokenIds]:
    """Encode a sequence and each of its substitutions; BPE, whose tokens move, is encoded afresh."""
    if isinstance(tokens, KmerScheme):
        return build_substituted_ids(codes, changes, tokens)
    changed = np.repeat(codes[None], len(changes.positions), axis=0)
    changed[np.arange(len(changed)), changes.positions] = changes.bases
    return encode_rows([codes, *changed], tokens)


def encode_rows(rows: Sequence[Codes] | Codes, tokens: Tokens) -> Ids | list[TokenIds]:
    """Encode base codes of one length: an array of k-mer ids, or a list of BPE ids."""
    if isinstance(tokens, KmerScheme):
        return encode_with_ends(np.asarray(rows), tokens)
    return encode_sequences([decode_bases(row) for row in rows], tokens)


def compute_scores(
    classifier: Classifier, rows: Ids | list[TokenIds], target: Target, *, batch_size: int
) -> Scores:
    """Compute the score of each row: float32 [rows]; equal rows are computed once, on one strand.

    Args:
        classifier: in eval mode.
        rows: token ids with [CLS] and [SEP]. Of k-mers, an AWD-LSTM reads each row from where it begins to
            differ from the first, and a net of convolutions computes again what its kernels see change.
        target: what the score is.
        batch_size: rows at a time.
    """
    if isinstance(rows, np.ndarray):
        _, first, place = np.unique(_view_as_bytes(rows), return_index=True, return_inverse=True)
        kept = np.sort(first)  # the first row, from which the others differ, stays the first
        index = np.searchsorted(kept, first)[place.ravel()]
        return _compute_distinct(classifier, rows[kept], target, batch_size)[index]
    keys = {ids.tobytes(): number for number, ids in enumerate(rows)}
    scores = _compute_distinct(classifier, [rows[number] for number in keys.values()], target, batch_size)
    place_of = {key: place for place, key in enumerate(keys)}
    return scores[[place_of[ids.tobytes()] for ids in rows]]


def _view_as_bytes(rows: Ids) -> npt.NDArray[np.void]:
    """View each row as one value, which numpy sorts several times as fast as a row of numbers."""
    rows = np.ascontiguousarray(rows)
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


def _compute_distinct(
    classifier: Classifier, rows: Ids | list[TokenIds], target: Target, batch_size: int
) -> Scores:
    model = classifier.model
    with torch.inference_mode(), choose_cpu_kernels(model, "no", num_tokens=max(map(len, rows))):
        if isinstance(rows, np.ndarray) and shares_prefixes(model):
            logits = compute_variant_logits(model, torch.from_numpy(rows))
        elif isinstance(rows, np.ndarray) and computes_changes(model):
            logits = compute_changed_logits(model, torch.from_numpy(rows))
        else:
            logits = _compute_logits(model, rows, batch_size)
    return compute_target(logits.double(), target).cpu().numpy().astype(np.float32)


def _compute_logits(model: PreTrainedModel, rows: Ids | list[TokenIds], batch_size: int) -> Tensor:
    """Return the logits of each row; those of the windows of a long one are averaged."""
    limit = find_max_tokens(model.config)
    if limit is not None and max(map(len, rows)) > limit:
        windows = cut_long_inputs(list(rows), max_tokens=limit)
        logits = _compute_logits(model, windows.token_ids, batch_size)
        owners = torch.from_numpy(windows.owners).to(logits.device)
        sums = logits.new_zeros(len(rows), logits.shape[1]).index_add_(0, owners, logits)
        return sums / torch.bincount(owners)[:, None]
    device = next(model.parameters()).device
    parts = []
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        if isinstance(part, np.ndarray):
            batch = {"input_ids": torch.from_numpy(part)}  # rows of one length need no mask
        else:
            padded = pad_batch(part)
            batch = {name: torch.from_numpy(field) for name, field in padded._asdict().items()}
        output = model(**{name: field.to(device) for name, field in batch.items()})
        parts.append(output.logits.float())
    return torch.cat(parts)
