import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gensim.models.word2vec import Word2Vec
from made_up_dna import make_dna
from small_corpora import complement, make_bases

import genolm
from genolm.corpus.bases import load_corpus_bases
from genolm.corpus.build import build_corpus
from genolm.corpus.settings import CorpusSettings
from genolm.embeddings import word2vec
from genolm.embeddings.neighbors import compute_unit_vectors
from genolm.embeddings.sentences import SentenceReader, WordStream, plan_sentences
from genolm.embeddings.vectors import VECTORS_FILE, load_vectors, save_vectors
from genolm.embeddings.vocabulary import build_vocabulary
from genolm.embeddings.word2vec import Word2VecSettings, fit_word2vec, train_word2vec
from genolm.embeddings.word_scheme import MixedScheme
from genolm.errors import DataError, RunFolderError, SettingsError, TrainingError
from genolm.files import read_json
from genolm.progress import Reporter, Task
from genolm.tokenization.scheme import KmerScheme

SCHEME = KmerScheme(k=3, stride=1)
SMALL = Word2VecSettings(size=8, window=3, epochs=2, min_count=1, sentence_words=500)
ROWS = [make_dna(3_000, seed=1), make_dna(700, seed=2)]


@pytest.fixture(scope="module")
def corpus(small_genome, tmp_path_factory):
    folder = tmp_path_factory.mktemp("word2vec") / "corpus"
    build_corpus([small_genome.path], folder, settings=CorpusSettings(block_bp=5_000), workers=1)
    return folder


class Recorder(Reporter):
    """Keeps what it is told."""

    def __init__(self):
        self.notes, self.total, self.updates = [], 0, []

    def note(self, text):
        self.notes.append(text)

    @contextmanager
    def task(self, title, *, total):
        self.total, task = total, Task()
        task.update = lambda completed, text="": self.updates.append((completed, text))
        yield task


@pytest.mark.parametrize("mode", ["skipgram", "cbow"])
def test_the_vectors_are_those_of_gensim_with_plain_lists(mode):
    bases, settings = make_bases(ROWS), replace(SMALL, mode=mode)
    plan = plan_sentences(bases, SCHEME, max_words=500)
    vocabulary = build_vocabulary(bases, ks=(3,), both_strands=True, canonical=False, min_count=1)
    reader = SentenceReader(bases, SCHEME, plan)
    stream = WordStream(reader, plan, vocabulary, epochs=2, both_strands=True, seed=4)
    epochs = [list(stream), list(stream)]

    class Lists:
        def __iter__(self):
            return iter(epochs.pop(0))

    model = Word2Vec(
        vector_size=8,
        window=3,
        sg=int(mode == "skipgram"),
        min_count=1,
        sample=0,
        workers=1,
        seed=4,
        sorted_vocab=0,
    )
    counts = Counter(word for sentence in epochs[0] for word in sentence)
    model.build_vocab_from_freq({word: counts[word] for word in vocabulary.words})
    model.train(Lists(), total_examples=stream.sentences_per_epoch, epochs=2)
    fit = fit_word2vec(bases, scheme=SCHEME, settings=settings, seed=4)
    np.testing.assert_array_equal(fit.vectors.vectors, model.wv[list(fit.vectors.words)])
    assert dict(zip(fit.vectors.words, fit.vectors.counts.tolist(), strict=True)) == counts


def test_another_process_with_other_string_hashes_makes_the_same_bytes(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from small_corpora import make_bases\n"
        "from genolm.embeddings.vectors import save_vectors\n"
        "from genolm.embeddings.word2vec import Word2VecSettings, fit_word2vec\n"
        "from genolm.embeddings.word_scheme import parse_word_scheme\n"
        "fit = fit_word2vec(make_bases(sys.argv[2:]), scheme=parse_word_scheme('kmer_k2-4_s1'),"
        " settings=Word2VecSettings(size=8, epochs=2, min_count=2), seed=5)\n"
        "save_vectors(fit.vectors, Path(sys.argv[1]))\n"
    )
    folders = [Path(genolm.__file__).parents[1], Path(__file__).parent]
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(map(str, folders))}
    command = [sys.executable, "-c", code, str(tmp_path / "other"), *ROWS]
    subprocess.run(command, check=True, env=environment)
    settings = Word2VecSettings(size=8, epochs=2, min_count=2)
    fit = fit_word2vec(make_bases(ROWS), scheme=MixedScheme(k_min=2, k_max=4), settings=settings, seed=5)
    save_vectors(fit.vectors, tmp_path / "this")
    digests = [
        {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / name).iterdir()}
        for name in ("other", "this")
    ]
    assert digests[0] == digests[1]
    assert len(digests[0]) == 4


