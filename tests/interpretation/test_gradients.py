import numpy as np
import pytest
import torch
from small_bpe import train_small_bpe
from small_classifiers import KINDS, NAMES, SEQUENCES, make_classifier, make_word_net

from genolm.alphabet import decode_bases, encode_bases, reverse_complement
from genolm.errors import DataError, SettingsError
from genolm.inference.classify import Classifier, classify_sequences
from genolm.interpretation.bases import divide_over_bases, find_token_lengths, turn_effects
from genolm.interpretation.gradients import compute_gradient_maps
from genolm.interpretation.targets import choose_target
from genolm.models import AwdLstmConfig, AwdLstmForSequenceClassification
from genolm.tokenization.encoder import encode_sequences, pad_batch


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("score", ["probability", "log_odds"])
def test_integrated_gradients_add_up_to_the_difference_from_the_baseline(kind, score):
    classifier = make_classifier(kind)
    target = choose_target(classifier, score=score)
    found = compute_gradient_maps(classifier, SEQUENCES, target=target, steps=400, batch_size=150)
    for each, sequence in zip(found, SEQUENCES, strict=True):
        assert each.contributions.shape == (len(sequence),)
        assert each.contributions.dtype == np.float32
        difference = each.score - each.baseline_score
        assert each.contributions.sum() == pytest.approx(difference, abs=0.02 * abs(difference) + 1e-3)
        probability = classify_sequences(classifier, [sequence])[0, 1]
        expected = probability if score == "probability" else np.log(probability / (1 - probability))
        assert each.score == pytest.approx(expected, abs=1e-4)
    assert max(abs(each.score - each.baseline_score) for each in found) > 1e-3


def test_the_gradient_is_that_of_small_steps_of_the_embedding():
    classifier = make_classifier("deepbind", k=1)
    target = choose_target(classifier, score="log_odds")
    (found,) = compute_gradient_maps(classifier, SEQUENCES[:1], target=target, method="gradient_x_input")
    table = classifier.model.encoder.embedding.weight
    ids = encode_sequences(SEQUENCES[:1], classifier.scheme)
    batch = torch.from_numpy(pad_batch(ids).input_ids)
    expected = []
    for place in range(len(SEQUENCES[0])):
        scores = []
        for factor in (1.001, 0.999):
            grown = torch.cat([table, table[batch[0, place + 1]][None] * factor])
            changed = batch.clone()
            changed[0, place + 1] = len(table)
            with torch.no_grad():
                weights = {"encoder.embedding.weight": grown}
                logits = torch.func.functional_call(classifier.model, weights, (changed,)).logits.double()
            scores.append((logits[0, 1] - logits[0, 0]).item())
        expected.append((scores[0] - scores[1]) / 0.002)
    np.testing.assert_allclose(found.contributions, expected, atol=2e-3)
    assert np.ptp(expected) > 0.05


def test_the_gradients_of_a_model_with_a_known_answer_are_exact():
    classifier = make_word_net("TATAAT")
    target = choose_target(classifier, score="log_odds")
    expected = np.array([0] * 4 + [1] * 6 + [0] * 4, dtype=float)
    for method, factor in (("gradient_x_input", 1.0), ("saliency", 1.0), ("integrated_gradients", 0.75)):
        (found,) = compute_gradient_maps(classifier, ["CCCCTATAATCCCC"], target=target, method=method)
        np.testing.assert_allclose(found.contributions, factor * expected, atol=1e-5)
        assert (found.score, found.baseline_score) == (pytest.approx(6), pytest.approx(1.5))


def test_the_mean_over_both_strands_does_not_depend_on_the_strand():
    classifier = make_classifier("bert", average_strands=True)
    other = decode_bases(reverse_complement(encode_bases(SEQUENCES[0])))
    found = compute_gradient_maps(
        classifier, [SEQUENCES[0], other], target=choose_target(classifier), method="gradient_x_input"
    )
    np.testing.assert_allclose(found[0].contributions, found[1].contributions[::-1], atol=1e-6)
    assert found[0].score == pytest.approx(classify_sequences(classifier, SEQUENCES[:1])[0, 1], abs=1e-6)


def test_tokens_of_bpe_are_divided_over_their_own_bases(tmp_path):
    tokens = train_small_bpe(tmp_path)
    torch.manual_seed(7)
    config = AwdLstmConfig(vocab_size=tokens.vocab_size, embedding_size=6, lstm_size=8, num_layers=1)
    classifier = Classifier(AwdLstmForSequenceClassification(config).eval(), tokens, NAMES)
    (found,) = compute_gradient_maps(
        classifier, SEQUENCES[:1], target=choose_target(classifier), method="saliency"
    )
    ids = tokens.encode(SEQUENCES[0])[1:-1]
    ends = np.cumsum(tokens.token_bp[ids])
    assert ends[-1] == len(SEQUENCES[0])
    assert len(ids) < len(SEQUENCES[0])
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        assert np.ptp(found.contributions[start:end]) == 0


def test_a_token_is_divided_evenly_over_its_bases():
    values = np.array([[3.0, 6.0, 9.0], [0.0, 3.0, 0.0]])
    divided = divide_over_bases(values, np.array([3, 3, 3]), stride=2, length_bp=8)
    assert divided.tolist() == [[1, 1, 3, 2, 5, 3, 3, 0], [0, 0, 1, 1, 1, 0, 0, 0]]
    joined = divide_over_bases(np.array([4.0, 1.0]), np.array([2, 1]), stride=None, length_bp=3)
    assert joined.tolist() == [2, 2, 1]


def test_the_length_of_a_kmer_is_k():
    assert find_token_lengths(np.array([7, 8]), make_classifier("gru").scheme).tolist() == [3, 3]


def test_turning_twice_is_the_identity():
    effects = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(turn_effects(turn_effects(effects)), effects)


def test_bad_settings_and_sequences():
    classifier = make_classifier("bert", max_position_embeddings=10, long_inputs="windows")
    target = choose_target(classifier)
    with pytest.raises(SettingsError, match=r"the method 'lime' with 64 steps; expected one of saliency, "):
        compute_gradient_maps(classifier, SEQUENCES, target=target, method="lime")
    with pytest.raises(SettingsError, match=r"with 0 steps; expected .* at least 1 step"):
        compute_gradient_maps(classifier, SEQUENCES, target=target, steps=0)
    with pytest.raises(DataError, match=r"a sequence of 19 tokens; expected at most 10.* method mutation"):
        compute_gradient_maps(classifier, SEQUENCES, target=target)
