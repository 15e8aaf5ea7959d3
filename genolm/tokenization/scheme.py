"""How DNA is cut into tokens: the schemes, their names, and the special tokens."""

import re
from dataclasses import dataclass

from genolm.alphabet import BASES
from genolm.errors import SettingsError
from genolm.kmers import MAX_K

NUCLEOTIDE_NAME = "nucleotide"
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD_ID, UNK_ID, CLS_ID, SEP_ID, MASK_ID = range(5)
NUM_SPECIAL_TOKENS = len(SPECIAL_TOKENS)
MIN_BPE_VOCAB_SIZE = NUM_SPECIAL_TOKENS + len(BASES) + 1
MAX_BPE_VOCAB_SIZE = 1_000_000


@dataclass(frozen=True)
class KmerScheme:
    """K-mers of k bases, one every `stride` bases, cut from the first base on.

    Raises:
        SettingsError: k does not lie in 1..12, or stride not in 1..k.

    >>> KmerScheme(k=6, stride=1).name, KmerScheme(k=1, stride=1).name
    ('kmer_k6_s1', 'nucleotide')
    """

    k: int
    """bases in a token"""
    stride: int
    """bases from the start of one token to the start of the next"""

    def __post_init__(self) -> None:
        """Check both numbers, so that no unusable scheme exists."""
        if type(self.k) is not int or not 1 <= self.k <= MAX_K:
            raise SettingsError(
                found=f"k={self.k!r}",
                expected=f"a whole number in 1..{MAX_K}",
                remedy="choose k between 3 and 8",
            )
        if type(self.stride) is not int or not 1 <= self.stride <= self.k:
            raise SettingsError(
                found=f"stride={self.stride!r}",
                expected=f"a whole number in 1..k (k={self.k})",
                remedy=f"set stride to {self.k} or less",
            )

    @property
    def name(self) -> str:
        """The one spelling of the scheme, in objects, files and checkpoints."""
        return NUCLEOTIDE_NAME if self.k == 1 else f"kmer_k{self.k}_s{self.stride}"

    @classmethod
    def parse(cls, name: str) -> "KmerScheme":
        """Read a scheme from its name; kmer_k1_s1 is read as nucleotide, and never written.

        Raises:
            SettingsError: the name is neither kmer_k<k>_s<stride> nor nucleotide, or a number is not usable.

        >>> KmerScheme.parse("kmer_k5_s2"), KmerScheme.parse("nucleotide")
        (KmerScheme(k=5, stride=2), KmerScheme(k=1, stride=1))
        """
        if name == NUCLEOTIDE_NAME:
            return cls(k=1, stride=1)
        match = re.fullmatch("kmer_k([1-9][0-9]?)_s([1-9][0-9]?)", name)
        if match is None:
            raise SettingsError(
                found=f"the scheme name {name!r}",
                expected=f"kmer_k<k>_s<stride> with k in 1..{MAX_K} and stride in 1..k, or {NUCLEOTIDE_NAME}",
                remedy="write for example kmer_k6_s1 (6-mers, one at every base)",
            )
        return cls(k=int(match[1]), stride=int(match[2]))

    @property
    def min_length_bp(self) -> int:
        """Length of the shortest sequence that gives a token."""
        return self.k

    @property
    def num_kmers(self) -> int:
        """Number of k-mers without an unknown base, 4^k."""
        return 4**self.k

    @property
    def vocab_size(self) -> int:
        """Number of token ids: the special tokens and the k-mers."""
        return NUM_SPECIAL_TOKENS + self.num_kmers

    @property
    def num_successors(self) -> int:
        """Number of k-mers that can follow a given one, 4^stride: the others would contradict its bases."""
        return 4**self.stride

    def count_tokens(self, length_bp: int) -> int:
        """Return how many k-mers a sequence of `length_bp` bases gives, special tokens not counted.

        >>> KmerScheme(k=6, stride=2).count_tokens(11)
        3
        """
        return max((length_bp - self.k) // self.stride + 1, 0)


@dataclass(frozen=True)
class BpeScheme:
    """Byte-pair encoding: tokens of different lengths, learned from genomes.

    Raises:
        SettingsError: vocab_size does not lie in 10..1,000,000.

    >>> BpeScheme(vocab_size=4096).name
    'bpe_4096'
    """

    vocab_size: int
    """token ids: the special tokens, the 4 bases and the merged tokens"""

    def __post_init__(self) -> None:
        """Check the number, so that no unusable scheme exists."""
        is_whole = type(self.vocab_size) is int
        if not is_whole or not MIN_BPE_VOCAB_SIZE <= self.vocab_size <= MAX_BPE_VOCAB_SIZE:
            raise SettingsError(
                found=f"vocab_size={self.vocab_size!r}",
                expected=f"a whole number in {MIN_BPE_VOCAB_SIZE}..{MAX_BPE_VOCAB_SIZE:,}",
                remedy="choose for example 4096",
            )

    @property
    def name(self) -> str:
        """The one spelling of the scheme, in objects, files and checkpoints."""
        return f"bpe_{self.vocab_size}"


def parse_scheme(name: str) -> KmerScheme | BpeScheme:
    """Read a scheme of any kind from its name.

    Raises:
        SettingsError: the name is none of kmer_k<k>_s<stride>, nucleotide and bpe_<vocabulary size>.

    >>> parse_scheme("bpe_4096")
    BpeScheme(vocab_size=4096)
    """
    match = re.fullmatch("bpe_([1-9][0-9]{0,8})", name)
    return KmerScheme.parse(name) if match is None else BpeScheme(vocab_size=int(match[1]))
