"""Which kind of model a folder holds, and the lines that load and use it."""

from dataclasses import dataclass
from typing import Any

EXAMPLE = "TTGACAATTAATCATCGAACTAGTATAATGTGTGGAATTGTGAGCGGATAACAATTTCAC"
"""60 bp with the -35 and -10 boxes of a bacterial promoter"""
_ACTIVATIONS = {
    "single_label_classification": ".softmax(-1)",
    "multi_label_classification": ".sigmoid()",
    "regression": "",
}


@dataclass(frozen=True, kw_only=True)
class ModelKind:
    """What a model does, by the hub's names."""

    auto_class: str
    pipeline_tag: str
    title: str


_KINDS = {
    "ForSequenceClassification": ModelKind(
        auto_class="AutoModelForSequenceClassification",
        pipeline_tag="text-classification",
        title="classifier of DNA sequences",
    ),
    "ForTokenClassification": ModelKind(
        auto_class="AutoModelForTokenClassification",
        pipeline_tag="token-classification",
        title="classifier of the bases of DNA sequences",
    ),
    "ForMaskedLM": ModelKind(
        auto_class="AutoModelForMaskedLM",
        pipeline_tag="fill-mask",
        title="masked language model of DNA",
    ),
    "ForCausalLM": ModelKind(
        auto_class="AutoModelForCausalLM",
        pipeline_tag="text-generation",
        title="causal language model of DNA",
    ),
}


def find_kind(config: dict[str, Any]) -> ModelKind | None:
    """Return the kind that config.json names, or None for one that no card is made for."""
    (architecture, *_) = config.get("architectures") or [""]
    return next((kind for ending, kind in _KINDS.items() if architecture.endswith(ending)), None)


def build_usage(kind: ModelKind, config: dict[str, Any], *, name: str, scheme: str) -> str:
    """Return Python lines that load the model and use it on one sequence, with torch and transformers alone.

    Args:
        kind: of the model.
        config: of the model.
        name: repository or folder to load.
        scheme: name of the tokenizer, such as kmer_k3_s1.
    """
    if kind.pipeline_tag == "fill-mask":
        return _build_fill_mask(config, name=name, scheme=scheme)
    has_code = "auto_map" in config
    trust, distrust = (", trust_remote_code=True", ", trust_remote_code=False") if has_code else ("", "")
    lines = [
        *(["import math", ""] if kind.pipeline_tag == "text-generation" else []),
        "import torch",
        f"from transformers import {kind.auto_class}, AutoTokenizer",
        "",
        f'name = "{name}"',
        f"tokenizer = AutoTokenizer.from_pretrained(name{distrust})",
        f"model = {kind.auto_class}.from_pretrained(name{trust}).eval()",
        f'sequence = "{get_example(config)}"',
        *_build_last_lines(kind, config, scheme=scheme),
    ]
    return "\n".join(lines)


def get_example(config: dict[str, Any]) -> str:
    """Return a sequence that is no longer than the model reads."""
    max_tokens = config.get("max_position_embeddings", len(EXAMPLE) + 2)
    return EXAMPLE[: max_tokens - 2]  # [CLS] and [SEP]


def find_kmer(scheme: str) -> tuple[int, int]:
    """Return k and stride of a tokenizer; a scheme that has none gives one token a base at a time.

    >>> find_kmer("kmer_k6_s2"), find_kmer("nucleotide"), find_kmer("bpe_4096")
    ((6, 2), (1, 1), (1, 1))
    """
    if not scheme.startswith("kmer_k"):
        return 1, 1
    k, stride = scheme.removeprefix("kmer_k").split("_s")
    return int(k), int(stride)


def _build_last_lines(kind: ModelKind, config: dict[str, Any], *, scheme: str) -> list[str]:
    if kind.pipeline_tag == "text-generation":
        stride = find_kmer(scheme)[1]
        bases = f" / {stride}" if stride > 1 else ""
        return [
            'ids = tokenizer(sequence, add_special_tokens=False, return_tensors="pt")["input_ids"]',
            "with torch.no_grad():",
            "    loss = model(input_ids=ids, labels=ids).loss",
            f'print(f"{{loss.item() / math.log(2){bases}:.3f}} bits per base")',
        ]
    lines = [
        "with torch.no_grad():",
        '    logits = model(**tokenizer(sequence, return_tensors="pt")).logits[0]',
    ]
    if kind.pipeline_tag == "token-classification":
        return [*lines, "print([model.config.id2label[i] for i in logits.argmax(-1).tolist()])"]
    problem = config.get("problem_type") or "single_label_classification"
    if problem == "regression":
        return [*lines, "print(logits.item())"]
    return [
        *lines,
        f"for i, probability in enumerate(logits{_ACTIVATIONS[problem]}.tolist()):",
        '    print(f"{model.config.id2label[i]}: {probability:.3f}")',
    ]


def _build_fill_mask(config: dict[str, Any], *, name: str, scheme: str) -> str:
    """Hide one base from every token that sees it; with single tokens, hide one token."""
    k, stride = find_kmer(scheme)
    num_masks = k if stride == 1 else 1
    trust = ", trust_remote_code=True" if "auto_map" in config else ""
    example = get_example(config)
    middle = len(example) // 2
    left, right = example[:middle], example[middle + (1 if num_masks > 1 else k) :]
    masked = '"[MASK]"' if num_masks == 1 else f'{num_masks} * "[MASK]"'
    lines = [
        "from transformers import pipeline",
        "",
        f'fill = pipeline("fill-mask", model="{name}"{trust})',
    ]
    if num_masks > 1:
        lines += [
            f"# One base is hidden from the {num_masks} tokens that see it: the last letter of the first.",
            f'guesses = fill("{left}" + {masked} + "{right}")[0]',
            "for guess in guesses:",
            '    print(guess["token_str"][-1], round(guess["score"], 3))',
        ]
    else:
        lines += [
            f'for guess in fill("{left}" + {masked} + "{right}"):',
            '    print(guess["token_str"], round(guess["score"], 3))',
        ]
    return "\n".join(lines)
