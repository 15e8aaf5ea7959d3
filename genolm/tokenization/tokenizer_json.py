"""A k-mer scheme as a plain tokenizer.json, which Hugging Face libraries read without genolm.

No model or pre-tokenizer of the tokenizers library gives overlapping tokens: they all partition the text. So
the text is made longer first, by the normalizer, until every k-mer stands in it on its own:

    ACGT -> AbcCbcGbcTbc      k - 1 slot marks behind each base (k=3: b and c)
         -> ACcCGcGTcTbc      slot b takes the first letter of the next group
         -> ACGCGTGTcTbc      slot c takes the slot b of the next group
         -> ACGCGT            groups with a slot left open are dropped
         -> ACG CGT           the split

Every rule is a `Replace` with zero-width look-behind or look-ahead, for lack of back-references.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from genolm.errors import GenolmError, RunFolderError
from genolm.files import read_json, write_json, write_text
from genolm.kmers import build_kmer_names
from genolm.tokenization.scheme import CLS_ID, MASK_ID, PAD_ID, SEP_ID, SPECIAL_TOKENS, UNK_ID, KmerScheme

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from tokenizers.normalizers import Normalizer
    from tokenizers.pre_tokenizers import PreTokenizer

TOKENIZER_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"

_SLOT_MARKS = "bcdefghijkl"


def build_tokenizer(scheme: KmerScheme) -> "Tokenizer":
    """Build the tokenizer of a k-mer scheme; it takes raw DNA and returns [CLS] k-mers [SEP].

    White space is dropped, lower case is read as upper case and U as T; a k-mer with any other letter is
    [UNK]. A special token written out in the text is recognised, and no k-mer reaches across it. The offset
    of a token is its first base alone, (start, start + 1). Above k = 9 the vocabulary has a million entries
    and more, which takes seconds to build and to load.
    """
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.processors import TemplateProcessing

    tokens = [*SPECIAL_TOKENS, *build_kmer_names(scheme.k)]
    vocabulary = {token: token_id for token_id, token in enumerate(tokens)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=SPECIAL_TOKENS[UNK_ID]))
    tokenizer.normalizer = _build_normalizer(scheme.k)
    tokenizer.pre_tokenizer = _build_pre_tokenizer(scheme)
    cls, sep = SPECIAL_TOKENS[CLS_ID], SPECIAL_TOKENS[SEP_ID]
    tokenizer.post_processor = TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(cls, CLS_ID), (sep, SEP_ID)],
    )
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL_TOKENS])
    return tokenizer


def save_tokenizer(scheme: KmerScheme, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json into a folder; each is whole or absent.

    The class is written as PreTrainedTokenizerFast, which transformers 4 and 5 both know.
    """
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": SPECIAL_TOKENS[PAD_ID],
        "unk_token": SPECIAL_TOKENS[UNK_ID],
        "cls_token": SPECIAL_TOKENS[CLS_ID],
        "sep_token": SPECIAL_TOKENS[SEP_ID],
        "mask_token": SPECIAL_TOKENS[MASK_ID],
        "model_input_names": ["input_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False,
        "scheme": scheme.name,
        "k": scheme.k,
        "stride": scheme.stride,
    }
    write_text(folder / TOKENIZER_FILE, build_tokenizer(scheme).to_str(pretty=True) + "\n")
    write_json(folder / TOKENIZER_CONFIG_FILE, config)


def load_scheme(folder: Path) -> KmerScheme:
    """Read the scheme of a saved tokenizer from its tokenizer_config.json.

    Raises:
        RunFolderError: the file is absent, damaged, or names no k-mer scheme.
    """
    path = folder / TOKENIZER_CONFIG_FILE
    try:
        return KmerScheme.parse(read_json(path)["scheme"])
    except (FileNotFoundError, NotADirectoryError):
        found = f"no {TOKENIZER_CONFIG_FILE} in {folder}"
    except (KeyError, TypeError, GenolmError):
        found = f"no k-mer scheme in {path}"
    except ValueError:
        found = f"damaged JSON in {path}"
    raise RunFolderError(
        found=found,
        expected=f'a tokenizer folder that genolm wrote, with "scheme" in its {TOKENIZER_CONFIG_FILE}',
        remedy="check the path, or write the tokenizer again with save_tokenizer",
    )


def _build_normalizer(k: int) -> "Normalizer":
    """Build the rules that turn raw text into all its k-mers at stride 1, one behind the other."""
    from tokenizers import Regex
    from tokenizers.normalizers import Replace, Sequence

    rules = [Replace(Regex(r"[ \t\n\r\v\f]+"), "")]
    rules += [Replace(letter, letter.upper()) for letter in "acgt"]
    rules += [Replace(Regex("[Uu]"), "T"), Replace(Regex("[^ACGT]"), "N")]
    if k > 1:
        marks = _SLOT_MARKS[: k - 1]
        rules.append(Replace(Regex("(?<=[A-Z])"), marks))
        # What belongs in this slot stands k - 1 characters on, in the slot before it of the next group.
        rules += [Replace(Regex(f"{mark}(?=.{{{k - 2}}}{base})"), base) for mark in marks for base in "ACGTN"]
        rules.append(Replace(Regex(f"[A-Z][A-Za-z]{{{k - 2}}}{marks[-1]}"), ""))
    return Sequence(rules)


def _build_pre_tokenizer(scheme: KmerScheme) -> "PreTokenizer":
    """Build the cut into k-mers: of every `stride` of them, the first is kept.

    `Split` and not `FixedLength`, which tokenizers below 0.21 cannot read.
    """
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import Sequence, Split

    kmers = Split(Regex(f".{{{scheme.k * scheme.stride}}}"), "isolated")
    if scheme.stride == 1:
        return kmers
    return Sequence([kmers, Split(Regex(rf"\A.{{{scheme.k}}}"), "removed", invert=True)])
