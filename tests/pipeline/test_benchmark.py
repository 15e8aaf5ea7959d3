"""Whole benchmarks: tiny real trainings on generated sequences, in folds and in the split of a file."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_dna import make_dna
from sklearn.metrics import matthews_corrcoef, roc_auc_score

from genolm.errors import DataError, GenolmError, RunFolderError, SettingsError
from genolm.models import AwdLstmConfig, AwdLstmForCausalLM
from genolm.models.sequence_nets import SequenceNetSettings
from genolm.pipeline.benchmark import run_benchmark
from genolm.pipeline.benchmarking.report import build_benchmark_table
from genolm.pipeline.benchmarking.settings import Benchmark, BenchmarkModel, Ensemble, Published
from genolm.progress import Reporter, Task
from genolm.tokenization.scheme import KmerScheme
from genolm.training.adaptation import AdaptSettings
from genolm.training.classifier import FinetuneSettings
from genolm.training.job import LoopSettings
from genolm.training.persistence.run_folder import save_model_folder
from genolm.training.schedules import PhaseSettings

LOOP = LoopSettings(precision="no", log_every_steps=1)
FINETUNE = FinetuneSettings(
    phases=(PhaseSettings(epochs=3, learning_rate=0.02),),
    batch_size=16,
    network=SequenceNetSettings(architecture="deepbind", num_kernels=8, kernel_width=6),
    loop=LOOP,
)
DEEPBIND = BenchmarkModel(name="Deep Bind", tokenizer="nucleotide", finetune=FINETUNE)
FOLDS = Benchmark(
    title="made up",
    models=(DEEPBIND,),
    protocol="folds",
    groups=("none", "family"),
    folds=3,
    seeds=(0, 1),
    num_resamples=50,
    published=(Published(name="theirs", metrics={"mcc": 0.5}, source="a paper"),),
)
SPLIT = replace(FOLDS, protocol="split", groups=("none",), seeds=(0,))
SPLIT_NAMES = ("train",) * 6 + ("validation", "validation", "test", "test")


def make_rows(*, classes: int = 2) -> list[list[str]]:
    """60 records of 40 bp: id, sequence, label, split, family of 4; label 1 has TATAAT, label 2 GCGCGC."""
    rows = []
    for number in range(60):
        label, text = number % classes, make_dna(40, seed=number)
        text = text[:10] + ("", "TATAATTATAAT", "GCGCGCGCGCGC")[label] + text[10:]
        split = SPLIT_NAMES[number // (2 * classes) % 10]
        rows.append([f"r{number}", text[:40], str(label), split, f"f{number // 4}"])
    return rows


def write_rows(path: Path, rows: list[list[str]]) -> str:
    lines = [",".join(row) for row in [["id", "sequence", "label", "split", "family"], *rows]]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


class Listener(Reporter):
    """Keeps the notes, and stops the work before the training of a number, as Ctrl-C does."""

    def __init__(self, stop_before: str = "nothing") -> None:
        self.notes: list[str] = []
        self.stop_before = stop_before

    def note(self, text: str) -> None:
        self.notes.append(text)
        if text.startswith(self.stop_before):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> str:
    return write_rows(tmp_path_factory.mktemp("table") / "made_up.csv", make_rows())


@pytest.fixture(scope="module")
def finished(table, tmp_path_factory):
    """Folder, result and notes of 3 folds by 2 seeds, of single records and of families."""
    folder, listener = tmp_path_factory.mktemp("folds") / "bench", Listener()
    result = run_benchmark(replace(FOLDS, data=table), folder, reporter=listener)
    return folder, result, listener.notes


def find_model_folder(folder: Path) -> Path:
    (found,) = (path for path in folder.iterdir() if path.name.startswith("Deep_Bind"))
    return found


def read_scores(path: Path, split: str) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Labels, scores and ids; the labels come from the ids, not from the program."""
    part = json.loads(path.read_text())["value"][split]
    return np.array([int(each[1:]) % 2 for each in part["ids"]]), np.array(part["scores"]), part["ids"]


def test_every_training_is_a_run_folder_with_its_scores_beside_it(finished):
    folder, result, notes = finished
    names = {f"repeat-0-fold-{fold}-seed-{seed}" for fold in range(3) for seed in range(2)}
    for groups in ("none", "family"):
        model_folder = find_model_folder(folder / groups)
        assert {path.name for path in model_folder.iterdir()} == names | {f"{name}.json" for name in names}
        assert all((model_folder / name / "model.safetensors").is_file() for name in names)
        controls = {path.name for path in (folder / groups).glob("*.json")} - {"metrics.json"}
        assert controls == {f"controls-repeat-0-fold-{fold}.json" for fold in range(3)}
    assert notes[-12] == "[1/12] groups none, Deep Bind, repeat-0-fold-0-seed-0"
    assert notes[-1] == "[12/12] groups family, Deep Bind, repeat-0-fold-2-seed-1"
    assert result.page == folder / "report.html"


