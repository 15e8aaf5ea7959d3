import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from genolm.alphabet import encode_bases
from genolm.errors import DataError, SettingsError
from genolm.tokenization.encoder import encode_sequence
from genolm.tokenization.scheme import CLS_ID, NUM_SPECIAL_TOKENS, SEP_ID, KmerScheme
from genolm.training.micro_batches import StepInput
from genolm.training.token_stream import IGNORED_LABEL, TokenStream, TokenStreamSettings, cut_documents

COMPLEMENT = str.maketrans("ACGTN", "TGCAN")
ROW_LENGTHS = (730, 115, 5, 304)
DOCUMENT_BP = 150
STRIDE_1 = KmerScheme(k=3, stride=1)
SCHEMES = [STRIDE_1, KmerScheme(k=6, stride=1), KmerScheme(k=3, stride=2), KmerScheme(k=4, stride=4)]

every_scheme = pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: scheme.name)


def make_rows() -> list[str]:
    generator = np.random.default_rng(5)
    rows = ["".join(generator.choice(list("ACGT"), size=length)) for length in ROW_LENGTHS]
    rows[0] = rows[0][:200] + "N" + rows[0][201:]
    return rows


def build_stream(scheme: KmerScheme = STRIDE_1, *, seed: int = 0, **changes) -> TokenStream:
    settings = {"lanes": 1, "bptt_tokens": 20, "document_bp": DOCUMENT_BP, **changes}
    return TokenStream(
        encode_bases("".join(make_rows())),
        np.cumsum((0, *ROW_LENGTHS)),
        scheme=scheme,
        settings=TokenStreamSettings(**settings),
        seed=seed,
    )


def build_whole(stream: TokenStream, step: int) -> StepInput:
    return stream.build_input(step, slice(0, stream.count_rows(step)))


