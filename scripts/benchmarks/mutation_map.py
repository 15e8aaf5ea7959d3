#!/usr/bin/env python
"""Time mutation maps beside the plain way: every mutated sequence written as text, encoded and classified.

Both take turns in one process, and the smallest processor time of each counts, so that other work on the
machine disturbs little. The encoding alone is timed to the ids that a model takes; then the whole map, of a
classifier's folder or of an AWD-LSTM with random weights. The largest difference of the two maps is printed.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from genolm.alphabet import BASES, decode_bases
from genolm.inference.classify import Classifier, classify_sequences, load_classifier
from genolm.interpretation.mutation_map import compute_mutation_map
from genolm.interpretation.targets import choose_target
from genolm.interpretation.token_rows import build_substituted_ids, list_substitutions
from genolm.models import AwdLstmConfig, AwdLstmForSequenceClassification
from genolm.tokenization.encoder import encode_sequences, pad_batch
from genolm.tokenization.scheme import KmerScheme


def take_turns(ways: dict[str, Callable[[], object]], *, repeats: int) -> dict[str, float]:
    """Return the smallest processor time of each way, in seconds."""
    times_s: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            start_s = time.process_time()
            way()
            times_s[name].append(time.process_time() - start_s)
    return {name: min(each) for name, each in times_s.items()}


def write_mutants(sequence: str) -> list[str]:
    """Write the sequence and each of its substitutions, in the order of the map."""
    mutants = [sequence]
    for position, letter in enumerate(sequence):
        mutants += [sequence[:position] + base + sequence[position + 1 :] for base in BASES if base != letter]
    return mutants


def print_ratio(title: str, times_s: dict[str, float]) -> None:
    """Print one line."""
    plain, quick = times_s["plain"], times_s["genolm"]
    print(
        f"{title}: plain {1e3 * plain:.2f} ms, genolm {1e3 * quick:.2f} ms, {plain / quick:.2f} times as fast"
    )


def time_encoding(sequence: str, scheme: KmerScheme, *, repeats: int) -> None:
    """Time the way from a sequence to the ids of all its mutants."""
    from genolm.alphabet import encode_bases

    codes = encode_bases(sequence)
    ways: dict[str, Callable[[], object]] = {
        "plain": lambda: pad_batch(encode_sequences(write_mutants(sequence), scheme)),
        "genolm": lambda: build_substituted_ids(codes, list_substitutions(codes), scheme),
    }
    print_ratio(f"encoding, {scheme.name}, {len(sequence)} bp", take_turns(ways, repeats=repeats))


def time_map(classifier: Classifier, sequence: str, *, repeats: int) -> None:
    """Time the whole map, the plain way with the batch size of `genolm predict` and with that of the map."""
    target = choose_target(classifier)
    found: dict[str, np.ndarray] = {}

    def run_plain(batch_size: int) -> None:
        scores = classify_sequences(classifier, write_mutants(sequence), batch_size=batch_size)
        found["plain"] = scores[1:, target.index] - scores[0, target.index]

    def run_genolm() -> None:
        effects = compute_mutation_map(classifier, [sequence], target=target).effects[0]
        found["genolm"] = effects[effects != 0]

    for batch_size in (64, 256):
        ways = {"plain": lambda size=batch_size: run_plain(size), "genolm": run_genolm}
        title = (
            f"map, {classifier.model.config.model_type}, {len(sequence)} bp, plain in batches of {batch_size}"
        )
        print_ratio(title, take_turns(ways, repeats=repeats))
    if found["plain"].shape == found["genolm"].shape:
        print(f"largest difference of the maps: {abs(found['plain'] - found['genolm']).max():.1e}")


def main() -> None:
    """Time encodings and one map."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a classifier; else an AWD-LSTM of 384")
    parser.add_argument("--length-bp", type=int, default=81)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    codes = np.random.default_rng(0).integers(0, 4, options.length_bp).astype(np.uint8)
    sequence = decode_bases(codes)
    for scheme in (KmerScheme(k=3, stride=1), KmerScheme(k=6, stride=1)):
        time_encoding(sequence, scheme, repeats=20 * options.repeats)
    if options.model is not None:
        classifier = load_classifier(options.model)
    else:
        sizes = {"embedding_size": 128, "lstm_size": 384, "num_layers": 2}
        network = AwdLstmForSequenceClassification(AwdLstmConfig(**sizes)).eval()
        classifier = Classifier(network, KmerScheme(k=3, stride=1), ("other", "promoter"))
    time_map(classifier, sequence, repeats=options.repeats)


if __name__ == "__main__":
    main()
