"""Trainings in processes of their own: started fast, killed, signalled, and asked how they ended.

Each training is forked from the server of `warm_processes`.
"""

import itertools
import json
import logging
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import psutil
import torch
from rank_processes import find_free_port
from warm_processes import CONTEXT

from genolm.corpus.bases import load_corpus_bases
from genolm.corpus.build import build_corpus
from genolm.corpus.labeled import LabeledData
from genolm.corpus.settings import CorpusSettings
from genolm.corpus.window_epochs import WindowSettings
from genolm.errors import GenolmError
from genolm.files import compute_sha256, write_json
from genolm.models import AwdLstmForCausalLM, AwdLstmForSequenceClassification, bert
from genolm.models.bert import BertSettings
from genolm.models.settings import AwdLstmSettings, DropoutSettings
from genolm.progress import Reporter, Task
from genolm.tokenization.scheme import KmerScheme
from genolm.training.adaptation import AdaptSettings, adapt
from genolm.training.causal_lm import PretrainCausalSettings, build_causal_lm, pretrain_causal
from genolm.training.classifier import FinetuneSettings, finetune
from genolm.training.hardware.precision import Precision
from genolm.training.job import LoopSettings
from genolm.training.masked_lm import PretrainMaskedSettings, pretrain_masked
from genolm.training.persistence.run_folder import save_model_folder
from genolm.training.schedules import PhaseSettings
from genolm.training.token_stream import TokenStreamSettings

STAGES = ("pretrain_causal", "pretrain_masked", "adapt", "finetune")
SCHEME = KmerScheme(k=3, stride=1)
MODEL = AwdLstmSettings(embedding_size=8, lstm_size=12, num_layers=2)
STREAM = TokenStreamSettings(lanes=7, bptt_tokens=16, document_bp=1_000)
NUM_TRAIN, BATCH_SIZE, NUM_EPOCHS = 46, 5, 5  # 10 steps an epoch, and the last one has a single row
NUM_STEPS = 50  # of every stage
MOTIF = "TATAAT"


@dataclass(frozen=True, kw_only=True)
class Order:
    """A training to do, and what goes wrong in it."""

    stage: str
    inputs: Path
    output: Path
    workers: int = 0
    checkpoint_every_steps: int = 5
    micro_batch_rows: int = 0
    dropout: float = 1.0  # multiplier
    precision: Precision = "no"
    pause_s: float = 0.0  # that a forward pass takes more
    max_rows: int = 0  # memory for more is not there; 0: for any number
    max_rows_rank: int = -1  # where memory is short; -1: everywhere
    poisoned: str = ""  # a sequence whose loss is NaN
    killed_step: int = 0  # where the process is killed; 0: nowhere
    full_disk_step: int = 0  # where the disk of the output fills up; 0: nowhere
    free_bytes: int = 0  # that are left then
    is_disk_checked: bool = True
    is_quick: bool = True  # no waiting for the disk, which only a power cut needs, and no loss curve
    arguments: tuple[str, ...] = ()  # of `genolm finetune`, for the stage "cli"
    environment: dict[str, str] = field(default_factory=dict)


class Outcome(NamedTuple):
    """How a process ended; the exit code is negative for a signal."""

    exit_code: int
    error: str
    text: str
    notes: list[str]
    printed: str


