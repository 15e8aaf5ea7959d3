import numpy as np
import pytest
import torch
from small_bpe import train_small_bpe
from small_classifiers import KINDS, NAMES, SEQUENCES, make_classifier, make_word_net

from genolm.alphabet import BASES, decode_bases, encode_bases, reverse_complement
from genolm.errors import DataError, SettingsError
from genolm.inference.classify import Classifier, classify_sequences
from genolm.interpretation.mutation_map import (
    compute_contributions,
    compute_deletion_map,
    compute_mutation_map,
)
from genolm.interpretation.targets import Target, choose_target, compute_target
from genolm.interpretation.token_rows import build_substituted_ids, list_substitutions
from genolm.models import AwdLstmConfig, AwdLstmForSequenceClassification
from genolm.tokenization.encoder import encode_sequences
from genolm.tokenization.scheme import KmerScheme


def map_plainly(classifier: Classifier, sequence: str, index: int = 1) -> np.ndarray:
    """Every mutated sequence written as text, encoded afresh and classified."""
    score = classify_sequences(classifier, [sequence])[0, index]
    effects = np.full((len(sequence), 4), np.nan)
    for position, letter in enumerate(sequence):
        if letter in BASES:
            changed = [sequence[:position] + base + sequence[position + 1 :] for base in BASES]
            effects[position] = classify_sequences(classifier, changed, batch_size=3)[:, index] - score
    return effects


