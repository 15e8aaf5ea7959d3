"""Made-up DNA with a known answer, and a plain training loop for it."""

import numpy as np
import torch

from genolm.alphabet import BASES
from genolm.metrics import compute_classification_metrics
from genolm.models.scoring import compute_probabilities
from genolm.tokenization.encoder import encode_sequences, pad_batch
from genolm.tokenization.scheme import KmerScheme

NUCLEOTIDE = KmerScheme(k=1, stride=1)


def plant_one(count: int, *, matrix: np.ndarray, length_bp: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Random sequences; every second one has a site drawn from a position weight matrix, and the label 1."""
    generator = np.random.default_rng(seed)
    letters = generator.choice(list(BASES), size=(count, length_bp))
    labels = np.arange(count) % 2
    for row in np.flatnonzero(labels):
        start = generator.integers(0, length_bp - len(matrix) + 1)
        site = [generator.choice(list(BASES), p=column) for column in matrix]
        letters[row, start : start + len(matrix)] = site
    return ["".join(row) for row in letters], labels


def plant_order(count: int, *, first: str, second: str, seed: int) -> tuple[list[str], np.ndarray]:
    """Random sequences of 60 bp, all with both words; the label is 1 where `first` stands before `second`.

    The words are 4 bases apart or more, so no 4-mer and no 5-mer sees both.
    """
    generator = np.random.default_rng(seed)
    letters = generator.choice(list(BASES), size=(count, 60))
    labels = np.arange(count) % 2
    for row, label in enumerate(labels):
        words = (first, second) if label else (second, first)
        left = generator.integers(0, 60 - len(first) - 4 - len(second) + 1)
        right = generator.integers(left + len(words[0]) + 4, 60 - len(words[1]) + 1)
        for start, word in zip((left, right), words, strict=True):
            letters[row, start : start + len(word)] = list(word)
    return ["".join(row) for row in letters], labels


def train(model, sequences, labels, *, epochs: int, rate: float, seed: int = 0):
    token_ids = encode_sequences(sequences, NUCLEOTIDE)
    targets = torch.from_numpy(labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    generator = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.train()
        for _ in range(epochs):
            order = generator.permutation(len(token_ids))
            for start in range(0, len(order), 64):
                chosen = order[start : start + 64]
                batch = pad_batch([token_ids[index] for index in chosen])
                loss = model(
                    input_ids=torch.from_numpy(batch.input_ids),
                    attention_mask=torch.from_numpy(batch.attention_mask),
                    labels=targets[chosen],
                ).loss
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return model.eval()


def compute_auroc(model, sequences, labels) -> float:
    scores = compute_probabilities(model, encode_sequences(sequences, NUCLEOTIDE))[:, 1]
    return compute_classification_metrics(labels, scores)["auroc"]
