import ast
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

from genolm.errors import SettingsError
from genolm.models import AUTO_MAPS, SequenceNetConfig, SequenceNetForSequenceClassification
from genolm.models import modeling_sequence_nets as modeling
from genolm.models.initialization import load_embedding_matrix
from genolm.models.layer_groups import list_layer_groups
from genolm.models.scoring import compute_probabilities, find_task
from genolm.models.sequence_nets import (
    SIZES,
    SequenceNetSettings,
    build_sequence_net,
    build_sequence_net_config,
)
from genolm.tokenization.encoder import encode_sequence, encode_sequences
from genolm.tokenization.scheme import BpeScheme, KmerScheme

NUCLEOTIDE, SIX_MERS = KmerScheme(k=1, stride=1), KmerScheme(k=6, stride=1)
PAD, UNK, CLS, SEP, MASK = range(5)
NO_DROPOUT = {"hidden_dropout": 0.0, "classifier_dropout": 0.0}
# Every architecture, and every pooling where its ends matter most.
VARIANTS = {
    **{name: {"architecture": name} for name in SIZES},
    **{
        f"bidirectional-{pooling}": {"architecture": "gru", "bidirectional": True, "pooling": pooling}
        for pooling in ("last", "max", "mean", "attention")
    },
    "residual-mean": {"architecture": "residual", "pooling": "mean", "num_parts": 3},
    "two-layers": {"architecture": "lstm", "num_layers": 2, "bidirectional": True},
    "learned": {"architecture": "danq", "embedding_size": 6},
}


def build_net(scheme=NUCLEOTIDE, *, names=("no", "yes"), seed=0, problem_type=None, **settings):
    problem_type = problem_type or "single_label_classification"
    settings = SequenceNetSettings(**settings)
    net = build_sequence_net(scheme, settings, names=names, problem_type=problem_type, seed=seed)
    return net.eval()


def build_moved_net(**settings):
    """Return a net with all weights moved, biases more, so that one on padding would show.

    Not so far that a recurrent net becomes chaotic, and rounding grows from token to token.
    """
    net = build_net(**settings)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            scale = 0.1 if parameter.ndim == 1 else 0.02
            parameter += scale * torch.randn(parameter.shape, generator=generator)
    return net


def draw_rows(*lengths_bp: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(5, 9, (length,), generator=generator) for length in lengths_bp]
    rows[-1][2] = UNK
    return rows


def wrap(row: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.tensor([CLS]), row, torch.tensor([SEP])])


def encode_row(sequence: str) -> torch.Tensor:
    return torch.from_numpy(encode_sequence(sequence, NUCLEOTIDE, dtype=np.int64))


