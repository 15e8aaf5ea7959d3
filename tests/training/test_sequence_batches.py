import numpy as np
import pytest
import torch

from genolm.tokenization.encoder import encode_sequences
from genolm.tokenization.scheme import KmerScheme
from genolm.training.sequence_batches import SequenceBatches

TEXTS = ["ACGTA", "CC", "GGGTTT", "TTGACA", "ACA", "TGCATGCA", "AAAA"]
TOKEN_IDS = encode_sequences(TEXTS, KmerScheme(k=2, stride=1))


def build_batches(*, batch_size: int = 3, seed: int = 0, with_labels: bool = True) -> SequenceBatches:
    labels = np.arange(10, 17) if with_labels else None
    return SequenceBatches(TOKEN_IDS, batch_size=batch_size, seed=seed, labels=labels)


@pytest.mark.parametrize("epoch", [0, 1, 5])
def test_an_epoch_visits_every_sequence_once_with_its_label(epoch):
    batches = build_batches()
    assert batches.steps_per_epoch == 3
    inputs = [batches.build_input(3 * epoch + step) for step in range(3)]
    assert [each.units for each in inputs] == [3, 3, 1]
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
        tuple(torch.cat([batches.build_input(step).inputs["labels"] for step in steps]).tolist())
        for batches, steps in [
            (build_batches(), range(3)),
            (build_batches(), range(3, 6)),
            (build_batches(seed=1), range(3)),
        ]
    ]
    assert len(set(labels)) == 3


def test_a_batch_is_a_function_of_its_step_number_alone():
    batches = build_batches()
    expected = [batches.build_input(step).inputs for step in range(9)]
    for step in (8, 0, 5, 2):
        for name, tensor in build_batches().build_input(step).inputs.items():
            assert torch.equal(tensor, expected[step][name])


def test_without_labels_the_next_token_is_the_task_and_tokens_are_counted():
    step_input = build_batches(batch_size=7, with_labels=False).build_input(0)
    assert torch.equal(step_input.inputs["labels"], step_input.inputs["input_ids"])
    assert step_input.units == sum(len(ids) for ids in TOKEN_IDS)
    assert not step_input.keeps_carry
