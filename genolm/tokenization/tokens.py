"""How text becomes token ids, for k-mers and for byte-pair encoding alike.

A k-mer scheme says it all by its name; of BPE it takes the trained tokenizer. `Tokens` is either of them, and
what every stage of a pretrained model asks for.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from genolm.errors import RunFolderError, SettingsError
from genolm.files import read_json, write_text
from genolm.kmers import MAX_K, build_kmer_names
from genolm.tokenization.scheme import (
    CLS_ID,
    NUM_SPECIAL_TOKENS,
    SEP_ID,
    SPECIAL_TOKENS,
    UNK_ID,
    BpeScheme,
    KmerScheme,
)
from genolm.tokenization.tokenizer_json import (
    TOKENIZER_CONFIG_FILE,
    TOKENIZER_FILE,
    check_vocab_size,
    load_any_scheme,
    save_tokenizer,
)

if TYPE_CHECKING:
    from tokenizers.models import Model

VOCABULARY_FILE = "vocab.txt"  # of DNABERT as it was published


@dataclass(frozen=True, kw_only=True, eq=False)
class BpeTokens(BpeScheme):
    """A trained BPE tokenizer at work; two are equal if they have the same tokens and merges."""

    folder: Path
    """where it was read"""
    files: Mapping[str, str]
    """text of tokenizer.json and tokenizer_config.json, by name, for folders of models"""
    merges: "Model"
    """of the tokenizers library; it reads A, C, G, T and N alone"""
    token_bp: npt.NDArray[np.int64]
    """[vocabulary], bp of each token; [UNK] is one, the other special tokens none"""
    max_tokens: int | None = None
    """of an encoded sequence, [CLS] and [SEP] included; what lies behind is left out; None for all"""

    @property
    def min_length_bp(self) -> int:
        """Length of the shortest sequence that gives a token."""
        return 1

    def encode(self, bases: str) -> list[int]:
        """Return the ids of [CLS] tokens [SEP] for a text of A, C, G, T and N.

        The merges are asked directly: bases need none of the rules for letters that tokenizer.json has in
        front of them, and take half of its time. It is done on the calling thread, so a loader worker may.
        """
        ids = [token.id for token in self.merges.tokenize(bases)]
        return [CLS_ID, *(ids if self.max_tokens is None else ids[: self.max_tokens - 2]), SEP_ID]

    def __eq__(self, other: object) -> bool:
        """Say whether both have the same tokens and merges; two trainings of one size differ in them."""
        return isinstance(other, BpeTokens) and _spell(self.merges) == _spell(other.merges)

    def __hash__(self) -> int:
        """Return the same number for equal ones."""
        return hash(self.vocab_size)


Tokens: TypeAlias = KmerScheme | BpeTokens


def load_tokens(folder: Path) -> Tokens:
    """Load the tokenizer of a tokenizer or model folder: of genolm, or DNABERT's vocab.txt.

    Raises:
        RunFolderError: there is neither, it is damaged, or the model beside it has another number of tokens.
    """
    scheme = _read_vocabulary(folder)
    if scheme is not None:
        check_vocab_size(folder, scheme)
        return scheme
    found = load_any_scheme(folder)
    return found if isinstance(found, KmerScheme) else _load_bpe_tokens(folder, found)


def find_tokens(name: str) -> Tokens:
    """Return the tokenizer that a person names: by its scheme, or by the folder of a trained one.

    Raises:
        SettingsError: it is neither.
        RunFolderError: the folder holds no intact tokenizer.

    >>> find_tokens("kmer_k3_s1")
    KmerScheme(k=3, stride=1)
    """
    try:
        return KmerScheme.parse(name)
    except SettingsError as error:
        if Path(name).is_dir():
            return load_tokens(Path(name))
        if name.startswith("kmer"):
            raise
        raise SettingsError(
            found=f"no tokenizer folder {name}",
            expected="a scheme such as kmer_k6_s1 or nucleotide, or the folder of a trained tokenizer",
            remedy="correct it; genolm tokenizer train makes such a folder, and tokenizer_configs/ has some",
        ) from error


def save_tokens(tokens: Tokens, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json; those of BPE are the trained ones."""
    if isinstance(tokens, KmerScheme):
        save_tokenizer(tokens, folder)
        return
    for name, text in tokens.files.items():
        write_text(folder / name, text)


def require_kmers(tokens: Tokens | BpeScheme, *, what: str) -> KmerScheme:
    """Return a k-mer scheme as it is, and refuse BPE for what needs k-mers.

    Raises:
        SettingsError: the tokens are BPE.
    """
    if isinstance(tokens, KmerScheme):
        return tokens
    raise SettingsError(
        found=f"the tokenizer {tokens.name} for {what}",
        expected="k-mers, such as kmer_k6_s1: BPE serves masked language models and what is made of them",
        remedy="name a k-mer scheme, or start from a model of genolm pretrain masked",
    )


def identify_tokens(tokens: Tokens) -> dict[str, str]:
    """Return what a run must say of a tokenizer beside its name: of BPE, the checksum of tokenizer.json."""
    if isinstance(tokens, KmerScheme):
        return {}
    return {"tokenizer": hashlib.sha256(tokens.files[TOKENIZER_FILE].encode()).hexdigest()}


def _load_bpe_tokens(folder: Path, scheme: BpeScheme) -> BpeTokens:
    from tokenizers import Tokenizer

    try:
        names = (TOKENIZER_FILE, TOKENIZER_CONFIG_FILE)
        files = {name: (folder / name).read_bytes().decode("utf-8") for name in names}
        tokenizer = Tokenizer.from_str(files[TOKENIZER_FILE])
        token_bp = np.zeros(scheme.vocab_size, dtype=np.int64)
        for token, token_id in tokenizer.get_vocab().items():
            token_bp[token_id] = len(token) if token_id >= NUM_SPECIAL_TOKENS else token_id == UNK_ID
    except Exception as error:  # the tokenizers library raises nothing narrower
        raise RunFolderError(
            found=f"a tokenizer in {folder} that does not load ({str(error).splitlines()[0]})",
            expected=f"an intact {TOKENIZER_FILE} of {scheme.name}",
            remedy="copy the folder again, or write the tokenizer anew with `genolm tokenizer train`",
        ) from error
    return BpeTokens(
        vocab_size=scheme.vocab_size, folder=folder, files=files, merges=tokenizer.model, token_bp=token_bp
    )


def _spell(merges: "Model") -> str:
    """Return tokens and merges, in whatever form tokenizer.json has them, as one text."""
    from tokenizers import Tokenizer

    return Tokenizer(merges).to_str()


def _read_vocabulary(folder: Path) -> KmerScheme | None:
    """Return the scheme whose tokens a vocab.txt lists, in order; None if it is no such file."""
    path = folder / VOCABULARY_FILE
    if not path.is_file() or _names_scheme(folder / TOKENIZER_CONFIG_FILE):
        return None
    tokens = path.read_text(encoding="utf-8").split()
    k = len(tokens[-1]) if tokens else 0
    is_dnabert = 1 <= k <= MAX_K and len(tokens) == len(SPECIAL_TOKENS) + 4**k
    if is_dnabert and tokens == [*SPECIAL_TOKENS, *build_kmer_names(k)]:
        return KmerScheme(k=k, stride=1)
    return None


def _names_scheme(path: Path) -> bool:
    try:
        return "scheme" in read_json(path)
    except (OSError, ValueError, TypeError):
        return False
