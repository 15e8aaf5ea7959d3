import numpy as np
import pytest
import torch
from made_up_dna import make_dna
from small_models import CLASSIFIERS, LANGUAGE_MODELS, SCHEME, build_small_model, save_small_model

from genolm.errors import DataError, SettingsError
from genolm.inference.classify import Classifier
from genolm.inference.embed import embed
from genolm.inference.loading import LanguageModel
from genolm.models.strands import turn_sequences
from genolm.tokenization.encoder import encode_sequence

SEQUENCES = ["ACGTACGTAC", "acgun", "GGGTTTAAACCCGATTACA", "TTG", make_dna(70, seed=5), "CAT CAT\n"]
WITH_CLS = ("bert_lm", "modernbert_lm", "bert_classifier", "modernbert_classifier")


def load(name: str):
    model, scheme = build_small_model(name)
    if name in LANGUAGE_MODELS:
        return LanguageModel(model, scheme)
    return Classifier(model, scheme, ("other", "promoter"))


def run_alone(model, sequence: str, *, layer: int = -1) -> np.ndarray:
    """What the encoder says of every token of a sequence, [CLS] and [SEP] included."""
    ids = torch.from_numpy(encode_sequence(sequence, SCHEME, dtype=np.int64))[None]
    with torch.no_grad():
        output = model.base_model(input_ids=ids, output_hidden_states=True)
    return (output.last_hidden_state if layer == -1 else output.hidden_states[layer])[0].numpy()


@pytest.mark.parametrize("name", [*LANGUAGE_MODELS, *CLASSIFIERS])
def test_a_vector_does_not_depend_on_the_batch(name):
    loaded = load(name)
    poolings = ["mean", "max", "last", *(["cls"] if name in WITH_CLS else [])]
    for pooling in poolings:
        together = embed(loaded, SEQUENCES, pooling=pooling)
        assert together.dtype == np.float32
        alone = [embed(loaded, [each], pooling=pooling)[0] for each in SEQUENCES]
        np.testing.assert_allclose(together, alone, atol=1e-5)
        again = embed(loaded, SEQUENCES[::-1], pooling=pooling, batch_size=4)
        np.testing.assert_allclose(again[::-1], alone, atol=1e-5)
        assert np.ptp(together, axis=0).max() > 1e-3, "the sequences must differ for this test"


@pytest.mark.parametrize("name", [*LANGUAGE_MODELS, *CLASSIFIERS])
def test_the_vectors_of_a_short_sequence_are_pools_of_those_of_its_tokens(name):
    loaded, sequences = load(name), [*SEQUENCES[:4], SEQUENCES[5]]
    tokens = embed(loaded, sequences, pooling="tokens", batch_size=2)
    if name != "danq_classifier":  # which keeps one position of four
        assert [len(each) for each in tokens] == [
            loaded.scheme.count_tokens(len("".join(each.split()))) for each in sequences
        ]
    read_last = 0 if name == "backward_lm" else -1
    for pooling, pool in (
        ("mean", lambda each: each.mean(axis=0)),
        ("max", lambda each: each.max(axis=0)),
        ("last", lambda each: each[read_last]),
    ):
        np.testing.assert_allclose(
            embed(loaded, sequences, pooling=pooling), [pool(each) for each in tokens], atol=1e-5
        )


@pytest.mark.parametrize("name", [*WITH_CLS, "awd_lstm_lm", "backward_lm", "awd_lstm_classifier"])
@pytest.mark.parametrize("layer", [0, 1, -1])
def test_the_vectors_of_tokens_are_those_of_the_encoder_without_the_special_ones(name, layer):
    loaded = load(name)
    for sequence, found in zip(
        SEQUENCES[:4], embed(loaded, SEQUENCES[:4], pooling="tokens", layer=layer), strict=True
    ):
        np.testing.assert_allclose(found, run_alone(loaded.model, sequence, layer=layer)[1:-1], atol=1e-5)


def test_cls_is_the_vector_of_the_first_token():
    loaded = load("bert_lm")
    np.testing.assert_allclose(
        embed(loaded, ["ACGTTG"], pooling="cls")[0], run_alone(loaded.model, "ACGTTG")[0], atol=1e-5
    )


