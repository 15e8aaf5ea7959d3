"""DNABERT-style pretraining: a masked language model of genomes (Ji et al. 2021), which hides whole bases."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from genolm.alphabet import Codes
from genolm.corpus.bases import (
    CorpusBases,
    compute_corpus_fingerprint,
    load_corpus_bases,
    load_held_out_bases,
    locate_bases,
)
from genolm.corpus.window_epochs import WindowSettings
from genolm.errors import RunFolderError, SettingsError
from genolm.files import read_json
from genolm.models.bert import BertSettings, build_masked_lm, load_masked_lm, use_masked_only_head
from genolm.models.cpu_kernels import choose_cpu_kernels
from genolm.progress import Reporter
from genolm.tokenization.scheme import KmerScheme
from genolm.tokenization.tokens import BpeTokens, Tokens, identify_tokens
from genolm.training.finetuning.models import load_pretrained_scheme
from genolm.training.hardware.precision import choose_precision
from genolm.training.job import LoopSettings, TrainingJob
from genolm.training.lm_score import cut_windows
from genolm.training.loop import run_training
from genolm.training.masking.batches import MaskedBatches
from genolm.training.masking.bpe import check_bpe_masking
from genolm.training.masking.bpe_score import compute_bpe_score
from genolm.training.masking.score import compute_masked_score
from genolm.training.masking.statistics import MaskStatistics, compute_mask_statistics
from genolm.training.masking.windows import MaskSettings
from genolm.training.persistence.run_folder import compute_model_sha256, finish_run_folder, open_run_folder
from genolm.training.schedules import PhasedSchedule, PhaseSettings, ScheduleName

MIN_BPE_WINDOW_BP = 32  # of held-out sequence; a shorter rest is not scored


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
    scheme: Tokens,
    settings: PretrainMaskedSettings,
    pretrained: Path | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Train a masked language model on a corpus folder; return the content of metrics.json.

    Args:
        corpus: folder with a train and a validation split.
        output: run folder; at the end a plain Hugging Face model folder.
        scheme: how bases become tokens; a window of more BPE tokens than the model has positions is cut.
        settings: of the training; the model's size is not read with `pretrained`.
        pretrained: folder of a masked language model to go on from, such as DNABERT's.
        seed: of the weights, the windows, the masks and the dropout.
        reporter: shows the progress.

    Raises:
        SettingsError: windows that are longer than the model, or shorter than a token; another vocabulary;
            masking that does not suit the tokens.
        RunFolderError: `output` holds another run, or `corpus` is not a corpus.
    """
    max_tokens = _find_max_tokens(settings, pretrained)
    if isinstance(scheme, BpeTokens):
        check_bpe_masking(settings.mask, scheme.name)
        scheme = replace(scheme, max_tokens=max_tokens)
    else:
        _check_window_length(settings, scheme, max_tokens=max_tokens)
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
    inputs = {"corpus": compute_corpus_fingerprint(corpus), **identify_tokens(scheme)}
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
        model = _prepare_model(scheme, settings, pretrained=pretrained, seed=seed)
        windows = _cut_held_out(held_out, settings, scheme)
        reporter = reporter or Reporter()
        statistics = compute_mask_statistics(batches)
        reporter.note(f"  masked LM: {statistics.describe()}")
        precision = choose_precision(settings.loop.precision)
        num_tokens = batches.build_largest(1).inputs["input_ids"].shape[1]
        with choose_cpu_kernels(model, precision, num_tokens=num_tokens):
            return _train(
                model,
                batches,
                windows,
                output,
                statistics=statistics,
                settings=settings,
                seed=seed,
                reporter=reporter,
            )


def _prepare_model(
    scheme: Tokens, settings: PretrainMaskedSettings, *, pretrained: Path | None, seed: int
) -> PreTrainedModel:
    if pretrained is None:
        model = build_masked_lm(scheme, settings.model, seed=seed)
    else:
        model = load_masked_lm(pretrained, scheme)
        _check_same_tokens(pretrained, scheme)
    use_masked_only_head(model)
    return model


