"""Whole training steps of a masked language model: the standard way beside genolm's model part.

    python scripts/benchmarks/masked_lm_step.py [--size tiny] [--precision bf16 no] [--steps 4] [--rounds 3]

Both train the same network on the same random DNA (overlapping 6-mers) in the same precision, in turns in
one process. The standard way: tokenized text in a datasets.Dataset, DataCollatorForLanguageModeling, Trainer,
SDPA and the usual dropout of 0.1. Ours: base codes to ids and masks in one pass over the batch, no dropout,
the head on masked positions alone, the kernels that `choose_cpu_kernels` picks, fused AdamW. Medians over all
steps, by the wall and by CPU time (which other work on the machine disturbs less). Single masked tokens in
both, which is no way to train on overlapping k-mers, but costs the same.

The floor is the time of the step's matrix products at the rate of one large product, measured on the spot.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    DataCollatorForLanguageModeling,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from genolm.models.attention import choose_cpu_kernels
from genolm.models.bert import IGNORED_LABEL, BertSettings, build_masked_lm, use_masked_only_head
from genolm.tokenization.encoder import encode_codes
from genolm.tokenization.scheme import CLS_ID, MASK_ID, NUM_SPECIAL_TOKENS, SEP_ID, KmerScheme
from genolm.tokenization.tokenizer_json import build_tokenizer
from genolm.training.hardware.throughput import estimate_flops_per_token

SCHEME = KmerScheme(k=6, stride=1)
MASKED_SHARE = 0.15
WARM_UP_STEPS = 1
PRODUCT_SIZE = 3072


class Task(NamedTuple):
    """What both ways train, and how."""

    settings: BertSettings
    precision: str  # "bf16" or "no"
    device: torch.device
    batch_size: int  # sequences
    num_steps: int  # without the warm-up


class Cost(NamedTuple):
    """Time of one step, what lies between steps included."""

    wall_s: float
    cpu_s: float  # of the process


class Clock(TrainerCallback):
    """Notes the time at the end of every step."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.marks = device, []

    def mark(self) -> None:
        """Note the time when all work so far is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.marks.append(Cost(time.perf_counter(), time.process_time()))

    def on_step_end(self, *args: object, **kwargs: object) -> None:
        """Note the end of a step of Trainer."""
        self.mark()

    def list_steps(self) -> list[Cost]:
        """Return the cost of each step behind the warm-up."""
        marks = self.marks[WARM_UP_STEPS - 1 :]
        return [Cost(end.wall_s - start.wall_s, end.cpu_s - start.cpu_s) for start, end in pairwise(marks)]


def main() -> None:
    """Print tokens per second, their ratio, and the share of the floor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--architecture", choices=["bert", "modernbert"], default="bert")
    parser.add_argument("--size", choices=["debug", "tiny", "small", "base"], default="tiny")
    parser.add_argument("--precision", choices=["bf16", "no"], nargs="+", default=["bf16", "no"])
    parser.add_argument("--tokens", type=int, default=512, help="of a sequence")
    parser.add_argument("--batch-size", type=int, default=16, help="sequences")
    parser.add_argument("--steps", type=int, default=4, help="of each way in a round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    settings = BertSettings(architecture=options.architecture, size=options.size, max_tokens=options.tokens)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{options.architecture} {options.size}, {options.batch_size} x {options.tokens} tokens, {name}")
    for precision in options.precision:
        compare(Task(settings, precision, device, options.batch_size, options.steps), rounds=options.rounds)


def compare(task: Task, *, rounds: int) -> None:
    """Run both ways in turns and print what they did."""
    codes = make_codes(task)
    dataset = tokenize_text(codes)
    ways: dict[str, Callable[[], list[Cost]]] = {
        "standard": lambda: run_standard(task, dataset),
        "genolm": lambda: run_genolm(task, codes),
        "product": lambda: time_product(task),
    }
    found: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            found[name] += run()
    medians = {
        name: Cost(*(statistics.median(values) for values in zip(*costs, strict=True)))
        for name, costs in found.items()
    }
    tokens, flops = task.batch_size * task.settings.max_tokens, count_flops_per_token(task)
    print(f"precision {task.precision}, {flops / 1e6:.1f} MFLOP a token, {len(found['genolm'])} steps each")
    for index, clock in enumerate(("wall", "CPU")):
        standard, ours = (tokens / medians[name][index] for name in ("standard", "genolm"))
        product_rate = 2.0 * PRODUCT_SIZE**3 / medians["product"][index]
        print(
            f"  by {clock:4}: standard {standard:8,.0f}, genolm {ours:8,.0f} tokens/s, "
            f"ratio {ours / standard:.2f}; one large product {product_rate / 1e9:6,.0f} GFLOP/s, "
            f"so genolm is at {ours * flops / product_rate:.0%} of the floor's speed"
        )


def make_codes(task: Task) -> np.ndarray:
    """Return random bases for one round, uint8 [steps * batch, bases], that fill the model's sequences."""
    rows = (task.num_steps + WARM_UP_STEPS) * task.batch_size
    length_bp = task.settings.max_tokens - 2 + SCHEME.k - 1
    return np.random.default_rng(0).integers(4, size=(rows, length_bp)).astype(np.uint8)


