import numpy as np
import pytest
import torch
from planted_motifs import NUCLEOTIDE, compute_auroc, plant_one, plant_order, train

from genolm.alphabet import BASES, encode_bases
from genolm.errors import DataError, SettingsError
from genolm.kmers import count_kmers
from genolm.metrics import compute_classification_metrics
from genolm.models.kernels import build_consensus, build_kernel_motifs, compute_information
from genolm.models.sequence_nets import SequenceNetSettings, build_sequence_net
from genolm.tokenization.scheme import KmerScheme


def build_net(scheme=NUCLEOTIDE, **settings):
    settings = SequenceNetSettings(**settings)
    return build_sequence_net(scheme, settings, names=("other", "site"), seed=0).eval()


def build_word_net(*words: str, bias: float):
    """A DeepBind whose kernels count the letters that a window has in common with a word."""
    net = build_net(num_kernels=len(words), kernel_width=len(words[0]))
    conv = net.encoder.layers[0].kernels.conv
    with torch.no_grad():
        for kernel, word in enumerate(words):
            conv.weight[kernel] = torch.eye(4)[encode_bases(word).astype(int)].T
        conv.bias.fill_(bias)
    return net


def test_a_motif_counts_the_windows_above_half_of_the_maximum():
    net = build_word_net("TATA", bias=-2.0)  # 2 on TATA, 1 on three of four letters: not above half
    (motif,) = build_kernel_motifs(net, ["GGTATAGG", "CCTATTCC"])
    assert (motif.num_sites, motif.max_activation) == (1, 2.0)
    assert build_consensus(motif.frequencies) == "TATA"
    (motif,) = build_kernel_motifs(net, ["GGTATAGG", "CCTATTCC"], min_share=0.4)
    assert motif.num_sites == 2
    assert motif.frequencies.tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0.5, 0.5, 0, 0]]
    assert motif.frequencies.dtype == np.float64


def test_every_kernel_has_a_motif_in_its_place_and_a_dead_one_is_uniform():
    motifs = build_kernel_motifs(build_word_net("TAT", "CCC", "GAG", bias=-2.5), ["ATATA", "GAGTA"])
    assert [motif.num_sites for motif in motifs] == [1, 0, 1]
    assert [build_consensus(motif.frequencies) for motif in motifs] == ["TAT", "NNN", "GAG"]
    assert motifs[1].frequencies.tolist() == [[0.25] * 4] * 3
    assert [motif.max_activation for motif in motifs] == [0.5, -2.5, 0.5]


def test_windows_that_reach_over_an_end_are_left_out_also_for_the_maximum():
    net = build_word_net("AGGG", bias=0.0)
    with torch.no_grad():
        net.encoder.layers[0].kernels.conv.weight[0, :, 0] = -1.0  # best without a first letter: 3
    (motif,) = build_kernel_motifs(net, ["GGGAAAA", "GGG"])
    assert (motif.num_sites, motif.max_activation) == (1, 1.0)
    assert build_consensus(motif.frequencies) == "GGGA"


def test_white_space_lower_case_and_unknown_bases_of_a_window():
    (motif,) = build_kernel_motifs(build_word_net("TATA", bias=-2.0), ["gg ta\nta gg", "CTATNC"])
    assert motif.num_sites == 2, "N is a quarter of an A: 1.25 of 2"
    assert motif.frequencies.tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]]


def test_a_kernel_over_kmers_spans_their_bases():
    net = build_net(KmerScheme(k=3, stride=2), embedding_size=1, num_kernels=1, kernel_width=2)
    with torch.no_grad():
        net.encoder.embedding.weight.zero_()
        net.encoder.embedding.weight[5 + 1] = 1.0  # AAT is the second 3-mer
        net.encoder.layers[0].kernels.conv.weight[:] = torch.tensor([[[0.0, 1.0]]])
        net.encoder.layers[0].kernels.conv.bias.zero_()
    (motif,) = build_kernel_motifs(net, ["GCAATCCAATG", "TTAATTT"])
    # Tokens start at 0, 2, 4...: the AAT at 2 counts in both, with the token before it; that at 7 does not.
    assert motif.num_sites == 2
    halves = [[0, 0.5, 0, 0.5], [0, 0.5, 0.5, 0]]  # GCAAT and TTAAT
    assert motif.frequencies.tolist() == [*halves, [1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]]


