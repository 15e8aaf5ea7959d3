"""What several trainings say together, by hand; how records are divided; what a benchmark file may say."""

from dataclasses import replace

import numpy as np
import pytest
from test_benchmark import FOLDS, ROWS, SPLIT, change_column, write_rows

from genolm.corpus.builtin import resolve_source
from genolm.errors import SettingsError
from genolm.pipeline.benchmarking.divisions import build_grouping, read_benchmark_data
from genolm.pipeline.benchmarking.results import compare_models, find_best_control, summarize_model
from genolm.pipeline.benchmarking.settings import (
    Benchmark,
    BenchmarkModel,
    Ensemble,
    Published,
    find_benchmark,
    list_benchmarks,
    load_benchmark,
)
from genolm.pipeline.benchmarking.trainings import Prediction, average_predictions

LABELS = np.array([0, 0, 1, 1])
GROUPS = np.array([0, 1, 0, 1])


def make_prediction(*, validation, test, seed=0, repeat=0) -> Prediction:
    scores = (np.array(each, dtype=float) for each in (validation, test))
    first, second = scores
    return Prediction(repeat, seed, LABELS, first, LABELS, second, GROUPS)


RIGHT, WRONG = [0.1, 0.2, 0.8, 0.9], [0.9, 0.8, 0.2, 0.1]
LOW = [0.1, 0.2, 0.3, 0.4]  # ranked rightly, all below 0.5


def summarize(predictions, *, name="net", is_control=False, copies=1):
    return summarize_model(name, predictions, is_control=is_control, copies=copies, num_resamples=40)


def test_figures_of_two_trainings_by_hand():
    found = summarize(
        [
            make_prediction(validation=RIGHT, test=RIGHT, seed=0),
            make_prediction(validation=RIGHT, test=[0.1, 0.9, 0.8, 0.9], seed=1),  # MCC 1 / sqrt(3)
        ]
    )
    assert found.row.validation["mcc"] == 1.0
    spread = found.spreads["mcc"]
    assert spread.mean == pytest.approx((1 + 3**-0.5) / 2)
    assert spread.sd == pytest.approx((1 - 3**-0.5) / 2**0.5)
    assert found.folds.pooled["mcc"].n == 2  # two seeds are two repeats of one fold
    assert found.row.test["confusion"] == [[3, 1], [0, 4]]
    assert found.row.test["mcc"] == pytest.approx((3 * 4 - 0) / (3 * 4 * 4 * 5) ** 0.5)
    assert found.pooled.groups.tolist() == [0, 1, 0, 1, 0, 1, 0, 1]


def test_the_threshold_of_validation_is_a_figure_of_its_own():
    found = summarize([make_prediction(validation=LOW, test=LOW)])
    assert found.row.test["mcc"] == 0.0
    assert found.tuned.mean.threshold == pytest.approx(0.25)
    assert found.tuned.row.test["mcc"] == 1.0
    assert found.tuned.row.name == "net, threshold of validation"
    two = summarize(
        [make_prediction(validation=LOW, test=LOW), make_prediction(validation=RIGHT, test=RIGHT, seed=1)]
    )
    assert two.tuned.mean.threshold == pytest.approx((0.25 + 0.5) / 2)
    assert two.tuned.row.test["mcc"] == 1.0  # at its own threshold each; at their mean, 0.375, it is not
    assert summarize([make_prediction(validation=LOW, test=LOW)], is_control=True).tuned is None


def test_the_temperature_comes_from_validation_and_is_applied_to_test():
    unsure = [0.4, 0.45, 0.55, 0.6]
    found = summarize([make_prediction(validation=unsure, test=unsure)]).temperature
    assert found.temperature == pytest.approx(0.05, rel=1e-3)  # no error: as sharp as is allowed
    assert found.after.log_loss < 0.01 < found.before.log_loss
    sure_and_wrong = [0.01, 0.99, 0.01, 0.99]
    assert summarize([make_prediction(validation=sure_and_wrong, test=unsure)]).temperature.temperature > 5


