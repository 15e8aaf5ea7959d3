"""What models say of alleles, beside plain computations of the same."""

import numpy as np
import pytest
import torch
from small_masked_lms import MODELS
from small_masked_lms import SCHEME as MASKED_SCHEME
from small_window_models import SCHEME, save_causal, save_classifier
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from genolm.alphabet import encode_bases
from genolm.errors import RunFolderError, SettingsError
from genolm.inference.classify import classify_sequences, load_classifier
from genolm.interpretation.variants.alleles import AllelePair
from genolm.interpretation.variants.scores import load_scorer
from genolm.interpretation.variants.settings import VariantSettings
from genolm.models.strands import turn_sequences
from genolm.tokenization.encoder import encode_sequence
from genolm.training.persistence.run_folder import save_model_folder

REF, ALTS = "ACGTTGCAAC", ("ACGTTCCAAC", "ACGTTGAAAC", "ACGTTAAAAC")
CHANGED_BP = (1, 2, 2)


def make_pairs() -> list[AllelePair]:
    return [
        AllelePair(encode_bases(REF), encode_bases(alt), 5, changed_bp)
        for alt, changed_bp in zip(ALTS, CHANGED_BP, strict=True)
    ]


def make_settings(**changed: object) -> VariantSettings:
    return VariantSettings(window_bp=10, batch_size=2, **changed)


@pytest.mark.parametrize("strand", ["both", "plus", "minus"])
def test_a_classifier_gives_differences_of_its_probabilities(tmp_path, strand):
    folder = save_classifier(tmp_path / "model")
    found = load_scorer(folder, make_settings(strand=strand)).score(make_pairs())
    classifier = load_classifier(folder)
    texts = {"plus": [REF, *ALTS], "minus": turn_sequences([REF, *ALTS])}
    p = np.stack(
        [
            classify_sequences(classifier, texts[each])[:, 1].astype(float)
            for each in (texts if strand == "both" else [strand])
        ]
    )
    mean = p.mean(axis=0)
    delta = mean[1:] - mean[0]
    assert np.abs(delta).min() > 1e-4
    expected = [np.repeat(mean[0], 3), mean[1:], delta, delta * np.maximum(mean[1:], mean[0])]
    np.testing.assert_allclose(found[:, :4], np.stack(expected, axis=1), atol=1e-6)
    logit = np.log(p / (1 - p)).mean(axis=0)
    np.testing.assert_allclose(found[:, 4], logit[1:] - logit[0], atol=1e-4)


def test_a_regression_gives_the_difference_of_values(tmp_path):
    folder = save_classifier(tmp_path / "model", num_labels=1)
    scorer = load_scorer(folder, make_settings(strand="plus"))
    assert [field.name for field in scorer.fields] == ["value_ref", "value_alt", "delta"]
    values = classify_sequences(load_classifier(folder), [REF, *ALTS])[:, 0]
    expected = np.stack([np.repeat(values[0], 3), values[1:], values[1:] - values[0]], axis=1)
    np.testing.assert_allclose(scorer.score(make_pairs()), expected, atol=1e-5)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("successor_softmax", [True, False], ids=["successors", "all"])
def test_a_causal_model_gives_the_difference_of_its_losses(tmp_path, direction, successor_softmax):
    folder = save_causal(tmp_path / "lm", direction=direction, successor_softmax=successor_softmax)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()

    def compute_nats(text: str) -> float:
        """By the loss of the model itself, over k-mers alone."""
        ids = torch.from_numpy(encode_sequence(text, SCHEME).astype(np.int64))[None]
        labels = torch.where(ids >= 5, ids, -100)
        # the first k-mer read is context: what stands before it is no k-mer
        if direction == "backward":
            labels[0, -2] = -100
        else:
            labels[0, 1] = -100
        with torch.no_grad():
            output = model(input_ids=ids, labels=labels)
        return -float(output.loss * output.num_scored)

    expected = [
        np.mean([compute_nats(alt) - compute_nats(ref) for alt, ref in zip(pair, (REF, turned), strict=True)])
        for turned in turn_sequences([REF])
        for pair in zip(ALTS, turn_sequences(ALTS), strict=True)
    ]
    found = load_scorer(folder, make_settings()).score(make_pairs())
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_masked_model_is_asked_for_hidden_bases(tmp_path, name):
    torch.manual_seed(1)
    save_model_folder(tmp_path, model=type(MODELS[name])(MODELS[name].config), scheme=MASKED_SCHEME)
    model = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()

    def compute_nats(text: str, place: int) -> float:
        """Hide one base from the three 3-mers that see it, and average what they say of it."""
        ids = torch.from_numpy(encode_sequence(text, MASKED_SCHEME).astype(np.int64))[None]
        seeing = [token for token in range(place - 2, place + 1) if 0 <= token < len(text) - 2]
        masked = ids.clone()
        masked[0, [1 + token for token in seeing]] = 4
        with torch.no_grad():
            chances = model(input_ids=masked).logits[0, :, 5:].softmax(dim=-1)
        base = "ATCG".index(text[place])
        of_kmer = torch.arange(64)
        return np.log(
            np.mean(
                [
                    float(chances[1 + token][of_kmer // 4 ** (2 - (place - token)) % 4 == base].sum())
                    for token in seeing
                ]
            )
        )

    expected = [
        sum(compute_nats(alt, 5 + step) - compute_nats(REF, 5 + step) for step in range(changed_bp))
        for alt, changed_bp in zip(ALTS, CHANGED_BP, strict=True)
    ]
    found = load_scorer(tmp_path, make_settings(strand="plus")).score(make_pairs())
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-5)
    assert np.ptp(expected) > 0.01
    # Of complementary sequences, the minus strand says what the plus strand says of the other.
    turned = [
        AllelePair(encode_bases(ref), encode_bases(alt), 10 - 5 - count, count)
        for alt, ref, count in zip(turn_sequences(ALTS), turn_sequences([REF] * 3), CHANGED_BP, strict=True)
    ]
    on_minus = load_scorer(tmp_path, make_settings(strand="minus")).score(turned)
    np.testing.assert_allclose(on_minus, found, atol=1e-5)


def test_a_substitution_of_a_masked_model_is_antisymmetric(tmp_path):
    save_model_folder(tmp_path, model=MODELS["bert"], scheme=MASKED_SCHEME)
    pair = make_pairs()[0]
    back = pair._replace(ref_window=pair.alt_window, alt_window=pair.ref_window)
    forth_nats, back_nats = load_scorer(tmp_path, make_settings()).score([pair, back])[:, 0]
    assert forth_nats == pytest.approx(-back_nats, abs=1e-6)
    assert abs(forth_nats) > 1e-3


def test_a_language_model_that_is_not_finished_is_refused(tmp_path):
    save_causal(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(RunFolderError, match=r"no model.safetensors in .*; finish the training first"):
        load_scorer(tmp_path, make_settings())


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    from genolm.tokenization.scheme import KmerScheme
    from genolm.tokenization.tokenizer_json import save_tokenizer

    save_classifier(tmp_path)
    save_tokenizer(KmerScheme(k=3, stride=1), tmp_path)
    with pytest.raises(RunFolderError, match=r"69.*21|21.*69"):
        load_scorer(tmp_path, make_settings())


def test_an_unknown_class_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"the class 'maybe'; expected one of no, yes"):
        load_scorer(save_classifier(tmp_path), make_settings(class_name="maybe"))
