"""An AWD-LSTM language model of fastai, such as those of Genomic-ULMFiT, as a folder of genolm.

fastai keeps the weights in a .pth file, by `Learner.save`, and nothing in it says what the rows of the
embedding stand for: that is the vocabulary, a list of tokens, saved beside it by hand. A wrong one gives
scrambled rows without a word, so it is asked for, and its length is checked.
"""

import json
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genolm.errors import RunFolderError, SettingsError
from genolm.files import compute_sha256
from genolm.kmers import build_kmer_names
from genolm.models import AwdLstmConfig, AwdLstmForCausalLM
from genolm.pipeline.importers.foreign_weights import (
    ImportReport,
    check_output,
    load_mapped,
    read_torch_weights,
)
from genolm.tokenization.scheme import SPECIAL_TOKENS, KmerScheme
from genolm.training.persistence.run_folder import save_model_folder

# Of each LSTM layer; the recurrent matrix lies in the file a second time, after the dropout of the last step.
LAYER_TENSORS = {
    "weight_hh_l0_raw": "weight_hh_l0",
    "module.weight_ih_l0": "weight_ih_l0",
    "module.bias_ih_l0": "bias_ih_l0",
    "module.bias_hh_l0": "bias_hh_l0",
}
SPECIAL_NAMES = {
    "[PAD]": ("xxpad", "pad"),
    "[UNK]": ("xxunk", "unk"),
    "[CLS]": ("xxbos", "bos"),
    "[SEP]": ("xxeos", "eos"),
}


def import_fastai(
    weights_path: Path, output: Path, *, vocabulary_path: Path, scheme: KmerScheme
) -> ImportReport:
    """Write a fastai language model as a model folder.

    Rows go to the k-mers that the vocabulary names; what it lacks gets the mean of all rows, as fastai itself
    does for a new word.

    Args:
        weights_path: of `Learner.save`; no code in it runs.
        output: new folder.
        vocabulary_path: the tokens in their order: .npy of texts, .json, or a text file with one a line.
        scheme: that the model was trained with; k and stride.

    Raises:
        RunFolderError: the files are not usable, are not of one model, or are of another architecture.
        SettingsError: the vocabulary has other k-mers than the scheme.
    """
    check_output(output)
    tensors = read_torch_weights(weights_path)
    names = read_vocabulary(vocabulary_path)
    _check_kmers(names, scheme, path=vocabulary_path)
    mapped, ignored = _map_names(tensors)
    weights = {target: tensors[source] for source, target in mapped.items()}
    embedding = weights.get("awd_lstm.embedding.weight")
    if embedding is None or len(embedding) != len(names):
        found = f"an embedding of {len(embedding):,} rows" if embedding is not None else "no embedding"
        raise RunFolderError(
            found=f"{found} in {weights_path.name}, {len(names):,} tokens in {vocabulary_path.name}",
            expected="one row for each token",
            remedy="give the vocabulary that was saved with this very model",
        )
    rows = _find_rows(names, scheme)
    weights["awd_lstm.embedding.weight"] = _reorder(embedding, rows)
    weights["decoder.bias"] = _reorder(weights.get("decoder.bias", torch.zeros(len(names))), rows)
    model = AwdLstmForCausalLM(_build_config(weights, scheme)).eval()
    load_mapped(model, weights, tied=("decoder.weight",))
    filled = _describe_filled(rows, scheme, has_bias="decoder.bias" in mapped.values())
    report = ImportReport(weights_path.name, compute_sha256(weights_path), mapped, ignored, filled)
    save_model_folder(output, model=model, scheme=scheme)
    report.save(output)
    return report


def read_vocabulary(path: Path) -> list[str]:
    """Read the tokens of a vocabulary, in their order.

    Raises:
        RunFolderError: there is no such file, or it is no list of texts; a pickle is not read.
    """
    try:
        if path.suffix == ".npy":
            tokens = np.load(path, allow_pickle=False).tolist()
        elif path.suffix == ".json":
            tokens = json.loads(path.read_text(encoding="utf-8"))
        else:
            tokens = path.read_text(encoding="utf-8").split()
    except (OSError, ValueError) as error:
        raise RunFolderError(
            found=f"{path.name}, which cannot be read as a vocabulary ({str(error)[:100]})",
            expected="tokens in their order: .npy of texts, .json, or a text file with one a line",
            remedy="write it where the model was trained: "
            "open('vocabulary.txt', 'w').write('\\n'.join(vocabulary.itos))",
        ) from error
    if not isinstance(tokens, list) or not tokens or not all(isinstance(each, str) for each in tokens):
        raise RunFolderError(
            found=f"{path.name} without a list of tokens",
            expected="texts, in their order",
            remedy="give the vocabulary that was saved with the model",
        )
    return tokens