def test_groups_stay_in_one_part_and_single_records_do_not(finished):
    folder = finished[0]
    together = {}
    for groups in ("none", "family"):
        model_folder = find_model_folder(folder / groups)
        tested, mixed = [], 0
        for fold in range(3):
            path = model_folder / f"repeat-0-fold-{fold}-seed-0.json"
            test, validation = (set(read_scores(path, split)[2]) for split in ("test", "validation"))
            tested += sorted(test)
            families = [{int(each[1:]) // 4 for each in part} for part in (test, validation)]
            mixed += len(families[0] & families[1])
            assert not test & validation
        assert sorted(tested) == sorted(f"r{number}" for number in range(60))
        together[groups] = mixed
    assert together["family"] == 0
    assert together["none"] > 5


def test_the_summary_is_that_of_the_kept_scores(finished):
    folder, result, _ = finished
    report = result.reports["family"]
    parts = [
        read_scores(find_model_folder(folder / "family") / f"repeat-0-fold-{fold}-seed-{seed}.json", "test")
        for fold in range(3)
        for seed in range(2)
    ]
    own = [matthews_corrcoef(labels, scores >= 0.5) for labels, scores, _ in parts]
    found = report.cross_validations["Deep Bind"].folds["mcc"]
    assert (found.mean, found.sd, found.n) == pytest.approx((np.mean(own), np.std(own, ddof=1), 6))
    labels, scores = (np.concatenate([part[index] for part in parts]) for index in range(2))
    (row,) = (row for row in report.classifiers if row.name == "Deep Bind")
    assert row.test["n"] == 120  # 60 records by 2 seeds
    assert row.test["mcc"] == pytest.approx(matthews_corrcoef(labels, scores >= 0.5))
    assert row.test["auroc"] == pytest.approx(roc_auc_score(labels, scores))
    by_seed = [
        matthews_corrcoef(
            np.concatenate([part[0] for part in parts[seed::2]]),
            np.concatenate([part[1] for part in parts[seed::2]]) >= 0.5,
        )
        for seed in range(2)
    ]
    pooled = report.cross_validations["Deep Bind"].pooled["mcc"]
    assert (pooled.mean, pooled.lowest, pooled.n) == pytest.approx((np.mean(by_seed), min(by_seed), 2))


def test_the_report_compares_with_the_control_that_validation_chose(finished):
    folder, result, _ = finished
    report = result.reports["none"]
    kept = [
        json.loads((folder / "none" / f"controls-repeat-0-fold-{fold}.json").read_text())["value"]
        for fold in range(3)
    ]
    means = {}
    for name in kept[0]:
        values = []
        for each in kept:
            labels = [int(record[1:]) % 2 for record in each[name]["validation"]["ids"]]
            values.append(matthews_corrcoef(labels, np.array(each[name]["validation"]["scores"]) >= 0.5))
        means[name] = np.mean(values)
    (comparison,) = report.comparisons
    assert comparison.first == "Deep Bind"
    assert means[comparison.second] == max(means.values())
    controls = {row.name: row for row in report.classifiers if row.is_control}
    difference = comparison.differences["mcc"]
    model = next(row for row in report.classifiers if row.name == "Deep Bind")
    assert difference.difference == pytest.approx(model.test["mcc"] - controls[comparison.second].test["mcc"])
    assert difference.interval[0] <= difference.interval[1]
    assert controls[comparison.second].test["n"] == model.test["n"]


def test_both_kinds_of_groups_stand_on_one_page(finished):
    folder, result, _ = finished
    whole = json.loads((folder / "metrics.json").read_text())
    names = [row["name"] for row in whole["classifiers"]]
    assert "Deep Bind (groups: none)" in names
    assert "Deep Bind (groups: family)" in names
    assert len(names) == len(set(names)) == 12  # for each: 4 controls, the model, the model at its threshold
    assert set(whole["cross_validations"]) >= {"Deep Bind (groups: none)", "Deep Bind (groups: family)"}
    assert whole["data"]["groups"]["family"] == {"number": 15, "records_in_the_largest": 4}
    assert "theirs" in (folder / "report.html").read_text()
    own = json.loads((folder / "family" / "metrics.json").read_text())
    assert own["chosen"] == "Deep Bind"
    assert own["figures"][:2] == [
        "ROC curves of all test records",
        "Precision and recall of all test records",
    ]
    header, *rows = build_benchmark_table(result.reports["family"])
    assert [len(row) for row in rows] == [len(header)] * 7
    assert rows[4][0] == "Deep Bind *"
    assert " +- " in rows[4][1]
    assert rows[-1] == ("published: theirs", "", "0.500", "", "", "")


def test_an_ensemble_is_the_mean_of_kept_scores_and_trains_nothing(finished, table, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / "bench")
    weights = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    ensemble = Ensemble(name="Both", of=("control: positions", "Deep Bind"))
    result = run_benchmark(replace(FOLDS, data=table, ensembles=(ensemble,)), folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")} == weights
    labels, scores = [], []
    for fold in range(3):
        control = json.loads((folder / "family" / f"controls-repeat-0-fold-{fold}.json").read_text())["value"]
        of_control = control["control: positions"]["test"]["scores"]
        for seed in range(2):
            path = find_model_folder(folder / "family") / f"repeat-0-fold-{fold}-seed-{seed}.json"
            truth, of_model, _ = read_scores(path, "test")
            labels += truth.tolist()
            scores += ((of_model + of_control) / 2).tolist()
    report = result.reports["family"]
    (row,) = (row for row in report.classifiers if row.name == "Both")
    assert row.test["auroc"] == pytest.approx(roc_auc_score(labels, scores))
    assert row.test["mcc"] == pytest.approx(matthews_corrcoef(labels, np.array(scores) >= 0.5))
    assert [each.first for each in report.comparisons] == ["Deep Bind", "Both"]
    assert "Both: the mean of the probabilities of control: positions, Deep Bind." in report.protocol


class SecondTrainingStops(Listener):
    """Stops the second training at its third step."""

    @contextmanager
    def task(self, title: str, *, total: int) -> Iterator[Task]:
        is_second = title.startswith("classifier") and self.notes[-1].startswith("[2/3]")
        yield StoppingTask() if is_second else Task()


class StoppingTask(Task):
    def update(self, completed: int, text: str = "") -> None:
        if completed >= 3:
            raise KeyboardInterrupt


def test_what_was_stopped_goes_on_without_training_again(finished, table, tmp_path):
    benchmark = replace(FOLDS, data=table, groups=("family",), seeds=(0,))
    (tmp_path / "family").mkdir()
    for fold in range(3):  # kept controls are used again; here they spare time
        name = f"controls-repeat-0-fold-{fold}.json"
        shutil.copy2(finished[0] / "family" / name, tmp_path / "family" / name)
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(benchmark, tmp_path, reporter=SecondTrainingStops())
    model_folder = find_model_folder(tmp_path / "family")
    first, second = (model_folder / f"repeat-0-fold-{fold}-seed-0" for fold in range(2))
    assert {path.name for path in model_folder.iterdir()} == {first.name, f"{first.name}.json", second.name}
    assert not (second / "metrics.json").exists()
    done = [path for path in tmp_path.rglob("*") if path.is_file() and second not in path.parents]
    before = {path: path.stat().st_mtime_ns for path in done}
    run_benchmark(benchmark, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in done} == before
    for fold in range(3):
        name = f"repeat-0-fold-{fold}-seed-0.json"
        whole = find_model_folder(finished[0] / "family") / name
        assert (model_folder / name).read_bytes() == whole.read_bytes()
    own, whole = (
        json.loads((folder / "metrics.json").read_text()) for folder in (tmp_path, finished[0] / "family")
    )
    controls = [
        [row["test"]["mcc"] for row in each["classifiers"] if row["is_control"]] for each in (own, whole)
    ]
    assert controls[0] == pytest.approx(controls[1])


def test_a_pretrained_model_goes_on_with_the_records_of_its_own_fold(table, tmp_path):
    scheme = KmerScheme(k=2, stride=1)
    config = AwdLstmConfig(
        vocab_size=scheme.vocab_size, kmer_k=2, kmer_stride=1, embedding_size=8, lstm_size=8, num_layers=1
    )
    save_model_folder(tmp_path / "lm", model=AwdLstmForCausalLM(config), scheme=scheme)
    adapted = BenchmarkModel(
        name="lm",
        pretrained=str(tmp_path / "lm"),
        adapt=AdaptSettings(epochs=1, batch_size=16, loop=LOOP),
        finetune=replace(FINETUNE, network=None, phases=(PhaseSettings(epochs=1, learning_rate=0.01),)),
    )
    result = run_benchmark(replace(SPLIT, data=table, models=(DEEPBIND, adapted)), tmp_path / "bench")
    domain_lm = tmp_path / "bench" / "none" / "lm" / "repeat-0-fold-0-seed-0-domain-lm"
    assert json.loads((domain_lm / "run_config.json").read_text())["command"] == "adapt"
    config = json.loads((domain_lm.with_name("repeat-0-fold-0-seed-0") / "run_config.json").read_text())
    assert config["settings"]["tokenizer"] == "kmer_k2_s1"
    report = result.reports["none"]
    assert set(report.seeds) == {"Deep Bind", "lm"}
    assert report.cross_validations == {}
    assert set(report.thresholds) == {"Deep Bind", "lm"}
    assert any(sentence.startswith("Pretrained before: lm.") for sentence in report.protocol)
    with pytest.raises(SettingsError, match="adapt for the model lm, which starts from random weights"):
        replace(adapted, pretrained="", tokenizer="nucleotide")


def test_more_classes_have_no_curves_and_no_threshold(tmp_path):
    table = write_rows(tmp_path / "three.csv", make_rows(classes=3))
    report = run_benchmark(replace(SPLIT, data=table), tmp_path / "bench").reports["none"]
    assert report.thresholds == {}
    assert [figure.caption for figure in report.figures] == [
        "Reliability, as it is",
        "Reliability, at the temperature of validation",
    ]
    (row,) = (row for row in report.classifiers if not row.is_control)
    assert np.array(row.test["confusion"]).shape == (3, 3)
    assert report.data["classes"] == {"0": 20, "1": 20, "2": 20}


def change_column(rows: list[list[str]], index: int, new: dict[str, str]) -> list[list[str]]:
    return [[*row[:index], new.get(row[index], row[index]), *row[index + 1 :]] for row in rows]


def test_a_leak_is_said_before_the_training_and_stands_in_the_report(tmp_path):
    rows = make_rows()
    test_row = next(row for row in rows if row[3] == "test")
    table = write_rows(tmp_path / "leaky.csv", [*rows, ["copy", test_row[1], test_row[2], "train", "f99"]])
    listener = Listener(stop_before="[1/1]")
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(replace(SPLIT, data=table), tmp_path / "bench", reporter=listener)
    assert "leak in the data: the same sequence" in " ".join(listener.notes)
    audit = json.loads((tmp_path / "bench" / "audit.json").read_text())["value"]
    assert "duplicates_across_splits" in {finding["name"] for finding in audit["findings"]}


ROWS = make_rows()
BAD_INPUT = {
    "no such model": (
        ROWS,
        {"models": (replace(DEEPBIND, tokenizer="", pretrained="gone"),)},
        RunFolderError,
        "gone",
    ),
    "no such tokenizer": (ROWS, {"models": (replace(DEEPBIND, tokenizer="gone"),)}, SettingsError, "gone"),
    "network and tokenizer": (
        ROWS,
        {"models": (replace(DEEPBIND, tokenizer="kmer_k3_s1"),)},
        SettingsError,
        "one-hot bases",
    ),
    "a class that is not tested": (
        [row for row in ROWS if (row[2], row[3]) != ("1", "test")],
        {},
        DataError,
        "no record of the class '1' in the test records",
    ),
    "a class of two records": (
        [row for row in ROWS if row[2] == "0" or row[0] in ("r1", "r3")],
        {"protocol": "folds"},
        DataError,
        "no record of one class in fold",
    ),
    "no label": (change_column(ROWS, 2, {"1": ""}), {}, DataError, "no label at"),
    "no split": (
        change_column(ROWS, 3, dict.fromkeys(SPLIT_NAMES, "")),
        {},
        DataError,
        "no train and no test",
    ),
    "no such column": (ROWS, {"groups": ("clade",)}, DataError, "a column named clade"),
    "no places": (ROWS, {"groups": ("blocks",)}, DataError, "no place on a genome"),
    "one test group": (
        change_column(ROWS, 4, {row[4]: "same" for row in ROWS}),
        {"groups": ("family",)},
        DataError,
        "8 test records, all of one group",
    ),
}


@pytest.mark.parametrize("kind", BAD_INPUT)
def test_bad_input_is_refused_before_any_training(kind, tmp_path):
    rows, changes, error, text = BAD_INPUT[kind]
    benchmark = replace(SPLIT, data=write_rows(tmp_path / "bad.csv", rows), **changes)
    with pytest.raises(error, match=text):
        run_benchmark(benchmark, tmp_path / "bench")
    assert not (tmp_path / "bench").exists()


def test_a_folder_of_other_data_or_of_a_model_is_refused(table, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(replace(SPLIT, data=table), tmp_path / "bench", reporter=Listener("[1/1]"))
    other = write_rows(tmp_path / "other.csv", ROWS[:-1])
    with pytest.raises(GenolmError, match=r"audit\.json is of other data or settings"):
        run_benchmark(replace(SPLIT, data=other), tmp_path / "bench")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    with pytest.raises(
        RunFolderError, match=r"found a model in .*model, whose metrics\.json would be replaced"
    ):
        run_benchmark(replace(SPLIT, data=table), tmp_path / "model")