def test_seeds_differ_and_every_word_is_trained():
    bases = make_bases(ROWS)
    first = fit_word2vec(bases, scheme=SCHEME, settings=SMALL, seed=1)
    again = fit_word2vec(bases, scheme=SCHEME, settings=SMALL, seed=1)
    other = fit_word2vec(bases, scheme=SCHEME, settings=SMALL, seed=2)
    np.testing.assert_array_equal(first.vectors.vectors, again.vectors.vectors)
    assert not np.array_equal(first.vectors.vectors, other.vectors.vectors)
    assert first.num_words == 2 * 2 * (2_998 + 698)
    assert first.vectors.vectors.shape == (64, 8)
    one_strand = fit_word2vec(bases, scheme=SCHEME, settings=replace(SMALL, both_strands=False), seed=1)
    assert one_strand.num_words * 2 == first.num_words
    two_workers = fit_word2vec(bases, scheme=SCHEME, settings=replace(SMALL, workers=2), seed=1)
    assert two_workers.num_words == first.num_words


def test_rows_longer_than_what_gensim_takes_are_trained_whole():
    bases = make_bases([make_dna(25_002, seed=3)])
    settings = Word2VecSettings(size=4, window=2, epochs=1, both_strands=False)
    assert fit_word2vec(bases, scheme=SCHEME, settings=settings).num_words == 25_000
    object.__setattr__(settings, "sentence_words", 20_000)  # two sentences of 12,500
    with pytest.raises(TrainingError, match="found 20,000 words trained and 25,000 counted of 25,000"):
        fit_word2vec(bases, scheme=SCHEME, settings=settings)


def test_frequent_words_are_thinned_out_only_where_words_are_long(monkeypatch):
    samples = []
    build = word2vec._build_model
    monkeypatch.setattr(
        word2vec,
        "_build_model",
        lambda *a, sample, **k: samples.append(sample) or build(*a, sample=sample, **k),
    )
    bases = make_bases(ROWS)
    for scheme in (SCHEME, KmerScheme(k=5, stride=1), MixedScheme(k_min=3, k_max=5)):
        fit_word2vec(bases, scheme=scheme, settings=SMALL)
    fit_word2vec(bases, scheme=SCHEME, settings=replace(SMALL, sample=1e-3))
    assert samples == [0.0, 1e-3, 0.0, 1e-3]


def test_canonical_words_share_a_vector_and_are_read_once():
    fit = fit_word2vec(make_bases(ROWS), scheme=SCHEME, settings=replace(SMALL, canonical=True))
    vectors = fit.vectors
    assert len(vectors.words) == 64
    assert vectors.canonical
    partners = vectors.find_rows([complement(word) for word in vectors.words])
    np.testing.assert_array_equal(vectors.vectors, vectors.vectors[partners])
    assert len(np.unique(vectors.vectors, axis=0)) == 32
    assert fit.num_words == 2 * (2_998 + 698)
    assert vectors.counts.sum() == 2 * (2_998 + 698)


def test_words_of_several_lengths_share_a_space():
    vectors = fit_word2vec(make_bases(ROWS), scheme=MixedScheme(k_min=2, k_max=4), settings=SMALL).vectors
    assert (vectors.scheme, vectors.ks) == ("kmer_k2-4_s1", (2, 3, 4))
    assert Counter(map(len, vectors.words))[2] == 16
    assert Counter(map(len, vectors.words))[3] == 64


def test_words_of_the_same_surroundings_are_close():
    """A corpus of stretches of A and T alone, and of C and G alone."""
    generator = np.random.default_rng(0)
    stretches = ["".join(generator.choice(list(("AT", "CG")[i % 2]), size=200)) for i in range(150)]
    settings = Word2VecSettings(size=16, window=5, epochs=5, min_count=20)
    bases = make_bases(["".join(stretches)])
    vectors = fit_word2vec(bases, scheme=KmerScheme(k=3, stride=3), settings=settings).vectors
    is_weak = np.array([set(word) <= set("AT") for word in vectors.words])
    is_strong = np.array([set(word) <= set("CG") for word in vectors.words])
    assert (is_weak.sum(), is_strong.sum()) == (8, 8)
    unit = compute_unit_vectors(vectors.vectors)
    weak, strong = unit[is_weak], unit[is_strong]
    assert min((weak @ weak.T).min(), (strong @ strong.T).min()) > (weak @ strong.T).max() + 0.3


def test_an_error_while_reading_is_raised_and_does_not_hang(monkeypatch):
    error = DataError(found="a bad block", expected="a good one", remedy="copy it again")

    def fail(self, number, **how):
        raise error

    monkeypatch.setattr(SentenceReader, "read_sentence", fail)
    with pytest.raises(DataError, match="found a bad block"):
        fit_word2vec(make_bases(ROWS), scheme=SCHEME, settings=SMALL)