def _check_kmers(names: list[str], scheme: KmerScheme, *, path: Path) -> None:
    lengths = sorted({len(each) for each in names if re.fullmatch("[ACGT]+", each.upper())})
    repeated = len(names) - len(set(names))
    if lengths != [scheme.k] or repeated:
        found = (
            f"{repeated} tokens twice"
            if repeated
            else f"k-mers of {', '.join(map(str, lengths)) or 'no'} bases"
        )
        raise SettingsError(
            found=f"{found} in {path.name}",
            expected=f"{scheme.k}-mers, each once, as {scheme.name} has",
            remedy="name the scheme that the model was trained with, such as kmer_k5_s2",
        )


def _map_names(tensors: dict[str, Tensor]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the name in genolm's model, and why the others are left out, by name in the file."""
    mapped, ignored = {}, {}
    for name in tensors:
        layer = re.fullmatch(r"(?:0\.)?rnns\.(\d+)\.(.+)", name)
        if layer and layer[2] in LAYER_TENSORS:
            mapped[name] = f"awd_lstm.lstm_layers.{layer[1]}.{LAYER_TENSORS[layer[2]]}"
        elif re.fullmatch(r"(?:0\.)?encoder\.weight", name):
            mapped[name] = "awd_lstm.embedding.weight"
        elif name == "1.decoder.bias":
            mapped[name] = "decoder.bias"
        elif name == "1.decoder.weight" or name.endswith("encoder_dp.emb.weight"):
            ignored[name] = "the embedding again"
        elif layer and layer[2] == "module.weight_hh_l0":
            ignored[name] = "weight_hh_l0_raw as it was in the last step, after its dropout"
        else:
            ignored[name] = "not of a language model"
    return mapped, ignored


def _find_rows(names: list[str], scheme: KmerScheme) -> list[int]:
    """Return the row of the file for each of genolm's tokens, -1 where it has none."""
    row_of = {name.upper(): row for row, name in enumerate(names)}
    specials = [
        next((row_of[name.upper()] for name in SPECIAL_NAMES.get(token, ()) if name.upper() in row_of), -1)
        for token in SPECIAL_TOKENS
    ]
    return specials + [row_of.get(name, -1) for name in build_kmer_names(scheme.k)]


def _reorder(tensor: Tensor, rows: list[int]) -> Tensor:
    index = torch.tensor(rows)
    is_there = (index >= 0).reshape(-1, *[1] * (tensor.ndim - 1))
    return torch.where(is_there, tensor[index.clamp(min=0)], tensor.mean(dim=0))


def _build_config(weights: dict[str, Tensor], scheme: KmerScheme) -> AwdLstmConfig:
    num_layers = sum(name.endswith(".weight_ih_l0") for name in weights)
    first = weights.get("awd_lstm.lstm_layers.0.weight_ih_l0")
    embedding_size = weights["awd_lstm.embedding.weight"].shape[1]
    return AwdLstmConfig(
        vocab_size=scheme.vocab_size,
        kmer_k=scheme.k,
        kmer_stride=scheme.stride,
        embedding_size=embedding_size,
        lstm_size=len(first) // 4 if first is not None else embedding_size,
        num_layers=num_layers,
        successor_softmax=False,  # it was trained to score every token
    )


def _describe_filled(rows: list[int], scheme: KmerScheme, *, has_bias: bool) -> dict[str, str]:
    names = [*SPECIAL_TOKENS, *build_kmer_names(scheme.k)]
    missing = [name for name, row in zip(names, rows, strict=True) if row < 0]
    filled = {} if has_bias else {"decoder.bias": "zeros"}
    if missing:
        shown = ", ".join(missing[:8]) + (", ..." if len(missing) > 8 else "")
        filled[f"{len(missing)} rows of the embedding"] = f"the mean of all rows ({shown})"
    return filled
