import numpy as np
import pytest
from small_classifiers import make_word_net

from genolm.alphabet import encode_bases
from genolm.errors import DataError, SettingsError
from genolm.interpretation.explain import ExplainSettings, Explanation, compute_explanation
from genolm.interpretation.motif_matches import format_meme, match_consensus, match_database
from genolm.interpretation.motif_report import write_motifs
from genolm.interpretation.seqlets import Seqlets, build_motifs, find_seqlets
from genolm.interpretation.targets import Target
from genolm.interpretation.word_enrichment import correct_p_values, find_enriched_words, find_high_regions
from genolm.models.kernels import build_consensus

TARGET = Target(1, "promoter", "log_odds", "classification")


def plant(words: list[str], *, count: int, seed: int = 0) -> tuple[list[str], list[np.ndarray], np.ndarray]:
    """Random sequences of 40 bases with one of the words each, which alone contributes; where it is."""
    rng = np.random.default_rng(seed)
    sequences, contributions = [], []
    starts = rng.integers(0, 34, size=count)
    for number, start in enumerate(starts):
        word = words[number % len(words)]
        text = "".join(rng.choice(list("ACGT"), size=40))
        sequences.append(text[:start] + word + text[start + 6 :])
        row = rng.normal(0, 0.05, size=40)
        row[start : start + 6] += 1 + (number % len(words) == 0)
        contributions.append(row)
    return sequences, contributions, starts


def test_seqlets_are_the_highest_windows_and_do_not_overlap():
    row = np.array([0, 3, 3, 0, 0, 0, 2, 2, 0, -5.0])
    found = find_seqlets([row, np.zeros(4)], window_bp=2, min_quantile=0.2)
    assert found.owners.tolist() == [0, 0]
    assert found.starts.tolist() == [1, 6]
    assert find_seqlets([np.array([1.0])], window_bp=2).starts.tolist() == []
    assert find_seqlets([], window_bp=2).starts.tolist() == []


def test_planted_words_are_found_the_stronger_one_first_each_at_its_place():
    sequences, contributions, starts = plant(["TATAAT", "TTGACA"], count=60)
    seqlets = find_seqlets(contributions, window_bp=8, min_quantile=0.8)
    motifs = build_motifs(sequences, contributions, seqlets, motif_bp=6)
    assert [build_consensus(motif.frequencies) for motif in motifs[:2]] == ["TATAAT", "TTGACA"]
    for kind, motif in enumerate(motifs[:2]):
        exact = starts[motif.owners] == motif.starts
        assert exact.mean() > 0.9
        assert (motif.owners[exact] % 2 == kind).all()
        assert 25 <= motif.num_sites <= 35
        assert motif.frequencies.sum(axis=1) == pytest.approx(1)
        assert motif.frequencies.max(axis=1).min() > 0.85


def test_a_motif_is_the_mean_of_its_aligned_sites():
    sequences = ["CCTATAATCC", "CTATAATCCC", "CCCTATACTC"]
    contributions = [np.zeros(10) for _ in sequences]
    for row, start in zip(contributions, (2, 1, 3), strict=True):
        row[start : start + 6] = 1
    seqlets = Seqlets(np.array([0, 1, 2]), np.array([1, 0, 2]), 8)
    (motif,) = build_motifs(sequences, contributions, seqlets, motif_bp=6, min_sites=2)
    counts = np.zeros((6, 4)) + 0.125
    for site in ("TATAAT", "TATAAT", "TATACT"):
        counts[np.arange(6), encode_bases(site)] += 1
    np.testing.assert_allclose(motif.frequencies, counts / 3.5)
    assert motif.starts.tolist() == [2, 1, 3]


def test_too_few_sites_make_no_motif():
    sequences, contributions, _ = plant(["TATAAT"], count=5)
    seqlets = find_seqlets(contributions)
    assert build_motifs(sequences, contributions, seqlets, min_sites=6) == []
    assert build_motifs(["NNNNNN"] * 3, [np.ones(6)] * 3, find_seqlets([np.ones(6)] * 3), min_sites=1) == []


def test_bad_settings_of_motifs():
    with pytest.raises(
        SettingsError, match=r"windows of 0 bp above the quantile 0.75; expected at least 1 bp"
    ):
        find_seqlets([], window_bp=0)
    with pytest.raises(SettingsError, match=r"motifs of 11 bp; expected 1 to 10 bp"):
        build_motifs([], [], Seqlets(np.zeros(0, int), np.zeros(0, int), 12), motif_bp=11)


def test_a_consensus_is_matched_at_its_best_place_with_the_chance_of_a_random_word():
    frequencies = np.eye(4)[encode_bases("GTATACT")]
    found = match_consensus(frequencies, "TATAAT")
    assert (found.matches, found.length_bp, found.offset) == (5, 6, 1)
    one_word = (6 * 3 + 1) / 4**6
    assert found.p_value == pytest.approx(1 - (1 - one_word) ** 2)
    with pytest.raises(SettingsError, match=r"the consensus 'TATAATGC' for a motif of 7 bp"):
        match_consensus(frequencies, "TATAATGC")


def read_matrix(text: str) -> np.ndarray:
    lines = text.split("w= 6")[1].splitlines()[1:7]
    return np.array([[float(value) for value in line.split()] for line in lines])


