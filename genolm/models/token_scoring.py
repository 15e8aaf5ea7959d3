"""What a network with a head for each token says of each base of a sequence.

The rule between tokens and bases, for k-mers of k bases at every s-th base: token t begins at base s * t, and
speaks for its center, base s * t + (k - 1) // 2. It learns the label of that base. A base is told by the
token whose center is nearest, the earlier one of two; so the ends of a sequence, which are no token's center,
are told by the first and the last token, and every base by exactly one.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedModel

from genolm.models.cpu_kernels import choose_cpu_kernels
from genolm.models.scoring import cut_long_inputs, find_max_tokens, iter_logits
from genolm.tokenization.encoder import TokenIds
from genolm.tokenization.scheme import KmerScheme

Places = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float32]


def find_center_bases(num_tokens: int, *, scheme: KmerScheme) -> Places:
    """Return the base that each token speaks for, int64 [tokens], counted from 0.

    >>> find_center_bases(3, scheme=KmerScheme(k=3, stride=1)).tolist()
    [1, 2, 3]
    """
    return np.arange(num_tokens) * scheme.stride + (scheme.k - 1) // 2


def find_tokens_of_bases(length_bp: int, *, scheme: KmerScheme) -> Places:
    """Return the token that tells each base of a sequence of at least k bases, int64 [bases], from 0.

    >>> find_tokens_of_bases(6, scheme=KmerScheme(k=4, stride=1)).tolist()
    [0, 0, 1, 2, 2, 2]
    >>> find_tokens_of_bases(9, scheme=KmerScheme(k=4, stride=4)).tolist()  # centers: bases 1 and 5
    [0, 0, 0, 0, 1, 1, 1, 1, 1]
    """
    steps = np.arange(length_bp) - (scheme.k - 1) // 2
    nearest = (steps + (scheme.stride - 1) // 2) // scheme.stride
    return nearest.clip(0, scheme.count_tokens(length_bp) - 1)


def compute_token_probabilities(
    model: PreTrainedModel,
    token_ids: Sequence[TokenIds],
    *,
    batch_size: int = 64,
    on_batch: Callable[[int], None] | None = None,
) -> list[Probabilities]:
    """Return the probabilities of the classes at each token, float32 [tokens, classes] for each sequence.

    [CLS] and [SEP] are left out. Of a model whose config.json says `long_inputs: windows`, the logits of the
    windows that a token lies in are averaged.

    Args:
        model: with a head for each token; in eval mode the result does not depend on the batches.
        token_ids: encoded sequences, with [CLS] and [SEP].
        batch_size: sequences, or windows of them, at a time.
        on_batch: is told how many sequences are done.
    """
    takes_windows = getattr(model.config, "long_inputs", "refuse") == "windows"
    windows = cut_long_inputs(token_ids, max_tokens=find_max_tokens(model.config) if takes_windows else None)
    num_classes = int(model.config.num_labels or 0)
    sums = [np.zeros((len(ids) - 2, num_classes), dtype=np.float32) for ids in token_ids]
    counts = [np.zeros((len(ids) - 2, 1), dtype=np.float32) for ids in token_ids]
    owners = np.append(windows.owners, len(token_ids))
    with choose_cpu_kernels(model, "no", num_tokens=max(map(len, windows.token_ids), default=0)):
        for rows, logits in iter_logits(model, windows.token_ids, batch_size=batch_size):
            for index, row in zip(range(rows.start, rows.stop), logits.cpu().numpy(), strict=True):
                size, start = len(windows.token_ids[index]) - 2, windows.starts[index]
                sums[owners[index]][start : start + size] += row[1 : 1 + size]
                counts[owners[index]][start : start + size] += 1
            if on_batch:
                on_batch(int(owners[rows.stop]))
    return [
        torch.from_numpy(total / count).softmax(dim=-1).numpy()
        for total, count in zip(sums, counts, strict=True)
    ]


def spread_over_bases(
    token_rows: Sequence[Probabilities], *, lengths_bp: Sequence[int], scheme: KmerScheme
) -> list[Probabilities]:
    """Return the row of each base, [bases, classes] for each sequence, from the rows of its tokens."""
    return [
        rows[find_tokens_of_bases(length_bp, scheme=scheme)]
        for rows, length_bp in zip(token_rows, lengths_bp, strict=True)
    ]
