"""K-mers as sets of Python, the oracle of the audit's matrices."""

COMPLEMENT = str.maketrans("ACGT", "TGCA")


def flip(text):
    """The other strand, read in its own direction."""
    return text.translate(COMPLEMENT)[::-1]


def list_kmers(text, k):
    """Distinct k-mers of a text without those that have an N; of each strand the smaller one."""
    windows = {text[start : start + k] for start in range(len(text) - k + 1)}
    return {min(window, flip(window)) for window in windows if set(window) <= set("ACGT")}