def tokenize_text(codes: np.ndarray) -> Dataset:
    """Return what the standard way stores: token ids of the text, made beforehand (not timed)."""
    texts = [np.frombuffer(b"ATCG", np.uint8)[row].tobytes().decode() for row in codes]
    return Dataset.from_dict({"text": texts}).map(
        lambda rows: build_wrapped_tokenizer()(rows["text"]), batched=True, remove_columns=["text"]
    )


def build_wrapped_tokenizer() -> PreTrainedTokenizerFast:
    """Return the tokenizer of the scheme as transformers has it."""
    names = {name: f"[{name[:-6].upper()}]" for name in ("pad_token", "unk_token", "cls_token", "sep_token")}
    return PreTrainedTokenizerFast(tokenizer_object=build_tokenizer(SCHEME), mask_token="[MASK]", **names)


def run_standard(task: Task, dataset: Dataset) -> list[Cost]:
    """Train with Trainer; return the cost of each step."""
    settings = BertSettings(
        architecture=task.settings.architecture,
        size=task.settings.size,
        max_tokens=task.settings.max_tokens,
        hidden_dropout=0.1,
        attention_dropout=0.1,
    )
    clock = Clock(task.device)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=task.batch_size,
            max_steps=task.num_steps + WARM_UP_STEPS,
            learning_rate=1e-4,
            bf16=task.precision == "bf16",
            use_cpu=task.device.type == "cpu",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        Trainer(
            build_masked_lm(SCHEME, settings, seed=0),
            arguments,
            train_dataset=dataset,
            data_collator=DataCollatorForLanguageModeling(
                build_wrapped_tokenizer(), mlm_probability=MASKED_SHARE
            ),
            callbacks=[clock],
        ).train()
    return clock.list_steps()


def run_genolm(task: Task, codes: np.ndarray) -> list[Cost]:
    """Train with genolm's model part in a bare loop; return the cost of each step."""
    model = build_masked_lm(SCHEME, task.settings, seed=0).to(task.device).train()
    use_masked_only_head(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    rng = np.random.default_rng(0)
    clock = Clock(task.device)
    is_bf16 = task.precision == "bf16"
    with choose_cpu_kernels(model, task.precision, num_tokens=task.settings.max_tokens):
        for rows in np.split(codes, len(codes) // task.batch_size):
            inputs = {name: tensor.to(task.device) for name, tensor in build_batch(rows, rng).items()}
            with torch.autocast(task.device.type, torch.bfloat16) if is_bf16 else nullcontext():
                loss = model(**inputs).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            clock.mark()
    return clock.list_steps()


def build_batch(codes: np.ndarray, rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """Turn base codes into ids, and mask single tokens: 80 % [MASK], 10 % another k-mer, 10 % left."""
    ids = np.full((len(codes), SCHEME.count_tokens(codes.shape[1]) + 2), SEP_ID, dtype=np.int64)
    ids[:, 0] = CLS_ID
    ids[:, 1:-1] = encode_codes(codes, SCHEME, dtype=np.int64)
    chosen = rng.random(ids.shape, dtype=np.float32) < MASKED_SHARE
    chosen[:, [0, -1]] = False
    positions = np.flatnonzero(chosen)
    labels = np.full_like(ids, IGNORED_LABEL)
    labels.flat[positions] = ids.flat[positions]
    draw = rng.random(len(positions))
    ids.flat[positions[draw < 0.8]] = MASK_ID
    swapped = positions[draw >= 0.9]
    ids.flat[swapped] = rng.integers(NUM_SPECIAL_TOKENS, SCHEME.vocab_size, size=len(swapped))
    arrays = {"input_ids": ids, "labels": labels, "label_positions": positions}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def count_flops_per_token(task: Task) -> float:
    """Return the operations of a step per token, the head counted on masked tokens alone."""
    model = build_masked_lm(SCHEME, task.settings, seed=0)
    flops = estimate_flops_per_token(model, sequence_length=task.settings.max_tokens)
    width = model.config.hidden_size
    head_weights = width * (width + model.config.vocab_size)
    return flops - 6.0 * head_weights * (1 - MASKED_SHARE)


def time_product(task: Task) -> list[Cost]:
    """Time a large matrix product with the kernels that genolm chooses."""
    dtype = torch.bfloat16 if task.precision == "bf16" else torch.float32
    left, right = (torch.randn(PRODUCT_SIZE, PRODUCT_SIZE, device=task.device, dtype=dtype) for _ in "ab")
    model = build_masked_lm(SCHEME, BertSettings(size="debug"), seed=0).to(task.device)
    clock = Clock(task.device)
    with choose_cpu_kernels(model, task.precision, num_tokens=task.settings.max_tokens):
        for _ in range(6):
            torch.nn.functional.linear(left, right)
            clock.mark()
    return clock.list_steps()


if __name__ == "__main__":
    main()
