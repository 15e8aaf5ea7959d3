from typing import Any

import numpy as np
import pytest
import torch
from small_classifiers import NAMES

from genolm.interpretation.changed_positions import compute_changed_logits, computes_changes
from genolm.models.sequence_nets import SequenceNetSettings, build_sequence_net
from genolm.tokenization.scheme import CLS_ID, NUM_SPECIAL_TOKENS, SEP_ID, KmerScheme

SCHEME = KmerScheme(k=3, stride=1)
NETS: dict[str, dict[str, Any]] = {
    "deepbind": {},
    "deepbind of means": {"pooling": "mean"},
    "deepbind of an even width": {"kernel_width": 4, "num_parts": 3},
    "basset": {"num_kernels": 8, "kernel_width": 7},
    "basset that keeps one of three": {"num_kernels": 8, "pool_width": 3, "num_layers": 2, "num_parts": 4},
    "residual": {"num_kernels": 8, "kernel_width": 3, "num_layers": 2},
    "residual of means": {"num_kernels": 8, "kernel_width": 4, "num_layers": 3, "pooling": "mean"},
    "residual of 27 parts": {"num_kernels": 8, "kernel_width": 3, "num_layers": 3, "num_parts": 27},
}


def build_net(kind: str, **entries: Any) -> Any:
    settings = SequenceNetSettings(
        architecture=kind.split()[0], embedding_size=6, **{**NETS.get(kind, {}), **entries}
    )
    net = build_sequence_net(SCHEME, settings, names=NAMES, seed=0).eval()
    with torch.no_grad():
        for parameter in net.parameters():  # so that no bias or norm is 0 or 1
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return net


def build_rows(num_tokens: int, spans: list[tuple[int, int]]) -> torch.Tensor:
    """A random sequence, and copies with other tokens in spans."""
    random = np.random.default_rng(0)
    rows = np.tile(random.integers(NUM_SPECIAL_TOKENS, SCHEME.vocab_size, num_tokens), (1 + len(spans), 1))
    for row, (start, stop) in zip(rows[1:], spans, strict=True):
        row[start:stop] = random.integers(NUM_SPECIAL_TOKENS, SCHEME.vocab_size, stop - start)
    return torch.from_numpy(np.pad(rows, ((0, 0), (1, 1)), constant_values=((0, 0), (CLS_ID, SEP_ID))))


@pytest.mark.parametrize("num_tokens", [1, 2, 5, 29, 64])
@pytest.mark.parametrize("kind", NETS)
def test_the_logits_are_those_of_the_whole_rows(kind, num_tokens):
    net = build_net(kind)
    ends = [(start, min(start + 3, num_tokens)) for start in range(num_tokens)]
    rows = build_rows(num_tokens, [*ends, (0, 0)])
    with torch.no_grad():
        expected = net(rows).logits
        found = compute_changed_logits(net, rows)
    assert expected.std(dim=0).max() > 1e-3, "the net must see the changes"
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("kind", NETS)
def test_rows_that_change_more_or_nothing(kind):
    net = build_net(kind)
    for spans in ([(0, 40)], [(3, 31), (20, 40), (7, 8)], [(0, 0)], []):
        rows = build_rows(40, spans)
        with torch.no_grad():
            torch.testing.assert_close(
                compute_changed_logits(net, rows), net(rows).logits, atol=2e-6, rtol=2e-6
            )


@pytest.mark.parametrize(
    ("kind", "widths"),
    [
        ("deepbind", [3 + 2 * 11]),
        # Two positions become one: 9 changed ones may touch 5, and 8 may, too.
        ("basset", [3 + 2 * 6, 5 + 2 * 3, 5 + 2 * 2]),
        ("residual", [3 + 2 * 2, 5 + 2 * 2, 7 + 2 * 2, 9 + 2 * 4, 13 + 2 * 4]),
    ],
)
def test_a_convolution_sees_only_what_its_kernels_need(kind, widths):
    """What changes grows by the span of a kernel, and computing it takes as much around it."""
    net = build_net(kind)
    seen = []
    for module in net.modules():
        if isinstance(module, torch.nn.Conv1d):
            module.register_forward_hook(lambda _, inputs, output: seen.append(tuple(inputs[0].shape)))
    with torch.no_grad():
        compute_changed_logits(net, build_rows(500, [(start, start + 3) for start in range(100, 400)]))
    assert [shape[0] for shape in seen] == [1, 301] * len(widths)
    assert [shape[2] for shape in seen[1::2]] == widths


def test_which_networks_have_a_reach():
    assert all(computes_changes(build_net(kind)) for kind in NETS)
    assert not any(computes_changes(build_net(kind)) for kind in ("gru", "danq"))
    assert not computes_changes(build_net("deepbind", pooling="attention"))