def test_motifs_do_not_depend_on_the_batches():
    sequences, _ = plant_one(50, matrix=np.eye(4), length_bp=40, seed=0)
    sequences = [sequence[: 40 - index % 20] for index, sequence in enumerate(sequences)]
    net = build_net(architecture="residual", kernel_width=7)
    together, apart = (build_kernel_motifs(net, sequences, batch_size=size) for size in (64, 3))
    assert sum(motif.num_sites for motif in together) > 100
    for one, other in zip(together, apart, strict=True):
        assert one.num_sites == other.num_sites
        np.testing.assert_array_equal(one.frequencies, other.frequencies)


def test_information_content_of_a_hand_computed_column():
    # -0.5 * log2(0.5) - 2 * 0.25 * log2(0.25) = 1.5 bits
    assert compute_information(np.array([[0.5, 0.25, 0.25, 0.0]])).tolist() == [0.5]


def test_what_has_no_kernels_or_no_windows_is_refused():
    with pytest.raises(SettingsError, match="found the architecture lstm; expected one that starts with"):
        build_kernel_motifs(build_net(architecture="lstm"), ["ACGT"])
    with pytest.raises(DataError, match="found none of 2 sequences with 12 bases or more"):
        build_kernel_motifs(build_net(), ["ACGT", "ACG TAC GTA CG"])
    with pytest.raises(SettingsError, match=r"found min_share 1; expected a share from 0 to below 1"):
        build_kernel_motifs(build_net(), ["ACGT"], min_share=1)


def make_matrix() -> np.ndarray:
    """TGACGTCATC with 88 % of the sites at each place; A or T at the fifth."""
    matrix = np.full((10, 4), 0.04)
    matrix[np.arange(10), encode_bases("TGACGTCATC")] = 0.88
    matrix[4] = [0.46, 0.46, 0.04, 0.04]
    return matrix


def compute_best_correlation(frequencies: np.ndarray, matrix: np.ndarray) -> float:
    """Pearson's over all places where the matrix lies within the motif."""
    starts = range(len(frequencies) - len(matrix) + 1)
    parts = [frequencies[start : start + len(matrix)].ravel() for start in starts]
    return max(np.corrcoef(part, matrix.ravel())[0, 1] if part.std() > 0 else 0.0 for part in parts)


def test_deepbind_finds_a_planted_motif_and_its_kernels_show_it():
    matrix = make_matrix()
    sequences, labels = plant_one(1500, matrix=matrix, length_bp=60, seed=0)
    net = train(build_net(), sequences, labels, epochs=6, rate=0.005)
    sequences, labels = plant_one(500, matrix=matrix, length_bp=60, seed=1)
    assert compute_auroc(net, sequences, labels) > 0.95
    sites = [sequence for sequence, label in zip(sequences, labels, strict=True) if label]
    motifs = build_kernel_motifs(net, sites)
    assert max(compute_best_correlation(motif.frequencies, matrix) for motif in motifs) > 0.95
    untrained = build_kernel_motifs(build_net(), sites)
    assert max(compute_best_correlation(motif.frequencies, matrix) for motif in untrained) < 0.7


def count_4mers(sequences: list[str]) -> np.ndarray:
    return np.array([count_kmers(encode_bases(sequence), k=4) for sequence in sequences])


def test_danq_tells_the_order_of_two_words_and_counts_of_kmers_do_not():
    from sklearn.linear_model import LogisticRegression

    words = {"first": "TTGACA", "second": "GCTAGC"}
    sequences, labels = plant_order(1500, **words, seed=0)
    test_sequences, test_labels = plant_order(500, **words, seed=1)
    control = LogisticRegression(C=0.1, max_iter=1000).fit(count_4mers(sequences), labels)
    scores = control.predict_proba(count_4mers(test_sequences))[:, 1]
    assert compute_classification_metrics(test_labels, scores)["auroc"] < 0.65
    sizes = {"num_kernels": 32, "kernel_width": 8, "hidden_size": 16, "head_size": 32}
    net = build_net(architecture="danq", **sizes, hidden_dropout=0.0, classifier_dropout=0.0)
    train(net, sequences, labels, epochs=8, rate=0.005)
    assert compute_auroc(net, test_sequences, test_labels) > 0.95


def test_the_columns_of_a_motif_are_in_the_order_of_the_alphabet():
    assert BASES == "ATCG"
    assert build_consensus(np.eye(4)) == BASES
