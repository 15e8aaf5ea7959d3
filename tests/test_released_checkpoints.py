"""The checkpoints that ship with genolm: small and whole, with their cards, and usable without genolm.

All that plain transformers does happens in one fresh process, without genolm and without a network. It stands
in the folder of the models, so that a name such as ecoli-promoter means there what it means on a card.
"""

import csv
import io
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from typer.testing import CliRunner

import genolm
from genolm.cli import app
from genolm.files import compute_sha256
from genolm.publishing.card.hub_rules import find_card_problems
from genolm.publishing.finished_run import read_finished_run
from genolm.publishing.hub_folder import check_target

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "genolm" / "builtin_models"
NAMES = sorted(path.parent.name for path in SHIPPED.glob("*/config.json"))
CLASSIFIERS = [
    name for name in NAMES if "SequenceClassification" in (SHIPPED / name / "config.json").read_text()
]
MAX_BYTES = 5_000_000  # of a folder
FILES = re.compile(
    r"README\.md|[a-z_]+\.json|model\.safetensors|modeling_\w+\.py|figures/\w+\.png|\.eval_results/\w+\.yaml"
)
SEQUENCES = {  # of E. coli: upstream of lacZ, inside of the 16S rRNA, oriC with other letters and lower case
    "lac": "CAGGCTTTACACTTTATGCTTCCGGCTCGTATGTTGTGTGGAATTGTGAGCGGATAACAATTTCACACAGGAAACAGCTATG",
    "rrs": "AATTGAAGAGTTTGATCATGGCTCAGATTGAACGCTGGCGGCAGGCCTAACACATGCAAGTCGAACGGTAACAGGAAGAAGCTTG",
    "oric": "ttatttagagatctgttctaNNNNNtgatctcttattaggatcgcRYactgccctgtgg",
}
PLAIN = """
import contextlib, io, json, re, socket, sys
from pathlib import Path

def refuse(*words):
    raise OSError("a connection was asked for")

sys.modules["genolm"] = None
socket.socket.connect = socket.getaddrinfo = refuse
import torch, transformers

names, sequences = json.load(sys.stdin)
answers = {}
for name in names:
    config = json.loads(Path(name, "config.json").read_text())
    tag = re.search(r"^pipeline_tag: (.+)$", Path(name, "README.md").read_text(), re.MULTILINE)[1]
    trust = {"trust_remote_code": True} if "auto_map" in config else {}
    loaded = transformers.AutoConfig.from_pretrained(name, **trust)
    tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    (ending,) = [each for each in ("SequenceClassification", "MaskedLM", "CausalLM")
                 if config["architectures"][0].endswith("For" + each)]
    auto_class = getattr(transformers, "AutoModelFor" + ending)
    model, info = auto_class.from_pretrained(name, output_loading_info=True, **trust)
    ids = [tokenizer(sequence)["input_ids"] for sequence in sequences]
    with torch.no_grad():
        scores = [model.eval()(input_ids=torch.tensor([each])).logits[0].softmax(-1).tolist() for each in ids]
    given = sequences if tag != "fill-mask" else ["[MASK]" + sequence for sequence in sequences]
    pipe = transformers.pipeline(tag, model=name, **trust)
    piped = None if tag == "text-generation" else pipe(given, top_k=2)
    printed = io.StringIO()
    for block in re.findall(r"```python\\n(.*?)```", Path(name, "README.md").read_text(), re.DOTALL):
        with contextlib.redirect_stdout(printed):
            exec(block, {})
    answers[name] = {
        "model_type": loaded.model_type,
        "lost": [*info["missing_keys"], *info["unexpected_keys"]],
        "tag": tag,
        "ids": ids,
        "scores": scores if tag == "text-classification" else None,
        "labels": [loaded.id2label[index] for index in sorted(loaded.id2label)],
        "piped": piped,
        "printed": printed.getvalue(),
    }
json.dump(answers, sys.stdout)
"""