def test_a_meme_file_has_the_columns_a_c_g_t():
    text = format_meme([np.eye(4)[encode_bases("TTGACA")]], ["box"], [12])
    assert "MOTIF box\nletter-probability matrix: alength= 4 w= 6 nsites= 12\n" in text
    assert "".join("ACGT"[column] for column in read_matrix(text).argmax(axis=1)) == "TTGACA"


@pytest.mark.slow  # numba compiles memelite at the first call
@pytest.mark.filterwarnings("ignore")
def test_a_database_is_searched_through_memelite(tmp_path):
    pytest.importorskip("memelite")
    rng = np.random.default_rng(0)
    words = ["TATAAT", *("".join(rng.choice(list("ACGT"), size=8)) for _ in range(40))]
    matrices = [np.eye(4)[encode_bases(word)] * 0.9 + 0.025 for word in words]
    path = tmp_path / "known.meme"
    path.write_text(
        format_meme(matrices, [f"M{i} {word}" for i, word in enumerate(words)], [10] * len(words))
    )
    (match,) = match_database([matrices[0]], path)
    assert match.name == "M0 TATAAT"
    assert match.p_value < 0.01
    assert match.e_value == pytest.approx(41 * match.p_value)


@pytest.mark.slow  # memelite takes long to import
def test_a_database_without_motifs_is_refused(tmp_path):
    pytest.importorskip("memelite")
    (tmp_path / "empty.meme").write_text("MEME version 4\n")
    for name in ("empty.meme", "absent.meme"):
        with pytest.raises(DataError, match=rf"no motif in {name}; expected a MEME text file"):
            match_database([np.eye(4)], tmp_path / name)


def test_enriched_words_by_the_hypergeometric_tail():
    sequences = ["CCCCTATAATCCCC"] * 8
    attention = [np.array([1.0] * 4 + [100] * 6 + [1] * 4)] * 8
    (found,) = find_enriched_words(sequences, attention, ["CCCCCCCC"] * 6 + ["ATATAATA"] * 2)
    assert found[:3] == ("TATAAT", 8, 2)
    # 10 of 16 sequences hold the word; that all 8 foreground ones do: C(8, 2) / C(16, 10)
    assert found.p_value == pytest.approx(28 / 8008)
    assert found.q_value == pytest.approx(28 / 8008)
    assert find_enriched_words(sequences, attention, sequences) == []
    assert find_enriched_words(sequences, [np.ones(14)] * 8, sequences) == []


def test_regions_are_long_high_and_far_above_the_lowest():
    assert find_high_regions(np.array([1, 50, 50, 50, 1, 50, 50, 50, 50.0])) == [(5, 9)]
    assert find_high_regions(np.array([10, 50, 50, 50, 50, 10.0])) == []
    assert correct_p_values(np.array([0.5, 0.001])).tolist() == pytest.approx([0.5, 0.002])


def test_the_motif_of_a_model_with_a_known_answer_is_written(tmp_path):
    sequences = plant(["TATAAT"], count=40)[0]
    settings = ExplainSettings(score="log_odds")
    found = compute_explanation(make_word_net("TATAAT"), sequences, settings=settings)
    lines = write_motifs(sequences, found, tmp_path)
    assert lines[0].startswith("motif_1_TATAAT: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("modisco.npz", "motif_sites.tsv", "motifs.meme", "motifs.png", "motifs.svg", "sequences.npz")
    ]
    letters, values = (np.load(tmp_path / f"{name}.npz")["arr_0"] for name in ("sequences", "modisco"))
    assert letters.shape == values.shape == (40, 4, 40)
    assert "".join("ACGT"[code] for code in letters[0].argmax(axis=0)) == sequences[0]
    np.testing.assert_allclose(values.sum(axis=1), 0, atol=1e-5)
    rows = (tmp_path / "motif_sites.tsv").read_text().splitlines()
    assert rows[0] == "motif\tsequence_1based\tstart_1based\tsite"
    name, owner, start, site = rows[1].split("\t")
    assert sequences[int(owner) - 1][int(start) - 1 :][:6] == site
    assert name == "motif_1_TATAAT"


def test_motifs_of_attention_are_made_of_enriched_words(tmp_path):
    sequences, _, starts = plant(["TATAAT"], count=40)
    attention = []
    for start in starts:
        row = np.ones(40)
        row[start : start + 6] = 100
        attention.append(row)
    lines = write_motifs(sequences, Explanation(attention, None, None, TARGET), tmp_path, is_attention=True)
    assert lines[0].startswith("motif_1_TATAAT: ")
    header, first, *_ = (tmp_path / "enriched_words.tsv").read_text().splitlines()
    assert header.split("\t") == ["word", "sequences", "shuffled_sequences", "p_value", "q_value"]
    assert first.split("\t")[:2] == ["TATAAT", "40"]


def test_nothing_that_stands_out_is_said(tmp_path):
    flat = Explanation([np.zeros(12)] * 3, None, None, TARGET)
    assert write_motifs(["ACGTACGTACGT"] * 3, flat, tmp_path) == [
        "no motif in 3 sequences: too few stretches stand out and agree"
    ]
