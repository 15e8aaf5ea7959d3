"""What a model says of two alleles: probabilities, values, or how likely it finds them.

Shapes: N windows, L bases, T tokens, V vocabulary.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedModel

import genolm.models  # noqa: F401  registers the architectures with the Auto classes
from genolm.alphabet import UNKNOWN_CODE, Codes, reverse_complement
from genolm.errors import RunFolderError
from genolm.inference.classify import Classifier, load_classifier
from genolm.interpretation.targets import Target, choose_target, compute_target
from genolm.interpretation.token_rows import encode_rows
from genolm.interpretation.variants.alleles import AllelePair
from genolm.interpretation.variants.settings import VariantSettings
from genolm.models.scoring import iter_logits
from genolm.tokenization.encoder import TokenIds
from genolm.tokenization.scheme import MASK_ID, NUM_SPECIAL_TOKENS, UNK_ID, KmerScheme
from genolm.tokenization.tokens import Tokens, load_tokens, require_kmers
from genolm.training.masking.score import compute_base_chances

Floats = npt.NDArray[np.float64]


class Field(NamedTuple):
    """A column of the table, and a field of the VCF with GENOLM_ before it, in capitals."""

    name: str
    description: str


class Scorer(NamedTuple):
    """A model with what it says of alleles."""

    model: PreTrainedModel
    scheme: Tokens
    fields: tuple[Field, ...]
    score: Callable[[Sequence[AllelePair]], Floats]
    """of pairs, [pairs, fields]"""


CLASSIFIER_FIELDS = (
    Field("p_ref", "probability of {name} with REF"),
    Field("p_alt", "probability of {name} with ALT"),
    Field("delta", "p_alt - p_ref"),
    Field("score", "delta * max(0, p_alt, p_ref)"),
    Field("log_odds", "log-odds with ALT minus log-odds with REF, in nats"),
)
REGRESSION_FIELDS = (
    Field("value_ref", "{name} with REF"),
    Field("value_alt", "{name} with ALT"),
    Field("delta", "value_alt - value_ref"),
)
CAUSAL_FIELDS = (Field("llr", "log-likelihood of the window with ALT minus that with REF, in nats"),)
MASKED_FIELDS = (
    Field("llr", "pseudo-log-likelihood of the bases with ALT minus that with REF, each hidden, in nats"),
)


def load_scorer(folder: Path, settings: VariantSettings) -> Scorer:
    """Load a classifier, a regression or a language model, told apart by its config.json.

    Raises:
        RunFolderError: the folder holds no finished model, or model and tokenizer do not fit.
        SettingsError: the class is not given or unknown, or a language model has BPE tokens.
    """
    scheme = load_tokens(folder)
    kind = (AutoConfig.from_pretrained(folder).architectures or [""])[0]
    if kind.endswith("ForMaskedLM"):
        model = _load_language_model(AutoModelForMaskedLM, folder)
        kmers = require_kmers(scheme, what="the likelihood of alleles")
        return Scorer(model, kmers, MASKED_FIELDS, lambda pairs: score_masked(model, kmers, pairs, settings))
    if kind.endswith("ForCausalLM"):
        model = _load_language_model(AutoModelForCausalLM, folder)
        kmers = require_kmers(scheme, what="the likelihood of alleles")
        return Scorer(model, kmers, CAUSAL_FIELDS, lambda pairs: score_causal(model, kmers, pairs, settings))
    classifier = load_classifier(folder)
    target = choose_target(classifier, class_name=settings.class_name, score="log_odds")
    fields = REGRESSION_FIELDS if target.task == "regression" else CLASSIFIER_FIELDS
    named = tuple(Field(each.name, each.description.format(name=target.name)) for each in fields)
    return Scorer(
        classifier.model, scheme, named, lambda pairs: score_classes(classifier, target, pairs, settings)
    )


def _load_language_model(auto_class: Any, folder: Path) -> PreTrainedModel:
    if not (folder / "model.safetensors").is_file():
        raise RunFolderError(
            found=f"no model.safetensors in {folder}",
            expected="the folder of a finished model",
            remedy="finish the training first, or correct the path",
        )
    model: PreTrainedModel = auto_class.from_pretrained(folder).eval()
    return model


def score_classes(
    classifier: Classifier, target: Target, pairs: Sequence[AllelePair], settings: VariantSettings
) -> Floats:
    """Compare probabilities or values: [pairs, fields]. Both strands count half.

    The two forms are (p_alt - p_ref) * max(0, p_alt, p_ref) of a classification, and the difference of a
    regression. The log-odds come from the logits, so that they do not flatten where the model is sure.
    """

    def compute(windows: Codes) -> Floats:
        rows = list(encode_rows(windows, classifier.scheme))
        parts = [
            compute_target(logits.double(), target).cpu().numpy()
            for _, logits in iter_logits(classifier.model, rows, batch_size=settings.batch_size)
        ]
        return np.concatenate(parts)

    ref, alt = _compute_on_strands(compute, pairs, settings)
    if target.task == "regression":
        ref, alt = ref.mean(axis=0), alt.mean(axis=0)
        return np.stack([ref, alt, alt - ref], axis=1)
    log_odds = (alt - ref).mean(axis=0)
    p_ref, p_alt = ((1 / (1 + np.exp(-each))).mean(axis=0) for each in (ref, alt))
    delta = p_alt - p_ref
    return np.stack([p_ref, p_alt, delta, delta * np.maximum(0, np.maximum(p_alt, p_ref)), log_odds], axis=1)


def score_causal(
    model: PreTrainedModel, scheme: KmerScheme, pairs: Sequence[AllelePair], settings: VariantSettings
) -> Floats:
    """Compare the log-likelihoods of whole windows: [pairs, 1], in nats."""

    def compute(windows: Codes) -> Floats:
        rows = encode_rows(windows, scheme)
        return compute_log_likelihoods(model, np.asarray(rows), batch_size=settings.batch_size)

    ref, alt = _compute_on_strands(compute, pairs, settings)
    return (alt - ref).mean(axis=0)[:, None]


def compute_log_likelihoods(model: PreTrainedModel, ids: TokenIds, *, batch_size: int) -> Floats:
    """Return the log-likelihood of each row of token ids [N, T] under a causal model, float64 [N], in nats.

    Scored is each k-mer after another one; the first, of the model's direction, is context only.
    """
    is_backward = getattr(model.config, "direction", "forward") == "backward"
    sums = []
    for rows, logits_BTV in iter_logits(model, list(ids), batch_size=batch_size):
        ids_BT = torch.from_numpy(np.asarray(ids[rows], dtype=np.int64)).to(logits_BTV.device)
        if is_backward:  # what stands before a token is predicted by it
            logits_BTV, seen_BT, next_BT = logits_BTV[:, 1:], ids_BT[:, 1:], ids_BT[:, :-1]
        else:
            logits_BTV, seen_BT, next_BT = logits_BTV[:, :-1], ids_BT[:, :-1], ids_BT[:, 1:]
        nats_BT = logits_BTV.gather(2, next_BT[..., None])[..., 0] - logits_BTV.logsumexp(dim=2)
        is_scored_BT = (seen_BT >= NUM_SPECIAL_TOKENS) & (next_BT >= NUM_SPECIAL_TOKENS)
        sums.append(nats_BT.double().masked_fill(~is_scored_BT, 0.0).sum(dim=1).cpu().numpy())
    return np.concatenate(sums)


def score_masked(
    model: PreTrainedModel, scheme: KmerScheme, pairs: Sequence[AllelePair], settings: VariantSettings
) -> Floats:
    """Compare the pseudo-log-likelihoods of the changed bases: [pairs, 1], in nats.

    From the first base of the variant on, as many bases as the longer allele has are hidden one after
    another, each from all tokens that see it, in the window of REF and in that of ALT; so both have as many.
    For a substitution that is log p(alt) - log p(ref) of one and the same hidden base.
    """
    counts = [pair.changed_bp for pair in pairs]
    owners = np.repeat(np.arange(len(pairs)), counts)
    places = np.concatenate([pair.place_bp + np.arange(pair.changed_bp) for pair in pairs])

    def compute(windows: Codes, places: npt.NDArray[np.int64]) -> Floats:
        return compute_base_log_chances(model, windows, places, scheme=scheme, batch_size=settings.batch_size)

    totals = []
    for is_turned in _list_turns(settings):
        by_allele = []
        for stacked in _stack(pairs):
            windows = stacked[owners]
            turned = (reverse_complement(windows), windows.shape[1] - 1 - places)
            nats = compute(*(turned if is_turned else (windows, places)))
            by_allele.append(np.bincount(owners, weights=nats, minlength=len(pairs)))
        totals.append(by_allele[1] - by_allele[0])
    return np.mean(totals, axis=0)[:, None]


def compute_base_log_chances(
    model: PreTrainedModel,
    windows: Codes,
    places: npt.NDArray[np.int64],
    *,
    scheme: KmerScheme,
    batch_size: int,
) -> Floats:
    """Return log p of one hidden base of each window under a masked model, float64 [N], in nats.

    Args:
        model: a masked language model.
        windows: uint8 [N, L], of known bases.
        places: int64 [N], the base to hide; a base that no token sees gives NaN.
        scheme: of the tokens.
        batch_size: windows at a time.
    """
    number = np.arange(len(windows))
    hidden = windows.copy()
    hidden[number, places] = UNKNOWN_CODE
    distinct, place_of = np.unique(hidden, axis=0, return_inverse=True)
    ids = np.asarray(encode_rows(distinct, scheme))
    ids[ids == UNK_ID] = MASK_ID  # known bases alone: an unknown k-mer is one that sees the hidden base
    chances = []
    for rows, logits_BTV in iter_logits(model, list(ids), batch_size=batch_size):
        row, token = torch.from_numpy(ids[rows] == MASK_ID).nonzero(as_tuple=True)
        chosen = logits_BTV.cpu()[row, token]
        shape = (rows.stop - rows.start, windows.shape[1])
        found = compute_base_chances(chosen, row, (token - 1) * scheme.stride, scheme=scheme, shape=shape)
        where = (distinct[rows] == UNKNOWN_CODE).argmax(axis=1)
        chances.append(found.numpy()[np.arange(len(where)), where])
    of_base = np.concatenate(chances)[place_of.ravel(), windows[number, places]].astype(np.float64)
    return np.log(np.where(of_base > 0, of_base, np.nan))


def _list_turns(settings: VariantSettings) -> list[bool]:
    return {"both": [False, True], "plus": [False], "minus": [True]}[settings.strand]


def _stack(pairs: Sequence[AllelePair]) -> tuple[Codes, Codes]:
    return np.stack([pair.ref_window for pair in pairs]), np.stack([pair.alt_window for pair in pairs])


def _compute_on_strands(
    compute: Callable[[Codes], Floats], pairs: Sequence[AllelePair], settings: VariantSettings
) -> tuple[Floats, Floats]:
    """Return a number for REF and for ALT, each [strands, pairs]; equal windows are computed once."""
    ref, alt = _stack(pairs)
    distinct, place_of = np.unique(np.concatenate([ref, alt]), axis=0, return_inverse=True)
    found = np.stack(
        [compute(reverse_complement(distinct) if turned else distinct) for turned in _list_turns(settings)]
    )[:, place_of.ravel()]
    return found[:, : len(pairs)], found[:, len(pairs) :]
