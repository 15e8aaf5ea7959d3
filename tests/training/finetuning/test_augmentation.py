import numpy as np
import pytest
from safetensors.torch import load_file

from genolm.corpus.labeled import LabeledData
from genolm.errors import SettingsError
from genolm.inference.classify import classify_sequences, load_classifier
from genolm.metrics import compute_classification_metrics
from genolm.models.settings import AwdLstmSettings, DropoutSettings, HeadSettings
from genolm.models.strands import turn_sequences
from genolm.tokenization.encoder import encode_sequence
from genolm.tokenization.scheme import KmerScheme
from genolm.training.classifier import FinetuneSettings, finetune
from genolm.training.finetuning.augmentation import Augmentation, build_augmentation
from genolm.training.loop import LoopSettings
from genolm.training.schedules import PhaseSettings
from genolm.training.sequence_batches import SequenceBatches

STRIDE_1, STRIDE_2, STRIDE_3 = KmerScheme(3, 1), KmerScheme(5, 2), KmerScheme(4, 3)
TEXTS = ["ACGTTACGGATTA", "CCCATTAGACAGG", "TTTTGACAAATCG", "GATTACA", "ACGNACGTTT"] * 12
ALL = np.arange(len(TEXTS))
PAIR = str.maketrans("ACGTN", "TGCAN")


def list_readings(text: str, scheme: KmerScheme, *, strand: bool, phase: bool) -> dict[tuple[int, ...], str]:
    """Every way to read a text by hand, each with a name: strand and offset."""
    strands = {"+": text, "-": text.translate(PAIR)[::-1]} if strand else {"+": text}
    offsets = range(min(scheme.stride, len(text) - scheme.k + 1)) if phase else (0,)
    return {
        tuple(encode_sequence(each[offset:], scheme).tolist()): f"{name}{offset}"
        for name, each in strands.items()
        for offset in offsets
    }


@pytest.mark.parametrize(("strand", "phase"), [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("scheme", [STRIDE_2, STRIDE_3], ids=lambda scheme: scheme.name)
def test_every_reading_comes_up_about_equally_often_and_no_other(scheme, strand, phase):
    augmentation = Augmentation(TEXTS, scheme, strand=strand, phase=phase, seed=0)
    counts: dict[str, int] = {}
    for epoch in range(40):
        for text, ids in zip(TEXTS, augmentation.read(ALL, epoch), strict=True):
            if len(text) < 10:
                continue  # too short for every phase
            name = list_readings(text, scheme, strand=strand, phase=phase)[tuple(ids.tolist())]
            counts[name] = counts.get(name, 0) + 1
    expected = (2 if strand else 1) * (scheme.stride if phase else 1)
    assert len(counts) == expected
    shares = np.array(list(counts.values())) / sum(counts.values())
    assert np.abs(shares - 1 / expected).max() < 0.05, "a reading has a standard deviation of 0.011 at most"


def test_a_reading_is_a_function_of_seed_epoch_and_example_alone():
    def read(seed: int, epoch: int, chosen) -> list[list[int]]:
        augmentation = Augmentation(TEXTS, STRIDE_2, strand=True, phase=True, seed=seed)
        return [ids.tolist() for ids in augmentation.read(np.array(chosen), epoch)]

    whole = read(0, 3, ALL)
    assert read(0, 3, [7, 2, 30]) == [whole[7], whole[2], whole[30]]
    assert read(0, 4, ALL) != whole
    assert read(1, 3, ALL) != whole


def test_a_phase_leaves_a_kmer_of_the_shortest_sequence():
    augmentation = Augmentation(["ACGTA", "ACGTAC"] * 20, STRIDE_2, strand=False, phase=True, seed=0)
    found = {tuple(ids.tolist()) for ids in augmentation.read(np.arange(40), 0)}
    expected = {tuple(encode_sequence(text, STRIDE_2).tolist()) for text in ("ACGTA", "CGTAC")}
    assert found == expected, "ACGTAC has one 5-mer at either phase"


def test_without_a_wish_there_is_no_augmentation_and_one_phase_has_none():
    assert build_augmentation(TEXTS, STRIDE_2, settings=FinetuneSettings(), seed=0) is None
    asked = FinetuneSettings(phase_augmentation=True)
    assert build_augmentation(TEXTS, STRIDE_2, settings=asked, seed=0) is not None
    with pytest.raises(
        SettingsError, match="phase_augmentation with the tokenizer kmer_k3_s1; expected k-mers"
    ):
        build_augmentation(TEXTS, STRIDE_1, settings=asked, seed=0)


def test_batches_read_their_sequences_anew_in_each_epoch():
    token_ids = [encode_sequence(text, STRIDE_1) for text in TEXTS]
    augmentation = Augmentation(TEXTS, STRIDE_1, strand=True, phase=False, seed=0)
    batches = SequenceBatches(token_ids, batch_size=25, seed=0, labels=ALL, read=augmentation.read)
    for epoch in (0, 1):
        readings = [ids.tolist() for ids in augmentation.read(ALL, epoch)]
        for step in range(3):
            inputs = batches.build_input(3 * epoch + step, slice(0, 25)).inputs
            for ids, mask, label in zip(*inputs.values(), strict=True):
                assert ids[mask.bool()].tolist() == readings[int(label)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"strand_augmentation": True, "task": "token_classification", "monitor": "mcc"},
            "strand_augmentation with the task",
        ),
        (
            {"average_strands": True, "task": "token_classification", "monitor": "mcc"},
            "average_strands with the task",
        ),
        (
            {"phase_augmentation": True, "long_inputs": "windows"},
            "phase_augmentation with long_inputs windows",
        ),
        ({"max_bptt_tokens": 0}, "max_bptt_tokens 0; expected at least 1"),
        ({"temporal_activation_regularization": -1.0}, "temporal_activation_regularization -1.0; expected 0"),
    ],
    ids=["strand-token", "average-token", "phase-windows", "bptt", "tar"],
)
def test_what_the_augmentations_cannot_do_is_refused(changes, message):
    with pytest.raises(SettingsError, match=message):
        FinetuneSettings(**changes)


