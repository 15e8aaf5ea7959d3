"""The kernels of a first convolution layer as motifs: what the windows that activate a kernel look like.

As Kelley et al. 2016 do, and similarly Alipanahi et al. 2015: windows that activate a kernel above half of
its maximum are put on top of each other, and their bases are counted.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from genolm.alphabet import BASES, UNKNOWN_CODE, encode_bases
from genolm.errors import DataError, SettingsError
from genolm.models.modeling_sequence_nets import SequenceNetForSequenceClassification
from genolm.tokenization.encoder import encode_sequences, pad_batch
from genolm.tokenization.scheme import KmerScheme

Frequencies = npt.NDArray[np.float64]

NUM_LETTERS = len(BASES) + 1  # the bases and the unknown one
MIN_SHARE = 0.5  # of a base in a column, for the consensus to name it


class KernelMotif(NamedTuple):
    """What one kernel looks for."""

    frequencies: Frequencies
    """[width_bp, 4], the position weight matrix; columns in the order of `genolm.alphabet.BASES`, A T C G"""
    num_sites: int
    """windows that were counted; with none the frequencies are 0.25"""
    max_activation: float
    """largest activation in the sequences; a kernel with none above 0 is dead"""


class _Batch(NamedTuple):
    """Activations of some sequences and the bases under them."""

    activations: npt.NDArray[np.float32]
    """[sequences, windows, kernels]; -inf where a window is not wholly in its sequence"""
    codes: npt.NDArray[np.uint8]
    """[sequences, length_bp]"""


def build_kernel_motifs(
    model: SequenceNetForSequenceClassification,
    sequences: Sequence[str],
    *,
    min_share: float = 0.5,
    batch_size: int = 256,
) -> list[KernelMotif]:
    """Build the motif of each kernel of the first layer from the windows that activate it most.

    Windows that reach over the end of a sequence are left out. The model is used as it stands.

    Args:
        model: deepbind, basset, danq or residual, of k-mers.
        sequences: DNA, such as the positives of the test split.
        min_share: of the largest activation of a kernel; the windows above it are counted.
        batch_size: sequences at a time.

    Returns:
        One motif per kernel, in the order of the kernels; `width_bp` is (kernel_width - 1) * stride + k.

    Raises:
        SettingsError: the model has no kernels, or min_share does not lie in 0..1.
        DataError: no sequence is as long as a kernel.
    """
    config: Any = model.config
    if not config.num_kernels:
        raise SettingsError(
            found=f"the architecture {config.architecture}",
            expected="one that starts with convolution kernels: deepbind, basset, danq or residual",
            remedy="train one of these to read out motifs",
        )
    if not 0 <= min_share < 1:
        raise SettingsError(
            found=f"min_share {min_share}", expected="a share from 0 to below 1", remedy="choose 0.5"
        )
    width_bp = (config.kernel_width - 1) * config.kmer_stride + config.kmer_k
    long_enough = [text for text in ("".join(each.split()) for each in sequences) if len(text) >= width_bp]
    if not long_enough:
        raise DataError(
            found=f"none of {len(sequences):,} sequences with {width_bp} bases or more",
            expected="sequences at least as long as a kernel",
            remedy="give longer sequences",
        )
    largest = np.full(config.num_kernels, -np.inf)
    for batch in _iter_batches(model, long_enough, batch_size):
        largest = np.maximum(largest, batch.activations.max(axis=(0, 1)))
    thresholds = np.where(largest > 0, min_share * largest, np.inf)
    counts = np.zeros((config.num_kernels, width_bp, NUM_LETTERS), dtype=np.int64)
    for batch in _iter_batches(model, long_enough, batch_size):
        counts += _count_bases(batch, thresholds, width_bp=width_bp, stride=config.kmer_stride)
    return [
        KernelMotif(_divide(kernel[:, :-1]), int(kernel[0].sum()), float(top))
        for kernel, top in zip(counts, largest, strict=True)
    ]


def _iter_batches(
    model: SequenceNetForSequenceClassification, sequences: Sequence[str], batch_size: int
) -> Iterator[_Batch]:
    config: Any = model.config
    scheme = KmerScheme(k=config.kmer_k, stride=config.kmer_stride)
    for start in range(0, len(sequences), batch_size):
        texts = sequences[start : start + batch_size]
        padded = pad_batch(encode_sequences(texts, scheme, add_special_tokens=False))
        with torch.no_grad():
            found, lengths = model.compute_kernel_activations(
                torch.from_numpy(padded.input_ids).to(model.device),
                torch.from_numpy(padded.attention_mask).to(model.device),
            )
        num_windows = lengths.cpu().numpy() - config.kernel_width + 1
        activations = found.float().cpu().numpy()
        is_whole = np.arange(activations.shape[1]) < num_windows[:, None]
        longest = max(len(text) for text in texts)
        codes = encode_bases("".join(text.ljust(longest, "N") for text in texts)).reshape(-1, longest)
        yield _Batch(np.where(is_whole[..., None], activations, -np.inf), codes)


def _count_bases(
    batch: _Batch, thresholds: npt.NDArray[Any], *, width_bp: int, stride: int
) -> npt.NDArray[np.int64]:
    """Count the letters under each kernel's windows above its threshold: [kernels, width_bp, 5]."""
    row, window, kernel = np.nonzero(batch.activations > thresholds)
    column = np.arange(width_bp)
    letters = batch.codes[row[:, None], window[:, None] * stride + column]
    cells = (kernel[:, None] * width_bp + column) * NUM_LETTERS + np.minimum(letters, UNKNOWN_CODE)
    size = len(thresholds) * width_bp * NUM_LETTERS
    return np.bincount(cells.ravel(), minlength=size).reshape(-1, width_bp, NUM_LETTERS)


def _divide(counts: npt.NDArray[np.int64]) -> Frequencies:
    """Turn counts into frequencies; a column without a known base is 0.25 each.

    >>> _divide(np.array([[3, 1, 0, 0], [0, 0, 0, 0]])).tolist()
    [[0.75, 0.25, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]]
    """
    totals = counts.sum(axis=1, keepdims=True)
    return np.where(totals > 0, counts / np.maximum(totals, 1), 1 / len(BASES))


def compute_information(frequencies: Frequencies) -> npt.NDArray[np.float64]:
    """Compute the information content of each column, in bits, against equally frequent bases.

    Schneider et al. 1986, without their correction for few sites.

    Args:
        frequencies: [width_bp, 4], rows that sum to 1.

    Returns:
        float64 [width_bp], from 0 to 2.

    >>> compute_information(np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25]])).tolist()
    [2.0, 1.0, 0.0]
    """
    surprise = -np.log2(np.where(frequencies > 0, frequencies, 1.0))
    return np.log2(len(BASES)) - (frequencies * surprise).sum(axis=1)


def build_consensus(frequencies: Frequencies) -> str:
    """Name the base of each column that has at least half of the sites; N where none has.

    >>> build_consensus(np.array([[0.9, 0.1, 0, 0], [0.4, 0.3, 0.3, 0], [0, 0.5, 0.2, 0.3]]))
    'ANT'
    """
    best = frequencies.argmax(axis=1)
    is_clear = frequencies.max(axis=1) >= MIN_SHARE
    return "".join(BASES[code] if clear else "N" for code, clear in zip(best, is_clear, strict=True))