def _cut_held_out(
    held_out: Mapping[str, CorpusBases], settings: PretrainMaskedSettings, scheme: Tokens
) -> dict[str, list[Codes]]:
    """Return the windows of each split; rests of one or two tokens are left out."""
    window_bp = settings.windows.length_bp
    min_bp = min(MIN_BPE_WINDOW_BP, window_bp) if isinstance(scheme, BpeTokens) else 2 * scheme.k
    return {split: cut_windows(part, window_bp=window_bp, min_bp=min_bp) for split, part in held_out.items()}


def _train(
    model: PreTrainedModel,
    batches: MaskedBatches,
    windows: Mapping[str, list[Codes]],
    output: Path,
    *,
    statistics: MaskStatistics,
    settings: PretrainMaskedSettings,
    seed: int,
    reporter: Reporter,
) -> dict[str, Any]:
    every = math.ceil(sum(map(len, windows["validation"])) / settings.eval_max_bp)
    watched = windows["validation"][::every]
    scheme = batches.scheme
    score = _build_score(scheme, settings.mask)
    bases_per_token = statistics.bases_per_token if isinstance(scheme, BpeTokens) else scheme.stride
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
            evaluate=lambda current: score(current, watched),
            monitor="loss",
            larger_is_better=False,
            eval_every_steps=max(1, settings.steps // settings.evaluations),
            patience=0,
            bases_per_token=bases_per_token,
        ),
        model=model,
        run_folder=output,
        settings=settings.loop,
        seed=seed,
        reporter=reporter,
    )
    metrics = outcome.describe(bases_per_token=1)
    metrics["bases_seen"] = round(outcome.tokens * bases_per_token)
    metrics["masking"] = statistics._asdict()
    for split, part in windows.items():
        metrics[split] = score(model.eval(), part)
    finish_run_folder(output, model=model, scheme=scheme, metrics=metrics)
    return metrics


def _build_score(
    scheme: Tokens, mask: MaskSettings
) -> Callable[[PreTrainedModel, Sequence[Codes]], dict[str, Any]]:
    """Return what scores a model on windows; all that is asked for stands behind [MASK]."""
    shown = replace(mask, mask_share=1.0, random_share=0.0, soft_masked_weight=1.0)
    if isinstance(scheme, BpeTokens):
        return lambda model, windows: compute_bpe_score(
            model, windows, tokens=scheme, settings=shown
        )._asdict()
    # Whole bases: what is asked does not depend on how the training hides them.
    spans = replace(shown, style="base_spans")
    return lambda model, windows: compute_masked_score(
        model, windows, scheme=scheme, settings=spans
    )._asdict()


def _check_same_tokens(pretrained: Path, scheme: Tokens) -> None:
    """Refuse as many tokens of another kind, such as other strides of the same k, or BPE trained anew."""
    known = load_pretrained_scheme(pretrained)
    if known != scheme:
        tokenizer = known.name if isinstance(known, KmerScheme) else pretrained
        raise SettingsError(
            found=f"a model of {known.name} in {pretrained}",
            expected=f"one of {scheme.name}, with the very tokens of the tokenizer",
            remedy=f"set tokenizer: {tokenizer}, or choose another model",
        )


def _find_max_tokens(settings: PretrainMaskedSettings, pretrained: Path | None) -> int:
    """Return the positions of the model that will be trained."""
    path = pretrained / "config.json" if pretrained else None
    if path is None or not path.is_file():
        return settings.model.max_tokens
    try:
        return int(read_json(path)["max_position_embeddings"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(
            found=f"no max_position_embeddings in {path}",
            expected="the config of a masked language model",
            remedy="copy the folder again, or correct the path",
        ) from error


def _check_window_length(settings: PretrainMaskedSettings, scheme: KmerScheme, *, max_tokens: int) -> None:
    length_bp, tokens = settings.windows.length_bp, scheme.count_tokens(settings.windows.length_bp) + 2
    if settings.windows.min_row_bp < scheme.k:
        raise SettingsError(
            found=f"windows of {settings.windows.min_row_bp} bp with k={scheme.k}",
            expected="windows of at least k bases",
            remedy=f"set masked.windows.min_bp={scheme.k} or more",
        )
    if tokens > max_tokens:
        raise SettingsError(
            found=f"windows of {length_bp} bp, which are {tokens} tokens of {scheme.name}",
            expected=f"at most {max_tokens} tokens, the positions of the model",
            remedy="set a smaller masked.windows.length_bp, or a larger masked.model.max_tokens",
        )
