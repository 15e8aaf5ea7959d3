import numpy as np
import pytest
from made_up_dna import make_dna

from genolm.corpus.audit.predictors import try_trivial_predictors

TRAIN_TEST = ["train"] * 40 + ["test"] * 20


def make_random(n, length_bp=60, *, first_seed=0):
    return [make_dna(length_bp, seed=first_seed + number) for number in range(n)]


def list_mccs(found):
    return {each.description: round(each.mcc, 3) for each in found.predictors}


def test_nothing_to_learn(make_data):
    found = try_trivial_predictors(make_data(make_random(60), [0, 1] * 30, TRAIN_TEST))
    assert found.protocol == "train to test"
    assert [each.name for each in found.predictors] == [
        "length", "gc", "kmer_3", "shared_kmer_rule", "shared_kmer_rule",
    ]  # fmt: skip
    assert found.find("length").mcc == found.find("shared_kmer_rule").mcc == 0
    assert abs(found.find("gc").mcc) < 0.5
    assert abs(found.find("kmer_3").mcc) < 0.5


def test_a_class_of_one_length_between_the_others(make_data):
    lengths = [50, 40, 50, 60] * 15
    sequences = [make_dna(size, seed=number) for number, size in enumerate(lengths)]
    found = try_trivial_predictors(make_data(sequences, [0, 1] * 30, TRAIN_TEST))
    assert found.find("length").mcc == 1


def test_gc_tells(make_data):
    sequences = ["ACTTAATG" * 6, "ACGGCCTG" * 6] * 30
    found = try_trivial_predictors(make_data(sequences, [0, 1] * 30))
    assert found.protocol == "random 5-fold cross-validation"
    assert found.find("gc").mcc == found.find("kmer_3").mcc == 1


def test_the_order_of_bases_tells_where_gc_does_not(make_data):
    generator = np.random.default_rng(0)
    blocks = (["ACG", "TTC"], ["GCA", "CTT"])
    sequences = ["".join(generator.choice(blocks[number % 2], 24)) for number in range(60)]
    found = try_trivial_predictors(make_data(sequences, [0, 1] * 30, TRAIN_TEST))
    assert found.find("kmer_3").mcc > 0.9
    assert found.find("gc").mcc < 0.7


def test_negatives_that_overlap_training_negatives(make_data):
    """All negatives are windows of one stretch; a class's records are found by it, on either strand."""
    stretch = make_dna(700, seed=1)
    negatives = [stretch[20 * number : 20 * number + 60] for number in range(30)]
    sequences = [text for pair in zip(negatives, make_random(30, first_seed=9), strict=True) for text in pair]
    found = try_trivial_predictors(make_data(sequences, [0, 1] * 30, names=("no", "yes")))
    mccs = list_mccs(found)
    assert mccs["'no' if it shares a 16-mer with a training record of 'no'"] == 1
    assert mccs["'yes' if it shares a 16-mer with a training record of 'yes'"] == 0
    assert found.find("shared_kmer_rule").mcc == 1


def test_negatives_made_of_pieces_of_positives(make_data):
    """A test negative shares k-mers with training positives: the rule is turned round."""
    positives = make_random(60)
    sequences = [*positives[:40:2], *make_random(20, first_seed=100), *positives[:20:2], *positives[1:20:2]]
    labels = [1] * 20 + [0] * 20 + [0] * 10 + [1] * 10
    found = try_trivial_predictors(make_data(sequences, labels, TRAIN_TEST))
    mccs = list_mccs(found)
    assert mccs["'0' if it shares a 16-mer with a training record of '1'"] == 1


@pytest.mark.parametrize(("length_bp", "k"), [(149, 16), (150, 31)])
def test_longer_records_need_longer_kmers(make_data, length_bp, k):
    found = try_trivial_predictors(make_data(make_random(10, length_bp), [0, 1] * 5))
    assert found.find("shared_kmer_rule").description.startswith(f"'0' if it shares a {k}-mer")


def test_more_than_two_classes(make_data):
    """Of each class two records alike: one in train, one in test; a record of class 2 has no kin in train."""
    kin = make_random(30)
    changed = [text[:30] + "A" * 10 + text[40:] for text in kin]
    labels = [0] * 10 + [1] * 9 + [2] * 11
    changed[-1] = make_dna(60, seed=1_000)
    splits = ["train"] * 30 + ["test"] * 30
    found = try_trivial_predictors(make_data([*kin, *changed], labels * 2, splits))
    assert found.find("shared_kmer_rule").mcc == 1  # without kin: the largest class of train
    rule = found.predictors[-1]
    assert rule.description == "class of the training record with which it shares most 16-mers"
    worse = try_trivial_predictors(make_data([*kin, *changed], labels + labels[::-1], splits))
    assert worse.find("shared_kmer_rule").mcc < 0


@pytest.mark.parametrize(
    ("splits", "labels", "protocol"),
    [
        (["validation"] * 4 + ["test"] * 4, [0, 1] * 4, "validation to test"),
        (["train"] * 4 + ["validation"] * 4, [0, 1] * 4, "train to validation"),
        (["test"] * 8, [0, 1] * 4, "random 4-fold cross-validation"),
        (["train"] * 4 + ["test"] * 4, [0] * 4 + [1] * 4, "random 4-fold cross-validation"),
        ([""] * 8, [0, 0, 0, 1] * 2, "random 2-fold cross-validation"),
    ],
    ids=["no train", "no test", "one split", "one class in train", "two of a class"],
)
def test_what_is_predicted_from_what(make_data, splits, labels, protocol):
    assert try_trivial_predictors(make_data(make_random(8), labels, splits)).protocol == protocol


def test_a_class_of_one_record(make_data):
    found = try_trivial_predictors(make_data(make_random(5), [0, 0, 0, 0, 1]))
    assert (found.protocol, found.predictors, found.find("gc")) == ("", (), None)