def test_a_control_stands_beside_each_seed_with_the_same_figures():
    one = summarize([make_prediction(validation=RIGHT, test=LOW)], is_control=True)
    three = summarize([make_prediction(validation=RIGHT, test=LOW)], is_control=True, copies=3)
    assert three.pooled.labels.tolist() == LABELS.tolist() * 3
    assert three.row.test["mcc"] == one.row.test["mcc"]
    assert three.row.test["auroc"] == one.row.test["auroc"] == 1.0
    assert three.row.test["ci95"] == one.row.test["ci95"]
    assert three.spreads["mcc"].n == 1


def test_the_best_control_is_the_one_of_validation_whatever_test_says():
    steady = summarize([make_prediction(validation=RIGHT, test=WRONG)], name="a", is_control=True)
    lucky = summarize([make_prediction(validation=WRONG, test=RIGHT)], name="b", is_control=True)
    model = summarize([make_prediction(validation=RIGHT, test=RIGHT)])
    assert find_best_control([lucky, steady, model]) is steady
    difference = compare_models(model, steady, num_resamples=40).differences["mcc"]
    assert (difference.first, difference.second, difference.difference) == (1.0, -1.0, 2.0)
    assert difference.interval == [2.0, 2.0]


def test_validation_records_come_from_train_by_whole_groups(tmp_path):
    rows = change_column(ROWS, 3, {"validation": "train"})
    benchmark = replace(SPLIT, data=write_rows(tmp_path / "two.csv", rows))
    data = read_benchmark_data(benchmark, min_length_bp=1)
    (division,) = build_grouping(benchmark, data, "family").divisions
    found = {name: set() for name in ("train", "validation", "test")}
    for split, row in zip(division.data.splits, rows, strict=True):
        found[split].add(row[4])
        assert (split == "test") == (row[3] == "test")
    assert not found["train"] & found["validation"]
    assert 1 <= len(found["validation"]) <= 3
    assert len(division.test_groups) == 8


def test_clusters_keep_copies_together(tmp_path):
    copies = [[f"{row[0]}c", "T" + row[1][1:], *row[2:]] for row in ROWS]
    benchmark = replace(FOLDS, data=write_rows(tmp_path / "twice.csv", ROWS + copies), groups=("clusters",))
    benchmark = replace(benchmark, clusters=replace(benchmark.clusters, identity=0.7), folds=5, repeats=2)
    data = read_benchmark_data(benchmark, min_length_bp=1)
    grouping = build_grouping(benchmark, data, "clusters")
    assert [(each.repeat, each.fold) for each in grouping.divisions] == [
        (repeat, fold) for repeat in range(2) for fold in range(5)
    ]
    for division in grouping.divisions:
        assert division.data.splits[:60] == division.data.splits[60:]
    single = build_grouping(benchmark, data, "none")
    assert (single.num_groups, single.largest_group) == (120, 1)
    assert single.divisions[0].data.splits[:60] != single.divisions[0].data.splits[60:]


def test_a_holdout_divides_anew_for_each_seed_by_whole_groups(tmp_path):
    benchmark = replace(FOLDS, data=write_rows(tmp_path / "t.csv", ROWS), protocol="holdout", seeds=(4, 7))
    data = read_benchmark_data(benchmark, min_length_bp=1)
    divisions = build_grouping(benchmark, data, "family").divisions
    assert [(each.name, each.seeds) for each in divisions] == [
        ("repeat-0-fold-0", (4,)),
        ("repeat-1-fold-0", (7,)),
    ]
    for division in divisions:
        parts = {split: set() for split in ("train", "validation", "test")}
        for split, row in zip(division.data.splits, ROWS, strict=True):
            parts[split].add(row[4])
        assert [len(parts[split]) for split in parts] == [pytest.approx(n, abs=1) for n in (10.5, 1.5, 3)]
        assert sum(map(len, parts.values())) == 15  # each family in one part
    assert divisions[0].data.splits != divisions[1].data.splits
    other = build_grouping(replace(benchmark, split_seed=1), data, "family").divisions
    assert other[0].data.splits == divisions[1].data.splits


