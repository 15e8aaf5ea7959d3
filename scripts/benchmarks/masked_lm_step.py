#!/usr/bin/env python3
"""Whole training steps of a masked language model: the standard way beside genolm.

    python scripts/benchmarks/masked_lm_step.py [--size tiny] [--precision bf16 no] [--steps 4] [--rounds 3]
    python scripts/benchmarks/masked_lm_step.py --windows dnabert --batch-size 256 --micro-batch 32 --rounds 1
    python scripts/benchmarks/masked_lm_step.py --equal-tokens 5000000 [--batch-size 32]

Both train the same network on the same windows of the E. coli genome (overlapping 6-mers, both strands) in
the same precision, in turns in one process. The standard way: text of k-mers, a tokenizer that splits it at
spaces, DataCollatorForLanguageModeling, Trainer, SDPA and the usual dropout of 0.1. Its text is tokenized
ahead, as the examples of transformers do, and what that costs is told apart. Ours: `run_training` on
`MaskedBatches`, so bases are cut, encoded and hidden within the step; no dropout, the head on scored tokens
alone, the kernels that `choose_cpu_kernels` picks and the memory that it keeps. Medians over all steps, by
the wall and by CPU time (which other work on the machine disturbs less), without the first steps of each
way, in which its memory grows. Tokens are those of windows, padding is none: with --windows dnabert (5 to 510
bases, as DNABERT samples them) the standard way pads every micro-batch to its longest window; ours, too, but
windows of like length stand side by side (of 256 in micro-batches of 32, a tenth is padding).

The floor is the time of the step's matrix products at the rate of one large product, measured on the spot.

With --equal-tokens both begin with the same weights and train once on as many tokens of the same windows, at
the same rates. Then both fill in the same masks of the same held-out windows: whole bases hidden (as genolm
trains), and single tokens hidden (as the standard way does, whose answer the neighbors give away).
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.state import AcceleratorState
from datasets import Dataset, disable_progress_bars
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    DataCollatorForLanguageModeling,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from genolm.alphabet import BASE_OF_CODE, Codes
from genolm.corpus.bases import load_corpus_bases
from genolm.corpus.build import build_corpus
from genolm.corpus.builtin import find_builtin
from genolm.corpus.settings import CorpusSettings
from genolm.corpus.window_epochs import WindowSettings
from genolm.kmers import build_kmer_names
from genolm.models.bert import BertSettings, build_masked_lm, use_masked_only_head
from genolm.models.cpu_kernels import choose_cpu_kernels
from genolm.progress import LineReporter
from genolm.tokenization.scheme import SPECIAL_TOKENS, KmerScheme
from genolm.tokenization.tokenizer_json import assemble_tokenizer
from genolm.training.hardware.throughput import estimate_flops_per_token
from genolm.training.job import LoopSettings, TrainingJob
from genolm.training.lm_score import cut_windows
from genolm.training.loop import run_training
from genolm.training.masking.batches import MaskedBatches
from genolm.training.masking.score import compute_masked_score, fill_in, pad_windows
from genolm.training.masking.windows import MaskSettings, build_keys, compute_label_share, mask_windows
from genolm.training.micro_batches import StepInput
from genolm.training.schedules import PhasedSchedule, PhaseSettings
from genolm.training.token_stream import IGNORED_LABEL

SCHEME = KmerScheme(k=6, stride=1)
RATE = 0.15
PRODUCT_SIZE = 3072
TEST_WINDOWS = 256
NEVER = 1_000_000_000


class Task(NamedTuple):
    """What both ways train, and how."""

    settings: BertSettings
    precision: str  # "bf16" or "no"
    device: torch.device
    batches: MaskedBatches
    learning_rate: float
    lr_warmup_steps: int
    loop: LoopSettings
    warm_up_steps: int = 0  # which are not timed

    @property
    def num_steps(self) -> int:
        """Return the steps of each way, warm-up included."""
        return self.batches.num_steps

    @property
    def micro_batch_rows(self) -> int:
        """Return the windows of a forward pass."""
        return self.loop.micro_batch_rows or self.batches.batch_size

    def list_lengths(self) -> np.ndarray:
        """Return the tokens of all windows, int64 [steps, windows]."""
        rows = slice(0, self.batches.batch_size)
        lengths = [self.batches.mask_rows(step, rows).lengths for step in range(self.num_steps)]
        return np.stack(lengths) - SCHEME.k + 1 + 2


class Cost(NamedTuple):
    """Time of one step, what lies between steps included."""

    wall_s: float
    cpu_s: float  # of the process


class Trained(NamedTuple):
    """What a way ends with."""

    model: PreTrainedModel
    costs: list[Cost]


class Clock(TrainerCallback):
    """Notes the time at every border between steps."""

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

    def list_steps(self, *, first: int) -> list[Cost]:
        """Return the cost of each step from the mark of this number on."""
        marks = self.marks[first:]
        return [Cost(end.wall_s - start.wall_s, end.cpu_s - start.cpu_s) for start, end in pairwise(marks)]


class ClockedBatches:
    """Batches that note the time whenever a step asks for its input."""

    def __init__(self, batches: MaskedBatches, clock: Clock) -> None:
        self.batches, self.clock, self.step = batches, clock, -1

    def count_rows(self, step: int) -> int:
        """Return the windows of a step."""
        return self.batches.count_rows(step)

    def build_input(self, step: int, rows: slice) -> StepInput:
        """Note the time where a step begins, and return the input of some windows."""
        if step != self.step:
            self.clock.mark()
        self.step = step
        return self.batches.build_input(step, rows)

    def build_largest(self, num_rows: int) -> StepInput:
        """Return the input of windows of the greatest length."""
        return self.batches.build_largest(num_rows)

    def name_rows(self, step: int, rows: slice) -> list[str]:
        """Return where each window begins."""
        return self.batches.name_rows(step, rows)


def main() -> None:
    """Print tokens per second, their ratio, and the share of the floor; or what equal tokens lead to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--architecture", choices=["bert", "modernbert"], default="bert")
    parser.add_argument("--size", choices=["debug", "mini", "tiny", "small", "base"], default="tiny")
    parser.add_argument("--precision", choices=["bf16", "no"], nargs="+", default=["bf16", "no"])
    parser.add_argument("--tokens", type=int, default=512, help="of a sequence")
    parser.add_argument("--batch-size", type=int, default=16, help="sequences")
    parser.add_argument("--micro-batch", type=int, default=0, help="sequences in a forward pass; 0: all")
    parser.add_argument("--windows", choices=["random", "dnabert"], default="random")
    parser.add_argument("--steps", type=int, default=4, help="of each way in a round")
    parser.add_argument("--warm-up-steps", type=int, default=3, help="before these, in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--span-bp", type=int, default=1, help="bases that genolm hides in a row")
    parser.add_argument("--equal-tokens", type=int, help="train both ways on so many tokens instead")
    parser.add_argument("--learning-rate", type=float, default=5e-4, help="highest, linear schedule")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    disable_progress_bars()
    settings = BertSettings(architecture=options.architecture, size=options.size, max_tokens=options.tokens)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{options.architecture} {options.size}, {options.batch_size} x {options.tokens} tokens, {name}")
    with tempfile.TemporaryDirectory() as folder:
        corpus = build_ecoli_corpus(Path(folder))
        if options.equal_tokens:
            num_steps = max(1, options.equal_tokens // (options.batch_size * options.tokens))
            batches = open_batches(corpus, options, num_steps=num_steps)
            warmup_steps, loop = num_steps // 10, build_loop_settings(options, options.precision[0])
            task = Task(settings, loop.precision, device, batches, options.learning_rate, warmup_steps, loop)
            compare_equal_tokens(task, corpus)
            return
        batches = open_batches(corpus, options, num_steps=options.steps + options.warm_up_steps)
        for precision in options.precision:
            loop = build_loop_settings(options, precision)
            task = Task(
                settings, precision, device, batches, options.learning_rate, 0, loop, options.warm_up_steps
            )
            compare_speed(task, rounds=options.rounds)


def build_ecoli_corpus(folder: Path) -> Path:
    """Write a corpus of the embedded genome with held-out blocks; return its folder."""
    settings = CorpusSettings(split="blocks", block_bp=50_000, validation_blocks=(5,), test_blocks=(3, 8))
    build_corpus([find_builtin("ecoli_k12_mg1655")], folder / "corpus", settings=settings)
    return folder / "corpus"


def open_batches(corpus: Path, options: argparse.Namespace, *, num_steps: int) -> MaskedBatches:
    """Return genolm's batches of windows that fill the model's sequences."""
    return MaskedBatches(
        load_corpus_bases(corpus, "train"),
        scheme=SCHEME,
        windows=WindowSettings(
            kind=options.windows, length_bp=options.tokens - 2 + SCHEME.k - 1, min_bp=SCHEME.k
        ),
        mask=MaskSettings(rate=RATE, span_bp=options.span_bp),
        batch_size=options.batch_size,
        num_steps=num_steps,
        seed=options.seed,
    )


def compare_speed(task: Task, *, rounds: int) -> None:
    """Run both ways in turns and print what they cost."""
    start_s = time.perf_counter()
    dataset = tokenize_text(task.batches)
    tokenizing_s = (time.perf_counter() - start_s) / task.num_steps
    ways: dict[str, Callable[[], list[Cost]]] = {
        "standard": lambda: train_standard(task, dataset).costs,
        "genolm": lambda: train_genolm(task).costs,
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
    lengths = task.list_lengths()
    tokens, flops = float(lengths.sum(axis=1).mean()), count_flops_per_token(task, lengths)
    print(f"precision {task.precision}, {flops / 1e6:.1f} MFLOP a token, {len(found['genolm'])} steps each")
    for index, clock in enumerate(("wall", "CPU")):
        standard, ours = (tokens / medians[name][index] for name in ("standard", "genolm"))
        product_rate = 2.0 * PRODUCT_SIZE**3 / medians["product"][index]
        print(
            f"  by {clock:4}: standard {standard:8,.0f}, genolm {ours:8,.0f} tokens/s, "
            f"ratio {ours / standard:.2f}; one large product {product_rate / 1e9:6,.0f} GFLOP/s, "
            f"so genolm is at {ours * flops / product_rate:.0%} of the floor's speed"
        )
    print(f"  the standard way's text takes {tokenizing_s * 1e3:,.0f} ms a step to write and tokenize, ahead")


def compare_equal_tokens(task: Task, corpus: Path) -> None:
    """Train both ways on the same tokens, and print how well they fill in the same masks."""
    tokens = task.num_steps * task.batches.batch_size * task.settings.max_tokens
    print(f"precision {task.precision}, {task.num_steps} steps, {tokens:,} tokens for each way")
    length_bp = task.batches.windows.length_bp
    pieces = load_corpus_bases(corpus, "test")
    windows = cut_windows(pieces, window_bp=length_bp, min_bp=length_bp)[:TEST_WINDOWS]
    untrained = build_masked_lm(SCHEME, task.settings, seed=0).to(task.device)
    ways = {
        "untrained": lambda: Trained(untrained, []),
        "standard": lambda: train_standard(task, tokenize_text(task.batches)),
        "genolm": lambda: train_genolm(task),
    }
    for name, train in ways.items():
        model, costs = train()
        use_masked_only_head(model.eval())
        print(f"{name}, {sum(cost.wall_s for cost in costs):,.0f} s")
        for text, mask in (
            ("whole bases hidden", MaskSettings(rate=RATE, mask_share=1.0, random_share=0.0)),
            (
                "single tokens hidden",
                MaskSettings(rate=RATE, style="tokens", mask_share=1.0, random_share=0.0),
            ),
        ):
            loss, accuracy = score_tokens(model, windows, mask)
            line = f"  {text:20}: loss {loss:.4f} nats a token, accuracy {accuracy:.4f}"
            if mask.style == "base_spans":
                score = compute_masked_score(model, windows, scheme=SCHEME, settings=mask)
                line += f", {score.bits_per_base:.4f} bits per base"
            print(line, flush=True)


def score_tokens(model: PreTrainedModel, windows: list[Codes], mask: MaskSettings) -> tuple[float, float]:
    """Return loss (nats) and accuracy over the scored tokens of windows, whose masks are always the same."""
    nats, right, count = 0.0, 0, 0
    for start in range(0, len(windows), 32):
        codes, lengths = pad_windows(windows[start : start + 32])
        keys = build_keys(0, 0, np.arange(start, start + len(codes)))
        batch = mask_windows(codes, lengths, scheme=SCHEME, settings=mask, keys=keys)
        wanted = torch.from_numpy(batch.labels[batch.labels != IGNORED_LABEL])
        logits = fill_in(model, batch)
        nats += float(F.cross_entropy(logits, wanted, reduction="sum"))
        right += int((logits.argmax(dim=-1) == wanted).sum())
        count += len(wanted)
    return nats / count, right / count


def tokenize_text(batches: MaskedBatches) -> Dataset:
    """Return what the standard way stores: the windows of all steps as text of k-mers, tokenized."""
    tokenizer = build_text_tokenizer()

    def write_text(step: int) -> list[str]:
        rows = batches.mask_rows(step, slice(0, batches.batch_size))
        letters = [
            BASE_OF_CODE[codes[:length]].tobytes().decode()
            for codes, length in zip(rows.codes, rows.lengths, strict=True)
        ]
        return [
            " ".join(text[start : start + SCHEME.k] for start in range(len(text) - SCHEME.k + 1))
            for text in letters
        ]

    texts = [text for step in range(batches.num_steps) for text in write_text(step)]
    return Dataset.from_dict({"text": texts}).map(
        lambda rows: tokenizer(rows["text"]), batched=True, remove_columns=["text"]
    )


def build_text_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of k-mers that are written apart, with the ids of the scheme."""
    tokens = [*SPECIAL_TOKENS, *build_kmer_names(SCHEME.k)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = assemble_tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    names = {name: f"[{name[:-6].upper()}]" for name in ("pad_token", "unk_token", "cls_token", "sep_token")}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, mask_token="[MASK]", **names)


def train_standard(task: Task, dataset: Dataset) -> Trained:
    """Train with Trainer."""
    settings = BertSettings(
        architecture=task.settings.architecture,
        size=task.settings.size,
        max_tokens=task.settings.max_tokens,
        hidden_dropout=0.1,
        attention_dropout=0.1,
    )
    model, clock = build_masked_lm(SCHEME, settings, seed=0), Clock(task.device)
    AcceleratorState._reset_state()  # which may hold the other way's precision
    loop, rows = task.loop, task.micro_batch_rows
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=rows,
            gradient_accumulation_steps=task.batches.batch_size // rows,
            max_steps=task.num_steps,
            learning_rate=task.learning_rate,
            lr_scheduler_type="linear",
            warmup_steps=task.lr_warmup_steps,
            adam_beta2=loop.adam_beta2,
            weight_decay=loop.weight_decay,
            max_grad_norm=loop.max_grad_norm,
            bf16=task.precision == "bf16",
            use_cpu=task.device.type == "cpu",
            seed=task.batches.seed,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        collator = DataCollatorForLanguageModeling(build_text_tokenizer(), mlm_probability=RATE)
        trainer = Trainer(model, arguments, train_dataset=dataset, data_collator=collator, callbacks=[clock])
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return Trained(model, clock.list_steps(first=max(task.warm_up_steps - 1, 0)))


def train_genolm(task: Task) -> Trained:
    """Train with genolm's loop; a step begins where it asks for its input, the evaluation ends the last."""
    model, clock = build_masked_lm(SCHEME, task.settings, seed=0), Clock(task.device)
    use_masked_only_head(model)
    AcceleratorState._reset_state()

    def evaluate(_: PreTrainedModel) -> dict[str, float]:
        clock.mark()
        return {"loss": 0.0}

    job = TrainingJob(
        title="masked LM",
        batches=ClockedBatches(task.batches, clock),
        schedule=PhasedSchedule(
            phases=(PhaseSettings(epochs=1, learning_rate=task.learning_rate),),
            steps_per_epoch=task.num_steps,
            schedule="linear",
            group_factor=1.0,
            warmup_steps=task.lr_warmup_steps,
        ),
        evaluate=evaluate,
        monitor="loss",
        larger_is_better=False,
        eval_every_steps=task.num_steps,
        patience=0,
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        choose_cpu_kernels(model, task.precision, num_tokens=task.settings.max_tokens),
    ):
        run_training(
            job,
            model=model,
            run_folder=Path(folder),
            settings=task.loop,
            seed=task.batches.seed,
            reporter=LineReporter(),
        )
    return Trained(model, clock.list_steps(first=task.warm_up_steps))


def build_loop_settings(options: argparse.Namespace, precision: Any) -> LoopSettings:
    """Return genolm's defaults, without checkpoints on the way."""
    rows = options.micro_batch
    return LoopSettings(precision=precision, checkpoint_every_steps=NEVER, micro_batch_rows=rows)


def count_flops_per_token(task: Task, lengths: np.ndarray) -> float:
    """Return the operations of genolm's step per token, the head counted on scored tokens alone."""
    model = build_masked_lm(SCHEME, task.settings, seed=0)
    mean_length = round(float((lengths**2).sum() / lengths.sum()))  # that a token sees
    flops = estimate_flops_per_token(model, sequence_length=mean_length)
    width = model.config.hidden_size
    head_weights = width * (width + model.config.vocab_size)
    return flops - 6.0 * head_weights * (1 - compute_label_share(SCHEME, task.batches.mask))


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
    return clock.list_steps(first=0)


if __name__ == "__main__":
    main()
