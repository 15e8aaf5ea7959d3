"""The one training loop: it knows batches, rates and checkpoints, and nothing of genomes.

A job says what to learn; `run_training` runs it under Accelerate on one process or many, evaluates, keeps the
best weights, stops early, writes verified checkpoints, and continues from the newest good one. Killed at any
moment and started again, it ends with the same weights, bit for bit, on the same machine, number of threads
and number of processes.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from accelerate.utils import DistributedType
from torch import nn

from genolm.errors import GenolmError, ShortMemoryError, StoppedError, TrainingError
from genolm.progress import Reporter, Task
from genolm.training.bad_batch import report_bad_batch
from genolm.training.hardware.accelerator import build_accelerator
from genolm.training.hardware.auto_batch import (
    find_memory_limit_bytes,
    find_micro_batch_rows,
    read_used_memory_bytes,
)
from genolm.training.hardware.machine import find_peak_flops
from genolm.training.hardware.model_options import apply_model_options, undo_model_options
from genolm.training.hardware.ranks import explain_dead_rank, get_ranks
from genolm.training.hardware.throughput import estimate_flops_per_token, read_peak_memory_bytes
from genolm.training.job import LoopSettings, TrainingJob, TrainingOutcome
from genolm.training.micro_batches import (
    MicroBatch,
    MicroBatchMemory,
    StepLoader,
    explain_dead_worker,
    find_largest,
    find_own_rows,
    is_dead_worker,
    is_out_of_memory,
)
from genolm.training.optimizer import build_optimizer
from genolm.training.persistence.checkpoints import (
    Carry,
    find_checkpoint,
    get_best_folder,
    load_checkpoint,
    load_parameters,
    rotate_checkpoints,
    save_checkpoint,
    set_aside_checkpoints,
    take_snapshot,
)
from genolm.training.persistence.disk_space import check_free_disk
from genolm.training.persistence.training_state import TrainingState
from genolm.training.step import StepResult, StepRunner, agree_on_step
from genolm.training.stop_signals import StopRequest, catch_stop_signals, name_signal
from genolm.training.training_log import StepFigures, TrainingLog

MAX_SKIPPED_STEPS = 25  # in a row, in fp16: the loss scale has then been halved as often


def run_training(
    job: TrainingJob,
    *,
    model: nn.Module,
    run_folder: Path,
    settings: LoopSettings,
    seed: int,
    reporter: Reporter,
) -> TrainingOutcome:
    """Train `model` in place, from the newest checkpoint in `run_folder` if there is one.

    Under `accelerate launch` every process calls it; rank 0 writes.

    Raises:
        TrainingError: the loss is not finite, memory is too short for one row, or a process died.
        ShortMemoryError: one of several processes had too little; the next call takes smaller micro-batches.
        StoppedError: a signal came; a checkpoint was saved, and the same call goes on from it.
        StorageError: the disk is full; the last checkpoint is whole.
    """
    with catch_stop_signals() as stop_request, _explain_dead_processes():
        training = _Training(job, model, run_folder, settings, seed, reporter, stop_request)
        training.restore()
        with reporter.task(job.title, total=job.schedule.num_steps) as task:
            training.run(task)
        return training.finish()


@contextmanager
def _explain_dead_processes() -> Iterator[None]:
    try:
        yield
    except GenolmError:
        raise
    except RuntimeError as error:
        if is_dead_worker(error):
            raise explain_dead_worker(error) from error
        if dead_rank := explain_dead_rank(error):
            raise dead_rank from error
        raise


class _Training:
    """A run of a job: the model prepared for the hardware, and where it stands."""

    def __init__(
        self,
        job: TrainingJob,
        model: nn.Module,
        run_folder: Path,
        settings: LoopSettings,
        seed: int,
        reporter: Reporter,
        stop_request: StopRequest,
    ) -> None:
        self.job, self.model, self.run_folder = job, model, run_folder
        self.settings, self.reporter, self.stop_request = settings, reporter, stop_request
        self.ranks = get_ranks()
        self.accelerator = build_accelerator(
            settings.precision,
            has_frozen_groups=job.schedule.has_frozen_groups,
            trackers=settings.trackers,
            tracker_folder=run_folder,
        )
        is_sharded = self.accelerator.distributed_type == DistributedType.FSDP
        trained = copy.deepcopy(model) if is_sharded else model  # sharding is in place and for good
        apply_model_options(
            trained,
            gradient_checkpointing=settings.gradient_checkpointing,
            compile_model=settings.compile,
        )
        optimizer = build_optimizer(trained, weight_decay=settings.weight_decay, beta2=settings.adam_beta2)
        self.prepared, self.optimizer = self.accelerator.prepare(trained, optimizer)
        self.trained = self.accelerator.unwrap_model(self.prepared)
        self.runner = StepRunner(
            self.prepared,
            self.optimizer,
            self.accelerator,
            ranks=self.ranks,
            schedule=job.schedule,
            max_grad_norm=settings.max_grad_norm,
            seed=seed,
            stateful=job.stateful,
        )
        self.state = TrainingState()
        self.carry: Carry = None
        self.log: TrainingLog
        self.saved_step = -1
        wanted = "auto" if settings.auto_batch else settings.micro_batch_rows
        self.memory = MicroBatchMemory(run_folder, wanted=wanted)
        self.micro_batch_rows = 0

    def restore(self) -> None:
        """Go on from the newest good checkpoint, if there is one."""
        checkpoint = self.ranks.share(find_checkpoint(self.run_folder) if self.ranks.is_main else None)
        if checkpoint:
            self.state = TrainingState(**checkpoint.state)
        self._choose_micro_batch_rows()
        if checkpoint:
            rows = find_own_rows(
                self.job.batches.count_rows(checkpoint.step),
                ranks=self.ranks,
                micro_batch_rows=self.micro_batch_rows,
            )
            self.carry = load_checkpoint(
                checkpoint, model=self.trained, optimizer=self.optimizer.optimizer, carry_rows=rows
            )
            if self.accelerator.scaler is not None and self.state.grad_scaler:
                self.accelerator.scaler.load_state_dict(self.state.grad_scaler)
            self.saved_step = self.state.step
            self.reporter.note(f"  {self.job.title}: going on {self._describe_start()}")
        self.state.processes = self.ranks.count
        self.ranks.on_main(self._prepare_folder)
        self.log = self._build_log()

    def run(self, task: Task) -> None:
        """Take the steps that are left."""
        while not self._is_finished():
            loader = StepLoader(
                self.job.batches,
                ranks=self.ranks,
                micro_batch_rows=self.micro_batch_rows,
                num_steps=self.job.schedule.num_steps,
                workers=self.settings.workers,
            )
            for micro_batches in loader.iter_from(self.state.step):
                totals = agree_on_step(micro_batches, ranks=self.ranks, stop_signal=self.stop_request.number)
                if totals.stop_signal:
                    self._stop(name_signal(totals.stop_signal))
                result = self._try_step(micro_batches, totals.weight)
                if result is None:
                    break  # its micro-batches were too large, and are made anew
                self._check_step(result)
                self.carry = result.carry
                self.state.count_step(result.loss, totals.tokens)
                self._log_evaluate_save(result, task)
                if self._is_finished():
                    break

    def finish(self) -> TrainingOutcome:
        """Put the best weights into the model, which is then as it was given."""
        self.accelerator.unwrap_model(self.prepared, keep_fp32_wrapper=False)
        undo_model_options(self.model)
        for parameter in self.model.parameters():
            parameter.requires_grad_(True)
        self.model.to(self.ranks.device)
        state = self.state
        if best := get_best_folder(self.run_folder, state.best_step):
            load_parameters(best, self.model)
        for tracker in self.accelerator.trackers:
            tracker.finish()
        return TrainingOutcome(state.step, state.best_step, state.best_metrics or {}, state.tokens)

    def _is_finished(self) -> bool:
        return self.state.step >= self.job.schedule.num_steps or 0 < self.job.patience <= (
            self.state.evals_without_gain
        )

    def _describe_start(self) -> str:
        text = f"from step {self.state.step} of {self.job.schedule.num_steps}"
        if self.state.processes != self.ranks.count:
            processes = "1 process" if self.ranks.count == 1 else f"{self.ranks.count} processes"
            text += f", on {processes} instead of {self.state.processes}"
        return text

    def _prepare_folder(self) -> None:
        set_aside_checkpoints(self.run_folder, after_step=self.saved_step)
        if not self._is_finished():
            weights_bytes = sum(parameter.nbytes for parameter in self.trained.parameters())
            # Two checkpoints, each with the weights and AdamW's two moments, and twice the best weights.
            check_free_disk(
                self.run_folder, needed_bytes=(2 * 3 + 2) * weights_bytes, purpose="the checkpoints"
            )

    def _build_log(self) -> TrainingLog:
        device = self.accelerator.device
        peak_flops = None
        if device.type == "cuda":
            name = torch.cuda.get_device_name(device)
            peak_flops = find_peak_flops(name, self.accelerator.mixed_precision)
        input_ids = self.job.batches.build_largest(1).inputs.get("input_ids")
        length = 1 if input_ids is None else input_ids.shape[1]
        if self.settings.trackers:
            config = {name: str(value) for name, value in asdict(self.settings).items()}
            self.accelerator.init_trackers("genolm", config=config)
        return TrainingLog(
            self.run_folder / "training_log.jsonl",
            after_step=self.state.step,
            num_steps=self.job.schedule.num_steps,
            bases_per_token=self.job.bases_per_token,
            is_language_model=self.job.is_language_model,
            flops_per_token=estimate_flops_per_token(self.trained, sequence_length=length),
            peak_flops=peak_flops and peak_flops * self.ranks.count,
            device=device,
            write_to=[self.accelerator.log] if self.settings.trackers else [],
            is_main=self.ranks.is_main,
        )

    def _try_step(self, micro_batches: Sequence[MicroBatch], total_weight: float) -> StepResult | None:
        """Take a step; if memory does not suffice, make the micro-batches smaller and return None."""
        try:
            return self.runner.run(
                self.state.step, micro_batches, carry=self.carry, total_weight=total_weight
            )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        self._shrink_micro_batches(find_largest(micro_batches))  # out here the step's tensors are free
        return None

    def _shrink_micro_batches(self, rows: int) -> None:
        self.optimizer.zero_grad()
        if self.accelerator.device.type == "cuda":
            torch.cuda.empty_cache()
        if rows == 1:
            raise TrainingError(
                found=f"too little memory for a single row at step {self.state.step} of {self.job.title}",
                expected="memory for one",
                remedy="set gradient_checkpointing: true, take a smaller model or shorter sequences",
            )
        self.micro_batch_rows = (rows + 1) // 2
        self.memory.keep(self.micro_batch_rows)
        text = f"out of memory with micro-batches of {rows} rows at step {self.state.step}"
        if self.ranks.count > 1:  # the others already wait for this one's gradients
            raise ShortMemoryError(
                found=text,
                expected="memory for them",
                remedy=f"give the same command again: it goes on with {self.micro_batch_rows} rows, and the "
                "same global batch",
            )
        self.reporter.note(
            f"  {self.job.title}: {text}; going on with {self.micro_batch_rows}, the batch stays the same"
        )

    def _choose_micro_batch_rows(self) -> None:
        """Take the size that was found earlier, or that is set, or find it; no process shall be without."""
        max_rows = math.ceil(self.job.batches.count_rows(0) / self.ranks.count)
        rows = self.ranks.share(self.memory.recall()) or self.settings.micro_batch_rows
        if self.settings.auto_batch and not rows and not self._is_finished():
            rows = self._find_micro_batch_rows(max_rows)
        self.micro_batch_rows = min(rows, max_rows)

    def _find_micro_batch_rows(self, max_rows: int) -> int:
        device = self.accelerator.device
        weights_bytes = sum(parameter.nbytes for parameter in self.trained.parameters())

        def try_rows(num_rows: int) -> None:
            step_input = self.job.batches.build_largest(num_rows)
            inputs = {name: tensor.to(device) for name, tensor in step_input.inputs.items()}
            self.trained.train()
            try:
                self.accelerator.backward(self.trained(**inputs).loss)
            finally:
                self.optimizer.zero_grad()

        found = find_micro_batch_rows(
            try_rows,
            max_rows=max_rows,  # the same on every process, which all try the same sizes
            limit_bytes=self.ranks.min(find_memory_limit_bytes(device)),
            read_peak_bytes=lambda: self.ranks.max(read_peak_memory_bytes(device)),
            used_bytes=self.ranks.max(read_used_memory_bytes(device)),
            later_bytes=0 if self.optimizer.state else 2 * weights_bytes,
        )
        rows = self.ranks.min(found)
        self.ranks.on_main(lambda: self.memory.keep(rows))
        self.reporter.note(f"  {self.job.title}: micro-batches of {rows} rows fit into memory")
        return rows

    def _check_step(self, result: StepResult) -> None:
        """Stop at a loss or gradient that is not finite; the weights are still those before the step."""
        can_skip = self.accelerator.scaler is not None and self.state.skipped_steps < MAX_SKIPPED_STEPS
        if result.is_finite:
            self.state.skipped_steps = 0
        elif can_skip and result.has_finite_loss:
            self.state.skipped_steps += 1
        else:
            self._save_checkpoint()
            raise self.ranks.on_main(
                lambda: report_bad_batch(
                    result,
                    self.job.batches,
                    step=self.state.step,
                    title=self.job.title,
                    run_folder=self.run_folder,
                )
            )

    def _log_evaluate_save(self, result: StepResult, task: Task) -> None:
        state, settings = self.state, self.settings
        if state.step % settings.log_every_steps == 0:
            rate = self.optimizer.param_groups[-1]["lr"]
            loss = state.take_mean_loss()
            figures = StepFigures(state.step, loss, rate, result.grad_norm, state.tokens)
            best_step = state.best_step if state.best_metrics else None
            self.log.write_step(figures, task, best_step=best_step)
        if state.step % self.job.eval_every_steps == 0 or state.step == self.job.schedule.num_steps:
            self._evaluate()
        if state.step % settings.checkpoint_every_steps == 0 or self._is_finished():
            self._save_checkpoint()

    def _evaluate(self) -> None:
        self.prepared.eval()
        with torch.no_grad():
            metrics = self.ranks.share(self.job.evaluate(self.trained))
        is_best = self.state.take_evaluation(
            metrics, monitor=self.job.monitor, larger_is_better=self.job.larger_is_better
        )
        best = get_best_folder(self.run_folder, self.state.best_step)
        if is_best and best:
            snapshot = take_snapshot(self.trained, is_writer=self.ranks.is_main)
            state = {"step": self.state.step, "metrics": metrics}
            self.ranks.on_main(lambda: save_checkpoint(best, snapshot, state=state))
        self.log.write_evaluation(self.state.step, metrics)

    def _save_checkpoint(self) -> None:
        if self.saved_step == self.state.step:
            return
        if self.accelerator.scaler is not None:
            self.state.grad_scaler = self.accelerator.scaler.state_dict()
        carry = self.carry and tuple(
            tuple(self.ranks.gather_tensor(part, dim=1) for part in layer) for layer in self.carry
        )
        snapshot = take_snapshot(
            self.trained, optimizer=self.optimizer.optimizer, carry=carry, is_writer=self.ranks.is_main
        )
        folder = self.run_folder / f"checkpoint-{self.state.step}"

        def write() -> None:
            save_checkpoint(folder, snapshot, state=asdict(self.state))
            rotate_checkpoints(self.run_folder, keep=self.settings.keep_checkpoints)

        self.ranks.on_main(write)
        self.saved_step = self.state.step

    def _stop(self, signal_name: str) -> None:
        self._save_checkpoint()
        raise StoppedError(
            found=f"{signal_name} at step {self.state.step} of {self.job.title}",
            expected=f"{self.job.schedule.num_steps} steps",
            remedy=f"give the same command again: it goes on from checkpoint-{self.state.step}",
        )
