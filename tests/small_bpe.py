"""A BPE tokenizer of 40 tokens, trained on made-up DNA."""

from pathlib import Path

import numpy as np
from made_up_dna import make_dna

from genolm.alphabet import encode_bases
from genolm.tokenization.bpe import BpeSettings, KnownBases, train_bpe_folder
from genolm.tokenization.tokens import BpeTokens, load_tokens


def train_small_bpe(folder: Path, *, seed: int = 3) -> BpeTokens:
    """Write a tokenizer folder, and return what is loaded from it; other seeds give other tokens."""
    codes = encode_bases(make_dna(20_000, seed))
    bases = KnownBases(codes, np.array([0, len(codes)]), np.ones(1), {"made up": str(seed)})
    train_bpe_folder(bases, folder, settings=BpeSettings(vocab_size=40, sample_bp=10_000, window_bp=100))
    tokens = load_tokens(folder)
    assert isinstance(tokens, BpeTokens)
    return tokens