class TrainingRun:
    """The processes of one run, one or more, killed at the end of a `with` block if they are still there."""

    def __init__(self, order: Order, *, ranks: int = 1) -> None:
        self.order = order
        self.reports = Path(tempfile.mkdtemp(prefix=f"{order.output.name}-", dir=order.inputs))
        port = find_free_port()
        self.processes = [
            CONTEXT.Process(target=_train, args=(order, rank, ranks, port, self.reports))
            for rank in range(ranks)
        ]
        for process in self.processes:
            process.start()

    def __enter__(self) -> "TrainingRun":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            if process.is_alive():
                process.kill()
            process.join()

    @property
    def pids(self) -> list[int]:
        return [process.pid or 0 for process in self.processes]

    def signal(self, number: int, *, rank: int = 0) -> None:
        os.kill(self.pids[rank], number)

    def is_alive(self) -> bool:
        return any(process.is_alive() for process in self.processes)

    def wait_until(self, condition: Callable[[], bool], *, timeout_s: float = 180.0) -> None:
        """Wait for a condition, or for the end of the processes."""
        wait_until(lambda: condition() or not self.is_alive(), timeout_s=timeout_s)

    def wait_for_start(self) -> None:
        """Wait until the first step is about to be taken."""
        self.wait_until((self.reports / "started").exists)

    def wait_for_step(self, step: int) -> None:
        """Wait until a step is logged, and see to it that the run has not ended."""
        self.wait_for_start()
        self.wait_until(lambda: read_last_step(self.order.output) >= step)
        assert self.is_alive(), self.end()

    def end(self, *, timeout_s: float = 180.0) -> list[Outcome]:
        """Wait for all processes."""
        wait_until(lambda: not self.is_alive(), timeout_s=timeout_s)
        return [self._read_outcome(rank, process) for rank, process in enumerate(self.processes)]

    def _read_outcome(self, rank: int, process: Any) -> Outcome:
        process.join()
        path = self.reports / f"outcome-{rank}.json"
        known = json.loads(path.read_text()) if path.is_file() else {"error": "", "text": ""}
        notes = (self.reports / f"notes-{rank}.txt").read_text().splitlines()
        printed = (self.reports / f"printed-{rank}.txt").read_text()
        return Outcome(process.exitcode, known["error"], known["text"], notes, printed)


class Ending(NamedTuple):
    """What a finished run leaves; two runs are the same if these are."""

    weights_sha256: str
    metrics: dict[str, Any]
    log: list[dict[str, Any]]


def run_order(order: Order, *, ranks: int = 1) -> list[Outcome]:
    """Start the processes and wait for their end."""
    with TrainingRun(order, ranks=ranks) as run:
        return run.end()


def finish_order(order: Order, *, ranks: int = 1) -> Ending:
    """Run to the end, and see to it that it is one."""
    outcomes = run_order(order, ranks=ranks)
    assert [outcome.exit_code for outcome in outcomes] == [0] * ranks, outcomes
    return read_ending(order.output)


def read_ending(folder: Path) -> Ending:
    return Ending(
        compute_sha256(folder / "model.safetensors"),
        json.loads((folder / "metrics.json").read_text()),
        read_log(folder),
    )


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of the log but for the speed; half a line at the end is left out."""
    path = folder / "training_log.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.is_file() else []
    return [
        {name: value for name, value in json.loads(line).items() if name != "speed"} for line in lines if line
    ]


def read_losses(log: list[dict[str, Any]]) -> list[float]:
    return [record["loss"] for record in log if "loss" in record]


def read_last_step(folder: Path) -> int:
    return max((record["step"] for record in read_log(folder)), default=0)


def list_steps(folder: Path) -> list[int]:
    """Return the steps of the checkpoints, in order."""
    names = [path.name.removeprefix("checkpoint-") for path in folder.glob("checkpoint-*")]
    return sorted(int(name) for name in names if name.isdigit())


def fill_disk(folder: Path, *, free_bytes: int) -> Path:
    """Take the disk's room but for so many bytes."""
    filler = folder / "filler"
    with open(filler, "wb", buffering=0) as file:
        while (left := shutil.disk_usage(folder).free - free_bytes) > 0:
            file.write(bytes(left))
    return filler