pytestmark = pytest.mark.skipif(
    not NAMES, reason="no checkpoint is released yet (scripts/release_checkpoints)"
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What transformers alone says of each model."""
    place = tmp_path_factory.mktemp("plain")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))
    }
    environment |= {"HF_HOME": str(place), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", PLAIN],
        input=json.dumps([NAMES, list(SEQUENCES.values())]),
        capture_output=True,
        text=True,
        check=False,
        cwd=SHIPPED,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_a_released_folder_is_small_untouched_and_holds_nothing_else(name):
    folder = SHIPPED / name
    size_bytes = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert [file for file in size_bytes if not FILES.fullmatch(file)] == []
    assert sum(size_bytes.values()) <= MAX_BYTES
    published = json.loads((folder / "run_config.json").read_text())["published"]
    assert published["name"] == name
    assert set(published["files"]) == set(size_bytes) - {"run_config.json"}
    assert {file: compute_sha256(folder / file) for file in published["files"]} == published["files"]
    check_target(folder)
    assert read_finished_run(folder).folder == folder


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_complete_and_has_the_figures_of_the_run(name):
    folder = SHIPPED / name
    text = (folder / "README.md").read_text()
    assert (ROOT / "model_cards" / f"{name}.md").read_text() == text
    assert find_card_problems(text) == []
    assert not re.search(r"not recorded|\*\*Draft", text)
    card, metrics = ModelCard(text).data, json.loads((folder / "metrics.json").read_text())
    assert (card.license, card.library_name, card.model_name) == ("apache-2.0", "transformers", name)
    assert card.eval_results
    for result in card.eval_results:
        figures = metrics[result.dataset_split].values()
        assert result.metric_value in [value for value in figures if isinstance(value, float)]
    for figure in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text):
        assert (folder / figure).is_file()


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_without_genolm_and_the_lines_of_its_card_run(name, plain):
    answer = plain[name]
    assert answer["lost"] == []
    assert answer["model_type"] == json.loads((SHIPPED / name / "config.json").read_text())["model_type"]
    assert answer["ids"] == [ids.tolist() for ids in genolm.encode(list(SEQUENCES.values()), name)]
    lines = answer["printed"].splitlines()
    if answer["tag"] == "text-classification":
        assert [line.partition(": ")[0] for line in lines] == answer["labels"]
        for found, expected in zip(answer["piped"], answer["scores"], strict=True):
            by_label = {each["label"]: each["score"] for each in found}
            assert [by_label[label] for label in answer["labels"]] == pytest.approx(expected, abs=1e-6)
    elif answer["tag"] == "fill-mask":
        assert len(lines) == 5
        assert all(0 < guess["score"] <= 1 for guesses in answer["piped"] for guess in guesses)
    else:
        assert re.fullmatch(r"[12]\.\d{3} bits per base", *lines)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_genolm_predict_by_name_says_what_transformers_says(name, plain, tmp_path, monkeypatch):
    def refuse(*words):
        raise AssertionError("a connection was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.fa").write_text("".join(f">{key}\n{text}\n" for key, text in SEQUENCES.items()))
    result = CliRunner().invoke(app, ["predict", "new.fa", "--model", name])
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(io.StringIO(result.stdout), delimiter="\t"))
    assert [row["id"] for row in rows] == list(SEQUENCES)
    for row, expected in zip(rows, plain[name]["scores"], strict=True):
        found = [float(row[f"p_{label}"]) for label in plain[name]["labels"]]
        assert found == pytest.approx(expected, abs=1e-6)


def test_scan_variants_and_explain_take_the_name_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "".join(SEQUENCES.values())
    (tmp_path / "genome.fa").write_text(f">chr\n{text}\n")
    base = text[100]
    (tmp_path / "variants.tsv").write_text(
        f"contig\tposition\tref\talt\nchr\t101\t{base}\t{'A' if base != 'A' else 'C'}\n"
    )
    name = CLASSIFIERS[0]
    for words in (
        ("scan", "genome.fa", "--output", "scan", "--stride-bp", "40"),
        ("variants", "variants.tsv", "--genome", "genome.fa", "--output", "effects.tsv"),
        ("explain", "genome.fa", "--output", "explained", "--method", "saliency"),
    ):
        result = CliRunner().invoke(app, [*words, "--model", name])
        assert result.exit_code == 0, result.output
    assert (tmp_path / "scan" / "peaks.bed").is_file()
    assert len((tmp_path / "effects.tsv").read_text().splitlines()) == 2
    assert (tmp_path / "explained" / "effects.tsv").is_file()
