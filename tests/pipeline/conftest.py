"""A recipe on a small generated genome that every stage of finishes in about a second."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import yaml
from processes import Outcome

from genolm.cli import main

MODEL = {"embedding_size": 8, "lstm_size": 8, "num_layers": 1}
LOOP = {"checkpoint_every_steps": 4, "log_every_steps": 1}
DROPOUT = {"multiplier": 0.0}  # each process has its own, so without it two give what one gives
TRAINING = {
    "phases": [{"epochs": 1, "learning_rate": 0.01}],
    "batch_size": 16,
    "classifier_dropout": 0.0,
    "dropout": DROPOUT,
    "loop": LOOP,
}


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A YAML file; its genome has 30 kb, and 60 windows of it are labeled by the base in their middle."""
    folder = tmp_path_factory.mktemp("tiny")
    text = "".join(np.random.default_rng(6).choice(list("ACGT"), size=30_000))
    lines = ["sequence,label,split"]
    for number in range(60):
        window = text[100 + 400 * number : 140 + 400 * number]
        split = ("train", "train", "train", "validation", "test")[number // 2 % 5]
        lines.append(f"{window[:20]}{'AG'[number % 2]}{window[21:]},{number % 2},{split}")
    (folder / "tiny.fa").write_text(f">chromosome\n{text}\n")
    (folder / "tiny.csv").write_text("\n".join(lines) + "\n")
    recipe = {
        "genomes": [str(folder / "tiny.fa")],
        "data": str(folder / "tiny.csv"),
        "tokenizer": "kmer_k2_s1",
        "corpus": {"block_bp": 2_000, "min_piece_bp": 100},
        "word2vec": {"size": 8, "window": 3, "epochs": 1, "bp_per_epoch": 5_000},
        "pretrain": {
            "tokens": 2_400,
            "evaluations": 1,
            "model": MODEL,
            "dropout": DROPOUT,
            "stream": {"lanes": 8, "bptt_tokens": 30},
            "loop": LOOP,
        },
        "adapt": {"epochs": 1, "batch_size": 16, "dropout": DROPOUT, "loop": LOOP},
        "finetune": TRAINING,
        "scratch": {**TRAINING, "model": MODEL},
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    return folder / "tiny.yaml"


@pytest.fixture(scope="session")
def run_alone(tiny_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of `genolm run` of the recipe on one process, and what was printed."""
    place, printed = tmp_path_factory.mktemp("alone"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed):
        patch.chdir(place)
        with pytest.raises(SystemExit, match=r"^0$"):
            main(["run", str(tiny_recipe)])
    return place / "runs" / "tiny", printed.getvalue()


@pytest.fixture
def run_cli(tmp_path, monkeypatch, capsys):
    """Run `genolm WORDS` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Outcome:
        with pytest.raises(SystemExit, match=r"^\d+$") as stop:
            main(list(map(str, words)))
        return Outcome(stop.value.code, *capsys.readouterr())

    return run
