"""Runs in a process of its own: loads a published folder as a stranger does, with transformers and no genolm.

Reads a JSON object from the input stream: `folder`, `auto_class`, `has_code`, `sequences`, `output`. Writes
`input_ids`, `attention_mask`, `logits` and, of a language model, `loss` to `output` (safetensors). It imports
nothing of genolm, and makes sure that nothing else does.
"""

import json
import sys
from typing import Any


def main() -> None:
    """Load, apply, write."""
    sys.modules["genolm"] = None  # type: ignore[assignment]  # an import of it fails from here on
    import torch
    import transformers
    from safetensors.torch import save_file

    request = json.load(sys.stdin)
    # The tokenizer needs no code; unless that is said, transformers asks before it reads the config.
    tokenizer = transformers.AutoTokenizer.from_pretrained(request["folder"], trust_remote_code=False)
    batch = tokenizer(request["sequences"], padding=True, return_tensors="pt")
    options: dict[str, Any] = {"trust_remote_code": True} if request["has_code"] else {}
    auto_class = getattr(transformers, request["auto_class"])
    model, info = auto_class.from_pretrained(request["folder"], output_loading_info=True, **options)
    if info["missing_keys"] or info["unexpected_keys"]:
        sys.exit(f"weights that do not fit the config: {info}")
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        output = model.eval()(**inputs)
        found = {**inputs, "logits": output.logits.float()}
        if request["auto_class"] in ("AutoModelForCausalLM", "AutoModelForMaskedLM"):
            labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
            found["loss"] = model(**inputs, labels=labels).loss.float().reshape(1)
    save_file({name: tensor.contiguous() for name, tensor in found.items()}, request["output"])


if __name__ == "__main__":
    main()
