"""Windows of a genome scan: which there are, and what the classifier says of each."""

import numpy as np
import pytest
from made_up_dna import make_dna
from small_bpe import train_small_bpe
from small_window_models import save_classifier

from genolm.alphabet import encode_bases
from genolm.errors import SettingsError
from genolm.inference.classify import classify_sequences, load_classifier
from genolm.interpretation.genome_codes import GenomeCodes, open_genome_codes
from genolm.interpretation.scan.blocks import cut_block, iter_blocks, score_block
from genolm.interpretation.scan.settings import ScanSettings
from genolm.interpretation.targets import choose_target
from genolm.interpretation.window_tokens import build_window_encoder
from genolm.models.strands import turn_sequences
from genolm.tokenization.encoder import encode_sequence
from genolm.tokenization.scheme import KmerScheme

DNA = make_dna(60, seed=5)


@pytest.mark.parametrize(
    "scheme", [KmerScheme(k=2, stride=1), KmerScheme(k=3, stride=2)], ids=["k2", "k3_s2"]
)
@pytest.mark.parametrize("stride_bp", [1, 4])
def test_each_strand_is_what_the_classifier_says_of_the_text_of_each_window(tmp_path, scheme, stride_bp):
    classifier = load_classifier(save_classifier(tmp_path / "model", scheme=scheme))
    settings = ScanSettings(window_bp=12, stride_bp=stride_bp, batch_size=5)
    found = score_block(classifier, encode_bases(DNA), choose_target(classifier), settings)
    texts = [DNA[start : start + 12] for start in range(0, 60 - 11, stride_bp)]
    for values, sequences in zip(found, (texts, turn_sequences(texts)), strict=True):
        np.testing.assert_allclose(values, classify_sequences(classifier, sequences)[:, 1], rtol=1e-3)
    assert np.ptp(np.log(found)) > 1


def test_windows_with_an_unknown_base_are_skipped(tmp_path):
    classifier = load_classifier(save_classifier(tmp_path / "model"))
    codes = encode_bases(DNA[:20] + "N" + DNA[21:])
    found = score_block(classifier, codes, choose_target(classifier), ScanSettings(window_bp=12))
    skipped = np.flatnonzero(np.isnan(found[0]))
    assert skipped.tolist() == list(range(9, 21))
    np.testing.assert_array_equal(np.isnan(found[0]), np.isnan(found[1]))
    alone = score_block(
        classifier, encode_bases("N" * 15), choose_target(classifier), ScanSettings(window_bp=12)
    )
    assert np.isnan(alone).all()


def test_bpe_windows_are_encoded_one_by_one(tmp_path):
    tokens = train_small_bpe(tmp_path)
    encode = build_window_encoder(encode_bases(DNA), tokens, window_bp=12)
    for start, ids in zip((0, 7), encode(np.array([0, 7])), strict=True):
        assert ids.tolist() == tokens.encode(DNA[start : start + 12])


def test_k_mers_of_any_window_are_those_of_its_text():
    scheme = KmerScheme(k=3, stride=2)
    encode = build_window_encoder(encode_bases(DNA), scheme, window_bp=10)
    for start, ids in zip((0, 7, 50), encode(np.array([0, 7, 50])), strict=True):
        assert ids.tolist() == encode_sequence(DNA[start : start + 10], scheme).tolist()


def test_blocks_hold_every_window_of_every_contig_once():
    genome = GenomeCodes({"a": encode_bases(DNA[:31]), "b": encode_bases("ACG"), "c": encode_bases(DNA)}, "")
    settings = ScanSettings(window_bp=10, stride_bp=3, block_windows=4)
    found = [
        (b.contig, b.find_starts(3).tolist(), len(cut_block(genome, b, settings)))
        for b in iter_blocks(genome, settings)
    ]
    assert found[:2] == [("a", [0, 3, 6, 9], 19), ("a", [12, 15, 18, 21], 19)]
    starts = [start for contig, block, _ in found if contig == "c" for start in block]
    assert starts == list(range(0, 51, 3))
    assert {contig for contig, _, _ in found} == {"a", "c"}


def test_the_genome_is_whole_behind_its_file(tmp_path):
    (tmp_path / "g.fa").write_text(">a\nACGTn\nacg\n>b x\nTTR\n")
    with open_genome_codes(tmp_path / "g.fa") as genome:
        assert {name: codes.tolist() for name, codes in genome.contigs.items()} == {
            "a": [0, 2, 3, 1, 4, 0, 2, 3],
            "b": [1, 1, 4],
        }
    first = genome.sha256
    (tmp_path / "g.fa").write_text(">a\nACGTNACG\n>b x\nTTN\n")
    with open_genome_codes(tmp_path / "g.fa") as genome:
        assert genome.sha256 == first
    (tmp_path / "g.fa").write_text(">a\nACGTNACGT\n>b x\nTN\n")
    with open_genome_codes(tmp_path / "g.fa") as genome:
        assert genome.sha256 != first


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"stride_bp": 0}, r"stride_bp = 0; expected 1 or more"),
        ({"anchor_bp": 10}, r"anchor_bp = 10; expected a base of the window, 0 to 9"),
        ({"stride_bp": 11}, r"a stride of 11 bp and windows of 10 bp; expected no base left out"),
    ],
    ids=["stride", "anchor", "gaps"],
)
def test_settings_out_of_range_are_refused(changed, message):
    with pytest.raises(SettingsError, match=message):
        ScanSettings(window_bp=10, **changed)
