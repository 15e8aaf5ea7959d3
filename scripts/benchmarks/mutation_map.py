#!/usr/bin/env python
"""Time mutation maps beside plain ways: every mutated sequence written as text, encoded and classified.

All take turns in one process, and the smallest processor time of each counts, so that other work on the
machine disturbs little. The encoding alone is timed to the ids that a model takes; then the whole map, of a
classifier's folder or of a network with random weights, beside two plain ways:

- genolm's own prediction, with its encoder and batches;
- what one does without genolm: transformers' pipeline("text-classification") with the folder's tokenizer, in
  batches of 1, which is its default, and of the sizes that are its best. (The network is genolm's, also in a
  folder that travels alone.)

The largest differences between the maps are printed.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel, pipeline

from genolm.alphabet import BASES, decode_bases, encode_bases
from genolm.inference.classify import classify_sequences, load_classifier
from genolm.interpretation.mutation_map import compute_mutation_map
from genolm.interpretation.targets import choose_target
from genolm.interpretation.token_rows import build_substituted_ids, list_substitutions
from genolm.models import AwdLstmConfig, AwdLstmForSequenceClassification
from genolm.models.sequence_nets import SequenceNetSettings, build_sequence_net
from genolm.tokenization.encoder import encode_sequences, pad_batch
from genolm.tokenization.scheme import KmerScheme
from genolm.training.persistence.run_folder import save_model_folder

NETS = ("deepbind", "basset", "residual")
PREDICT_SIZES, PIPELINE_SIZES = (64, 256), (1, 32, 64, 128)


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


def print_ratios(title: str, times_s: dict[str, float]) -> None:
    """Print a line for each way other than genolm's map."""
    quick = times_s.pop("genolm")
    for name, plain in times_s.items():
        print(
            f"{title}: {name} {1e3 * plain:.2f} ms, genolm {1e3 * quick:.2f} ms, "
            f"{plain / quick:.2f} times as fast"
        )


def time_encoding(sequence: str, scheme: KmerScheme, *, repeats: int) -> None:
    """Time the way from a sequence to the ids of all its mutants."""
    codes = encode_bases(sequence)
    ways: dict[str, Callable[[], object]] = {
        "plain": lambda: pad_batch(encode_sequences(write_mutants(sequence), scheme)),
        "genolm": lambda: build_substituted_ids(codes, list_substitutions(codes), scheme),
    }
    print_ratios(f"encoding, {scheme.name}, {len(sequence)} bp", take_turns(ways, repeats=repeats))


def time_map(folder: Path, sequence: str, *, repeats: int) -> None:
    """Time the whole map, and both plain ways in several batch sizes."""
    classifier = load_classifier(folder)
    target = choose_target(classifier)
    found: dict[str, np.ndarray] = {}
    is_change = ~np.eye(len(BASES), dtype=bool)[encode_bases(sequence)]

    def run_genolm() -> None:
        effects = compute_mutation_map(classifier, [sequence], target=target).effects[0]
        found["genolm"] = effects[is_change]

    def run_predict(batch_size: int) -> None:
        scores = classify_sequences(classifier, write_mutants(sequence), batch_size=batch_size)
        found["predict"] = scores[1:, target.index] - scores[0, target.index]

    pipe = pipeline("text-classification", model=str(folder), trust_remote_code=False, device="cpu")

    def run_pipeline(batch_size: int) -> None:
        rows = pipe(write_mutants(sequence), batch_size=batch_size, top_k=None)
        scores = np.array([next(e["score"] for e in row if e["label"] == target.name) for row in rows])
        found["pipeline"] = scores[1:] - scores[0]

    ways: dict[str, Callable[[], object]] = {"genolm": run_genolm}
    for batch_size in PREDICT_SIZES:
        ways[f"predict in batches of {batch_size}"] = lambda size=batch_size: run_predict(size)
    for batch_size in PIPELINE_SIZES:
        ways[f"pipeline in batches of {batch_size}"] = lambda size=batch_size: run_pipeline(size)
    config = classifier.model.config
    title = f"map, {getattr(config, 'architecture', config.model_type)}, {len(sequence)} bp"
    print_ratios(title, take_turns(ways, repeats=repeats))
    for name in ("predict", "pipeline"):
        print(f"largest difference from {name}: {abs(found[name] - found['genolm']).max():.1e}")


def main() -> None:
    """Time encodings and one map."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a classifier; else one with random weights")
    parser.add_argument(
        "--network",
        choices=("awd_lstm", *NETS),
        default="awd_lstm",
        help="of random weights: an AWD-LSTM of 384, or a net of convolutions in its own size",
    )
    parser.add_argument("--length-bp", type=int, default=81)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    codes = np.random.default_rng(0).integers(0, 4, options.length_bp).astype(np.uint8)
    sequence = decode_bases(codes)
    for scheme in (KmerScheme(k=3, stride=1), KmerScheme(k=6, stride=1)):
        time_encoding(sequence, scheme, repeats=20 * options.repeats)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.model or save_random_model(Path(temporary) / "model", options.network)
        time_map(folder, sequence, repeats=options.repeats)


def save_random_model(folder: Path, network: str) -> Path:
    """Save a classifier over overlapping 3-mers with random weights; return its folder."""
    scheme, names = KmerScheme(k=3, stride=1), ("other", "promoter")
    model: PreTrainedModel
    if network == "awd_lstm":
        sizes = {"vocab_size": scheme.vocab_size, "embedding_size": 128, "lstm_size": 384, "num_layers": 2}
        labels = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
        model = AwdLstmForSequenceClassification(AwdLstmConfig(**sizes, **labels))
    else:
        settings = SequenceNetSettings(architecture=network, embedding_size=32)  # type: ignore[arg-type]
        model = build_sequence_net(scheme, settings, names=names, seed=0)
    save_model_folder(folder, model=model.eval(), scheme=scheme)
    return folder


if __name__ == "__main__":
    main()