def test_a_head_has_a_size_and_one_of_two_norms():
    assert HeadSettings().build_config() == {
        "classifier_size": 50,
        "classifier_norm": "layer",
        "classifier_parts": 1,
        "classifier_activation": "relu",
    }
    of_parts = HeadSettings(parts=4).build_config()
    assert (of_parts["classifier_parts"], of_parts["classifier_activation"]) == (4, "leaky_relu")
    with pytest.raises(SettingsError, match="a head of size 50 and 0 parts"):
        HeadSettings(parts=0)
    with pytest.raises(SettingsError, match="a head of size 50 and 1 parts with norm 'group'; expected size"):
        HeadSettings(norm="group")
    with pytest.raises(SettingsError, match="a head of size 0 and 1 parts with norm 'layer'"):
        HeadSettings(size=0)


MOTIF = "GGAGGA"


def make_data(*, train: int, validation: int) -> LabeledData:
    """Class 1 has the motif: in train and validation on the given strand, in test on the other."""
    generator = np.random.default_rng(3)
    splits = ("train",) * train + ("validation",) * validation + ("test",) * validation
    labels = np.arange(len(splits)) % 2
    texts = ["".join(generator.choice(list("ACGT"), size=40)) for _ in splits]
    texts = [t[:17] + MOTIF + t[23:] if label else t for t, label in zip(texts, labels, strict=True)]
    texts = [turn_sequences([t])[0] if s == "test" else t for t, s in zip(texts, splits, strict=True)]
    ids = tuple(f"r{index}" for index in range(len(splits)))
    return LabeledData(sequences=texts, labels=labels, label_names=("none", "box"), splits=splits, ids=ids)


def build_settings(**changes) -> FinetuneSettings:
    settings = {
        "phases": (PhaseSettings(epochs=10, learning_rate=2e-2),),
        "batch_size": 16,
        "dropout": DropoutSettings(multiplier=0.0),
        "classifier_dropout": 0.0,
        "model": AwdLstmSettings(embedding_size=16, lstm_size=24, num_layers=1),
        "loop": LoopSettings(precision="no", checkpoint_every_steps=50),
    }
    return FinetuneSettings(**{**settings, **changes})


def test_strand_augmentation_teaches_the_other_strand(tmp_path):
    data = make_data(train=240, validation=60)
    plain = finetune(data, tmp_path / "plain", settings=build_settings(), scheme=STRIDE_1)
    both = finetune(
        data, tmp_path / "both", settings=build_settings(strand_augmentation=True), scheme=STRIDE_1
    )
    assert plain["validation"]["auroc"] > 0.9
    assert plain["test"]["auroc"] < 0.8, "a motif on the other strand is news"
    assert both["test"]["auroc"] > 0.9
    assert both["steps"] == plain["steps"]


def test_predictions_over_both_strands_are_their_mean_and_the_same_for_either(tmp_path):
    data = make_data(train=60, validation=20)
    settings = build_settings(
        phases=(PhaseSettings(epochs=1, learning_rate=1e-2),),
        average_strands=True,
        head=HeadSettings(size=7, norm="batch"),
        max_bptt_tokens=20,
    )
    metrics = finetune(data, tmp_path / "mean", settings=settings, scheme=STRIDE_1)
    classifier = load_classifier(tmp_path / "mean")
    config = classifier.model.config
    found = (config.average_strands, config.classifier_size, config.classifier_norm, config.max_bptt_tokens)
    assert found == (True, 7, "batch", 20)
    test = data.select("test")
    mean = classify_sequences(classifier, test.sequences)
    np.testing.assert_allclose(
        classify_sequences(classifier, turn_sequences(test.sequences)), mean, atol=1e-6
    )
    classifier.model.config.average_strands = False
    strands = [classify_sequences(classifier, s) for s in (test.sequences, turn_sequences(test.sequences))]
    np.testing.assert_allclose(np.mean(strands, axis=0), mean, atol=1e-6)
    assert np.abs(strands[0] - strands[1]).max() > 1e-3, "the strands must differ"
    assert metrics["test"]["auroc"] == pytest.approx(
        compute_classification_metrics(test.labels, mean[:, 1])["auroc"]
    )


def test_switched_off_nothing_changes_and_nothing_is_written_into_the_config(tmp_path):
    data = make_data(train=40, validation=20)
    phases = (PhaseSettings(epochs=1, learning_rate=1e-2),)
    for name in ("one", "two"):
        finetune(data, tmp_path / name, settings=build_settings(phases=phases), scheme=STRIDE_1)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert all(tensor.equal(two[name]) for name, tensor in one.items())
    assert "average_strands" not in (tmp_path / "one" / "config.json").read_text()