@pytest.mark.parametrize("name", ["awd_lstm_lm", "backward_lm"])
def test_layer_0_of_an_awd_lstm_is_its_embedding_and_the_last_number_its_last_layer(name):
    loaded = load(name)
    weight = loaded.model.get_input_embeddings().weight.detach().numpy()
    ids = encode_sequence("ACGTTG", SCHEME)[1:-1]
    np.testing.assert_allclose(embed(loaded, ["ACGTTG"], layer=0)[0], weight[ids].mean(axis=0), atol=1e-6)
    assert embed(loaded, ["ACGTTG"], layer=1).shape == (1, 12)
    np.testing.assert_array_equal(embed(loaded, ["ACGTTG"], layer=2), embed(loaded, ["ACGTTG"]))


def test_the_first_layer_of_a_one_hot_network_is_the_one_hot():
    found = embed(load("deepbind_classifier"), ["ATCGN"], pooling="tokens", layer=0)[0]
    np.testing.assert_array_equal(found, [*np.eye(4), [0.25] * 4])


@pytest.mark.parametrize("name", ["bert_lm", "modernbert_classifier"])
def test_a_long_sequence_is_read_in_overlapping_windows(name):
    loaded = load(name)
    sequence = make_dna(47, seed=8)  # 45 tokens: windows of 30, at token 0 and at token 15
    windows = [sequence[:32], sequence[15:]]
    sequences = ["ACGTT", sequence, "TTTT"]
    for pooling, join in (("mean", np.mean), ("cls", np.mean), ("max", np.max)):
        of_windows = embed(loaded, windows, pooling=pooling)
        np.testing.assert_allclose(
            embed(loaded, sequences, pooling=pooling)[1], join(of_windows, axis=0), atol=1e-5
        )
    np.testing.assert_allclose(
        embed(loaded, sequences, pooling="last")[1], embed(loaded, windows, pooling="last")[1], atol=1e-5
    )
    first, second = embed(loaded, windows, pooling="tokens")
    expected = np.concatenate([first[:15], (first[15:] + second[:15]) / 2, second[15:]])
    np.testing.assert_allclose(embed(loaded, sequences, pooling="tokens")[1], expected, atol=1e-5)


def test_both_strands_give_the_mean_of_the_two():
    loaded = load("awd_lstm_lm")
    turned = turn_sequences([each.upper().replace(" ", "").strip() for each in SEQUENCES])
    expected = (embed(loaded, SEQUENCES) + embed(loaded, turned)) / 2
    np.testing.assert_allclose(embed(loaded, SEQUENCES, both_strands=True), expected, atol=1e-6)
    np.testing.assert_allclose(embed(loaded, turned, both_strands=True), expected, atol=1e-5)


def test_a_folder_serves_as_the_model(tmp_path):
    folder = save_small_model(tmp_path / "lm", "modernbert_lm")
    expected = embed(load("modernbert_lm"), SEQUENCES)
    np.testing.assert_allclose(embed(folder, SEQUENCES), expected, atol=1e-5)
    np.testing.assert_allclose(embed(str(folder), SEQUENCES), expected, atol=1e-5)


def test_no_sequences_give_no_vectors():
    assert embed(load("bert_lm"), []).shape == (0, 0)
    assert embed(load("bert_lm"), [], pooling="tokens") == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "median"}, r"found pooling 'median'; expected one of mean, max, last, cls, tokens"),
        ({"pooling": "cls"}, r"pooling cls for the model type awd_lstm; expected a bert or modernbert"),
        ({"pooling": "tokens", "both_strands": True}, r"tokens on both strands; .*; leave both_strands out"),
        ({"layer": 3}, r"found layer 3; expected 0 \(the embedding\) to 2, or -1 \(the last\) to -3"),
        ({"layer": -4}, r"found layer -4; expected 0"),
    ],
)
def test_settings_that_the_model_does_not_have_are_refused(options, message):
    with pytest.raises(SettingsError, match=message):
        embed(load("awd_lstm_lm"), SEQUENCES, **options)


def test_what_is_no_list_of_dna_is_refused():
    loaded = load("awd_lstm_lm")
    with pytest.raises(SettingsError, match=r"one text in place of sequences; .* in brackets"):
        embed(loaded, "ACGTACGT")
    with pytest.raises(DataError, match=r"'L' at position 4 of sequence 2; expected nucleotide"):
        embed(loaded, ["ACGT", "ACGL"])
    with pytest.raises(DataError, match=r"sequence 2 of 2 bp; expected at least 3 bp, one token"):
        embed(loaded, ["ACGT", "AC"])