def pad_rows(rows: list[torch.Tensor], *, side: str = "right") -> dict[str, torch.Tensor]:
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD, padding_side=side)
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_output_depends_neither_on_the_batch_nor_on_padding_nor_on_special_tokens(variant):
    net = build_moved_net(**VARIANTS[variant])
    rows = draw_rows(40, 1, 13, 0, 81, 30)
    with torch.no_grad():
        alone = torch.cat([net(input_ids=wrap(row)[None]).logits for row in rows])
        right = net(**pad_rows([*map(wrap, rows), torch.full((150,), 5)])).logits[:-1]
        left = net(**pad_rows([wrap(row) for row in rows], side="left")).logits
        bare = net(**pad_rows(rows)).logits
    assert alone.std(dim=0).min() > 1e-3, "the sequences must differ"
    for other in (right, left, bare):
        torch.testing.assert_close(other, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_layer_has_batch_statistics(variant):
    net = build_moved_net(**VARIANTS[variant], **NO_DROPOUT)
    batch = pad_rows([wrap(row) for row in draw_rows(40, 13, 30)])
    with torch.no_grad():
        seen = net(**batch).logits
        learning = net.train()(**batch).logits
    torch.testing.assert_close(learning, seen, rtol=0, atol=1e-6)


@pytest.mark.parametrize("architecture", SIZES)
def test_half_precision_gives_about_the_same(architecture):
    net = build_moved_net(architecture=architecture)
    batch = pad_rows([wrap(row) for row in draw_rows(40, 13, 30)])
    with torch.no_grad():
        whole = net(**batch).logits
        with torch.autocast("cpu", torch.bfloat16):
            mixed = net(**batch).logits
        half = net.to(torch.bfloat16)(**batch).logits
    assert mixed.dtype == half.dtype == torch.float32
    torch.testing.assert_close(mixed, whole, rtol=0, atol=0.1)
    torch.testing.assert_close(half, whole, rtol=0, atol=0.1)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_gradient_reaches_every_parameter_and_the_groups_have_each_once(variant):
    net = build_net(**VARIANTS[variant]).train()
    batch = pad_rows([wrap(row) for row in draw_rows(40, 40, 30, 30)])
    net(**batch, labels=torch.tensor([0, 1, 1, 0])).loss.backward()
    still = [
        name
        for name, parameter in net.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert still == []
    groups = list_layer_groups(net)
    listed = [id(parameter) for group in groups for parameter in group]
    assert sorted(listed) == sorted(id(parameter) for parameter in net.parameters())
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    parts = [names[id(group[0])].split(".")[:3] for group in groups]
    first = [["encoder", "embedding", "weight"]] if variant == "learned" else []
    layers = [["encoder", "layers", str(index)] for index in range(len(net.encoder.layers))]
    assert parts[:-1] == first + layers
    assert {names[id(parameter)].split(".")[0] for parameter in groups[-1]} <= {"pool", "head"}


HEAD = 2  # outputs
LSTM_128 = 4 * 128 * (4 + 128) + 2 * 4 * 128
NUM_PARAMETERS = {
    "deepbind": 16 * (4 * 12 + 1) + 16 * HEAD + HEAD,
    "basset": 64 * (4 * 19 + 1)
    + 64 * (64 * 11 + 1)
    + 64 * (64 * 7 + 1)
    + 256 * (8 * 64 + 1)
    + 256 * HEAD
    + HEAD,
    "danq": 128 * (4 * 20 + 1) + 2 * (4 * 64 * (128 + 64) + 2 * 4 * 64) + 128 * (128 + 1) + 128 * HEAD + HEAD,
    "residual": 32 * (4 * 11 + 1) + 8 * (32 * (32 * 11 + 1) + 64) + 64 + 8 * 32 * HEAD + HEAD,
    "rnn": LSTM_128 // 4 + 128 * HEAD + HEAD,
    "gru": LSTM_128 // 4 * 3 + 128 * HEAD + HEAD,
    "lstm": LSTM_128 + 128 * HEAD + HEAD,
}


@pytest.mark.parametrize("architecture", SIZES)
def test_the_number_of_parameters_of_the_defaults(architecture):
    assert build_net(architecture=architecture).num_parameters() == NUM_PARAMETERS[architecture]


def test_one_hot_is_the_four_bases_and_a_quarter_of_each_for_an_unknown_one():
    net = build_net()
    ids = torch.tensor([[CLS, *encode_sequence("ATCGN", NUCLEOTIDE, add_special_tokens=False), SEP, PAD]])
    hidden, lengths = net.encoder.embed(ids, None)
    expected = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0.25] * 4, *[[0] * 4] * 3]
    assert (hidden[0].tolist(), lengths.tolist()) == (expected, [5])
    assert net.encoder.embed(torch.tensor([[MASK]]), None)[0].tolist() == [[[0.25] * 4]]
    assert not any("embedding" in name for name, _ in net.named_parameters()), "nothing to learn"


def test_the_attention_mask_hides_what_is_no_padding_token():
    net = build_moved_net()
    ids = torch.tensor([[5, 6, 7, 8, 5]])
    with torch.no_grad():
        masked = net(input_ids=ids, attention_mask=torch.tensor([[1, 1, 1, 0, 0]])).logits
        torch.testing.assert_close(masked, net(input_ids=ids[:, :3]).logits, rtol=0, atol=1e-6)
        assert (masked - net(input_ids=ids).logits).abs().max() > 1e-3


