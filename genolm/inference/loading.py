"""Loading what a folder holds: a classifier or a language model, with the tokenizer beside it."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from transformers import PreTrainedModel

from genolm.errors import RunFolderError, SettingsError
from genolm.files import read_json
from genolm.inference.classify import Classifier, load_classifier
from genolm.models import AwdLstmConfig, AwdLstmForCausalLM
from genolm.models.bert import load_masked_lm
from genolm.models.builtin import find_model, list_models
from genolm.tokenization import fast_tokenizer
from genolm.tokenization.encoder import TokenIds, encode_sequences
from genolm.tokenization.scheme import BpeScheme, KmerScheme
from genolm.tokenization.tokens import Tokens, find_tokens, load_tokens, save_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CLASSIFIER_ENDINGS = ("ForSequenceClassification", "ForTokenClassification")


class LanguageModel(NamedTuple):
    """A language model in eval mode, and how it cuts sequences."""

    model: PreTrainedModel
    scheme: Tokens

    @property
    def kind(self) -> Literal["causal", "masked"]:
        """Whether it predicts the next token, or fills in hidden ones."""
        return "causal" if isinstance(self.model, AwdLstmForCausalLM) else "masked"


LoadedModel: TypeAlias = Classifier | LanguageModel
AnyModel: TypeAlias = LoadedModel | str | Path


def load_model(name_or_folder: str | Path, *, device: str | torch.device | None = None) -> LoadedModel:
    """Load a finished model, in eval mode.

    Args:
        name_or_folder: a folder that a training wrote, or the name of a model that ships with genolm.
        device: where it computes, such as "cpu" or "cuda"; without it a GPU if there is one.

    Returns:
        A `Classifier` (a regression is one, too) or a `LanguageModel`.

    Raises:
        RunFolderError: there is no such model, or the folder holds no finished one of a known kind.
        SettingsError: there is no such device.
    """
    place = _find_device(device)
    folder = find_model(name_or_folder)
    is_classifier = _find_class_name(folder).endswith(CLASSIFIER_ENDINGS)
    loaded: LoadedModel = load_classifier(folder) if is_classifier else load_language_model(folder)
    module: Any = loaded.model
    module.to(place)
    return loaded


def resolve_model(model: AnyModel) -> LoadedModel:
    """Return a loaded model as it is, and load one that is given by its folder or name."""
    return load_model(model) if isinstance(model, str | Path) else model


def load_language_model(folder: Path) -> LanguageModel:
    """Load the language model of a folder: a causal AWD-LSTM, a masked BERT or ModernBERT.

    Raises:
        RunFolderError: it holds none, or its weights are not whole.
    """
    scheme = load_tokens(folder)
    if read_json(folder / "config.json").get("model_type") != AwdLstmConfig.model_type:
        return LanguageModel(load_masked_lm(folder, scheme).eval(), scheme)
    try:
        loaded: Any = AwdLstmForCausalLM.from_pretrained(folder, output_loading_info=True)
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise RunFolderError(
            found=f"weights that cannot be read in {folder} ({reason})",
            expected="model.safetensors of a finished language model",
            remedy="copy the folder again, or finish the training",
        ) from error
    model, info = loaded
    if missing := sorted(info["missing_keys"]):
        raise RunFolderError(
            found=f"no weights for {len(missing)} parameters, among them {missing[0]}, in {folder}",
            expected="model.safetensors of a finished language model",
            remedy="name the folder of genolm pretrain or genolm adapt",
        )
    return LanguageModel(model.eval(), scheme)


def require_language_model(model: AnyModel) -> LanguageModel:
    """Return a language model, loaded if need be.

    Raises:
        SettingsError: it is a classifier.
    """
    loaded = resolve_model(model)
    if isinstance(loaded, LanguageModel):
        return loaded
    raise SettingsError(
        found=f"a classifier ({type(loaded.model).__name__}) where sequences are to be scored",
        expected="a language model, of genolm pretrain or genolm adapt",
        remedy="name such a folder, or use genolm predict for the classifier",
    )


def load_tokenizer(name_or_folder: str | Path) -> "PreTrainedTokenizerFast":
    """Load a tokenizer as transformers uses it, with genolm's encoder inside where it is one of k-mers.

    Args:
        name_or_folder: a scheme such as `kmer_k6_s1` or `nucleotide`, the folder of a tokenizer or a model,
            or the name of a model that ships with genolm.

    Raises:
        SettingsError: it is none of these.
        RunFolderError: the folder holds no intact tokenizer.

    >>> load_tokenizer("kmer_k3_s1")("AAAT")["input_ids"]
    [2, 5, 6, 3]
    """
    if (folder := _find_folder(name_or_folder)) is not None:
        return fast_tokenizer.load_tokenizer(folder)
    name = str(name_or_folder)
    with tempfile.TemporaryDirectory() as temporary:
        save_tokens(find_tokens(name), Path(temporary))
        tokenizer = fast_tokenizer.load_tokenizer(Path(temporary))
    tokenizer.name_or_path = name
    return tokenizer


def encode(
    sequences: Sequence[str],
    tokenizer: "str | Path | Tokens | PreTrainedTokenizerFast",
    *,
    add_special_tokens: bool = True,
    dtype: npt.DTypeLike = np.int32,
) -> list[TokenIds]:
    """Turn sequences into token ids at the speed of numpy, the same ids as tokenizer.json gives.

    Args:
        sequences: DNA texts.
        tokenizer: what `load_tokenizer` takes or returns, or the scheme of a loaded model.
        add_special_tokens: put [CLS] in front and [SEP] behind.
        dtype: type of the ids: uint16 (up to k = 7), int32 or int64.

    Returns:
        One array of integers [tokens] for each sequence.

    Raises:
        SettingsError: there is no such tokenizer, or the type is too narrow.

    >>> [ids.tolist() for ids in encode(["AAAT", "AAAN"], "kmer_k3_s1")]
    [[2, 5, 6, 3], [2, 5, 1, 3]]
    """
    scheme = _find_tokens(tokenizer)
    return encode_sequences(sequences, scheme, add_special_tokens=add_special_tokens, dtype=dtype)


def _find_tokens(tokenizer: "str | Path | Tokens | PreTrainedTokenizerFast") -> Tokens:
    if isinstance(tokenizer, KmerScheme | BpeScheme):
        return tokenizer
    if not isinstance(tokenizer, str | Path):
        scheme: KmerScheme | None = getattr(tokenizer, "kmer_scheme", None)
        return scheme or _find_tokens(tokenizer.name_or_path)
    folder = _find_folder(tokenizer)
    return find_tokens(str(tokenizer)) if folder is None else load_tokens(folder)


def _find_folder(name_or_folder: str | Path) -> Path | None:
    """Return the folder that is meant, if it is one or the name of a shipped model."""
    is_folder = Path(name_or_folder).expanduser().is_dir() or str(name_or_folder) in list_models()
    return find_model(name_or_folder) if is_folder else None


def _find_device(device: str | torch.device | None) -> torch.device:
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # what torch raises for one it lacks
        raise SettingsError(
            found=f"the device {device} ({str(error).splitlines()[0].rstrip('.')})",
            expected="one that this machine has, such as cpu or cuda",
            remedy="correct it; genolm doctor shows what there is",
        ) from error


def _find_class_name(folder: Path) -> str:
    """Read from config.json which class of transformers a folder is of.

    Raises:
        RunFolderError: none that has a head.
    """
    try:
        name = str(read_json(folder / "config.json")["architectures"][0])
    except (OSError, ValueError, TypeError, LookupError):
        name = ""
    if name.endswith((*CLASSIFIER_ENDINGS, "ForCausalLM", "ForMaskedLM")):
        return name
    raise RunFolderError(
        found=f"{f'a {name}' if name else 'no config.json that names a model'} in {folder}",
        expected="the folder of a finished language model or classifier",
        remedy="correct the path, or finish the training first",
    )
