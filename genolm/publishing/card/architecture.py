"""The architecture table: layers, sizes, parameters, vocabulary, positions."""

from typing import Any

from genolm.publishing.card.families import get_family
from genolm.publishing.card.runs import RunRecord
from genolm.publishing.card.tables import Table

_NAMES = {
    "architecture": "network",
    "num_hidden_layers": "layers",
    "num_layers": "layers",
    "hidden_size": "width",
    "embedding_size": "width of the embedding",
    "lstm_size": "width of an LSTM layer",
    "intermediate_size": "width inside the feed-forward layers",
    "num_attention_heads": "attention heads",
    "local_attention": "tokens of local attention",
    "direction": "reads",
    "num_kernels": "convolution kernels",
    "kernel_width": "kernel width, tokens",
    "bidirectional": "reads both ways",
    "classifier_size": "width of the head",
    "classifier_pooling": "pooling",
    "pooling": "pooling",
    "vocab_size": "vocabulary, special tokens included",
}
_UNLIMITED = "any number"


def build_architecture_table(run: RunRecord, *, scheme: str) -> Table:
    """Return the rows of the table, from config.json and the weights.

    Args:
        run: of the model.
        scheme: name of the tokenizer.
    """
    config = run.config
    (model_class, *_) = config.get("architectures") or [get_family(config["model_type"]).name]
    rows: Table = [("part", "value"), ("class", str(model_class)), ("tokenizer", scheme)]
    unused = "classifier_" if run.command != "finetune" else "-"
    for name, title in _NAMES.items():
        if _is_said(config.get(name)) and not name.startswith(unused):
            rows.append((title, str(config[name])))
    rows.append(("tokens of a sequence, [CLS] and [SEP] included", _describe_positions(config)))
    rows.append(("parameters", f"{run.num_parameters:,}"))
    if labels := config.get("id2label"):
        rows.append(("classes or outputs", ", ".join(str(labels[key]) for key in labels)))
    return rows


def _is_said(value: Any) -> bool:
    return value is not None and not isinstance(value, dict | list)


def _describe_positions(config: dict[str, Any]) -> str:
    if limit := config.get("max_position_embeddings"):
        return f"at most {limit}"
    if limit := config.get("max_bptt_tokens"):
        return f"{_UNLIMITED}; the head sees the last {limit}"
    return _UNLIMITED
