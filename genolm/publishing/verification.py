"""A published folder, loaded by a stranger's Python without genolm, must say what genolm says of the run."""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor

import genolm.models  # noqa: F401  registers the architectures with the Auto classes
from genolm.errors import PublishError
from genolm.models.scoring import PROBLEM_TYPES, find_longest_input, find_task
from genolm.publishing.finished_run import FinishedRun
from genolm.tokenization.encoder import encode_sequences, pad_batch

TOLERANCE = 1e-5
_SCRIPT = Path(__file__).with_name("plain_reload.py")
_TIMEOUT_S = 600
# Of U00096.3, Escherichia coli K-12 MG1655, 0-based starts: 0 (thrL), 223,771 (16S rRNA), 2,822,750 (recA),
# 3,925,750 (oriC). The last has the letters that a k-mer must not hold, and lower case.
REAL_SEQUENCES = (
    "AGCTTTTCATTCTGACTGCAACGGGCAATATGTCTCTGTGTGGATTAAAAAAAGAGTGTCTGATAGCAGCTTCTGAACTGGTTACCTGCCGTGAGTAAAT",
    "AATTGAAGAGTTTGATCATGGCTCAGATTGAACGCTGGCGGCAGGCCTAACACATGCAAGTCGAACGGTAACAGGAAGAAGCTTGCTTCTT",
    "ACAGAGAAATCCGGCGTTGAGTTCGGGTTGCTCAGCAGCAACTCACGTACTTTCTTCTCGATCTCTTTCGCGGTTTCC",
    "TTATTTAGAGATCTGTTCTATTGTGATCTCTTATTAGGATCGCACTGCCCTGTGGATAACAAGGATCCGGCTTTTAAGATCAACAACCTGG",
    "ttatttagagatctgttctaNNNNNtgatctcttattaggatcgcRYactgccctgtgg",
)


class _Answer(NamedTuple):
    """What a model says of the sequences; B sequences, T tokens, V vocabulary or C classes."""

    input_ids_BT: Tensor
    attention_mask_BT: Tensor
    probabilities: Tensor
    """[B, C] or [B, T, V or C]; of a regression, values"""
    loss: float | None


def verify_folder(folder: Path, run: FinishedRun) -> float:
    """Compare a hub folder, loaded in a fresh process without genolm, with the run as genolm loads it.

    Token ids have to be equal; probabilities and the loss of a language model may differ by 1e-5.

    Returns:
        The largest difference of a probability.

    Raises:
        PublishError: the folder does not load, or it says something else.
    """
    sequences = _fit_sequences(run)
    expected = _ask_genolm(run, sequences)
    found = _ask_stranger(folder, run, sequences)
    if not torch.equal(expected.input_ids_BT, found.input_ids_BT):
        raise _make_error("other token ids")
    is_token = expected.attention_mask_BT.bool()
    per_token = expected.probabilities.ndim == 3
    before = expected.probabilities[is_token] if per_token else expected.probabilities
    after = found.probabilities[is_token] if per_token else found.probabilities
    if before.shape != after.shape:
        raise _make_error(f"outputs of shape {tuple(after.shape)} for {tuple(before.shape)}")
    difference = float((before - after).abs().max())
    if not torch.allclose(before, after, rtol=TOLERANCE, atol=TOLERANCE):
        raise _make_error(f"outputs that differ by {difference:.2g}")
    if expected.loss is not None and found.loss is not None and abs(expected.loss - found.loss) > TOLERANCE:
        raise _make_error(f"a loss of {found.loss:.6f} for {expected.loss:.6f}")
    return difference


def _fit_sequences(run: FinishedRun) -> list[str]:
    """Shorten the sequences to the model's positions; a base gives a token at most."""
    limit = find_longest_input(transformers.AutoConfig.from_pretrained(run.folder))
    length_bp = None if limit is None else limit - 3 + run.scheme.min_length_bp
    return [sequence[:length_bp] for sequence in REAL_SEQUENCES]


def _ask_genolm(run: FinishedRun, sequences: list[str]) -> _Answer:
    """Apply the run's model, of genolm's own classes, to ids of genolm's own encoder."""
    batch = pad_batch(encode_sequences(sequences, run.scheme))
    inputs = {
        "input_ids": torch.from_numpy(batch.input_ids),
        "attention_mask": torch.from_numpy(batch.attention_mask),
    }
    auto_class: Any = getattr(transformers, run.auto_class)
    model = auto_class.from_pretrained(run.folder).eval()
    loss = None
    with torch.no_grad():
        logits = model(**inputs).logits.float()
        if run.is_language_model:
            labels_BT = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
            loss = float(model(**inputs, labels=labels_BT).loss)
    return _Answer(
        inputs["input_ids"], inputs["attention_mask"], _apply_link(logits, run, model.config), loss
    )


def _ask_stranger(folder: Path, run: FinishedRun, sequences: list[str]) -> _Answer:
    """Do the same in a process that knows transformers alone, offline, without this one's settings."""
    with TemporaryDirectory(prefix="genolm-") as place:
        output = Path(place) / "answer.safetensors"
        request = {
            "folder": str(folder.resolve()),  # the process runs elsewhere
            "auto_class": run.auto_class,
            "has_code": bool(run.code_files),
            "sequences": sequences,
            "output": str(output),
        }
        environment = {name: value for name, value in os.environ.items() if name != "HF_TOKEN"}
        environment |= {
            "HF_HOME": str(Path(place) / "hf"),
            "HF_MODULES_CACHE": str(Path(place) / "modules"),
            "HF_HUB_OFFLINE": "1",
        }
        done = subprocess.run(  # noqa: S603  this Python, a script of genolm
            [sys.executable, "-P", str(_SCRIPT)],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
            cwd=place,
            env=environment,
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise _make_error(f"an error ({lines[-1]})")
        answer = load_file(output)
    config = transformers.AutoConfig.from_pretrained(folder)
    probabilities = _apply_link(answer["logits"], run, config)
    loss = float(answer["loss"]) if "loss" in answer else None
    return _Answer(answer["input_ids"], answer["attention_mask"], probabilities, loss)


def _apply_link(logits: Tensor, run: FinishedRun, config: Any) -> Tensor:
    """Turn logits into probabilities, as the model's task has it; those of a regression stay."""
    if run.is_language_model or find_task(config) in ("classification", "token_classification"):
        return logits.softmax(dim=-1)
    return logits.sigmoid() if config.problem_type == PROBLEM_TYPES["multi_label"] else logits


def _make_error(what: str) -> PublishError:
    return PublishError(
        found=f"{what} where the folder is loaded by transformers alone, without genolm",
        expected=f"the run's own tokens, and its outputs within {TOLERANCE}",
        remedy="copy the run folder again, or train again; nothing was published",
    )