def check_map(classifier: Classifier, batch_size: int = 256) -> None:
    found = compute_mutation_map(
        classifier, SEQUENCES, target=choose_target(classifier), batch_size=batch_size
    )
    assert found.effects.shape == (2, len(SEQUENCES[0]), 4)
    assert found.effects.dtype == np.float32
    for row, score, sequence in zip(found.effects, found.scores, SEQUENCES, strict=True):
        expected = map_plainly(classifier, sequence)
        np.testing.assert_allclose(row[: len(sequence)], expected, atol=1e-6)
        assert np.nanmax(abs(expected)) > 1e-4, "the model must see the substitutions"
        assert np.isnan(row[len(sequence) :]).all()
        assert score == pytest.approx(classify_sequences(classifier, [sequence])[0, 1], abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_map_is_that_of_every_mutated_sequence_encoded_afresh(kind):
    check_map(make_classifier(kind))


@pytest.mark.parametrize("kind", ["awd_lstm", "backward", "gru"])
@pytest.mark.parametrize(("k", "stride"), [(4, 2), (3, 3), (1, 1), (5, 3)])
def test_the_map_is_the_plain_one_for_other_kmers_and_small_batches(kind, k, stride):
    check_map(make_classifier(kind, k=k, stride=stride), batch_size=7)


@pytest.mark.parametrize("kind", ["awd_lstm", "backward"])
def test_a_long_sequence_that_the_network_reads_by_windows_has_the_plain_map(kind):
    check_map(make_classifier(kind, max_bptt_tokens=8, bptt_tokens=4))


@pytest.mark.parametrize("kind", ["awd_lstm", "backward"])
@pytest.mark.parametrize("parts", [3, 10])
def test_a_head_of_parts_has_the_plain_map(kind, parts):
    """The second sequence has 9 tokens, so that of 10 parts one is empty."""
    check_map(make_classifier(kind, classifier_parts=parts))


def test_long_inputs_of_a_transformer_are_read_by_windows_as_in_prediction():
    check_map(make_classifier("bert", max_position_embeddings=10, long_inputs="windows"))


def test_both_strands_are_averaged_where_the_classifier_does():
    check_map(make_classifier("awd_lstm", average_strands=True))


def test_bpe_is_encoded_afresh(tmp_path):
    tokens = train_small_bpe(tmp_path)
    torch.manual_seed(7)
    config = AwdLstmConfig(vocab_size=tokens.vocab_size, embedding_size=6, lstm_size=8, num_layers=1)
    model = AwdLstmForSequenceClassification(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    check_map(Classifier(model, tokens, NAMES), batch_size=5)


def test_the_map_of_a_model_with_a_known_answer_is_exact():
    """The log-odds are the most letters of a window in common with TATAAT; here 6, and 5 after a change."""
    classifier = make_word_net("TATAAT")
    target = choose_target(classifier, class_name="promoter", score="log_odds")
    sequence = "CCCCTATAATCCCC"
    found = compute_mutation_map(classifier, [sequence], target=target)
    expected = np.zeros((14, 4))
    for position, base in enumerate("TATAAT", start=4):
        expected[position] = -1
        expected[position, BASES.index(base)] = 0
    np.testing.assert_allclose(found.effects[0], expected, atol=1e-6)
    assert found.scores[0] == pytest.approx(6)
    contributions = compute_contributions(found.effects)[0]
    np.testing.assert_allclose(contributions, [0] * 4 + [1] * 6 + [0] * 4, atol=1e-6)


def test_a_change_that_mends_the_word_is_favorable():
    classifier = make_word_net("TATAAT")
    target = choose_target(classifier, score="log_odds")
    effects = compute_mutation_map(classifier, ["CCCCTAGAATCCCC"], target=target).effects[0]
    assert effects[6].tolist() == pytest.approx([0, 1, 0, 0], abs=1e-6)  # A T C G
    assert effects.max() == pytest.approx(1)


@pytest.mark.parametrize("kind", ["awd_lstm", "backward", "gru", "bert"])
def test_a_deletion_has_the_score_of_the_shorter_sequence(kind):
    classifier = make_classifier(kind)
    found = compute_deletion_map(classifier, SEQUENCES, target=choose_target(classifier), batch_size=5)
    for row, sequence in zip(found, SEQUENCES, strict=True):
        shorter = [sequence[:place] + sequence[place + 1 :] for place in range(len(sequence))]
        scores = classify_sequences(classifier, [sequence, *shorter])[:, 1]
        np.testing.assert_allclose(row[: len(sequence)], scores[1:] - scores[0], atol=1e-6)
        assert np.isnan(row[len(sequence) :]).all()
        assert np.ptp(scores) > 1e-4


def test_the_deletions_of_a_classifier_of_both_strands_do_not_depend_on_the_strand():
    classifier = make_classifier("awd_lstm", average_strands=True)
    other = decode_bases(reverse_complement(encode_bases(SEQUENCES[0])))
    found = compute_deletion_map(classifier, [SEQUENCES[0], other], target=choose_target(classifier))
    np.testing.assert_allclose(found[0], found[1][::-1], atol=1e-6)


@pytest.mark.parametrize(("k", "stride"), [(1, 1), (3, 1), (6, 1), (4, 3), (3, 3)])
def test_edited_ids_are_those_of_the_changed_text(k, stride):
    scheme = KmerScheme(k=k, stride=stride)
    codes = encode_bases("ACGTTNGACATTATAATGCAGG")
    changes = list_substitutions(codes)
    assert len(changes.positions) == 3 * 21
    texts = [decode_bases(codes)]
    for position, base in zip(changes.positions, changes.bases, strict=True):
        changed = codes.copy()
        changed[position] = base
        texts.append(decode_bases(changed))
    expected = np.stack(encode_sequences(texts, scheme))
    assert len(set(texts)) == 64
    np.testing.assert_array_equal(build_substituted_ids(codes, changes, scheme), expected)


def test_a_sequence_without_a_known_base_has_a_score_and_no_effects():
    classifier = make_classifier("awd_lstm")
    found = compute_mutation_map(classifier, ["NNNN"], target=choose_target(classifier))
    assert np.isnan(found.effects).all()
    assert found.scores[0] == pytest.approx(classify_sequences(classifier, ["NNNN"])[0, 1], abs=1e-6)


def test_too_short_and_too_long_sequences_are_refused():
    classifier = make_classifier("bert", max_position_embeddings=10)
    target = choose_target(classifier)
    with pytest.raises(
        DataError, match=r"sequence 2 of 2 bp; expected at least 3 bp, for one token of kmer_k3"
    ):
        compute_mutation_map(classifier, ["ACGT", "AC"], target=target)
    with pytest.raises(DataError, match=r"sequence 1 of 3 bp; expected at least 4 bp"):
        compute_deletion_map(classifier, ["ACG"], target=target)
    with pytest.raises(DataError, match=r"sequence 1 with 19 tokens; expected at most 10 with"):
        compute_mutation_map(classifier, SEQUENCES, target=target)


LOGITS = torch.tensor([[1.0, 3.0, 2.0]])


@pytest.mark.parametrize(
    ("kind", "task", "expected"),
    [
        ("probability", "classification", 0.6652410),
        ("log_odds", "classification", 3 - 2.3132617),
        ("probability", "multi_label", 0.9525741),
        ("log_odds", "multi_label", 3.0),
        ("probability", "regression", 3.0),
    ],
)
def test_the_score_of_each_task(kind, task, expected):
    assert compute_target(LOGITS, Target(1, "x", kind, task)).item() == pytest.approx(expected)


def test_which_class_is_explained():
    classifier = make_classifier("gru")
    assert choose_target(classifier).name == "promoter"
    assert choose_target(classifier, class_name="other").index == 0
    assert choose_target(classifier).unit == "p(promoter)"
    assert choose_target(classifier, score="log_odds").unit == "log-odds of promoter (nats)"
    with pytest.raises(SettingsError, match=r"the class 'enhancer'; expected one of other, promoter"):
        choose_target(classifier, class_name="enhancer")
    with pytest.raises(SettingsError, match=r"the score 'z'; expected probability or log_odds"):
        choose_target(classifier, score="z")
    three = classifier._replace(label_names=("a", "b", "c"))
    with pytest.raises(SettingsError, match=r"3 classes and none named; expected one of a, b, c; name the"):
        choose_target(three)
    assert choose_target(three, class_name="c").index == 2
