"""Settings of fine-tuning: the task, how much of the network learns, the phases."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from genolm.errors import SettingsError
from genolm.models.scoring import LongInputs, Task
from genolm.models.sequence_nets import SequenceNetSettings
from genolm.models.settings import AwdLstmSettings, DropoutSettings, HeadSettings
from genolm.training.job import LoopSettings
from genolm.training.schedules import PhaseSettings, ScheduleName

Method = Literal["full", "probe", "lora"]
Pooling = Literal["default", "cls", "mean", "max", "attention"]  # the last two are known, to be refused

# What may choose the epoch, on validation; a smaller loss or mse is better, more of the others.
MONITORS: dict[Task, tuple[str, ...]] = {
    "classification": ("auroc", "mcc", "accuracy", "loss"),
    "regression": ("spearman", "pearson", "mse", "loss"),
    "multi_label": ("auroc", "auprc", "loss"),
    "token_classification": ("mcc", "accuracy", "loss"),
}
SMALLER_IS_BETTER = ("loss", "mse")


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """Low-rank adapters of the attention (Hu et al. 2021, arXiv 2106.09685)."""

    rank: int = 8  # of the change that each adapted matrix learns
    alpha: int = 16  # the change counts alpha / rank times
    dropout: float = 0.0  # before an adapter

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.rank < 1 or self.alpha <= 0 or not 0 <= self.dropout < 1:
            raise SettingsError(
                found=f"lora with rank {self.rank}, alpha {self.alpha}, dropout {self.dropout}",
                expected="a rank of at least 1, a positive alpha, a dropout of 0 or more and below 1",
                remedy="correct the lora settings; the usual rank is 8, the usual alpha 16",
            )


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """Stage 3: a classifier. The phases unfreeze the layer groups from the output down."""

    phases: tuple[PhaseSettings, ...] = (
        PhaseSettings(epochs=1, learning_rate=2e-2, trained_groups=1),
        PhaseSettings(epochs=1, learning_rate=1e-2, trained_groups=2),
        PhaseSettings(epochs=1, learning_rate=5e-3, trained_groups=3),
        PhaseSettings(epochs=4, learning_rate=5e-3),
    )
    task: Task = "classification"  # regression: labels are numbers; multi_label: labels such as a;b;
    # token_classification: labels have one letter for each base, such as ..EEEEII.., and - for no label
    method: Method = "full"  # probe: the head alone learns; lora: the head and adapters of the attention
    lora: LoraSettings = field(default_factory=LoraSettings)  # of the method lora
    pooling: Pooling = "default"  # the model's own; cls: of [CLS] alone; mean: of all tokens (ModernBERT)
    long_inputs: LongInputs = "refuse"  # sequences longer than the model; windows: overlapping, averaged
    group_factor: float = 2.6  # each layer group learns this many times slower than the one above it
    schedule: ScheduleName = "slanted_triangular"
    warmup_steps: int = 0  # of each phase; the linear schedule only
    batch_size: int = 64  # sequences; windows where those are longer than the model
    monitor: str = "auroc"  # what chooses the epoch, on validation: see MONITORS
    patience: int = 0  # epochs without a gain on validation before it stops; 0 means never
    classifier_dropout: float = 0.2  # before the head
    strand_augmentation: bool = False  # read a training sequence as its reverse complement half of the times
    phase_augmentation: bool = False  # stride > 1: begin 0 to stride - 1 bases into a training sequence
    average_strands: bool = False  # predict by the mean over both strands, here and wherever genolm predicts
    max_bptt_tokens: int = 1_400  # AWD-LSTM: the gradient goes through so many tokens, those read last
    head: HeadSettings = field(default_factory=HeadSettings)  # of an AWD-LSTM
    activation_regularization: float = (
        0.0  # AR and TAR of an AWD-LSTM: weights of the L2 penalties on its last
    )
    temporal_activation_regularization: float = 0.0  # layer and on the changes from token to token
    freeze_embeddings: bool = False  # given embeddings stay as they are; they learn otherwise
    dropout: DropoutSettings = field(default_factory=DropoutSettings)  # AWD-LSTM; a BERT keeps its own
    model: AwdLstmSettings = field(default_factory=AwdLstmSettings)  # of a classifier from random weights
    network: SequenceNetSettings | None = None  # from random weights instead: DeepBind, DanQ and others
    loop: LoopSettings = field(default_factory=LoopSettings)

    def __post_init__(self) -> None:
        """Check the choices and the ranges."""
        for found, known in (
            (self.task, get_args(Task)),
            (self.method, get_args(Method)),
            (self.pooling, get_args(Pooling)),
            (self.long_inputs, get_args(LongInputs)),
        ):
            if found not in known:
                raise SettingsError(
                    found=f"{found!r}",
                    expected=f"one of {', '.join(known)}",
                    remedy="correct the finetune settings",
                )
        _check_pooling(self.pooling, self.task)
        self._check_strands()
        monitors = MONITORS[self.task]
        if not self.phases or self.batch_size < 1 or self.monitor not in monitors:
            raise SettingsError(
                found=f"{len(self.phases)} phases, batch_size {self.batch_size}, monitor {self.monitor!r}",
                expected="a phase or more, batch_size of at least 1, "
                f"monitor one of {', '.join(monitors)} (task {self.task})",
                remedy="correct the finetune settings",
            )
        if self.warmup_steps < 0 or (self.warmup_steps and self.schedule != "linear"):
            raise SettingsError(
                found=f"warmup_steps {self.warmup_steps} with the schedule {self.schedule}",
                expected="0 or more, and 0 with any schedule but linear, since the others have their own",
                remedy="set schedule=linear, or leave warmup_steps out",
            )

    def _check_strands(self) -> None:
        """Refuse what needs whole sequences that have a label each."""
        names = ("strand_augmentation", "phase_augmentation", "average_strands")
        asked = [name for name in names if getattr(self, name)]
        if asked and self.task == "token_classification":
            raise SettingsError(
                found=f"{asked[0]} with the task token_classification",
                expected="a task with labels of whole sequences",
                remedy=f"leave {asked[0]} out",
            )
        if asked and asked[0] != "average_strands" and self.long_inputs == "windows":
            raise SettingsError(
                found=f"{asked[0]} with long_inputs windows",
                expected="sequences that the model reads whole",
                remedy=f"leave {asked[0]} out, or shorten the sequences",
            )
        if min(self.activation_regularization, self.temporal_activation_regularization) < 0:
            raise SettingsError(
                found=f"activation_regularization {self.activation_regularization}, "
                f"temporal_activation_regularization {self.temporal_activation_regularization}",
                expected="0 or more",
                remedy="correct the finetune settings",
            )
        if self.max_bptt_tokens < 1:
            raise SettingsError(
                found=f"max_bptt_tokens {self.max_bptt_tokens}",
                expected="at least 1",
                remedy="correct the finetune settings",
            )


def _check_pooling(pooling: Pooling, task: Task) -> None:
    if pooling in ("max", "attention"):
        raise SettingsError(
            found=f"pooling {pooling}",
            expected="default, cls or mean: no class of transformers has another, and with one of its own a "
            "model no longer loads with plain Auto classes",
            remedy="set pooling=mean with a ModernBERT; an AWD-LSTM always joins last, max and mean",
        )
    if pooling != "default" and task == "token_classification":
        raise SettingsError(
            found=f"pooling {pooling} with the task token_classification",
            expected="pooling default, since each token is classified by itself",
            remedy="leave pooling out",
        )
