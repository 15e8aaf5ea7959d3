import numpy as np
import pytest
from small_classifiers import SEQUENCES, make_classifier, make_word_net

from genolm.alphabet import decode_bases, encode_bases, reverse_complement
from genolm.errors import SettingsError
from genolm.inference.classify import classify_sequences
from genolm.interpretation.targets import choose_target
from genolm.interpretation.window_map import compute_window_maps


def test_windows_of_a_model_with_a_known_answer():
    """TATAAT gives 6; each of its bases that is replaced by N, a quarter of each base, takes 0.75."""
    classifier = make_word_net("TATAAT")
    target = choose_target(classifier, score="log_odds")
    (found,) = compute_window_maps(
        classifier, ["CCCTATAATCCC"], target=target, window_bp=3, step_bp=3, replacement="unknown"
    )
    assert found.starts.tolist() == [0, 3, 6, 9]
    np.testing.assert_allclose(found.effects, [0, -2.25, -2.25, 0], atol=1e-6)
    np.testing.assert_allclose(found.contributions, [0] * 3 + [2.25] * 6 + [0] * 3, atol=1e-6)


@pytest.mark.parametrize("kind", ["awd_lstm", "gru"])
def test_an_effect_is_the_mean_over_shuffles_and_the_same_for_every_batch_size(kind):
    classifier = make_classifier(kind)
    target = choose_target(classifier)
    settings = {"target": target, "window_bp": 8, "step_bp": 4, "num_shuffles": 5, "seed": 3}
    found = compute_window_maps(classifier, SEQUENCES, **settings)
    again = compute_window_maps(classifier, SEQUENCES, **settings, batch_size=4)
    for one, other in zip(found, again, strict=True):
        np.testing.assert_allclose(one.effects, other.effects, atol=1e-6)
    assert found[1].starts.tolist() == [0, 3], "the last window ends where the sequence does"
    assert np.ptp(found[0].effects) > 1e-5


def test_unknown_windows_are_those_of_the_text_with_n():
    classifier = make_classifier("awd_lstm")
    (found,) = compute_window_maps(
        classifier, SEQUENCES[:1], target=choose_target(classifier), window_bp=5, replacement="unknown"
    )
    text = SEQUENCES[0]
    changed = [text[:start] + "NNNNN" + text[start + 5 :] for start in found.starts]
    scores = classify_sequences(classifier, [text, *changed])[:, 1]
    np.testing.assert_allclose(found.effects, scores[1:] - scores[0], atol=1e-6)
    assert len(changed) == 15


def test_both_strands_are_averaged_where_the_classifier_does():
    classifier = make_classifier("awd_lstm", average_strands=True)
    other = decode_bases(reverse_complement(encode_bases(SEQUENCES[0])))
    maps = compute_window_maps(
        classifier, [SEQUENCES[0], other], target=choose_target(classifier), replacement="unknown"
    )
    np.testing.assert_allclose(maps[0].effects, maps[1].effects[::-1], atol=1e-6)


def test_bad_settings():
    classifier = make_classifier("gru")
    target = choose_target(classifier)
    with pytest.raises(
        SettingsError, match=r"windows of 12 bp; expected 1 to 11 bp, the length of the shortest"
    ):
        compute_window_maps(classifier, SEQUENCES, target=target, window_bp=12)
    with pytest.raises(SettingsError, match=r"replacement 'mask', step 1 bp, .*one of shuffle, unknown"):
        compute_window_maps(classifier, SEQUENCES, target=target, replacement="mask")
