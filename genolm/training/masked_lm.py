"""DNABERT-style pretraining: a masked language model of genomes (Ji et al. 2021), which hides whole bases."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from genolm.alphabet import Codes
from genolm.corpus.bases import (
    compute_corpus_fingerprint,
    load_corpus_bases,
    load_held_out_bases,
    locate_bases,
)
from genolm.corpus.window_epochs import WindowSettings
from genolm.errors import SettingsError
from genolm.models.attention import choose_cpu_kernels
from genolm.models.bert import BertSettings, build_masked_lm, load_masked_lm, use_masked_only_head
from genolm.progress import Reporter
from genolm.tokenization.scheme import KmerScheme
from genolm.training.finetuning.models import load_pretrained_scheme
from genolm.training.hardware.precision import choose_precision
from genolm.training.job import LoopSettings, TrainingJob
from genolm.training.lm_score import cut_windows
from genolm.training.loop import run_training
from genolm.training.masking.batches import MaskedBatches
from genolm.training.masking.score import compute_masked_score
from genolm.training.masking.windows import MaskSettings
from genolm.training.persistence.run_folder import compute_model_sha256, finish_run_folder, open_run_folder
from genolm.training.schedules import PhasedSchedule, PhaseSettings, ScheduleName


@dataclass(frozen=True, kw_only=True)
class PretrainMaskedSettings:
    """A masked language model of genomes."""

    steps: int = 120_000
    batch_size: int = 2_000  # windows
    learning_rate: float = 4e-4  # highest
    schedule: ScheduleName = "linear"
    warmup_steps: int = 10_000
    both_strands: bool = True  # read every other window, by chance, as its reverse complement
    evaluations: int = 20  # on the validation split, evenly spread
    eval_max_bp: int = 500_000  # bases of the validation split used while training; all at the end
    model: BertSettings = field(default_factory=BertSettings)
    mask: MaskSettings = field(default_factory=MaskSettings)
    windows: WindowSettings = field(default_factory=lambda: WindowSettings(kind="random", length_bp=512))
    loop: LoopSettings = field(default_factory=LoopSettings)

    def __post_init__(self) -> None:
        """Check the ranges."""
        counts = (self.steps, self.batch_size, self.evaluations, self.eval_max_bp)
        if min(counts) < 1 or self.learning_rate <= 0 or not 0 <= self.warmup_steps <= self.steps:
            raise SettingsError(
                found=f"steps {self.steps}, batch_size {self.batch_size}, evaluations {self.evaluations}, "
                f"eval_max_bp {self.eval_max_bp}, learning_rate {self.learning_rate}, "
                f"warmup_steps {self.warmup_steps}",
                expected="a positive learning_rate, warmup_steps in 0..steps, the others at least 1",
                remedy="correct the masked settings",
            )


def pretrain_masked(
    corpus: Path,
    output: Path,
    *,
    scheme: KmerScheme,
    settings: PretrainMaskedSettings,
    pretrained: Path | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Train a masked language model on a corpus folder; return the content of metrics.json.

    Args:
        corpus: folder with a train and a validation split.
        output: run folder; at the end a plain Hugging Face model folder.
        scheme: how bases become tokens.
        settings: of the training; the model's size is not read with `pretrained`.
        pretrained: folder of a masked language model to go on from, such as DNABERT's.
        seed: of the weights, the windows, the masks and the dropout.
        reporter: shows the progress.

    Raises:
        SettingsError: windows that are longer than the model, or shorter than a token; another vocabulary.
        RunFolderError: `output` holds another run, or `corpus` is not a corpus.
    """
    _check_window_length(settings, scheme)
    bases, held_out = load_corpus_bases(corpus, "train"), load_held_out_bases(corpus)
    batches = MaskedBatches(
        bases,
        scheme=scheme,
        windows=settings.windows,
        mask=settings.mask,
        batch_size=settings.batch_size,
        num_steps=settings.steps,
        seed=seed,
        both_strands=settings.both_strands,
        locate=lambda positions: locate_bases(corpus, "train", positions),
    )
    inputs = {"corpus": compute_corpus_fingerprint(corpus)}
    if pretrained:
        inputs["pretrained"] = compute_model_sha256(pretrained)
    with open_run_folder(
        output,
        command="pretrain masked",
        settings={**asdict(settings), "tokenizer": scheme.name, "seed": seed},
        inputs=inputs,
    ) as finished:
        if finished:
            return finished
        if pretrained:
            model = load_masked_lm(pretrained, scheme)
            _check_same_scheme(pretrained, scheme)
        else:
            model = build_masked_lm(scheme, settings.model, seed=seed)
        use_masked_only_head(model)
        windows = {
            split: cut_windows(part, window_bp=settings.windows.length_bp, min_bp=2 * scheme.k)
            for split, part in held_out.items()
        }
        precision = choose_precision(settings.loop.precision)
        num_tokens = scheme.count_tokens(settings.windows.length_bp) + 2
        with choose_cpu_kernels(model, precision, num_tokens=num_tokens):
            return _train(
                model,
                batches,
                windows,
                output,
                scheme=scheme,
                settings=settings,
                seed=seed,
                reporter=reporter or Reporter(),
            )