@pytest.mark.parametrize("mode", ["skipgram", "cbow"])
def test_the_highest_learning_rate_stays_finite(mode):
    settings = replace(SMALL, mode=mode, learning_rate=1.0, epochs=5)
    assert np.isfinite(fit_word2vec(make_bases(ROWS), scheme=SCHEME, settings=settings).vectors.vectors).all()


def test_vectors_that_are_not_finite_are_refused(monkeypatch):
    build = word2vec._build_model

    def build_broken(*arguments, **named):
        model = build(*arguments, **named)
        train = model.train

        def train_and_break(*inner, **how):
            done = train(*inner, **how)
            model.wv.vectors[0, 0] = np.nan
            return done

        model.train = train_and_break
        return model

    monkeypatch.setattr(word2vec, "_build_model", build_broken)
    with pytest.raises(TrainingError, match=r"vectors that are not finite; .*lower learning_rate"):
        fit_word2vec(make_bases(ROWS), scheme=SCHEME, settings=SMALL)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "glove"}, "found mode = glove; expected skipgram or cbow"),
        ({"size": 0}, "size = 0; expected 1 or more"),
        ({"workers": 0}, "workers = 0"),
        ({"min_learning_rate": 0.1}, "learning_rate = 0.025, min_learning_rate = 0.1"),
        ({"learning_rate": float("nan")}, "learning_rate = nan"),
        ({"learning_rate": 2.0}, "learning_rate = 2.0, .* <= 1; correct learning_rate"),
        ({"sample": 1.0}, "sample = 1.0"),
        ({"sentence_words": 10_001}, "sentence_words = 10001; expected 2 to 10000"),
        ({"bp_per_epoch": -1}, "bp_per_epoch = -1"),
    ],
)
def test_settings_out_of_range_are_refused(change, message):
    with pytest.raises(SettingsError, match=message):
        Word2VecSettings(**change)


def test_the_folder_says_how_it_was_made_and_progress_is_shown(corpus, tmp_path):
    recorder = Recorder()
    vectors = train_word2vec(corpus, tmp_path / "v", scheme=SCHEME, settings=SMALL, seed=3, reporter=recorder)
    info = read_json(tmp_path / "v" / "word2vec.json")
    bases = load_corpus_bases(corpus, "train")
    assert info["scheme"] == info["run"]["scheme"] == "kmer_k3_s1"
    assert (info["num_words"], info["size"]) == (64, 8)
    assert info["run"]["settings"]["window"] == 3
    assert (info["run"]["seed"], info["run"]["reproducible"]) == (3, True)
    assert set(info["run"]["libraries"]) == {"gensim", "numpy", "safetensors"}
    assert info["run"]["corpus"]["bp"] == len(bases.codes)
    assert len(info["run"]["corpus"]["bases_sha256"]) == 64
    assert info["run"]["words_trained"] == 2 * 2 * (len(bases.codes) - 2 * (len(bases.row_starts) - 1))
    assert str(tmp_path) not in json.dumps(info)
    np.testing.assert_array_equal(load_vectors(tmp_path / "v").vectors, vectors.vectors)
    completed = [each for each, _ in recorder.updates]
    assert completed == sorted(set(completed))
    assert completed[-1] == recorder.total
    assert recorder.updates[-1][1].startswith("epoch 2/2, ")
    assert recorder.notes[-1].endswith(" words/s")


def test_the_same_command_again_loads_and_another_one_or_a_damaged_folder_trains(
    corpus, tmp_path, monkeypatch
):
    output, calls = tmp_path / "v", []
    fit = word2vec.fit_word2vec
    monkeypatch.setattr(word2vec, "fit_word2vec", lambda *a, **k: calls.append(1) or fit(*a, **k))

    def train(**change):
        settings = replace(SMALL, epochs=1, bp_per_epoch=2_000, **change)
        return train_word2vec(corpus, output, scheme=SCHEME, settings=settings).vectors

    first = train()
    np.testing.assert_array_equal(train(), first)
    assert len(calls) == 1
    (output / VECTORS_FILE).write_bytes(b"damaged")
    np.testing.assert_array_equal(train(), first)
    assert len(calls) == 2
    assert train(size=5).shape == (64, 5)
    assert load_vectors(output).size == 5
    assert [path.name for path in tmp_path.iterdir()] == ["v"]


def test_bad_folders_are_refused_before_anything_is_trained(corpus, tmp_path):
    with pytest.raises(RunFolderError, match=r"found no corpus\.json in "):
        train_word2vec(tmp_path, tmp_path / "v", scheme=SCHEME, settings=SMALL)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    with pytest.raises(RunFolderError, match="mine with files of another origin"):
        train_word2vec(corpus, tmp_path / "mine", scheme=SCHEME, settings=SMALL)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"
