"""Publications in folders: what is in them, that strangers can load them, and what is refused."""

import csv
import json
import shutil

import pytest
import torch
from publishing_files import read_tree
from safetensors.torch import load_file, save_file
from small_runs import save_run
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from genolm.errors import PublishError, SettingsError
from genolm.files import compute_sha256
from genolm.inference.classify import classify_sequences, load_classifier
from genolm.metrics import compute_classification_report
from genolm.progress import Reporter
from genolm.publishing.finished_run import read_finished_run
from genolm.publishing.hub_folder import check_target
from genolm.publishing.publication import is_repo_name, publish_run
from genolm.publishing.verification import verify_folder

FILES = {
    ".eval_results/genolm.yaml",
    "README.md",
    "config.json",
    "figures/loss_curve.png",
    "figures/mutation_map.png",
    "figures/roc.png",
    "metrics.json",
    "model.safetensors",
    "modeling_awd_lstm.py",
    "run_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
}


@pytest.fixture(scope="module")
def labeled(runs, tmp_path_factory):
    """A classifier's run with its test split: a file, and the recorded AUROC; and a run with another seed."""
    place = tmp_path_factory.mktemp("labeled")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        save_run(place / "run", "classifier", data="/home/ada/promoters.csv", note="seen by hf_" + "a1" * 16)
    sequences = ["ACGTACGTAC", "TTTTTTTTTT", "GATTACAGATT", "CCCCCCGGGG", "TATAATTATA", "GGGGTTTTAA"]
    labels = [0, 1, 0, 1, 1, 0]
    with open(place / "labels.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("sequence", "label", "split"))
        for sequence, label in zip(sequences, labels, strict=True):
            writer.writerow((sequence, ("other", "promoter")[label], "test"))
            writer.writerow((sequence[::-1] + "A", ("other", "promoter")[label], "train"))
    scores = classify_sequences(load_classifier(place / "run"), sequences)[:, 1]
    metrics = json.loads((place / "run" / "metrics.json").read_text())
    metrics["test"]["auroc"] = compute_classification_report(labels, scores)["auroc"]
    (place / "run" / "metrics.json").write_text(json.dumps(metrics))
    shutil.copytree(place / "run", place / "other-seed")
    run_config = json.loads((place / "run" / "run_config.json").read_text())
    run_config["settings"]["seed"] = 6
    metrics["test"] |= {"auroc": 0.5, "mcc": 0.25}
    for name, content in (("run_config.json", run_config), ("metrics.json", metrics)):
        (place / "other-seed" / name).write_text(json.dumps(content))
    return place


@pytest.fixture(scope="module")
def published(labeled, tmp_path_factory):
    """The publication of it, in a folder."""
    notes = []
    reporter = Reporter()
    reporter.note = notes.append
    target = tmp_path_factory.mktemp("published") / "promoters"
    done = publish_run(
        labeled / "run",
        to=str(target),
        draft=True,
        license="mit",
        data=str(labeled / "labels.csv"),
        reporter=reporter,
    )
    assert (done.place, done.commit) == (str(target), "")
    assert done.size_bytes == {name: len(content) for name, content in read_tree(target).items()}
    assert len(notes) == 1
    return target


def test_a_publication_has_exactly_its_files_and_nothing_is_left_beside_it(published, labeled):
    assert set(read_tree(published)) == FILES
    assert list(published.parent.iterdir()) == [published]
    for name in ("config.json", "model.safetensors", "tokenizer.json", "modeling_awd_lstm.py"):
        assert (published / name).read_bytes() == (labeled / "run" / name).read_bytes()


def test_the_card_shows_the_figures_and_the_results_stand_beside_it(published):
    card = (published / "README.md").read_text()
    assert card.startswith("---\n")
    assert "license: mit\n" in card
    assert "promoters.csv" in card
    assert "/home/ada" not in card
    assert "\n![ROC curve on the test split](figures/roc.png)\n" in card
    assert "](figures/mutation_map.png)" in card
    assert card.count("figures/loss_curve.png") == 1
    assert (published / ".eval_results" / "genolm.yaml").read_text()


def test_the_figures_of_another_seed_are_on_the_card_and_in_the_metrics(published):
    over_seeds = json.loads((published / "metrics.json").read_text())["over_seeds"]
    assert (over_seeds["seeds"], over_seeds["split"]) == ([0, 6], "test")
    assert over_seeds["figures"]["mcc"] == {
        "mean": 0.375,
        "sd": pytest.approx(0.125 * 2**0.5),
        "lowest": 0.25,
        "highest": 0.5,
        "n": 2,
    }
    assert "| MCC | 0.375 | 0.177 | 0.250 | 0.500 |" in (published / "README.md").read_text()


def test_the_records_tell_names_but_no_paths_and_no_tokens(published, labeled):
    before, after = (
        json.loads((each / "run_config.json").read_text()) for each in (labeled / "run", published)
    )
    assert after["settings"]["data"] == "promoters.csv"
    assert after["settings"]["note"] == "seen by [removed]"
    assert after["fingerprint"] == before["fingerprint"]
    assert after["libraries"] == before["libraries"]
    assert json.loads((published / "metrics.json").read_text())["test"]["confusion"] == [[1, 1], [0, 2]]
    assert after["published"]["files"] == {
        name: compute_sha256(published / name) for name in FILES - {"run_config.json"}
    }


def test_a_publication_loads_in_one_line_and_predicts_as_the_run(published, labeled):
    model = AutoModelForSequenceClassification.from_pretrained(published).eval()
    tokenizer = AutoTokenizer.from_pretrained(published)
    with torch.no_grad():
        logits = model(**tokenizer(["ACGTTTTACG"], return_tensors="pt")).logits
    expected = classify_sequences(load_classifier(labeled / "run"), ["ACGTTTTACG"])
    assert logits.softmax(-1).numpy() == pytest.approx(expected, abs=1e-6)
    assert model.config.id2label == {0: "other", 1: "promoter"}


def test_a_language_model_says_without_genolm_what_it_says_with_it(runs):
    run = read_finished_run(runs / "causal")
    assert verify_folder(run.folder, run) <= 1e-6


def test_weights_that_differ_a_little_are_found(runs, tmp_path):
    run = read_finished_run(runs / "network")
    shutil.copytree(run.folder, tmp_path / "other")
    weights = load_file(run.folder / "model.safetensors")
    bias = max(name for name in weights if name.endswith("bias") and weights[name].shape == (2,))
    weights[bias][0] += 1e-3
    save_file(weights, tmp_path / "other" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        PublishError, match=r"^found outputs that differ by \S+ where the folder is loaded by"
    ):
        verify_folder(tmp_path / "other", run)


@pytest.mark.slow
def test_a_failed_verification_publishes_nothing(runs, tmp_path):
    shutil.copytree(runs / "network", tmp_path / "run")
    code = tmp_path / "run" / "modeling_sequence_nets.py"
    code.write_text("import genolm\n" + code.read_text())
    with pytest.raises(PublishError, match=r"^found an error \(ModuleNotFoundError: import of genolm halted"):
        publish_run(tmp_path / "run", to=str(tmp_path / "target"), draft=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_private_text_that_cannot_be_taken_out_publishes_nothing(runs, tmp_path):
    shutil.copytree(runs / "causal", tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps({**config, "origin": "/home/ada/lm"}))
    with pytest.raises(
        PublishError, match=r"^found an absolute path in config\.json \(/home/ada/lm\); expected"
    ):
        publish_run(tmp_path / "run", to=str(tmp_path / "target"), draft=True)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_without_draft_missing_facts_are_listed_and_nothing_is_published(runs, tmp_path):
    with pytest.raises(PublishError, match="--license"):
        publish_run(runs / "causal", to=str(tmp_path / "target"))
    assert list(tmp_path.iterdir()) == []


def write_extra(folder):
    (folder / "notes.txt").write_text("mine")


def forget_published(folder):
    config = json.loads((folder / "run_config.json").read_text())
    del config["published"]
    (folder / "run_config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (write_extra, r"notes\.txt in .*target, which genolm did not put there; expected a new or empty"),
        (forget_published, r".*target with files of another origin; expected a new or empty folder"),
    ],
)
def test_a_folder_of_something_else_is_refused(published, tmp_path, change, message):
    shutil.copytree(published, tmp_path / "target")
    check_target(tmp_path / "target")
    change(tmp_path / "target")
    before = read_tree(tmp_path / "target")
    with pytest.raises(PublishError, match=f"^found {message}"):
        check_target(tmp_path / "target")
    assert read_tree(tmp_path / "target") == before


def test_new_and_empty_folders_are_free_and_a_file_is_not(tmp_path):
    check_target(tmp_path)
    check_target(tmp_path / "new")
    (tmp_path / "file").touch()
    with pytest.raises(PublishError, match=r"^found the file .*file; expected a new or empty folder"):
        check_target(tmp_path / "file")


@pytest.mark.parametrize(("option", "value"), [("private", True), ("revision", "v2")])
def test_options_of_the_hub_are_refused_for_a_folder(runs, tmp_path, option, value):
    with pytest.raises(
        SettingsError, match=rf"^found --{option} for the folder .*; expected it for user/name"
    ):
        publish_run(runs / "causal", to=str(tmp_path / "x"), **{option: value})


def test_a_folder_that_is_there_makes_a_name_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_repo_name("ada/promoters")
    (tmp_path / "ada").mkdir()
    assert not is_repo_name("ada/promoters")


@pytest.mark.parametrize(
    ("kind", "edit", "message"),
    [
        ("causal", ("", ""), r"^found --data for causal, which has no AUROC of two classes on a test split"),
        (
            "classifier",
            ("other", "desert"),
            r"^found the label desert in labels\.csv; expected the labels other,",
        ),
        (
            "classifier",
            ("TTTTTTTTTT,", "ACGTACGTAC,"),
            r"^found an AUROC of \S+ on the test split of labels\.csv",
        ),
    ],
)
def test_a_roc_curve_of_other_data_is_refused(runs, labeled, tmp_path, kind, edit, message):
    run = labeled / "run" if kind == "classifier" else runs / kind
    (tmp_path / "labels.csv").write_text((labeled / "labels.csv").read_text().replace(*edit))
    data = str(tmp_path / "labels.csv")
    with pytest.raises(PublishError, match=message):
        publish_run(run, to=str(tmp_path / "x"), draft=True, data=data)
    assert not (tmp_path / "x").exists()