def read_epoch(stream: TokenStream, epoch: int = 0) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Return inputs and labels of one epoch, [lanes, tokens], and the length of each step."""
    batches, step = [], 0
    while (place := stream.locate(step))[0] <= epoch:
        if place[0] == epoch:
            batches.append(build_whole(stream, step))
        step += 1
    inputs, labels = (
        torch.cat([batch.inputs[name] for batch in batches], dim=1).numpy()
        for name in ("input_ids", "shift_labels")
    )
    assert [batch.keeps_carry for batch in batches] == [False] + [True] * (len(batches) - 1)
    return inputs, labels, [batch.inputs["input_ids"].shape[1] for batch in batches]


def cut_text(scheme: KmerScheme) -> list[str]:
    starts, lengths = cut_documents(np.cumsum((0, *ROW_LENGTHS)), DOCUMENT_BP, scheme.k)
    text = "".join(make_rows())
    return [text[start : start + length] for start, length in zip(starts, lengths, strict=True)]


def split_documents(inputs: np.ndarray) -> list[tuple[int, ...]]:
    """Cut a one-lane epoch at every [CLS]; its very last token, a [SEP], is a label only."""
    tokens = [*inputs[0].tolist(), SEP_ID]
    starts = [index for index, token in enumerate(tokens) if token == CLS_ID] + [len(tokens)]
    assert starts[0] == 0
    return [tuple(tokens[start:end]) for start, end in pairwise(starts)]


def read_phases(text: str, scheme: KmerScheme) -> list[tuple[int, ...]]:
    return [tuple(encode_sequence(text[phase:], scheme).tolist()) for phase in range(scheme.stride)]


@every_scheme
def test_an_epoch_holds_every_document_once_on_each_strand_in_one_reading_phase(scheme):
    found = split_documents(read_epoch(build_stream(scheme))[0])
    texts = cut_text(scheme)
    strands = texts + [text.translate(COMPLEMENT)[::-1] for text in texts]
    assert len(found) == len(strands) == 2 * 8
    strand_of = {ids: index for index, text in enumerate(strands) for ids in read_phases(text, scheme)}
    assert sorted(strand_of[ids] for ids in found) == list(range(16))


def test_one_strand_holds_every_document_once_as_it_stands():
    found = split_documents(read_epoch(build_stream(both_strands=False))[0])
    expected = [tuple(encode_sequence(text, STRIDE_1).tolist()) for text in cut_text(STRIDE_1)]
    assert Counter(found) == Counter(expected)
    assert len(found) == 8


def test_every_reading_phase_of_a_stride_occurs():
    scheme, phases = KmerScheme(k=4, stride=4), Counter()
    texts = cut_text(scheme)
    phase_of = {ids: phase for text in texts for phase, ids in enumerate(read_phases(text, scheme))}
    stream = build_stream(scheme, both_strands=False)
    for epoch in range(10):
        phases.update(phase_of[ids] for ids in split_documents(read_epoch(stream, epoch)[0]))
    assert sorted(phases) == [0, 1, 2, 3]
    assert min(phases.values()) > 8  # 80 draws, 20 expected of each


def test_epochs_and_seeds_have_orders_of_their_own():
    stream = build_stream()
    first, second = (split_documents(read_epoch(stream, epoch)[0]) for epoch in (0, 1))
    other = split_documents(read_epoch(build_stream(seed=1))[0])
    assert Counter(first) == Counter(second) == Counter(other)
    assert len({tuple(first), tuple(second), tuple(other)}) == 3


@every_scheme
@pytest.mark.parametrize("lanes", [2, 7])
def test_lanes_are_the_stream_cut_into_equal_contiguous_parts(scheme, lanes):
    whole = read_epoch(build_stream(scheme))[0][0]
    inputs = read_epoch(build_stream(scheme, lanes=lanes))[0]
    lane_tokens = (len(whole) + 1) // lanes
    assert inputs.shape == (lanes, lane_tokens - 1)  # the last token of a lane is only a label
    for lane, found in enumerate(inputs):
        assert np.array_equal(found, whole[lane * lane_tokens :][: lane_tokens - 1])


@every_scheme
def test_labels_are_the_next_token_and_never_touch_a_special_one(scheme):
    inputs, labels, _ = read_epoch(build_stream(scheme, lanes=3))
    following = inputs[:, 1:]
    is_kmer = (inputs[:, :-1] >= NUM_SPECIAL_TOKENS) & (following >= NUM_SPECIAL_TOKENS)
    assert np.array_equal(labels[:, :-1], np.where(is_kmer, following, IGNORED_LABEL))
    assert (labels == IGNORED_LABEL).sum() > 2 * 16  # around each [CLS] and [SEP], and at the unknown base


def test_the_last_label_of_a_lane_is_the_first_token_behind_its_inputs():
    whole = read_epoch(build_stream())[0][0]
    inputs, labels, _ = read_epoch(build_stream(lanes=3))
    lane_tokens = inputs.shape[1] + 1
    for lane in range(2):
        following = whole[(lane + 1) * lane_tokens - 1]
        is_kmer = min(inputs[lane, -1], following) >= NUM_SPECIAL_TOKENS
        assert labels[lane, -1] == (following if is_kmer else IGNORED_LABEL)


def test_a_batch_is_a_function_of_its_step_number_alone():
    stream = build_stream(lanes=4)
    steps = list(range(80))
    expected = [build_whole(stream, step) for step in steps]
    assert stream.locate(79)[0] >= 2, "several epochs"
    for step in np.random.default_rng(0).permutation(steps):
        found = build_whole(build_stream(lanes=4), int(step))
        assert_equal_inputs(found, expected[step])


def assert_equal_inputs(found: StepInput, expected: StepInput) -> None:
    assert found.inputs.keys() == expected.inputs.keys()
    for name, tensor in expected.inputs.items():
        assert torch.equal(found.inputs[name], tensor), name
    assert found[1:] == expected[1:]


@pytest.mark.parametrize("rows", [slice(0, 1), slice(1, 3), slice(3, 7)])
def test_some_lanes_of_a_step_are_those_of_the_whole_step(rows):
    stream = build_stream(lanes=7)
    for step in (0, 3, 30):
        whole, part = build_whole(stream, step), stream.build_input(step, rows)
        for name, tensor in whole.inputs.items():
            assert torch.equal(part.inputs[name], tensor[rows])
        assert part.weight == (part.inputs["shift_labels"] != IGNORED_LABEL).sum()
        assert part.tokens == part.inputs["input_ids"].numel()
    assert whole.weight == sum(stream.build_input(30, slice(lane, lane + 1)).weight for lane in range(7))


def test_the_largest_input_is_as_long_as_the_longest_step_of_the_first_epoch():
    stream = build_stream(lanes=4)
    largest = stream.build_largest(2)
    assert largest.inputs["input_ids"].shape == (2, max(read_epoch(stream)[2]))
    assert not largest.keeps_carry


def test_a_lane_is_named_by_the_document_it_reads():
    stream = build_stream(lanes=3)
    starts, _ = cut_documents(np.cumsum((0, *ROW_LENGTHS)), DOCUMENT_BP, STRIDE_1.k)
    names = stream.name_rows(5, slice(0, 3))
    assert len(set(names)) == 3
    assert all(int(re.fullmatch(r"base (\d+)", name)[1]) in starts for name in names)


def test_fixed_steps_have_the_length_asked_for():
    lengths = read_epoch(build_stream(vary_bptt=False))[2]
    assert set(lengths[:-1]) == {20}
    assert 1 <= lengths[-1] <= 20


def test_varied_steps_lie_around_the_length_asked_for():
    lengths = np.array(read_epoch(build_stream())[2][:-1])
    assert len(lengths) > 80
    assert lengths.min() >= 5
    assert 18 < lengths.mean() < 20.5  # one in twenty is halved
    assert (np.abs(lengths - 20) <= 5).mean() > 0.8
    assert len(set(lengths)) > 4


def test_tokens_are_integers_of_torch():
    inputs = build_whole(build_stream(lanes=2), 0).inputs
    assert inputs["input_ids"].dtype == inputs["shift_labels"].dtype == torch.int64
    assert inputs["input_ids"].is_contiguous()


def test_documents_of_hand_made_rows():
    # 0-250 in three; 250-252 is too short; 252-352 is one; 352-460: the rest of 8 stays with its neighbor.
    starts, lengths = cut_documents(np.array([0, 250, 252, 352, 460]), 100, 3)
    assert starts.tolist() == [0, 100, 200, 252, 352]
    assert lengths.tolist() == [100, 100, 50, 100, 108]


def test_no_document_is_too_short_for_a_token_in_any_phase():
    rows = np.cumsum(np.arange(0, 400))
    for k in (1, 3, 6, 12):
        starts, lengths = cut_documents(rows, 100, k)
        assert lengths.min() == 2 * k
        assert lengths.max() < 100 + max(2 * k, 10)
        covered = np.concatenate([np.arange(s, s + n) for s, n in zip(starts, lengths, strict=True)])
        assert len(covered) == len(set(covered)) == sum(n for n in range(400) if n >= 2 * k)
        row_of = np.searchsorted(rows, starts, side="right")
        assert np.array_equal(row_of, np.searchsorted(rows, starts + lengths - 1, side="right"))


def test_no_row_gives_no_document():
    starts, lengths = cut_documents(np.array([0]), 100, 3)
    assert starts.tolist() == lengths.tolist() == []


@pytest.mark.parametrize("text", ["", "ACG", "ACGTACGTAC"])
def test_a_corpus_that_cannot_fill_the_lanes_is_refused(text):
    with pytest.raises(DataError, match=f"a corpus of {len(text)} bases; expected enough to fill 8 lanes"):
        TokenStream(
            encode_bases(text),
            np.array([0, len(text)]),
            scheme=STRIDE_1,
            settings=TokenStreamSettings(lanes=8),
            seed=0,
        )


@pytest.mark.parametrize("wrong", [{"lanes": 0}, {"bptt_tokens": 0}, {"document_bp": 99}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(SettingsError, match=f"{next(iter(wrong))} {next(iter(wrong.values()))}"):
        TokenStreamSettings(**wrong)


def build_directions(scheme: KmerScheme, **changes) -> list[TokenStream]:
    settings = TokenStreamSettings(**{"lanes": 1, "bptt_tokens": 20, "document_bp": DOCUMENT_BP, **changes})
    codes, row_starts = encode_bases("".join(make_rows())), np.cumsum((0, *ROW_LENGTHS))
    return [
        TokenStream(codes, row_starts, scheme=scheme, settings=settings, seed=0, direction=direction)
        for direction in ("forward", "backward")
    ]


def cut_behind(ids: list[int], last: int) -> list[list[int]]:
    """Cut a stream behind each `last` token; a rest is left out."""
    ends = [index + 1 for index, token in enumerate(ids) if token == last]
    return [ids[start:end] for start, end in pairwise([0, *ends])]


@every_scheme
def test_a_backward_stream_has_the_same_documents_each_turned_around(scheme):
    """The steps come as the model takes them, in the order of the genome, so they are turned back first."""
    forward, backward = build_directions(scheme)
    tokens = {"forward": [], "backward": []}
    for stream, read in ((forward, tokens["forward"]), (backward, tokens["backward"])):
        for step in range(len(stream._epoch(0).step_edges) - 1):
            ids = build_whole(stream, step).inputs["input_ids"][0]
            read.extend((ids.flip(0) if stream is backward else ids).tolist())
    expected = cut_behind(tokens["forward"], SEP_ID)
    found = cut_behind(tokens["backward"], CLS_ID)
    assert len(expected) > 10
    assert all(document[0] == CLS_ID for document in expected)
    assert [document[::-1] for document in found] == expected


def test_labels_of_a_backward_stream_stand_before_their_tokens():
    _, backward = build_directions(STRIDE_1, lanes=3)
    read, labels = [], []
    for step in range(len(backward._epoch(0).step_edges) - 1):
        inputs = build_whole(backward, step).inputs
        read.append(inputs["input_ids"].flip(1))
        labels.append(inputs["shift_labels"].flip(1))
    read, labels = torch.cat(read, dim=1), torch.cat(labels, dim=1)
    is_scored = labels[:, :-1] != IGNORED_LABEL
    assert torch.equal(labels[:, :-1][is_scored], read[:, 1:][is_scored])
    both = (read[:, :-1] >= NUM_SPECIAL_TOKENS) & (read[:, 1:] >= NUM_SPECIAL_TOKENS)
    assert torch.equal(is_scored, both)
    overlap = (read[:, :-1] - NUM_SPECIAL_TOKENS) // 4 == (read[:, 1:] - NUM_SPECIAL_TOKENS) % 16
    assert overlap[is_scored].all(), "the k-mer read next ends in what this one begins with"
