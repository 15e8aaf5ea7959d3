"""Networks with a head for sequences or tokens: on a pretrained model, or from random weights."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedModel,
)

from genolm.errors import GenolmError, RunFolderError, SettingsError
from genolm.files import read_json
from genolm.models import (
    AwdLstmConfig,
    AwdLstmForSequenceClassification,
    SequenceNetConfig,
    SequenceNetForSequenceClassification,
)
from genolm.models.bert import MODEL_CLASSES
from genolm.models.scoring import LABELING_CLASS_ENDING, PROBLEM_TYPES, find_task
from genolm.models.sequence_nets import build_sequence_net_config
from genolm.tokenization.tokens import Tokens, load_tokens, require_kmers
from genolm.training.finetuning.settings import FinetuneSettings

AWD_LSTM = AwdLstmConfig.model_type
SEQUENCE_NET = SequenceNetConfig.model_type
NETWORKS_WITHOUT_ATTENTION = {AWD_LSTM: "an AWD-LSTM", SEQUENCE_NET: "a convolutional or recurrent network"}
NEW_PARTS = ("pooler", "classifier", "head")  # which a language model may lack


def load_pretrained_scheme(folder: Path) -> Tokens:
    """Load the tokenizer of a pretrained model: of genolm, or DNABERT's vocab.txt.

    Raises:
        RunFolderError: there is neither, the model has another number of tokens, or its weights are a pickle.
    """
    _check_weight_files(folder)
    return load_tokens(folder)


def find_model_type(folder: Path) -> str:
    """Read from config.json which network a folder holds; DNABERT's oldest ones name the class alone.

    Raises:
        RunFolderError: none that can be fine-tuned.
    """
    config = _read_or_empty(folder / "config.json")
    names = config.get("architectures") or [""]
    found = str(config.get("model_type") or str(names[0]).split("For")[0].lower())
    if found not in (AWD_LSTM, *MODEL_CLASSES):
        raise RunFolderError(
            found=f"{f'the model type {found}' if found else 'no readable config.json'} in {folder}",
            expected=f"a pretrained model of the type {AWD_LSTM}, {' or '.join(MODEL_CLASSES)}",
            remedy="correct the path, or pretrain a model with genolm pretrain",
        )
    return found


def build_config(
    scheme: Tokens, settings: FinetuneSettings, names: tuple[str, ...], *, pretrained: Path | None
) -> Any:
    """Return the config of the network that is to be trained; no weights are read.

    Args:
        scheme: how sequences are cut; not read with `pretrained`.
        settings: of the training.
        names: of the outputs.
        pretrained: folder to start from; without it `settings.network`, or an AWD-LSTM, gets random weights.

    Raises:
        RunFolderError: `pretrained` holds no model that can be fine-tuned.
        SettingsError: the settings do not suit the kind of model.
    """
    scratch_type = AWD_LSTM if settings.network is None else SEQUENCE_NET
    model_type = find_model_type(pretrained) if pretrained else scratch_type
    _check_suits(settings, model_type)
    outputs = _describe_outputs(names, settings)
    if pretrained and model_type != AWD_LSTM:
        config_class, model_class = MODEL_CLASSES[model_type]
        config: Any = config_class.from_pretrained(pretrained)
        entries = {"problem_type": PROBLEM_TYPES.get(settings.task), **outputs}
        is_token_task = settings.task == "token_classification"
        ending = LABELING_CLASS_ENDING if is_token_task else "ForSequenceClassification"
        # As save_pretrained will; find_task reads it, and that of `pretrained` is another.
        entries["architectures"] = [model_class.__name__.replace("ForMaskedLM", ending)]
        if settings.pooling != "default" and model_type == "modernbert":
            entries["classifier_pooling"] = settings.pooling
        if settings.long_inputs != "refuse":
            entries["long_inputs"] = settings.long_inputs  # read again where the model predicts
        for name, value in (entries | {"classifier_dropout": settings.classifier_dropout}).items():
            setattr(config, name, value)
        return config
    if not pretrained and settings.network is not None:
        return build_sequence_net_config(
            scheme, settings.network, names=names, problem_type=PROBLEM_TYPES[settings.task]
        )
    changes: dict[str, Any] = {
        **settings.dropout.build_config(),
        "classifier_dropout": settings.classifier_dropout,
        "max_bptt_tokens": settings.max_bptt_tokens,
        "activation_regularization": settings.activation_regularization,
        "temporal_activation_regularization": settings.temporal_activation_regularization,
        **settings.head.build_config(),
        **outputs,
    }
    if pretrained:
        return AwdLstmConfig.from_pretrained(pretrained, **changes)
    kmers = require_kmers(scheme, what="an AWD-LSTM from random weights")
    return AwdLstmConfig(
        vocab_size=kmers.vocab_size,
        kmer_k=kmers.k,
        kmer_stride=kmers.stride,
        **asdict(settings.model),
        **changes,
    )


def _check_suits(settings: FinetuneSettings, model_type: str) -> None:
    """Refuse what a kind of model cannot do.

    Raises:
        SettingsError: it is asked for.
    """
    for is_asked_for, found, remedy in (
        (
            settings.method == "lora",
            "method lora",
            "set method=full or method=probe, or start from a masked language model",
        ),
        (
            settings.task == "token_classification",
            "task token_classification",
            "start from a masked language model, as genolm pretrain masked makes",
        ),
        (
            settings.pooling != "default",
            f"pooling {settings.pooling}",
            "leave pooling out: an AWD-LSTM always joins last, max and mean; network.pooling is another's",
        ),
    ):
        if is_asked_for and model_type in NETWORKS_WITHOUT_ATTENTION:
            raise SettingsError(
                found=f"{found} for {NETWORKS_WITHOUT_ATTENTION[model_type]}",
                expected=f"a model with attention: {' or '.join(MODEL_CLASSES)}",
                remedy=remedy,
            )
    if model_type == "bert" and settings.pooling == "mean":
        raise SettingsError(
            found="pooling mean for a BERT",
            expected="pooling default or cls: the BERT class of transformers reads [CLS] alone, and with one "
            "of its own a model no longer loads with plain Auto classes",
            remedy="leave pooling out, or start from a ModernBERT",
        )


def _describe_outputs(names: tuple[str, ...], settings: FinetuneSettings) -> dict[str, Any]:
    """Return the entries of config.json about the outputs."""
    entries: dict[str, Any] = {
        "id2label": dict(enumerate(names)),
        "label2id": {name: index for index, name in enumerate(names)},
    }
    if settings.task in ("regression", "multi_label"):
        entries["problem_type"] = PROBLEM_TYPES[settings.task]
    return entries


def build_classifier(config: Any, *, pretrained: Path | None, seed: int) -> PreTrainedModel:
    """Return the network of a config from `build_config`, with new weights in its head.

    No code of the folder runs; weights come as float32, a head for other classes is not taken over.

    Raises:
        RunFolderError: the weights of `pretrained` cannot be read, or some are missing.
    """
    torch.manual_seed(seed)
    if pretrained is None:
        is_awd_lstm = config.model_type == AWD_LSTM
        return (AwdLstmForSequenceClassification if is_awd_lstm else SequenceNetForSequenceClassification)(
            config
        )
    if config.model_type == AWD_LSTM:
        return AwdLstmForSequenceClassification.from_pretrained(pretrained, config=config)
    is_token_task = find_task(config) == "token_classification"
    model_class: Any = (
        AutoModelForTokenClassification if is_token_task else AutoModelForSequenceClassification
    )
    try:
        model, info = model_class.from_pretrained(
            pretrained,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise _make_folder_error(f"weights that cannot be read ({reason})", pretrained) from error
    changed = [*info["missing_keys"], *(entry[0] for entry in info["mismatched_keys"])]
    if lost := sorted(name for name in changed if not any(part in name.split(".") for part in NEW_PARTS)):
        raise _make_folder_error(
            f"no fitting weights for {len(lost)} parameters such as {lost[0]}", pretrained
        )
    return model


def _check_weight_files(folder: Path) -> None:
    """Refuse a folder whose only weights are pickles, as DNABERT was published.

    Raises:
        RunFolderError: it is such a folder.
    """
    pickles = sorted(path.name for path in folder.glob("pytorch_model*.bin"))
    if pickles and not (folder / "model.safetensors").is_file():
        raise RunFolderError(
            found=f"{pickles[0]} and no model.safetensors in {folder}",
            expected="safetensors: the other is a pickle, which may run code when it is read",
            remedy="if you trust its source, convert it: "
            'python -c "from transformers import BertForMaskedLM as M; '
            f"M.from_pretrained('{folder}').save_pretrained('{folder}')\"",
        )


def _make_folder_error(found: str, folder: Path) -> RunFolderError:
    return RunFolderError(
        found=f"{found} in {folder}",
        expected="the folder of a pretrained model: config.json and model.safetensors",
        remedy="copy the folder again, or correct the path",
    )


def _read_or_empty(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path)
    except (OSError, ValueError, GenolmError):
        return {}
    return content if isinstance(content, dict) else {}
