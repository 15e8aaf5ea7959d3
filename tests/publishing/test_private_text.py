import io
import json
import socket
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from safetensors.numpy import save_file

from genolm.errors import PublishError
from genolm.publishing.private_text import build_private_text, check_folder, iter_leaks, redact

TOKEN = "hf_" + "aBcDeFgHiJ" * 3
PATH, SECRET = "an absolute path", "a token or key"


@pytest.fixture
def private(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret-of-no-known-form")
    monkeypatch.setattr(socket, "gethostname", lambda: "node-17")
    return build_private_text()


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ('"data": "/data/ada/labels.csv"', PATH, "/data/ada/labels.csv"),
        ("see (/scratch/x/)", PATH, "/scratch/x/"),
        (r"C:\Users\ada\x.csv", PATH, r"C:\Users\ada\x.csv"),
        (r'"C:\\Users\\ada"', PATH, r"C:\\Users\\ada"),
        ("file:///genome.fa", PATH, "file:///genome.fa"),
        (f"in {Path.home()} it lies", PATH, str(Path.home())),
        ("trained on node-17, alone", "the name of this machine", "node-17"),
        (TOKEN, SECRET, ""),
        ("sk-" + "a1" * 12, SECRET, ""),
        ('"api_key": "abcd1234"', SECRET, ""),
        ("WANDB_API_KEY=abcd1234", SECRET, ""),
        ("https://ada:pass@host/x", SECRET, ""),
        ("a secret-of-no-known-form", SECRET, ""),
    ],
)
def test_private_text_is_found_and_a_secret_is_not_repeated(private, text, kind, found):
    assert (kind, found) in list(iter_leaks(text, private))


@pytest.mark.parametrize(
    "text",
    [
        "https://huggingface.co/docs/hub/model-cards and http://127.0.0.1:80/a/b",
        "and/or/nor, 1/2/3, x / y / z, </td>/<td>, **/logs/*",
        '"pad_token": "[PAD]", "mask_token": "[MASK]", "kmer_k": 3',
        "node-170 and my-node-17 are others; hf_short; token scores",
        "runs/quickstart/model, ./figures/roc.png, ../x/y, ~/.cache",
    ],
)
def test_what_a_card_says_is_not_private(private, text):
    assert list(iter_leaks(text, private)) == []


def test_redacted_json_keeps_names_and_figures_and_has_nothing_to_find(private):
    value = {
        "data": "/home/ada/my data/labels.csv",
        "genomes": ["/data/ecoli.fa", "builtin:ecoli_k12_mg1655", "C:\\dna\\x.fa"],
        "note": f"token {TOKEN} read from /mnt/a/b on node-17",
        "seed": 0,
        "share": 0.1,
        "none": None,
        "/mnt/a/key": True,
        "root": "/",
    }
    redacted = redact(value, private)
    assert redacted == {
        "data": "labels.csv",
        "genomes": ["ecoli.fa", "builtin:ecoli_k12_mg1655", "x.fa"],
        "note": "token [removed] read from b on [removed]",
        "seed": 0,
        "share": 0.1,
        "none": None,
        "key": True,
        "root": "[removed]",
    }
    assert list(iter_leaks(json.dumps(redacted), private)) == []


def save_picture(folder: Path, **metadata: str) -> None:
    buffer = io.BytesIO()
    Figure(figsize=(1, 1)).savefig(buffer, format="png", metadata=metadata)
    (folder / "figure.png").write_bytes(buffer.getvalue())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "README.md",
            b"at /home/ada/genomes",
            r"an absolute path in README\.md \(/home/ada/genomes\); expected",
        ),
        (".eval_results/a.yaml", TOKEN.encode(), r"a token or key in \.eval_results/a\.yaml; expected"),
        ("training_args.bin", b"\x80\x02}q\x00.", r"training_args\.bin, which is neither text nor"),
        ("x.png", b"\x80\x02}q\x00.", r"x\.png, which is neither text nor weights nor a picture"),
    ],
)
def test_a_folder_with_something_private_or_unknown_is_refused(private, tmp_path, name, content, message):
    (tmp_path / ".eval_results").mkdir()
    save_picture(tmp_path)
    (tmp_path / "config.json").write_text('{"vocab_size": 69}')
    check_folder(tmp_path, private)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PublishError, match=f"^found {message}"):
        check_folder(tmp_path, private)


def test_the_header_of_weights_and_the_texts_of_a_picture_are_read(private, tmp_path):
    weights = {"a": np.frombuffer(b"/home/ada/in/the/weights", dtype=np.uint8)}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    check_folder(tmp_path, private)
    save_file(weights, tmp_path / "model.safetensors", metadata={"from": "/home/ada/model"})
    with pytest.raises(PublishError, match=r"in model\.safetensors \(/home/ada/model\)"):
        check_folder(tmp_path, private)
    (tmp_path / "model.safetensors").unlink()
    save_picture(tmp_path, Comment="drawn on node-17")
    with pytest.raises(PublishError, match=r"the name of this machine in figure\.png \(node-17\)"):
        check_folder(tmp_path, private)


def test_a_link_is_not_followed(private, tmp_path):
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "b.txt").symlink_to(tmp_path / "a.txt")
    with pytest.raises(PublishError, match=r"found b\.txt, which is neither text"):
        check_folder(tmp_path, private)


def test_a_host_name_that_is_a_plain_word_is_not_looked_for(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "genome")
    assert list(iter_leaks("a genome", build_private_text())) == []
