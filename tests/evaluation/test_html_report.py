"""The page: everything in it, nothing to load, nothing to run, and room for it on a desk and in a hand."""

import dataclasses
import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from genolm.corpus.audit.findings import Finding
from genolm.evaluation.calibration import compare_temperature
from genolm.evaluation.cross_validation import FoldResult, summarize_folds, summarize_runs
from genolm.evaluation.curves import plot_pr_curves, plot_reliability, plot_roc_curves
from genolm.evaluation.html_report.content import (
    Comparison,
    EvaluationReport,
    PublishedFigure,
    ReportFigure,
)
from genolm.evaluation.html_report.page import build_html_report, build_report_metrics, write_html_report
from genolm.evaluation.paired import compute_paired_differences
from genolm.evaluation.report import ClassifierRow, LanguageModelRow
from genolm.metrics import compute_classification_report
from genolm.threshold import choose_threshold

HOSTILE = "<script>hacked=1</script><img src=x onerror=hacked=2>\"'&{{ 7*7 }}"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
VOID = {"meta", "img", "br", "link"}
GENERATOR = np.random.default_rng(0)
LABELS = np.arange(120) % 2
SCORES = np.clip(0.35 * LABELS + 0.65 * GENERATOR.random(120), 0, 1)
CONTROL_SCORES = np.clip(0.2 * LABELS + 0.8 * GENERATOR.random(120), 0, 1)


def build_row(name, scores, *, is_control):
    figures = compute_classification_report(LABELS, scores, num_resamples=20)
    return ClassifierRow(name=name, is_control=is_control, validation=figures, test=figures)


def build_report(model="ULMFiT, genome LM + domain LM") -> EvaluationReport:
    """A report with all of its parts; the model's name is everywhere that a name can be."""
    scores = {model: SCORES, "control: k-mers": CONTROL_SCORES}
    temperature = compare_temperature(LABELS, SCORES, temperature=0.7)
    runs = [compute_classification_report(LABELS, SCORES**p, num_resamples=2) for p in (1, 2)]
    return EvaluationReport(
        title=f"E. coli promoters: {model}",
        summary=(f"{model} beats the best control.",),
        data={"sequences": {"train": 12345, "test": 120}, "classes": [model, "other"], "grouped": True},
        findings=(
            Finding(name="duplicates", severity="leak", text=f"43 of {model}", remedy="split", figures={}),
            Finding(name="gc", severity="note", text="GC alone: MCC 0.4", remedy="none", figures={}),
        ),
        classifiers=(
            build_row("control: k-mers", CONTROL_SCORES, is_control=True),
            build_row(model, SCORES, is_control=False),
            build_row("scratch", SCORES**2, is_control=False),
        ),
        chosen=model,
        published=(PublishedFigure("DNABERT-2", {"mcc": 0.7156}, f"Zhou et al. 2023, {model}"),),
        comparisons=(
            Comparison(model, "control: k-mers", compute_paired_differences(LABELS, *scores.values())),
        ),
        seeds={model: summarize_runs(runs)},
        cross_validations={
            model: summarize_folds(
                [FoldResult(0, LABELS[rows], SCORES[rows]) for rows in (slice(60), slice(60, 120))]
            )
        },
        calibrations={model: temperature},
        thresholds={model: choose_threshold(LABELS, SCORES)},
        figures=(
            ReportFigure(
                f"ROC of {model}", plot_roc_curves(LABELS, scores=scores, controls=["control: k-mers"])
            ),
            ReportFigure("Precision and recall", plot_pr_curves(LABELS, scores=scores)),
            ReportFigure(
                "Reliability", plot_reliability({model: temperature.before, "b": temperature.after})
            ),
        ),
        language_models=(
            LanguageModelRow(name=model, validation_bits_per_base=1.9, test_bits_per_base=1.91234),
        ),
        protocol=(f"{model} was chosen on validation.", "The test split was read once, at the end."),
        settings={"finetune": {"learning_rate": 0.001, "epochs": 10, "data": model}, "seed": None},
        versions={"torch": "2.13.0", "genolm": model},
    )


