import numpy as np
import pytest
import torch

from genolm.tokenization.encoder import encode_sequences
from genolm.tokenization.scheme import KmerScheme
from genolm.training.micro_batches import StepInput
from genolm.training.sequence_batches import SequenceBatches

TEXTS = ["ACGTA", "CC", "GGGTTT", "TTGACA", "ACA", "TGCATGCA", "AAAA"]
TOKEN_IDS = encode_sequences(TEXTS, KmerScheme(k=2, stride=1))


def build_whole(batches: SequenceBatches, step: int) -> StepInput:
    return batches.build_input(step, slice(0, batches.count_rows(step)))


def build_batches(*, batch_size: int = 3, seed: int = 0, with_labels: bool = True) -> SequenceBatches:
    labels = np.arange(10, 17) if with_labels else None
    return SequenceBatches(TOKEN_IDS, batch_size=batch_size, seed=seed, labels=labels)


@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_an_epoch_visits_every_sequence_once_with_its_label(epoch):
    batches = build_batches()
    assert batches.steps_per_epoch == 3
    inputs = [build_whole(batches, 3 * epoch + step) for step in range(3)]
    assert [each.weight for each in inputs] == [3, 3, 1]
    seen = {}
    for each in inputs:
        for ids, mask, label in zip(
            *(each.inputs[name] for name in ("input_ids", "attention_mask", "labels")), strict=True
        ):
            seen[int(label)] = ids[mask.bool()].tolist()
            assert (ids[~mask.bool()] == 0).all()
    assert seen == {10 + index: ids.tolist() for index, ids in enumerate(TOKEN_IDS)}


def test_the_order_depends_on_epoch_and_seed():
    labels = [
        tuple(torch.cat([build_whole(batches, step).inputs["labels"] for step in steps]).tolist())
        for batches, steps in [
            (build_batches(), range(3)),
            (build_batches(), range(3, 6)),
            (build_batches(seed=1), range(3)),
        ]
    ]
    assert len(set(labels)) == 3


def test_a_batch_is_a_function_of_its_step_number_alone():
    batches = build_batches()
    expected = [build_whole(batches, step).inputs for step in range(9)]
    for step in (8, 0, 5, 2):
        for name, tensor in build_whole(build_batches(), step).inputs.items():
            assert torch.equal(tensor, expected[step][name])


def test_without_labels_the_next_kmer_is_the_task_and_kmers_after_a_kmer_are_counted():
    step_input = build_whole(build_batches(batch_size=7, with_labels=False), 0)
    ids, labels = step_input.inputs["input_ids"], step_input.inputs["labels"]
    for row, label_row in zip(ids.tolist(), labels.tolist(), strict=True):
        num_kmers = sum(token >= 5 for token in row)
        assert label_row[:2] == [-100, -100], "[CLS] and the k-mer without context"
        assert label_row[2 : num_kmers + 1] == row[2 : num_kmers + 1]
        assert set(label_row[num_kmers + 1 :]) <= {-100}, "[SEP] and padding"
    assert step_input.tokens == sum(len(ids) for ids in TOKEN_IDS)
    assert step_input.weight == sum(len(ids) - 3 for ids in TOKEN_IDS)
    assert not step_input.keeps_carry


def test_some_rows_of_a_step_are_padded_for_themselves_only():
    batches = build_batches(batch_size=7)
    whole, part = build_whole(batches, 0), batches.build_input(0, slice(2, 4))
    assert torch.equal(part.inputs["labels"], whole.inputs["labels"][2:4])
    length = part.inputs["input_ids"].shape[1]
    assert torch.equal(part.inputs["input_ids"], whole.inputs["input_ids"][2:4, :length])
    assert part.inputs["attention_mask"].any(dim=0).all(), "no column of padding alone"
    assert (part.weight, batches.build_input(0, slice(0, 7)).weight) == (2, 7)


def test_the_largest_input_has_the_longest_sequences_and_may_repeat_them():
    batches = build_batches()
    assert batches.build_largest(1).inputs["input_ids"].shape == (1, max(map(len, TOKEN_IDS)))
    assert batches.build_largest(10).inputs["input_ids"].shape == (10, max(map(len, TOKEN_IDS)))


def test_rows_are_named_by_the_ids_or_by_their_place():
    order = [int(label) - 10 for label in build_whole(build_batches(), 0).inputs["labels"]]
    assert build_batches().name_rows(0, slice(0, 3)) == [f"sequence {index}" for index in order]
    named = SequenceBatches(TOKEN_IDS, batch_size=3, seed=0, labels=np.arange(7), names=list("abcdefg"))
    assert named.name_rows(0, slice(1, 3)) == ["abcdefg"[index] for index in order[1:]]
