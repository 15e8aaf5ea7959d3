import pytest

from genolm.evaluation.report import (
    AblationReport,
    ClassifierRow,
    LanguageModelRow,
    build_classifier_table,
    build_language_model_table,
    build_rows,
    choose_network,
    render_markdown,
)


def build_row(name: str, *, is_control: bool, validation_auroc: float, test_mcc: float) -> ClassifierRow:
    test = {
        "mcc": test_mcc,
        "accuracy": 0.87654,
        "auroc": 0.9,
        "ci95": {"mcc": [test_mcc - 0.05, test_mcc + 0.05]},
    }
    return ClassifierRow(
        name=name, is_control=is_control, validation={"auroc": validation_auroc, "mcc": 0.1}, test=test
    )


ROWS = (
    build_row("k-mers", is_control=True, validation_auroc=0.99, test_mcc=0.4),
    build_row("GC", is_control=True, validation_auroc=0.1, test_mcc=0.45),
    build_row("scratch", is_control=False, validation_auroc=0.5, test_mcc=0.9),
    build_row("genome LM", is_control=False, validation_auroc=0.7, test_mcc=0.6),
)


@pytest.fixture
def report():
    return AblationReport(
        classifiers=ROWS,
        language_models=(
            LanguageModelRow(name="LSTM", validation_bits_per_base=1.9, test_bits_per_base=1.91234),
        ),
        chosen=choose_network(ROWS),
        num_test=100,
    )


def test_the_network_is_chosen_on_validation_and_never_among_the_controls(report):
    assert report.chosen == "genome LM"
    assert report.find_chosen() is ROWS[3]


def test_the_control_to_beat_is_the_best_on_the_test_split(report):
    assert report.find_best_control() is ROWS[1]


def test_the_table_of_classifiers_marks_the_chosen_one(report):
    header, *rows = build_classifier_table(report)
    assert header == ("model", "accuracy", "MCC", "95 % interval", "AUROC", "validation AUROC")
    assert [row[0] for row in rows] == ["k-mers", "GC", "scratch", "genome LM *"]
    assert rows[3][1:] == ("0.877", "0.600", "0.550 .. 0.650", "0.900", "0.700")


def test_the_tables_of_numbers_and_of_several_labels():
    test = {"spearman": 0.5, "pearson": 0.4, "mse": 12345.6, "ci95": {"spearman": [0.4, 0.6]}}
    number = ClassifierRow(name="a", is_control=True, validation={"spearman": 0.3}, test=test)
    assert build_rows([number], chosen="a") == [
        ("model", "Spearman", "95 % interval", "Pearson", "mean squared error", "validation Spearman"),
        ("a *", "0.500", "0.400 .. 0.600", "0.400", "1.235e+04", "0.300"),
    ]
    test = {"auroc": 0.9, "auprc": 0.8, "labels": {}, "ci95": {"auroc": [0.85, 0.95]}}
    labels = ClassifierRow(name="b", is_control=True, validation={"auroc": 0.7}, test=test)
    assert build_rows([labels]) == [
        ("model", "mean AUROC of the labels", "95 % interval", "mean AUPRC", "validation mean AUROC"),
        ("b", "0.900", "0.850 .. 0.950", "0.800", "0.700"),
    ]


def test_the_table_of_language_models(report):
    assert build_language_model_table(report) == [
        ("language model", "bits per base, test", "validation"),
        ("LSTM", "1.912", "1.900"),
    ]


def test_a_table_in_markdown(report):
    assert render_markdown(build_language_model_table(report)).splitlines() == [
        "| language model | bits per base, test | validation |",
        "| --- | --- | --- |",
        "| LSTM | 1.912 | 1.900 |",
    ]