SHIPPED = [
    "gb_human_enhancers_cohn",
    "gb_human_nontata_promoters",
    "gue_prom_300_all",
    "gue_prom_300_notata",
    "gue_prom_300_tata",
    "gue_prom_core_all",
    "gue_prom_core_notata",
    "gue_prom_core_tata",
    "gue_tf",
    "promoters_arabidopsis_nontata",
    "promoters_arabidopsis_tata",
    "promoters_bsubtilis",
    "promoters_ecoli",
    "promoters_human_nontata",
    "quickstart",
    "quickstart_debug",
    "quickstart_gc_matched",
]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_benchmark_is_usable(name):
    assert list_benchmarks() == SHIPPED
    if name.startswith("quickstart"):
        benchmark = load_benchmark(name)
        assert resolve_source(benchmark.data).is_file()
        assert not benchmark.published
    else:
        with pytest.raises(SettingsError, match="name it with --data FILE"):
            load_benchmark(name)
        benchmark = load_benchmark(name, overrides=["data=mine.csv"])
        figures = [value for row in benchmark.published for value in row.metrics.values()]
        assert all(0 < value < 1 for value in figures)
        assert all(row.source for row in benchmark.published)
        assert benchmark.published
    assert benchmark.groups == (("none", "clusters") if name.startswith("promoters") else ("clusters",))
    assert benchmark.protocol == ("holdout" if name.startswith("promoters") else "split")
    assert {model.name for model in benchmark.models} >= {"DeepBind", "DanQ", "ULMFiT from scratch"}
    assert benchmark.seeds == ((0,) if name.endswith("debug") else (0, 1, 2))


def test_the_titles_of_what_is_extended_are_not_kept():
    titles = [load_benchmark(name, overrides=["data=x"]).title for name in SHIPPED]
    assert len(set(titles)) == len(SHIPPED) - 1  # quickstart and its twin are the same task


def test_a_file_may_extend_one_beside_it(tmp_path):
    (tmp_path / "base.yaml").write_text(
        "title: base\ndata: x.csv\ngroups: none\nmodels:\n  - {name: a, tokenizer: nucleotide}\n"
    )
    (tmp_path / "mine.yaml").write_text("extends: base.yaml\ntitle: mine\n")
    found = load_benchmark(str(tmp_path / "mine.yaml"), overrides=["seeds=[7]"])
    assert (found.title, found.groups, found.seeds, found.data) == ("mine", ("none",), (7,), "x.csv")
    assert found.models == (BenchmarkModel(name="a", tokenizer="nucleotide"),)


