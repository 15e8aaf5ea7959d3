"""Windows of bases as token ids, without encoding a base twice where windows overlap."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from genolm.alphabet import UNKNOWN_CODE, Codes
from genolm.interpretation.token_rows import encode_rows
from genolm.tokenization.encoder import TokenIds, encode_codes
from genolm.tokenization.scheme import CLS_ID, SEP_ID, KmerScheme
from genolm.tokenization.tokens import Tokens

Places = npt.NDArray[np.int64]
WindowEncoder = Callable[[Places], Sequence[TokenIds] | TokenIds]


def build_window_encoder(codes: Codes, scheme: Tokens, *, window_bp: int) -> WindowEncoder:
    """Encode a stretch once, and return what gives the token ids of the windows at any places of it.

    Args:
        codes: uint8 [bp], base codes.
        scheme: how windows are cut; each from its own first base on.
        window_bp: bases of a window.

    Returns:
        a function from int64 [n], the first bases of windows, to n rows of token ids with [CLS] and [SEP];
        the rows of k-mers are one array [n, tokens].

    >>> encode = build_window_encoder(
    ...     np.array([3, 0, 0, 0, 1], dtype=np.uint8), KmerScheme(k=3, stride=1), window_bp=4
    ... )
    >>> encode(np.array([1])).tolist()
    [[2, 5, 6, 3]]
    """
    if not isinstance(scheme, KmerScheme):
        windows = np.lib.stride_tricks.sliding_window_view(codes, window_bp)
        return lambda starts: encode_rows(windows[starts], scheme)
    ids_at_base = encode_codes(codes, KmerScheme(k=scheme.k, stride=1))
    reach = (scheme.count_tokens(window_bp) - 1) * scheme.stride + 1
    rows = np.lib.stride_tricks.sliding_window_view(ids_at_base, reach)[:, :: scheme.stride]
    return lambda starts: np.pad(rows[starts], ((0, 0), (1, 1)), constant_values=((0, 0), (CLS_ID, SEP_ID)))


def has_only_known_bases(codes: Codes, starts: Places, *, window_bp: int) -> npt.NDArray[np.bool_]:
    """Say of each window whether all its bases are A, T, C or G, bool [windows].

    >>> has_only_known_bases(np.array([4, 0, 1, 2], dtype=np.uint8), np.array([0, 1]), window_bp=3).tolist()
    [False, True]
    """
    num_unknown = np.concatenate([[0], np.cumsum(codes >= UNKNOWN_CODE, dtype=np.int64)])
    known: npt.NDArray[np.bool_] = num_unknown[starts + window_bp] == num_unknown[starts]
    return known
