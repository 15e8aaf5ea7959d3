"""Sequences with planted near duplicates, and the similar ones among them by comparing all with all."""

import numpy as np
from made_up_dna import make_dna

COMPLEMENT = str.maketrans("ACGT", "TGCA")


def flip(text):
    return text.translate(COMPLEMENT)[::-1]


def plain_kmers(text, k):
    """The k-mers of a text as a set of strings, each as the smaller of its two strands."""
    words = (text[i : i + k] for i in range(len(text) - k + 1))
    return {min(word, flip(word)) for word in words if set(word) <= set("ACGT")}


def find_plainly(sequences, k, min_share):
    """Every similar pair by comparing all with all."""
    kmers = [plain_kmers(text, k) for text in sequences]
    found = {}
    for i in range(len(sequences)):
        for j in range(i + 1, len(sequences)):
            smaller = min(len(kmers[i]), len(kmers[j]))
            share = len(kmers[i] & kmers[j]) / smaller if smaller else 0.0
            if share >= min_share - 1e-12:
                found[i, j] = share
    return found


def mutate(text, share, seed):
    generator = np.random.default_rng(seed)
    letters = np.array(list(text))
    places = generator.random(len(letters)) < share
    letters[places] = generator.choice(list("ACGT"), size=int(places.sum()))
    return "".join(letters)


def plant_duplicates(seed, num_families=25, length_bp=90):
    """Families of mutated, shifted, shortened and turned copies of random sequences, in random order."""
    members = []
    for family in range(num_families):
        text = make_dna(length_bp + 60, seed=1000 * seed + family)
        base = text[:length_bp]
        members += [base, mutate(base, 0.02, seed + family), mutate(base, 0.15, family), flip(base)[5:]]
        members += [
            text[20 : 20 + length_bp],
            flip(text[45 : 45 + length_bp]),
            base[:40],
            "A" * 30 + base[:60],
        ]
    order = np.random.default_rng(seed).permutation(len(members))
    return [members[index] for index in order]
