"""A loss or a gradient that is not a number: what a person needs to find the cause."""

from pathlib import Path

from genolm.errors import TrainingError
from genolm.files import write_json
from genolm.training.micro_batches import Batches
from genolm.training.step import StepResult

BAD_BATCH_NAME = "bad_batch.json"
NUM_NAMED = 3  # examples that the message names


def report_bad_batch(
    result: StepResult, batches: Batches, *, step: int, title: str, run_folder: Path
) -> TrainingError:
    """Write the names of all examples of a step into `bad_batch.json`; return an error that names a few."""
    names = batches.name_rows(step, slice(0, batches.count_rows(step)))
    write_json(
        run_folder / BAD_BATCH_NAME,
        {"step": step, "loss": str(result.loss), "grad_norm": str(result.grad_norm), "rows": names},
    )
    what = f"a gradient of norm {result.grad_norm}" if result.has_finite_loss else f"a loss of {result.loss}"
    num_more = len(names) - NUM_NAMED
    more = f" and {num_more} more in {BAD_BATCH_NAME}" if num_more > 0 else ""
    return TrainingError(
        found=f"{what} at step {step} of {title} (batch: {', '.join(names[:NUM_NAMED])}{more})",
        expected="finite numbers",
        remedy=f"look at the batch, or set a lower learning_rate; the last good step is checkpoint-{step}",
    )