def wait_until(condition: Callable[[], bool], *, timeout_s: float = 180.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "it takes too long"
        time.sleep(0.005)


def are_gone(processes: list[psutil.Process]) -> bool:
    """Say whether no process runs any more; one that nobody has waited for counts as gone."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                return False
    return True


def build_inputs(folder: Path, fasta: Path) -> Path:
    """Write what the stages read: a corpus, and a language model with random weights."""
    settings = CorpusSettings(block_bp=2_900, min_piece_bp=100)
    build_corpus([fasta], folder / "corpus", settings=settings)
    for split in ("train", "validation", "test"):
        load_corpus_bases(folder / "corpus", split)  # makes its file of bases, which the runs then share
    model = build_causal_lm(SCHEME, PretrainCausalSettings(model=MODEL), seed=3)
    save_model_folder(folder / "lm", model=model, scheme=SCHEME)
    return folder


def make_data() -> LabeledData:
    """Random sequences of 20 to 40 bases; those of label 1 hold a motif somewhere."""
    generator = np.random.default_rng(0)
    splits = ("train",) * NUM_TRAIN + ("validation",) * 13 + ("test",) * 11
    labels = np.arange(len(splits)) % 2
    sequences = []
    for label in labels:
        text = "".join(generator.choice(list("ACGT"), size=generator.integers(20, 41)))
        start = int(generator.integers(len(text) - 5))
        sequences.append(text[:start] + MOTIF + text[start + 6 :] if label else text.replace(MOTIF, "GGGGGG"))
    ids = tuple(f"record_{index}" for index in range(len(splits)))
    return LabeledData(
        sequences=sequences, labels=labels, label_names=("none", "box"), splits=splits, ids=ids
    )


def write_table(path: Path) -> Path:
    """Write the sequences, but for the test split, as the command reads them."""
    data = make_data()
    rows = [
        f"{sequence},{label},{split}"
        for sequence, label, split in zip(data.sequences, data.labels, data.splits, strict=True)
        if split != "test"
    ]
    path.write_text("\n".join(["sequence,label,split", *rows]) + "\n")
    return path


def build_cli_orders(inputs: Path, folder: Path, *names: str) -> list[Order]:
    """Return orders of the same `genolm finetune`, each with a folder of its own."""
    table = write_table(folder / "data.csv")
    return [
        Order(
            stage="cli",
            inputs=inputs,
            output=folder / name,
            arguments=build_arguments(table, folder / name),
        )
        for name in names
    ]


def build_arguments(table: Path, output: Path) -> tuple[str, ...]:
    """Return what follows `genolm finetune` for a training of 300 short steps."""
    model = "{embedding_size: 8, lstm_size: 12, num_layers: 2}"
    return (
        *("--data", str(table), "--output", str(output), "--tokenizer", "kmer_k3_s1", "--start", "scratch"),
        *("--set", "scratch.phases=[{epochs: 30, learning_rate: 0.002}]", "--set", "scratch.batch_size=5"),
        *("--set", f"scratch.model={model}", "--set", f"pretrain.model={model}"),
        *("--set", "scratch.loop={log_every_steps: 1, checkpoint_every_steps: 20, precision: 'no'}"),
    )


def _train_stage(order: Order, reporter: Reporter) -> None:
    loop = LoopSettings(
        precision=order.precision,
        log_every_steps=1,
        workers=order.workers,
        checkpoint_every_steps=order.checkpoint_every_steps,
        micro_batch_rows=order.micro_batch_rows,
    )
    dropout = DropoutSettings(multiplier=order.dropout)
    if order.stage == "pretrain_causal":
        pretrain_causal(
            order.inputs / "corpus",
            order.output,
            scheme=SCHEME,
            settings=PretrainCausalSettings(
                tokens=NUM_STEPS * STREAM.lanes * STREAM.bptt_tokens,
                learning_rate=2e-2,
                successor_softmax=False,  # so that there is something to learn: how k-mers overlap
                evaluations=4,
                eval_window_bp=150,
                model=MODEL,
                dropout=dropout,
                stream=STREAM,
                loop=loop,
            ),
            seed=1,
            reporter=reporter,
        )
    elif order.stage == "pretrain_masked":
        pretrain_masked(
            order.inputs / "corpus",
            order.output,
            scheme=SCHEME,
            settings=PretrainMaskedSettings(
                steps=NUM_STEPS,
                batch_size=BATCH_SIZE,
                learning_rate=3e-3,
                warmup_steps=5,
                evaluations=4,
                model=BertSettings(size="debug", max_tokens=64, hidden_dropout=0.1 * order.dropout),
                windows=WindowSettings(kind="dnabert", length_bp=60, min_bp=6),
                loop=loop,
            ),
            seed=1,
            reporter=reporter,
        )
    elif order.stage == "adapt":
        data = make_data()
        adapt(
            order.inputs / "lm",
            order.output,
            train_sequences=data.select("train").sequences,
            validation_sequences=data.select("validation").sequences,
            settings=AdaptSettings(
                epochs=NUM_EPOCHS, patience=0, batch_size=BATCH_SIZE, dropout=dropout, loop=loop
            ),
            seed=1,
            reporter=reporter,
        )
    elif order.stage == "finetune":
        finetune(
            make_data(),
            order.output,
            settings=FinetuneSettings(
                phases=(
                    PhaseSettings(epochs=1, learning_rate=5e-3, trained_groups=1),
                    PhaseSettings(epochs=1, learning_rate=5e-3, trained_groups=2),
                    PhaseSettings(epochs=NUM_EPOCHS - 2, learning_rate=5e-3),
                ),
                monitor="loss",
                batch_size=BATCH_SIZE,
                classifier_dropout=0.3 * order.dropout,
                dropout=dropout,
                loop=loop,
            ),
            pretrained=order.inputs / "lm",
            seed=1,
            reporter=reporter,
        )
    else:
        from genolm.cli import main

        main(["finetune", *order.arguments])


class _FileReporter(Reporter):
    """Notes in a file, and another one once the training begins."""

    def __init__(self, reports: Path, rank: int) -> None:
        self.reports, self.rank = reports, rank

    def note(self, text: str) -> None:
        with open(self.reports / f"notes-{self.rank}.txt", "a") as file:
            file.write(text.strip() + "\n")

    @contextmanager
    def task(self, title: str, *, total: int) -> Iterator[Task]:
        if self.rank == 0:
            (self.reports / "started").touch()
        yield Task()


def _train(order: Order, rank: int, ranks: int, port: int, reports: Path) -> None:
    """What a forked process does: train, write how it ended, leave with the exit code of the command."""
    os.setsid()
    printed = os.open(reports / f"printed-{rank}.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    if ranks > 1:
        names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks}
        os.environ.update({name: str(value) for name, value in names.items()})
        os.environ.update({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
    os.environ.update({"OMP_NUM_THREADS": "1", **order.environment})
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", force=True)
    (reports / f"notes-{rank}.txt").touch()
    _inject_faults(order, rank)
    exit_code, error, text = 0, "", ""
    try:
        _train_stage(order, _FileReporter(reports, rank))
    except GenolmError as failure:
        exit_code, error, text = failure.exit_code, type(failure).__name__, str(failure)
    except KeyboardInterrupt:
        exit_code, error = 130, "KeyboardInterrupt"
    finally:
        write_json(reports / f"outcome-{rank}.json", {"error": error, "text": text})
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    raise SystemExit(exit_code)


def _inject_faults(order: Order, rank: int) -> None:
    """Make a forward pass in training slow, hungry, poisonous or deadly; fill the disk unseen."""
    if order.is_quick:
        from genolm.training.persistence import run_folder

        os.fsync = lambda fd: None
        run_folder.plot_loss_curve = lambda *paths, **more: None
    if not order.is_disk_checked:
        from genolm.training import loop
        from genolm.training.persistence import checkpoints

        for module in (checkpoints, loop):
            module.check_free_disk = lambda folder, **more: None  # type: ignore[attr-defined]
    limit = order.max_rows if order.max_rows_rank in (-1, rank) else 0
    poison = _encode_poison(order.poisoned)
    for kind in (AwdLstmForCausalLM, AwdLstmForSequenceClassification):
        kind.forward = _wrap_forward(kind.forward, order, limit, poison)  # type: ignore[method-assign]
    bert._compute_masked_only = _wrap_forward(bert._compute_masked_only, order, limit, poison)


def _wrap_forward(forward: Callable[..., Any], order: Order, limit: int, poison: list[int]) -> Any:
    steps = itertools.count(1)

    def wrapped(self: Any, input_ids: torch.Tensor, **more: Any) -> Any:
        if not self.training:
            return forward(self, input_ids, **more)
        time.sleep(order.pause_s)
        step = next(steps)
        if step == order.killed_step:
            os.kill(os.getpid(), signal.SIGKILL)
        if step == order.full_disk_step:
            fill_disk(order.output.parent, free_bytes=order.free_bytes)
        if limit and len(input_ids) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory, says a test")
        output = forward(self, input_ids, **more)
        if poison and any(row[: len(poison)] == poison for row in input_ids.tolist()):
            output.loss = output.loss * float("nan")
        return output

    return wrapped


def _encode_poison(sequence: str) -> list[int]:
    from genolm.tokenization.encoder import encode_sequences

    return encode_sequences([sequence], SCHEME)[0].tolist() if sequence else []