def test_a_file_may_extend_a_shipped_one_by_name(tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: promoters_ecoli\nseeds: [5]\n")
    found = load_benchmark(str(tmp_path / "mine.yaml"), overrides=["data=x.csv"])
    assert found == replace(load_benchmark("promoters_ecoli", overrides=["data=x.csv"]), seeds=(5,))


def test_models_that_wait_for_a_language_model_are_left_out_without_one(tmp_path, caplog):
    caplog.set_level("INFO", logger="genolm")
    (tmp_path / "mine.yaml").write_text(
        "title: mine\ndata: x.csv\nmodels:\n  - {name: a, tokenizer: nucleotide}\n"
        "  - {name: b, pretrained: given}\n  - {name: c, pretrained: own}\n"
    )
    alone = load_benchmark(str(tmp_path / "mine.yaml"))
    assert [model.name for model in alone.models] == ["a", "c"]
    assert caplog.messages == ["1 models that start from a language model are left out: give --pretrained"]
    both = load_benchmark(str(tmp_path / "mine.yaml"), pretrained=tmp_path / "lm")
    assert [model.pretrained for model in both.models] == ["", str(tmp_path / "lm"), "own"]


def test_an_ensemble_of_a_model_that_is_left_out_is_left_out(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "title: mine\ndata: x.csv\nmodels:\n  - {name: a, tokenizer: nucleotide}\n"
        "  - {name: b, pretrained: given}\nensembles:\n  - {name: ab, of: [a, b]}\n"
        "  - {name: ac, of: [a, 'control: k-mers']}\n"
    )
    assert [each.name for each in load_benchmark(str(tmp_path / "mine.yaml")).ensembles] == ["ac"]
    both = load_benchmark(str(tmp_path / "mine.yaml"), pretrained=tmp_path / "lm")
    assert both.ensembles == (
        Ensemble(name="ab", of=("a", "b")),
        Ensemble(name="ac", of=("a", "control: k-mers")),
    )


def test_the_scores_of_an_ensemble_are_the_mean_by_hand():
    first = make_prediction(validation=RIGHT, test=LOW, seed=5)
    found = average_predictions([first, make_prediction(validation=WRONG, test=RIGHT)])
    assert found.validation_scores.tolist() == pytest.approx([0.5, 0.5, 0.5, 0.5])
    assert found.test_scores.tolist() == pytest.approx([0.1, 0.2, 0.55, 0.65])
    assert found.seed == 5
    assert found.test_labels is first.test_labels


def test_an_unknown_benchmark_is_refused():
    with pytest.raises(
        SettingsError, match=r"found the benchmark 'quickstrat'; expected one of gb_human_enh"
    ):
        find_benchmark("quickstrat")


MODEL = BenchmarkModel(name="a", tokenizer="nucleotide")
BAD_SETTINGS = {
    "two models of one name": ({"models": (MODEL, MODEL)}, "two models called a"),
    "no model": ({"models": ()}, "no models"),
    "a seed twice": ({"seeds": (1, 1)}, "two seeds called 1"),
    "no groups": ({"groups": ()}, "no groups"),
    "two folds": ({"protocol": "folds", "folds": 2}, "3 folds or more"),
    "repeats of a split": ({"repeats": 2}, "protocol split with repeats 2"),
    "no such protocol": ({"protocol": "loo"}, "protocol loo"),
    "an ensemble of what is not there": (
        {"ensembles": (Ensemble(name="e", of=("a", "b")),)},
        "found 'b' in the ensemble e; expected two or more of a, control: GC fraction, ",
    ),
    "an ensemble of one": ({"ensembles": (Ensemble(name="e", of=("a", "a")),)}, "the ensemble e of a, a"),
    "an ensemble of controls alone": (
        {"ensembles": (Ensemble(name="e", of=("control: k-mers", "control: positions")),)},
        "a model among them",
    ),
    "an ensemble called as a model": (
        {"ensembles": (Ensemble(name="a", of=("a", "control: k-mers")),)},
        "two models called a",
    ),
}


@pytest.mark.parametrize("kind", BAD_SETTINGS)
def test_settings_that_do_not_fit_are_refused(kind):
    changes, text = BAD_SETTINGS[kind]
    with pytest.raises(SettingsError, match=text):
        Benchmark(**{"title": "t", "models": (MODEL,), **changes})


def test_models_and_figures_that_do_not_fit_are_refused():
    with pytest.raises(SettingsError, match="a pretrained model has its own tokenizer"):
        BenchmarkModel(name="a", tokenizer="nucleotide", pretrained="folder")
    with pytest.raises(SettingsError, match="either a tokenizer"):
        BenchmarkModel(name="a")
    with pytest.raises(SettingsError, match="found the task regression for the model a"):
        replace(MODEL, finetune=replace(MODEL.finetune, task="regression", monitor="mse"))
    with pytest.raises(SettingsError, match="found the figure MCC of them"):
        Published(name="them", metrics={"MCC": 0.5}, source="a paper")
