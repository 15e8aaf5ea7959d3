"""DNABERT as it was published, vocab.txt and a pickle, as a folder with tokenizer.json and safetensors."""

from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import BertConfig, BertForMaskedLM

from genolm.errors import RunFolderError
from genolm.files import compute_sha256
from genolm.pipeline.importers.foreign_weights import (
    ImportReport,
    check_output,
    load_mapped,
    read_torch_weights,
)
from genolm.tokenization.tokens import load_tokens, require_kmers
from genolm.training.persistence.run_folder import save_model_folder

WEIGHTS_NAMES = ("model.safetensors", "pytorch_model.bin")
# The head's bias and matrix lie in the file twice, under names that transformers ties to these.
TIED = ("cls.predictions.decoder.weight", "cls.predictions.decoder.bias")
IGNORED = {
    "bert.embeddings.position_ids": "numbers of the positions, which every model has",
    "cls.seq_relationship.weight": "the head of next-sentence prediction, which DNABERT does not use",
    "cls.seq_relationship.bias": "the head of next-sentence prediction, which DNABERT does not use",
    "bert.pooler.dense.weight": "the pooler, which a masked language model has not",
    "bert.pooler.dense.bias": "the pooler, which a masked language model has not",
}


def import_dnabert(folder: Path, output: Path) -> ImportReport:
    """Write a DNABERT folder as one that plain transformers loads, with a tokenizer.json for raw DNA.

    Args:
        folder: config.json, vocab.txt, and pytorch_model.bin (read as tensors alone) or model.safetensors.
        output: new folder.

    Raises:
        RunFolderError: a file is missing or not usable, or the model is not a BERT with a masked-LM head.
        GenolmError: vocab.txt does not list the k-mers in DNABERT's order.
    """
    path = next((folder / name for name in WEIGHTS_NAMES if (folder / name).is_file()), None)
    check_output(output)
    if path is None or not (folder / "config.json").is_file():
        raise RunFolderError(
            found=f"no {'config.json' if path else ' and no '.join(WEIGHTS_NAMES)} in {folder}",
            expected="config.json, vocab.txt and the weights, as DNABERT was published",
            remedy="unpack the whole archive, or correct the path",
        )
    scheme = require_kmers(load_tokens(folder), what="a DNABERT")
    config = BertConfig.from_pretrained(folder)
    tensors = _read_weights(path)
    model = BertForMaskedLM(BertConfig(**_keep_known(config))).eval()
    own = model.state_dict()
    mapped = {name: name for name in tensors if name in own and name not in TIED}
    ignored = {
        name: "tied to another" if name in TIED else IGNORED.get(name, "not of a masked language model")
        for name in tensors
        if name not in mapped
    }
    load_mapped(model, {name: tensors[name] for name in mapped}, tied=TIED)
    model.tie_weights()
    report = ImportReport(path.name, compute_sha256(path), mapped, ignored, {})
    save_model_folder(output, model=model, scheme=scheme)
    report.save(output)
    return report


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors; LayerNorm's have other names in the oldest files."""
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            tensors = load_file(path)
        except SafetensorError as error:
            raise RunFolderError(
                found=f"a damaged {path.name} ({error})", expected="whole weights", remedy="copy it again"
            ) from error
    else:
        tensors = read_torch_weights(path)
    renamed = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
    for old, new in renamed.items():
        tensors = {name.replace(old, new): tensor for name, tensor in tensors.items()}
    return tensors


def _keep_known(config: BertConfig) -> dict[str, Any]:
    """Return what BertConfig has a setting for: DNABERT's config.json has more, for classes of its own."""
    known = set(BertConfig().to_dict())
    return {
        name: value for name, value in config.to_dict().items() if name in known and name != "architectures"
    }