class PageReader(HTMLParser):
    """Collects tags and the text of table cells, and checks that tags are closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.rows, self.text, self.open = set(), set(), [], "", []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.text += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += ("|" if self.open[-1] == "span" else "") + data.strip()


def find_row(page: str, *start: str) -> list[str]:
    (row,) = [row for row in PageReader(page).rows if tuple(row[: len(start)]) == start]
    return row


def test_every_part_is_on_the_page():
    report = build_report()
    reader = PageReader(build_html_report(report))
    for text in (
        report.title,
        "ULMFiT, genome LM + domain LM beats the best control.",
        "sequences.train",
        "12,345",
        "leak: 43 of ULMFiT",
        "Models and controls",
        "Paired differences",
        "Over seeds",
        "Cross-validation",
        "Calibration",
        "Thresholds",
        "Language models",
        "ROC of ULMFiT",
        "The test split was read once, at the end.",
        "finetune.learning_rate",
        "2.13.0",
    ):
        assert text in reader.text, text
    assert build_html_report(report).count("<svg") == 3


def test_the_table_of_models_has_figures_intervals_controls_and_published_rows():
    report = build_report()
    page = build_html_report(report)
    header, *_ = PageReader(page).rows
    assert header[:5] == ["model", "kind", "MCC", "AUROC", "AUPRC"]
    mcc = report.classifiers[1].test["mcc"]
    low, high = report.classifiers[1].test["ci95"]["mcc"]
    assert (
        find_row(page, report.chosen, "model, chosen on validation")[2]
        == f"{mcc:.3f}|{low:.3f} .. {high:.3f}"
    )
    assert find_row(page, "scratch")[1] == "model"
    assert find_row(page, "control: k-mers")[1] == "control"
    published = find_row(page, f"DNABERT-2|Zhou et al. 2023, {report.chosen}")
    assert published[1:4] == ["published", "0.716", "n/a"]
    assert len(re.findall(r'<tr class="control">', page)) == 1
    found = report.comparisons[0].differences["mcc"]
    row = find_row(page, f"{report.chosen} minus control: k-mers", "MCC")
    low, high = found.interval
    assert row[2:4] == [f"{found.first:.3f}", f"{found.second:.3f}"]
    assert row[4] == f"{found.difference:+.3f}|{low:+.3f} .. {high:+.3f}"
    assert row[6] == ("yes" if low > 0 else "no")
    spread = report.seeds[report.chosen]["mcc"]
    assert find_row(page, report.chosen, f"{spread.mean:.3f}|sd {spread.sd:.3f}, n = 2")
    assert find_row(page, report.chosen, "1.912", "1.900")


def test_a_hostile_name_comes_out_as_text_everywhere():
    page = build_html_report(build_report(HOSTILE))
    reader = PageReader(page)
    assert {"script", "img", "iframe", "object", "link"}.isdisjoint(reader.tags)
    assert not [name for name in reader.attributes if name.startswith("on")]
    assert reader.text.count(HOSTILE) >= 12
    assert "{{ 7*7 }}" in page
    assert "49" not in re.sub(r"<svg.*?</svg>", "", reader.text.split("Data")[0])


def test_nothing_is_loaded_and_scripts_are_forbidden():
    page = build_html_report(build_report())
    assert "default-src 'none'" in page
    assert "script-src" not in page
    assert re.findall(r'(?:src|href)="([^#"][^"]*)"', page) == []
    assert not re.search(r"@import|url\((?!#)", page)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'<a href="#([^"]+)"', page)) <= set(ids)


def test_an_empty_report_says_that_nothing_was_audited_and_shows_no_empty_table():
    page = build_html_report(EvaluationReport(title="Nothing yet"))
    assert "The data were not audited" in page
    assert "<table" not in page
    assert "<figure" not in page
    audited = build_html_report(EvaluationReport(title="Nothing yet", findings=()))
    assert "The audit of the data found nothing." in audited


def test_figures_without_intervals_or_metrics_are_shown_as_they_are():
    row = ClassifierRow(name="old", is_control=False, validation={}, test={"mcc": 0.5, "auroc": None})
    page = build_html_report(EvaluationReport(title="Old", classifiers=(row,)))
    assert find_row(page, "old") == ["old", "model", "0.500", *["n/a"] * 5]


def test_metrics_json_has_the_same_content():
    report = build_report()
    found = build_report_metrics(report)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert set(found) == {each.name for each in dataclasses.fields(EvaluationReport)}
    assert found["classifiers"][1]["test"] == report.classifiers[1].test
    difference = report.comparisons[0].differences["mcc"]
    assert found["comparisons"][0]["differences"]["mcc"] == difference._asdict()
    assert (
        found["calibrations"][report.chosen]["before"]["ece"] == report.calibrations[report.chosen].before.ece
    )
    assert found["figures"][1:] == ["Precision and recall", "Reliability"]
    assert found["findings"][0]["severity"] == "leak"


def test_numbers_that_json_lacks_are_null():
    settings = {"nan": float("nan"), "array": np.array([1.5, np.inf]), "one": np.float32(0.5), "yes": True}
    found = build_report_metrics(EvaluationReport(title="Odd", settings=settings))
    assert found["settings"] == {"nan": None, "array": [1.5, None], "one": 0.5, "yes": True}


def test_both_files_are_written(tmp_path):
    report = build_report()
    path = write_html_report(report, tmp_path / "evaluation")
    assert sorted(each.name for each in path.parent.iterdir()) == ["metrics.json", "report.html"]
    assert path.read_text(encoding="utf-8") == build_html_report(report)
    assert json.loads((path.parent / "metrics.json").read_text()) == build_report_metrics(report)


_MEASURE = """<!doctype html><meta charset="utf-8">
<iframe id="frame" style="border:0" width="@WIDTH@" height="900" srcdoc="@PAGE@"></iframe>
<pre id="found"></pre><script>
const frame = document.getElementById("frame");
frame.addEventListener("load", () => {
  const page = frame.contentDocument, root = page.documentElement;
  const boxes = [...page.querySelectorAll(".scroll")];
  document.getElementById("found").textContent = JSON.stringify({
    inner: frame.contentWindow.innerWidth, page: root.scrollWidth,
    scrolling: boxes.filter(box => box.scrollWidth > box.clientWidth).length, boxes: boxes.length,
    narrowest: Math.min(...[...page.querySelectorAll(".text")].map(cell => cell.clientWidth)),
    figures: [...page.querySelectorAll("figure svg")].map(svg => svg.getBoundingClientRect().width),
    hacked: frame.contentWindow.hacked ?? null});
});
</script>"""


@pytest.mark.parametrize("width_px", [1280, 390])
@pytest.mark.parametrize("name", ["LSTM", HOSTILE, "long" * 60], ids=["plain", "hostile", "long"])
def test_in_a_browser_nothing_overflows_and_nothing_runs(name, width_px, tmp_path):
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    page = html.escape(build_html_report(build_report(name)))
    frame = tmp_path / "frame.html"
    frame.write_text(_MEASURE.replace("@WIDTH@", str(width_px)).replace("@PAGE@", page), encoding="utf-8")
    options = ("--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}")
    command = [browser, *options, "--window-size=1400,1000", "--dump-dom", frame.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found = json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', done.stdout)[1]))
    assert found["hacked"] is None
    assert found["inner"] == width_px
    assert found["page"] <= width_px
    assert found["narrowest"] > 80, "a column of text has room for words"
    assert found["boxes"] == 7
    assert found["scrolling"] >= (1 if width_px == 390 else 0)
    assert all(250 < figure_px <= width_px for figure_px in found["figures"])