def test_deepbind_equals_a_plain_computation():
    net = build_moved_net(num_kernels=3, kernel_width=4)
    weights = {name: parameter.detach().double().numpy() for name, parameter in net.named_parameters()}
    kernels, bias = (weights[f"encoder.layers.0.kernels.conv.{name}"] for name in ("weight", "bias"))
    sequence = "GATTACAGG"
    padded = f"-{sequence}--"  # as many windows as bases
    best = np.full(3, -np.inf)
    for start in range(len(sequence)):
        window = padded[start : start + 4]
        scores = bias + sum(
            kernels[:, "ATCG".index(base), place] for place, base in enumerate(window) if base != "-"
        )
        best = np.maximum(best, np.maximum(scores, 0))
    expected = weights["head.out.weight"] @ best + weights["head.out.bias"]
    with torch.no_grad():
        found = net(input_ids=encode_row(sequence)[None])
    np.testing.assert_allclose(found.logits[0].numpy(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_a_bidirectional_layer_equals_that_of_torch_on_packed_sequences(cell):
    layer = build_moved_net(architecture=cell, bidirectional=True, hidden_size=5).encoder.layers[0]
    reference = modeling.CELLS[cell](4, 5, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for name, parameter in layer.ahead.named_parameters():
            getattr(reference, name).copy_(parameter)
            getattr(reference, f"{name}_reverse").copy_(getattr(layer.back, name))
        lengths = torch.tensor([3, 7, 1])
        hidden = modeling.mask_positions(torch.rand(3, 7, 4), lengths)
        packed = nn.utils.rnn.pack_padded_sequence(hidden, lengths, batch_first=True, enforce_sorted=False)
        expected, _ = nn.utils.rnn.pad_packed_sequence(reference(packed)[0], batch_first=True)
        found, _ = layer(hidden, lengths)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_sequences_are_turned_around_within_their_length():
    hidden = torch.tensor([[[1.0], [2.0], [3.0], [9.0]], [[1.0], [2.0], [3.0], [4.0]]])
    turned = modeling.reverse_sequences(hidden, torch.tensor([3, 4]))
    assert turned.squeeze(-1).tolist() == [[3, 2, 1, 9], [4, 3, 2, 1]]


POOLED = torch.tensor([[[1.0, -1.0], [3.0, -5.0], [2.0, -2.0], [9.0, 9.0]], [[7.0, 7.0]] * 4])
LENGTHS = torch.tensor([3, 0])


@pytest.mark.parametrize(
    ("num_parts", "reduce", "expected"),
    [
        (1, "amax", [3, -1]),
        (1, "mean", [2, -8 / 3]),
        (2, "amax", [3, -1, 2, -2]),  # positions 0 and 1, and 2
        (2, "mean", [2, -3, 2, -2]),
        (4, "amax", [1, -1, 3, -5, 2, -2, 0, 0]),
    ],
)
def test_the_pool_of_parts_in_a_small_case(num_parts, reduce, expected):
    found = modeling.pool_parts(POOLED, LENGTHS, num_parts=num_parts, reduce=reduce)
    np.testing.assert_allclose(found.numpy(), [expected, [0] * len(expected)], rtol=1e-6)


def test_the_last_state_of_the_way_back_is_at_the_start():
    assert modeling.pool_last(POOLED, LENGTHS, back_size=0)[0].tolist() == [2, -2]
    assert modeling.pool_last(POOLED, LENGTHS, back_size=1)[0].tolist() == [2, -1]


def test_attention_weighs_by_a_softmax_over_the_positions():
    pool = modeling.Pool(SequenceNetConfig(architecture="deepbind", num_kernels=2, pooling="attention"))
    with torch.no_grad():
        pool.attention.weight.copy_(torch.tensor([[np.log(2.0), 0.0]]))
        pooled = pool(modeling.mask_positions(POOLED, LENGTHS), LENGTHS)
    # weights 2, 8 and 4 of 14
    np.testing.assert_allclose(pooled[0], [(2 * 1 + 8 * 3 + 4 * 2) / 14, -(2 + 40 + 8) / 14], rtol=1e-6)
    assert pooled[1].tolist() == [0, 0]


def test_a_residual_net_sees_as_far_as_its_dilations_reach():
    net = build_moved_net(architecture="residual", kernel_width=3, num_layers=2, num_kernels=4)
    lengths = torch.tensor([61])
    hidden = torch.rand(1, 61, 4, requires_grad=True)
    result, left = hidden, lengths
    for layer in net.encoder.layers:
        result, left = layer(result, left)
    result[0, 30].sum().backward()
    seen = hidden.grad[0].abs().sum(dim=1).nonzero().flatten().tolist()
    reach = 1 + 2 * 1 + 2 * 2  # stem, and two convolutions a block with dilation 1 and 2
    assert seen == list(range(30 - reach, 30 + reach + 1))


def test_a_residual_block_without_a_change_is_the_identity():
    block = modeling.ResidualBlock(4, 3, dilation=2, dropout=0.5)
    with torch.no_grad():
        block.convolutions[1].conv.weight.zero_()
        block.convolutions[1].conv.bias.zero_()
        hidden = torch.rand(2, 9, 4)
        assert torch.equal(block(hidden, torch.tensor([9, 9]))[0], hidden)


def test_pooling_in_between_keeps_the_last_unfinished_window():
    layer = modeling.ConvolutionLayer(1, 1, 1, pool_width=2, dropout=0.0)
    with torch.no_grad():
        layer.kernels.conv.weight.fill_(1.0)
        layer.kernels.conv.bias.fill_(1.0)
        hidden, lengths = layer(torch.tensor([[[1.0], [5.0], [3.0], [0.0], [0.0]]]), torch.tensor([3]))
    assert (hidden.squeeze(-1).tolist(), lengths.tolist()) == ([[6, 4, 0]], [2])


@pytest.mark.parametrize(
    ("problem_type", "names", "labels", "expected"),
    [
        ("single_label_classification", ("a", "b"), [1, 0], np.log1p(np.exp([1.0, 2.0])).mean()),
        ("regression", ("a",), [2.0, -1.0], ((1 - 2) ** 2 + (3 + 1) ** 2) / 2),
        ("regression", ("a", "b"), [[1.0, 0.0], [3.0, 7.0]], 2**2 / 4),
        (
            "multi_label_classification",
            ("a", "b"),
            [[1.0, 0.0], [0.0, 1.0]],
            np.log1p(np.exp([-1.0, 0.0, 3.0, -5.0])).mean(),
        ),
    ],
)
def test_the_loss_of_each_problem(problem_type, names, labels, expected):
    net = build_net(problem_type=problem_type, names=names)
    with torch.no_grad():  # logits 1 and 0, or 1 alone, whatever the input; in the second row 3 and 5
        net.head.forward = lambda pooled: torch.tensor([[1.0, 0.0], [3.0, 5.0]])[:, : len(names)]
        output = net(**pad_rows(draw_rows(9, 12)), labels=torch.tensor(labels))
    assert output.loss.item() == pytest.approx(expected, rel=1e-6)
    assert output.logits.shape == (2, len(names))


@pytest.mark.parametrize(
    ("problem_type", "names", "task"),
    [
        ("single_label_classification", ("a", "b"), "classification"),
        ("regression", ("value",), "regression"),
        ("multi_label_classification", ("a", "b", "c"), "multi_label"),
    ],
)
def test_predictions_are_those_of_the_task(problem_type, names, task):
    net = build_moved_net(problem_type=problem_type, names=names)
    assert find_task(net.config) == task
    outputs = compute_probabilities(net, encode_sequences(["ACGTAACC", "TT"], NUCLEOTIDE))
    assert outputs.shape == (2, len(names))
    with torch.no_grad():
        logits = net(**pad_rows([encode_row("ACGTAACC"), encode_row("TT")])).logits
    links = {"classification": lambda values: values.softmax(1), "multi_label": torch.sigmoid}
    expected = links.get(task, torch.clone)(logits).numpy()
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-6)


def test_weights_follow_the_seed_and_the_global_state_stays():
    state = torch.random.get_rng_state()
    nets = [build_net(architecture="danq", seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.random.get_rng_state(), state)
    first, same, other = (nn.utils.parameters_to_vector(net.parameters()) for net in nets)
    assert torch.equal(first, same)
    assert (first != other).float().mean() > 0.9


def test_how_the_weights_start():
    lstm = build_net(architecture="lstm", hidden_size=8).encoder.layers[0].ahead
    assert lstm.bias_ih_l0.reshape(4, 8).tolist() == [[0] * 8, [1] * 8, [0] * 8, [0] * 8], "forget gate open"
    assert not lstm.bias_hh_l0.any()
    torch.testing.assert_close(lstm.weight_hh_l0.T @ lstm.weight_hh_l0, torch.eye(8), rtol=0, atol=1e-5)
    conv = build_net(architecture="basset", num_kernels=400).encoder.layers[0].kernels.conv
    assert conv.weight.std().item() == pytest.approx((2 / (4 * 19)) ** 0.5, rel=0.03)
    assert not conv.bias.any()


def test_dropout_is_as_configured_and_acts_in_training_alone():
    net = build_net(architecture="danq", hidden_dropout=0.25, classifier_dropout=0.4)
    rates = {name: module.p for name, module in net.named_modules() if isinstance(module, nn.Dropout)}
    assert rates == {"encoder.layers.0.dropout": 0.25, "encoder.layers.1.dropout": 0.0, "head.dropout": 0.4}
    batch = pad_rows([wrap(row) for row in draw_rows(30, 20)])
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        assert torch.equal(net(**batch).logits, net(**batch).logits)
        net.train()
        assert not torch.equal(net(**batch).logits, net(**batch).logits)


def test_any_kmers_go_through_a_learned_embedding_which_can_be_given():
    net = build_net(SIX_MERS, architecture="basset", embedding_size=7)
    assert net.get_input_embeddings().weight.shape == (4101, 7)
    load_embedding_matrix(net, np.random.default_rng(0).normal(size=(4101, 7)).astype(np.float32))
    token_ids = encode_sequences(["ACGTTGCATTG", "ACGTTGCATTGNACGGTTACGA", "ACG"], SIX_MERS)
    probabilities = compute_probabilities(net, token_ids)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    for index, ids in enumerate(token_ids):
        np.testing.assert_allclose(compute_probabilities(net, [ids])[0], probabilities[index], atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": "cnn"}, "found architecture 'cnn'.*expected one of deepbind, basset"),
        ({"pooling": "sum"}, "found .*pooling 'sum'; expected .*last, max, mean, attention"),
        (
            {"hidden_size": 8, "num_layers": 2},
            "hidden_size, num_layers for the architecture deepbind; expected no s",
        ),
        ({"num_kernels": 0}, "found num_kernels 0; expected at least 1"),
        ({"head_size": 1.5}, "found head_size 1.5; expected at least 0"),
        (
            {"classifier_dropout": 1.0},
            "found classifier_dropout 1.0; expected a probability from 0 to below 1",
        ),
        ({"pooling": "last", "num_parts": 4}, "found num_parts 4 with pooling last; expected parts with"),
    ],
)
def test_settings_that_are_not_usable_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        SequenceNetSettings(**settings)


def test_one_hot_goes_with_single_bases_alone():
    with pytest.raises(
        SettingsError, match=r"found the tokenizer kmer_k6_s1 with one-hot.*embedding_size=32"
    ):
        build_net(SIX_MERS)
    with pytest.raises(SettingsError, match="found the tokenizer bpe_4096; expected nucleotide"):
        build_net(BpeScheme(vocab_size=4096), embedding_size=8)


def test_outputs_that_do_not_suit_the_problem_are_refused():
    with pytest.raises(SettingsError, match="found 1 outputs for single_label_classification; expected two"):
        build_net(names=("only",))
    with pytest.raises(SettingsError, match="found 2 outputs for ranking; expected"):
        build_net(problem_type="ranking")


def test_a_config_has_every_size_and_keeps_it_through_its_file(tmp_path):
    settings = SequenceNetSettings(architecture="residual", num_parts=1, num_layers=2)
    config = build_sequence_net_config(NUCLEOTIDE, settings, names=("a", "b", "c"))
    config.save_pretrained(tmp_path)
    entries = json.loads((tmp_path / "config.json").read_text())
    expected = {"num_kernels": 32, "kernel_width": 11, "num_parts": 1, "num_layers": 2, "pooling": "max"}
    assert {name: entries[name] for name in expected} == expected
    assert SequenceNetConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()
    assert entries["id2label"] == {"0": "a", "1": "b", "2": "c"}


SAVED = {
    "deepbind": (NUCLEOTIDE, {"architecture": "deepbind"}),
    "residual": (NUCLEOTIDE, {"architecture": "residual", "num_layers": 2}),
    "danq": (SIX_MERS, {"architecture": "danq", "embedding_size": 8, "num_kernels": 16}),
    "gru": (NUCLEOTIDE, {"architecture": "gru", "pooling": "attention", "bidirectional": True}),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return the root of the folders, and by their names nets whose weights have all been moved."""
    root = tmp_path_factory.mktemp("saved")
    nets = {name: build_moved_net(scheme=scheme, **settings) for name, (scheme, settings) in SAVED.items()}
    for name, net in nets.items():
        net.save_pretrained(root / name)
    return root, nets


def test_a_saved_folder_holds_the_modeling_file_and_names_its_classes(saved):
    root, _ = saved
    assert sorted(file.name for file in (root / "danq").iterdir()) == [
        "config.json",
        "model.safetensors",
        "modeling_sequence_nets.py",
    ]
    config = json.loads((root / "danq" / "config.json").read_text())
    assert config["model_type"] == SequenceNetConfig.model_type
    assert config["auto_map"] == AUTO_MAPS[SequenceNetConfig.model_type]


def test_the_modeling_file_imports_torch_and_transformers_alone():
    tree = ast.parse(Path(modeling.__file__).read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    assert {module.split(".")[0] for module in modules} == {"torch", "transformers", "typing"}


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_net_loads_with_every_weight(saved, name):
    root, nets = saved
    loaded, info = AutoModelForSequenceClassification.from_pretrained(root / name, output_loading_info=True)
    assert type(loaded) is SequenceNetForSequenceClassification
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    expected = nets[name].state_dict()
    assert set(loaded.state_dict()) == set(expected)
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, expected[key]), key


def test_a_head_for_other_classes_is_new_and_the_rest_stays(saved):
    root, nets = saved
    torch.manual_seed(0)
    loaded = SequenceNetForSequenceClassification.from_pretrained(
        root / "gru", num_labels=5, ignore_mismatched_sizes=True
    )
    assert loaded.head.out.weight.shape == (5, 256)
    assert 0 < loaded.head.out.weight.abs().max() <= 256**-0.5
    assert not loaded.head.out.bias.any()
    for key, value in nets["gru"].encoder.state_dict().items():
        assert torch.equal(loaded.encoder.state_dict()[key], value), key


# Runs where genolm cannot be imported; prints the logits of each folder.
LOAD_WITHOUT_GENOLM = """
import json, sys
sys.modules["genolm"] = None
import torch
from transformers import AutoModelForSequenceClassification
ids, folders = json.loads(sys.stdin.read())
ids = torch.tensor(ids)
for folder in folders:
    net = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True).eval()
    with torch.no_grad():
        logits = net(input_ids=ids, attention_mask=(ids != 0).long()).logits
    print(json.dumps({"logits": logits.tolist(), "module": type(net).__module__}))
"""


def test_saved_nets_load_where_genolm_cannot_be_imported(saved, run_plain):
    root, nets = saved
    batch = pad_rows([wrap(row) for row in draw_rows(20, 12)])
    request = json.dumps([batch["input_ids"].tolist(), [str(root / name) for name in nets]])
    answers = [json.loads(line) for line in run_plain(LOAD_WITHOUT_GENOLM, text=request).splitlines()]
    for net, answer in zip(nets.values(), answers, strict=True):
        with torch.no_grad():
            expected = net(**batch).logits
        torch.testing.assert_close(torch.tensor(answer["logits"]), expected, rtol=0, atol=1e-6)
        assert answer["module"].startswith("transformers_modules.")
