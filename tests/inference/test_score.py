import math

import numpy as np
import pytest
import torch
from made_up_dna import make_dna
from small_bpe import train_small_bpe
from small_models import LANGUAGE_MODELS, MAX_TOKENS, SCHEME, build_small_model

from genolm.alphabet import BASES
from genolm.errors import DataError, SettingsError
from genolm.inference import causal_score, masked_score
from genolm.inference.classification import classify
from genolm.inference.classify import Classifier
from genolm.inference.loading import LanguageModel
from genolm.inference.score import delta_score, score
from genolm.kmers import build_kmer_names
from genolm.models import AwdLstmConfig, AwdLstmForCausalLM
from genolm.models.bert import BertSettings, build_masked_lm
from genolm.tokenization.encoder import encode_sequence, encode_sequences
from genolm.tokenization.scheme import KmerScheme
from genolm.training.lm_score import compute_lm_score

SEQUENCES = ["ACGTACGTAC", "acgun", "GGGTTTAAACCCGATTACA", "TTG", make_dna(70, seed=5), "CATNACATCAT"]
KMERS = build_kmer_names(3)


def load(name: str) -> LanguageModel:
    return LanguageModel(*build_small_model(name))


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_a_score_does_not_depend_on_the_batch(name):
    loaded = load(name)
    together = score(loaded, SEQUENCES)
    alone = [score(loaded, [each]) for each in SEQUENCES]
    np.testing.assert_allclose(together.bits, [each.bits[0] for each in alone], rtol=1e-5, atol=1e-5)
    assert together.bases.tolist() == [each.bases[0] for each in alone]
    again = score(loaded, SEQUENCES[::-1], batch_size=3)
    np.testing.assert_allclose(again.bits[::-1], together.bits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("successor_softmax", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_bits_of_a_causal_model_add_up_to_the_score_of_its_training(direction, successor_softmax, stride):
    scheme = KmerScheme(k=3, stride=stride)
    torch.manual_seed(0)
    config = AwdLstmConfig(
        vocab_size=69,
        embedding_size=8,
        lstm_size=12,
        num_layers=2,
        kmer_k=3,
        kmer_stride=stride,
        direction=direction,
        successor_softmax=successor_softmax,
    )
    model = AwdLstmForCausalLM(config).eval()
    with torch.no_grad():
        model.decoder.bias.uniform_(-1, 1)
    found = score(LanguageModel(model, scheme), SEQUENCES)
    expected = compute_lm_score(model, encode_sequences(SEQUENCES, scheme), scheme=scheme)
    assert found.bases.sum() == expected.bases
    assert found.bits.sum() / found.bases.sum() == pytest.approx(expected.bits_per_base, rel=1e-6)


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_a_uniform_model_scores_2_bits_for_each_base(name):
    loaded = load(name)
    with torch.no_grad():
        for parameter in loaded.model.parameters():
            parameter.zero_()
    found = score(loaded, ["ACGTACGTAC", "CATNACATCAT", "NNNNN"])
    np.testing.assert_allclose(found.bits_per_base, [2, 2, math.nan], rtol=1e-6)
    # New bases behind the first 3-mer of each stretch; of a masked model all known ones.
    assert found.bases.tolist() == ([7, 4, 0] if loaded.kind == "causal" else [10, 10, 0])


@pytest.mark.parametrize("name", ["awd_lstm_lm", "backward_lm"])
def test_a_long_sequence_is_read_in_parts_with_the_state_carried_on(name, monkeypatch):
    loaded, sequences = load(name), [make_dna(101, seed=2), make_dna(40, seed=3)]
    expected = score(loaded, sequences)
    monkeypatch.setattr(causal_score, "MAX_LOGITS", 69 * 50)
    monkeypatch.setattr(causal_score, "MAX_PART_TOKENS", 17)
    found = score(loaded, sequences)
    np.testing.assert_allclose(found.bits, expected.bits, rtol=1e-6)
    assert found.bases.tolist() == expected.bases.tolist() == [98, 37]


def tell_bases(model, sequence: str, *, first: int = 0) -> dict[int, float]:
    """The chance of every base, by its place: one pass after the other, with plain loops.

    `first` is where the sequence stands in a longer one, by whose places the passes go.
    """
    ids = encode_sequence(sequence, SCHEME, dtype=np.int64)
    chances = {}
    for hidden in range(8):
        shown = ids.copy()
        places = [place for place in range(len(sequence)) if (first + place) % 8 == hidden]
        for token in range(len(sequence) - 2):
            if ids[token + 1] != 1 and any(token <= place < token + 3 for place in places):
                shown[token + 1] = 4
        with torch.no_grad():
            logits = model(input_ids=torch.from_numpy(shown)[None]).logits[0, :, 5:].double()
        for place in places:
            seers = [token for token in range(place - 2, place + 1) if 0 <= token < len(sequence) - 2]
            votes = [
                sum(
                    chance
                    for kmer, chance in zip(KMERS, logits[token + 1].softmax(-1).tolist(), strict=True)
                    if kmer[place - token] == sequence[place]
                )
                for token in seers
                if shown[token + 1] == 4
            ]
            if votes:
                chances[first + place] = sum(votes) / len(votes)
    return chances


@pytest.mark.parametrize("name", ["bert_lm", "modernbert_lm"])
def test_a_masked_model_tells_each_base_behind_masks_on_all_tokens_that_see_it(name):
    loaded = load(name)
    for sequence in ("ACGTACGTACGGATTACATC", "CATNACATCATGG", "TTG"):
        chances = tell_bases(loaded.model, sequence)
        found = score(loaded, [sequence])
        assert found.bases[0] == len(chances)
        assert found.bits[0] == pytest.approx(-sum(map(math.log2, chances.values())), rel=1e-5)


def test_a_masked_model_reads_a_long_sequence_in_windows(monkeypatch):
    loaded, sequence = load("bert_lm"), make_dna(47, seed=8)
    first, second = tell_bases(loaded.model, sequence[:32]), tell_bases(loaded.model, sequence[15:], first=15)
    joined = {
        place: np.mean([part[place] for part in (first, second) if place in part]) for place in range(47)
    }
    found = score(loaded, [SEQUENCES[0], sequence])
    assert found.bits[1] == pytest.approx(-sum(map(math.log2, joined.values())), rel=1e-5)
    assert found.bases[1] == 47
    monkeypatch.setattr(masked_score, "GROUP_TOKENS", 20)
    np.testing.assert_allclose(score(loaded, [SEQUENCES[0], sequence]).bits, found.bits, rtol=1e-5)


def test_a_masked_model_of_strides_does_not_score_the_bases_that_no_token_has():
    scheme = KmerScheme(k=3, stride=3)
    model = build_masked_lm(scheme, BertSettings(size="debug", max_tokens=MAX_TOKENS), seed=0).eval()
    assert score(LanguageModel(model, scheme), ["ACGTTGACGTA", "ACGNTGACG"]).bases.tolist() == [9, 6]


def test_every_base_is_hidden_in_one_pass_and_few_at_a_time():
    scheme = KmerScheme(k=6, stride=1)
    ids, zero = np.array([[2, *[9] * 60, 3]]), np.array([0])
    masked = np.array([
        masked_score.find_masked_tokens(ids, starts=zero, passes=zero + number, scheme=scheme)[0, 1:-1]
        for number in range(masked_score.count_passes(scheme))
    ])  # fmt: skip
    assert masked.shape == (12, 60)
    assert (masked.sum(axis=0) == 6).all(), "each token sees 6 bases"
    assert masked.mean() == 0.5


def test_bpe_tokens_are_hidden_one_by_one(tmp_path):
    tokens = train_small_bpe(tmp_path)
    model = build_masked_lm(tokens, BertSettings(size="debug", max_tokens=MAX_TOKENS), seed=0).eval()
    sequence = make_dna(40, seed=4)
    (ids,) = encode_sequences([sequence], tokens, dtype=np.int64)
    assert 10 < len(ids) <= MAX_TOKENS
    bits = 0.0
    for hidden in range(8):
        shown = ids.copy()
        shown[1 + hidden : -1 : 8] = 4
        with torch.no_grad():
            chances = model(input_ids=torch.from_numpy(shown)[None]).logits[0].double().softmax(-1)
        bits -= sum(math.log2(chances[place, ids[place]]) for place in range(1 + hidden, len(ids) - 1, 8))
    found = score(LanguageModel(model, tokens), [sequence, sequence[:20]])
    assert found.bits[0] == pytest.approx(bits, rel=1e-5)
    assert found.bases.tolist() == [40, 20]


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_a_change_counts_what_it_takes_from_the_likelihood(name):
    loaded, reference = load(name), "GGGTTTAAACCCGATTACA"
    alternatives = [reference[:9] + base + reference[10:] for base in BASES]
    found = delta_score(loaded, [reference] * 4, alternatives)
    assert found[alternatives.index(reference)] == 0
    expected = score(loaded, [reference]).bits[0] - score(loaded, alternatives).bits
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert np.ptp(found) > 0.01, "the bases must differ for this test"


def test_a_change_moves_the_probabilities_of_a_classifier():
    model, scheme = build_small_model("awd_lstm_classifier")
    loaded = Classifier(model, scheme, ("other", "promoter"))
    found = delta_score(loaded, ["ACGTACGT", "TTTTT"], ["ACGAACGT", "TTTTT"])
    expected = classify(loaded, ["ACGAACGT"]).probabilities - classify(loaded, ["ACGTACGT"]).probabilities
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)
    assert found[1].tolist() == [0, 0]
    assert found[0].sum() == pytest.approx(0, abs=1e-6)
    assert abs(found[0, 0]) > 1e-4


def test_pairs_must_be_pairs():
    with pytest.raises(DataError, match=r"found 2 reference and 1 alternative sequences"):
        delta_score(load("awd_lstm_lm"), ["ACGT", "ACGT"], ["ACGA"])


def test_a_classifier_is_no_language_model_and_the_other_way_round():
    model, scheme = build_small_model("bert_classifier")
    with pytest.raises(SettingsError, match=r"a classifier \(BertForSequenceClassification\) .* scored"):
        score(Classifier(model, scheme, ("a", "b")), SEQUENCES)
    with pytest.raises(SettingsError, match=r"a language model \(BertForMaskedLM\) where .* fine-tune it"):
        classify(load("bert_lm"), SEQUENCES)
