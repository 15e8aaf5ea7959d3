#!/usr/bin/env python3
"""Time the masking of batches beside transformers' collator, and print how much each style gives away.

Batches of 512 6-mers, on one thread. genolm starts from base codes (it encodes, hides, masks and pads);
DataCollatorForLanguageModeling from token ids that are ready, as lists and as tensors. The ways take turns.
Then, for each style: the hidden bases, the tokens that are scored, the bases that no token shows, and how
often a decoder that only copies from the tokens around tells a hidden base right (0.25 is chance).
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

from genolm.alphabet import Codes
from genolm.tokenization.encoder import encode_codes
from genolm.tokenization.scheme import CLS_ID, SEP_ID, SPECIAL_TOKENS, KmerScheme
from genolm.tokenization.tokenizer_json import build_tokenizer
from genolm.training.masking.leak import compute_copying_accuracy
from genolm.training.masking.spans import find_seen_bases
from genolm.training.masking.windows import MaskedBatch, MaskSettings, build_keys, mask_windows
from genolm.training.token_stream import IGNORED_LABEL

SCHEME = KmerScheme(k=6, stride=1)
WINDOW_BP = 510 + SCHEME.k - 1  # 512 tokens with [CLS] and [SEP]
STYLES = {
    "base_spans, 1 bp": MaskSettings(),
    "base_spans, 6 bp": MaskSettings(span_bp=6),
    "base_spans, geometric, 6 bp": MaskSettings(span_bp=6, span_lengths="geometric"),
    "dnabert": MaskSettings(style="dnabert"),
    "tokens": MaskSettings(style="tokens"),
}
LEAK_WINDOWS = 512


def main() -> None:
    """Parse the options and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=50, help="turns of each way [50]")
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64], help="windows [16 64]")
    parser.add_argument(
        "--step-ms",
        type=float,
        default=650.0,
        help="a training step of 16 windows, such as BERT 4 x 256 [650]",
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    for batch_size in options.batches:
        step_ms = options.step_ms * batch_size / 16
        times_ms = time_ways(build_ways(batch_size), repeats=options.repeats)
        print(f"\n{batch_size} x 512 tokens, medians of {options.repeats}; a step: {step_ms:g} ms")
        print(f"{'way':44}{'ms':>8}{'of a step':>11}")
        for name, each_ms in times_ms.items():
            print(f"{name:44}{each_ms:8.2f}{each_ms / step_ms:11.2%}")
    print(f"\n{'style':30}{'hidden':>8}{'scored':>8}{'not shown':>11}{'copied right':>14}")
    codes = draw_codes(LEAK_WINDOWS)
    for name, settings in STYLES.items():
        batch = mask(codes, settings)
        accuracy = compute_copying_accuracy(codes, batch, SCHEME)
        if settings.style == "base_spans" and accuracy != 1 / 4:
            raise SystemExit(f"{name} gives hidden bases away: {accuracy:.3f}")
        is_scored = batch.labels[:, 1:-1] != IGNORED_LABEL
        is_shown = find_seen_bases(~is_scored, SCHEME, length_bp=WINDOW_BP)
        shares = f"{batch.hidden.mean():8.3f}{is_scored.mean():8.3f}{1 - is_shown.mean():11.3f}"
        print(f"{name:30}{shares}{accuracy:14.3f}")


def draw_codes(num_windows: int) -> Codes:
    """Return random windows of bases."""
    return np.random.default_rng(0).integers(4, size=(num_windows, WINDOW_BP)).astype(np.uint8)


def mask(codes: Codes, settings: MaskSettings) -> MaskedBatch:
    """Mask whole windows."""
    keys = build_keys(0, 0, np.arange(len(codes)))
    lengths = np.full(len(codes), WINDOW_BP)
    return mask_windows(codes, lengths, scheme=SCHEME, settings=settings, keys=keys)


def build_ways(batch_size: int) -> dict[str, Callable[[], object]]:
    """Return what makes a batch of the same windows in each way."""
    codes = draw_codes(batch_size)
    ids = encode_codes(codes, SCHEME, dtype=np.int64)
    ids = np.pad(
        np.pad(ids, ((0, 0), (1, 0)), constant_values=CLS_ID), ((0, 0), (0, 1)), constant_values=SEP_ID
    )
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=build_tokenizer(SCHEME), **dict(zip(names, SPECIAL_TOKENS, strict=True))
    )
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)
    lists = [{"input_ids": row} for row in ids.tolist()]
    tensors = [{"input_ids": row} for row in torch.from_numpy(ids)]
    ways: dict[str, Callable[[], object]] = {
        f"genolm, {name}": lambda settings=settings: mask(codes, settings)
        for name, settings in STYLES.items()
    }
    ways["transformers, ids ready as lists"] = lambda: collator(lists)
    ways["transformers, ids ready as tensors"] = lambda: collator(tensors)
    return ways


def time_ways(ways: dict[str, Callable[[], object]], *, repeats: int) -> dict[str, float]:
    """Return the median time of each way, in ms; the ways take turns, and the first turn is not counted."""
    times_ms: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, make_batch in ways.items():
            started_s = time.perf_counter()
            make_batch()
            if turn > 0:
                times_ms[name].append((time.perf_counter() - started_s) * 1000)
    return {name: statistics.median(times) for name, times in times_ms.items()}


if __name__ == "__main__":
    main()
