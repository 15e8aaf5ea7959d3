import json

import numpy as np
import pytest
import torch
from test_cli_commands import check_refused, run_cli

from genolm.alphabet import encode_bases
from genolm.models.sequence_nets import SequenceNetSettings, build_sequence_net
from genolm.tokenization.scheme import KmerScheme
from genolm.training.persistence.run_folder import save_model_folder

SEQUENCES = {
    "chr1:100-114(+)": "CCCCTATAATCCCC",
    "chr1:110-124(-)": "CCTATAATCCCCNC",
    "loose": "GGGGGGTATAAT",
}
SCHEME = KmerScheme(k=1, stride=1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A DeepBind whose log-odds are the most letters that a window shares with TATAAT."""
    settings = SequenceNetSettings(architecture="deepbind", num_kernels=1, kernel_width=6)
    net = build_sequence_net(SCHEME, settings, names=("other", "promoter"), seed=0).eval()
    convolution = net.encoder.layers[0].kernels.conv
    with torch.no_grad():
        convolution.weight[0] = torch.eye(4)[encode_bases("TATAAT").astype(int)].T
        convolution.bias.zero_()
        net.head.out.weight[:] = torch.tensor([[0.0], [1.0]])
        net.head.out.bias.zero_()
    folder = tmp_path_factory.mktemp("explain") / "model"
    save_model_folder(folder, model=net, scheme=SCHEME)
    return folder


@pytest.fixture(scope="module")
def fasta(model):
    path = model.parent / "sequences.fa"
    path.write_text("".join(f">{name}\n{text}\n" for name, text in SEQUENCES.items()))
    return path


def read_rows(path):
    header, *rows = [line.split("\t") for line in path.read_text().splitlines()]
    return header, rows


def test_a_mutation_map_is_written_with_figures_and_a_bedgraph(model, fasta, tmp_path):
    words = ("--model", model, "--output", tmp_path / "o", "--score", "log_odds", "--deletions")
    outcome = run_cli("explain", fasta, *words)
    assert outcome.code == 0, outcome.err
    header, rows = read_rows(tmp_path / "o" / "effects.tsv")
    assert header == [
        *("id", "position_1based", "base", "contribution"),
        *("effect_A", "effect_C", "effect_G", "effect_T", "effect_deletion"),
    ]
    assert len(rows) == sum(map(len, SEQUENCES.values()))
    assert [row[2] for row in rows] == list("".join(SEQUENCES.values()))
    fifth = rows[4]  # the first T of TATAAT
    assert fifth[:3] == ["chr1:100-114(+)", "5", "T"]
    assert [float(value) for value in fifth[3:8]] == pytest.approx([1, -1, -1, -1, 0], abs=1e-5)
    assert rows[14 + 12][3:8] == [""] * 5, "an N is not mutated"
    lines = [
        line.split("\t") for line in (tmp_path / "o" / "contributions.bedgraph").read_text().splitlines()
    ]
    values = {int(start): float(value) for _, start, _, value in lines}
    # Of the second one, which reads backward, TATAAT lies at 116-122, and the N at 111.
    assert {start for start, value in values.items() if value > 0.4} == {*range(104, 110), *range(116, 122)}
    assert [line[0] for line in lines] == ["chr1"] * 24
    assert len(values) == 24
    names = sorted(path.name for path in (tmp_path / "o" / "figures").iterdir())
    assert len(names) == 6
    assert names[4:] == ["0003-loose.png", "0003-loose.svg"]
    for name in names:
        start = (tmp_path / "o" / "figures" / name).read_bytes()[:8]
        assert start == (b"\x89PNG\r\n\x1a\n" if name.endswith("png") else b"<?xml ve")
    settings = json.loads((tmp_path / "o" / "explain.json").read_text())
    assert (settings["method"], settings["class_name"]) == ("mutation", "promoter")


@pytest.mark.parametrize("method", ["saliency", "gradient_x_input", "integrated_gradients"])
def test_every_method_puts_the_weight_on_the_word(method, model, fasta, tmp_path):
    words = ("--method", method, "--score", "log_odds", "--max-sequences", 1)
    outcome = run_cli("explain", fasta, "--model", model, "--output", tmp_path, *words)
    assert outcome.code == 0, outcome.err
    assert "the first 1 of 3 sequences (--max-sequences)" in outcome.err
    _, rows = read_rows(tmp_path / "effects.tsv")
    contributions = np.array([float(row[3]) for row in rows])
    assert len(contributions) == 14
    assert contributions[5:9].min() > 0.2
    assert contributions[[0, 1, 12, 13]].max() == pytest.approx(0, abs=1e-5)


def test_shuffled_windows_put_the_weight_on_the_word(model, fasta, tmp_path):
    words = ("--method", "windows", "--score", "log_odds", "--max-sequences", 1, "--window-bp", 8)
    outcome = run_cli("explain", fasta, "--model", model, "--output", tmp_path, *words)
    assert outcome.code == 0, outcome.err
    _, rows = read_rows(tmp_path / "effects.tsv")
    contributions = np.array([float(row[3]) for row in rows])
    assert contributions[4:10].mean() > contributions[[0, 1, 12, 13]].mean()


def test_motifs_are_printed(model, tmp_path):
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice(list("ACGT"), size=20)) for _ in range(8)]
    path = tmp_path / "many.fa"
    path.write_text("".join(f">{i}\n{text[:7]}TATAAT{text[13:]}\n" for i, text in enumerate(texts)))
    outcome = run_cli("explain", path, "--model", model, "--output", tmp_path / "o", "--motifs")
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("motif_1_TATAAT: ")
    assert (tmp_path / "o" / "motifs.meme").is_file()


def test_bad_input_is_one_line(model, fasta, tmp_path):
    words = ("explain", fasta, "--model", model, "--output", tmp_path / "o")
    check_refused(
        run_cli(*words, "--class", "enhancer"), 2, "the class 'enhancer'; expected one of other, promo"
    )
    check_refused(
        run_cli(*words, "--method", "lime"), 2, "the method 'lime'; expected one of mutation, windows"
    )
    check_refused(run_cli(*words, "--method", "attention"), 2, "has no attention; expected one of bert")
    windows = ("--method", "windows", "--window-bp", 13)
    check_refused(run_cli(*words, *windows), 2, "windows of 13 bp; expected 1 to 12 bp")
    check_refused(run_cli(*words, "--bed", tmp_path / "absent.bed"), 3, r"absent\.bed")
    assert not (tmp_path / "o").exists()


def test_places_that_do_not_fit_are_refused(model, fasta, tmp_path):
    words = ("--model", model, "--output", tmp_path / "o")
    bed = tmp_path / "places.bed"
    bed.write_text("chr1\t5\tx\n")
    check_refused(run_cli("explain", fasta, *words, "--bed", bed), 3, "line 1 of places.bed: 'chr1")
    bed.write_text("chr1\t5\t19\tother\n")
    outcome = run_cli("explain", fasta, *words, "--bed", bed)
    check_refused(outcome, 3, r"no line of 14 bp for 'chr1:100-114\(\+\)' in places\.bed")
    (tmp_path / "wrong.fa").write_text(">chr1:5-30(+)\nACGTACGT\n")
    outcome = run_cli("explain", tmp_path / "wrong.fa", *words)
    check_refused(outcome, 3, r"'chr1:5-30\(\+\)' with 8 bp; expected 25 bp")


def test_places_of_a_bed_file(model, fasta, tmp_path):
    lines = [
        f"plasmid\t{100 * i}\t{100 * i + len(text)}\t{name}"
        for i, (name, text) in enumerate(SEQUENCES.items())
    ]
    (tmp_path / "places.bed").write_text("# made up\n" + "\n".join(lines) + "\n")
    words = ("--model", model, "--output", tmp_path / "o", "--bed", tmp_path / "places.bed")
    assert run_cli("explain", fasta, *words).code == 0
    rows = [line.split("\t") for line in (tmp_path / "o" / "contributions.bedgraph").read_text().splitlines()]
    assert len(rows) == 14 + 13 + 12
    assert {row[0] for row in rows} == {"plasmid"}
    assert rows[-1][1:3] == ["211", "212"]
