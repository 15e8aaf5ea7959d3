"""Windows of bases as BPE tokens, some of them hidden.

BPE tokens share no base, so a token that is hidden by itself is not spelled out by its neighbors.

Shapes: B rows, L bases, T tokens with [CLS], [SEP] and padding.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from genolm.alphabet import BASE_OF_CODE, Codes
from genolm.errors import DataError, SettingsError
from genolm.files import compute_sha256
from genolm.tokenization.fast_tokenizer import load_tokenizer
from genolm.tokenization.scheme import CLS_ID, NUM_SPECIAL_TOKENS, PAD_ID, SEP_ID, UNK_ID, BpeScheme
from genolm.tokenization.tokenizer_json import TOKENIZER_FILE, load_any_scheme
from genolm.training.masking.chance import Words
from genolm.training.masking.settings import MaskSettings
from genolm.training.masking.spans import Flags, Numbers
from genolm.training.masking.windows import MaskedBatch, mask_token_ids
from genolm.training.token_stream import IGNORED_LABEL

if TYPE_CHECKING:
    from tokenizers.models import Model


@dataclass(frozen=True, kw_only=True, eq=False)
class BpeTokens:
    """A trained BPE tokenizer, as a training uses it."""

    scheme: BpeScheme
    folder: Path
    """of tokenizer.json"""
    merges: "Model"
    """of the tokenizers library; it reads A, C, G, T and N alone"""
    token_bp: Numbers
    """int64 [vocabulary], bp of each token; [UNK] is one, the other special tokens none"""
    max_tokens: int = 512
    """of a window, [CLS] and [SEP] included; what lies behind is left out"""

    @property
    def name(self) -> str:
        """Return the name of the scheme."""
        return self.scheme.name

    @property
    def vocab_size(self) -> int:
        """Return the number of token ids."""
        return self.scheme.vocab_size

    def compute_sha256(self) -> str:
        """Return the checksum of tokenizer.json: two trainings of one size differ in their tokens."""
        return compute_sha256(self.folder / TOKENIZER_FILE)


def load_bpe_tokens(folder: Path, *, max_tokens: int = 512) -> BpeTokens:
    """Load the tokenizer of a folder, of `genolm tokenizer train` or of a model.

    Raises:
        RunFolderError: there is no tokenizer of genolm, or it is damaged.
        SettingsError: its tokens are k-mers.
    """
    scheme = load_any_scheme(folder)
    if not isinstance(scheme, BpeScheme):
        raise SettingsError(
            found=f"the tokenizer {scheme.name} in {folder}",
            expected="one of byte-pair encoding",
            remedy=f"name the scheme itself: {scheme.name}",
        )
    tokenizer = load_tokenizer(folder)
    token_bp = np.zeros(scheme.vocab_size, dtype=np.int64)
    for token, token_id in tokenizer.get_vocab().items():
        token_bp[token_id] = len(token) if token_id >= NUM_SPECIAL_TOKENS else token_id == UNK_ID
    return BpeTokens(
        scheme=scheme,
        folder=folder,
        merges=tokenizer.backend_tokenizer.model,
        token_bp=token_bp,
        max_tokens=max_tokens,
    )


def encode_bpe_windows(codes: Codes, lengths: Numbers, *, tokens: BpeTokens) -> Numbers:
    """Turn windows into [CLS] tokens [SEP] [PAD]..., at most `tokens.max_tokens` of them.

    The merges are asked directly: bases need none of the rules for letters that tokenizer.json has in front
    of them, and take half of its time. It is done on the calling thread, so a loader worker may do it.

    Args:
        codes: uint8 [B, L], base codes; what lies behind the length of a row is not read.
        lengths: int64 [B], bp of each row.
        tokens: the tokenizer.

    Returns:
        int64 [B, T], as wide as the longest row.

    Raises:
        DataError: the shapes do not fit together.
    """
    if codes.ndim != 2 or lengths.shape != codes.shape[:1] or lengths.max(initial=0) > codes.shape[1]:
        raise DataError(
            found=f"codes {codes.shape}, lengths {lengths.shape} up to {lengths.max(initial=0)}",
            expected="codes [B, L] and lengths [B] from 0 to L",
            remedy="give one length for each row of codes",
        )
    text, width = BASE_OF_CODE[codes].tobytes().decode("ascii"), codes.shape[1]
    rows = []
    for row, length_bp in enumerate(lengths.tolist()):
        found = tokens.merges.tokenize(text[row * width : row * width + length_bp])
        rows.append([token.id for token in found[: tokens.max_tokens - 2]])
    input_ids = np.full((len(rows), max(map(len, rows), default=0) + 2), PAD_ID, dtype=np.int64)
    for row, ids in enumerate(rows):
        input_ids[row, : len(ids) + 2] = [CLS_ID, *ids, SEP_ID]
    return input_ids


def mask_bpe_windows(
    codes: Codes,
    lengths: Numbers,
    *,
    tokens: BpeTokens,
    settings: MaskSettings,
    keys: Words,
    share_done: float = 0.0,
) -> MaskedBatch:
    """Encode windows and hide single tokens; a row depends on its bases and its key alone.

    Args:
        codes: uint8 [B, L], base codes; what lies behind the length of a row is not read.
        lengths: int64 [B], bp of each row.
        tokens: the tokenizer.
        settings: of the style `tokens`; the rate is that of tokens, and so on average that of bases.
        keys: uint64 [B], of `build_keys`.
        share_done: share of the training that is done, 0 to 1.

    Raises:
        SettingsError: settings that do not suit BPE.
        DataError: the shapes do not fit together.
    """
    check_bpe_masking(settings, tokens.name)
    true_ids = encode_bpe_windows(codes, lengths, tokens=tokens)
    return _hide_tokens(true_ids, codes.shape[1], tokens, settings, keys, share_done)


def mask_longest_bpe_window(
    num_rows: int, length_bp: int, *, tokens: BpeTokens, settings: MaskSettings, keys: Words
) -> MaskedBatch:
    """Return so many masked windows with the most tokens that there can be, one base each."""
    true_ids = np.full((num_rows, min(length_bp + 2, tokens.max_tokens)), NUM_SPECIAL_TOKENS, dtype=np.int64)
    true_ids[:, 0], true_ids[:, -1] = CLS_ID, SEP_ID
    return _hide_tokens(true_ids, length_bp, tokens, settings, keys, 0.0)


def _hide_tokens(
    true_ids: Numbers,
    length_bp: int,
    tokens: BpeTokens,
    settings: MaskSettings,
    keys: Words,
    share_done: float,
) -> MaskedBatch:
    masked = mask_token_ids(
        true_ids, settings=settings, keys=keys, vocab_size=tokens.vocab_size, share_done=share_done
    )
    scored = masked.labels != IGNORED_LABEL
    hidden = find_token_bases(scored, true_ids, tokens=tokens, length_bp=length_bp)
    return MaskedBatch(*masked, hidden=hidden, label_weights=None)


def find_token_bases(flags: Flags, true_ids: Numbers, *, tokens: BpeTokens, length_bp: int) -> Flags:
    """Return which bases lie in a flagged token, bool [B, length_bp].

    Args:
        flags: bool [B, T].
        true_ids: int64 [B, T], of `encode_bpe_windows`.
        tokens: the tokenizer.
        length_bp: of the widest row, or more.
    """
    sizes_bp = tokens.token_bp[true_ids]
    is_covered = np.arange(length_bp) < sizes_bp.sum(axis=1)[:, None]
    bases = np.zeros(is_covered.shape, dtype=bool)
    bases[is_covered] = np.repeat(flags.ravel(), sizes_bp.ravel())
    return bases


def check_bpe_masking(settings: MaskSettings, name: str) -> None:
    """Refuse settings that mean nothing for BPE.

    Raises:
        SettingsError: the style is not `tokens`, or soft-masked bases have a weight of their own.
    """
    if settings.style != "tokens":
        raise SettingsError(
            found=f"masking of the style {settings.style} with {name}",
            expected="the style tokens: BPE tokens share no base",
            remedy="set masked.mask.style=tokens, or choose a k-mer scheme",
        )
    if settings.soft_masked_weight != 1:
        raise SettingsError(
            found=f"soft_masked_weight {settings.soft_masked_weight} with {name}",
            expected="1: a BPE token may be soft-masked in part",
            remedy="set masked.mask.soft_masked_weight=1, or choose a k-mer scheme",
        )