def _train(
    model: PreTrainedModel,
    batches: MaskedBatches,
    windows: Mapping[str, list[Codes]],
    output: Path,
    *,
    scheme: KmerScheme,
    settings: PretrainMaskedSettings,
    seed: int,
    reporter: Reporter,
) -> dict[str, Any]:
    every = math.ceil(sum(map(len, windows["validation"])) / settings.eval_max_bp)
    watched = windows["validation"][::every]
    # Whole bases, all behind [MASK]: what is asked does not depend on how the training hides them.
    mask = replace(
        settings.mask, style="base_spans", mask_share=1.0, random_share=0.0, soft_masked_weight=1.0
    )

    def evaluate(current: PreTrainedModel) -> dict[str, float]:
        return compute_masked_score(current, watched, scheme=scheme, settings=mask)._asdict()

    outcome = run_training(
        TrainingJob(
            title="masked LM",
            batches=batches,
            schedule=PhasedSchedule(
                phases=(PhaseSettings(epochs=1, learning_rate=settings.learning_rate),),
                steps_per_epoch=settings.steps,
                schedule=settings.schedule,
                group_factor=1.0,
                warmup_steps=settings.warmup_steps,
            ),
            evaluate=evaluate,
            monitor="loss",
            larger_is_better=False,
            eval_every_steps=max(1, settings.steps // settings.evaluations),
            patience=0,
            bases_per_token=scheme.stride,
        ),
        model=model,
        run_folder=output,
        settings=settings.loop,
        seed=seed,
        reporter=reporter,
    )
    metrics = outcome.describe(bases_per_token=scheme.stride)
    for split, part in windows.items():
        metrics[split] = compute_masked_score(model.eval(), part, scheme=scheme, settings=mask)._asdict()
    finish_run_folder(output, model=model, scheme=scheme, metrics=metrics)
    return metrics


def _check_same_scheme(pretrained: Path, scheme: KmerScheme) -> None:
    """Refuse another scheme of as many tokens, such as other strides of the same k."""
    known = load_pretrained_scheme(pretrained)
    if known != scheme:
        raise SettingsError(
            found=f"a model of {known.name} in {pretrained}",
            expected=f"one of {scheme.name}, as the tokenizer says",
            remedy=f"set tokenizer: {known.name}, or choose another model",
        )


def _check_window_length(settings: PretrainMaskedSettings, scheme: KmerScheme) -> None:
    length_bp, tokens = settings.windows.length_bp, scheme.count_tokens(settings.windows.length_bp) + 2
    if settings.windows.min_row_bp < scheme.k:
        raise SettingsError(
            found=f"windows of {settings.windows.min_row_bp} bp with k={scheme.k}",
            expected="windows of at least k bases",
            remedy=f"set masked.windows.min_bp={scheme.k} or more",
        )
    if tokens > settings.model.max_tokens:
        raise SettingsError(
            found=f"windows of {length_bp} bp, which are {tokens} tokens of {scheme.name}",
            expected=f"at most {settings.model.max_tokens} tokens, the positions of the model",
            remedy="set a smaller masked.windows.length_bp, or a larger masked.model.max_tokens",
        )
