"""The card of real, tiny runs: complete, true to the files, checked offline, and usable as it says."""

import json
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard as HubCard
from huggingface_hub import parse_eval_result_entries

from genolm.config import build_settings
from genolm.errors import PublishError
from genolm.files import read_json, write_json
from genolm.pipeline.recipe import Recipe
from genolm.pipeline.run import run_pipeline
from genolm.publishing.card.build import build_model_card
from genolm.publishing.card.hub_rules import PLACEHOLDERS, find_card_problems
from genolm.publishing.card.runs import read_family
from genolm.publishing.card.seeds import find_seed_spread

LOOP = {"checkpoint_every_steps": 100, "log_every_steps": 1}
MODEL = {"embedding_size": 8, "lstm_size": 8, "num_layers": 1}
TRAINING = {"phases": [{"epochs": 1, "learning_rate": 0.01}], "batch_size": 16, "loop": LOOP}
MASKED = {
    "steps": 4,
    "batch_size": 4,
    "learning_rate": 0.001,
    "warmup_steps": 2,
    "evaluations": 1,
    "eval_max_bp": 500,
    "model": {"architecture": "modernbert", "size": "debug", "max_tokens": 64},
    "windows": {"kind": "random", "length_bp": 40},
    "loop": LOOP,
}
TUNED = "classifier-domain-lm"
SECTIONS = [
    "Summary",
    "How to load and use it",
    "Architecture",
    "Training data",
    "Split and leakage audit",
    "Training procedure",
    "Evaluation",
    "Differences from the paper",
    "Intended use and limits",
    "Citation",
    "License",
]
RUNS = {  # by pipeline: folder of a run, and its pipeline tag
    "causal/classifier-domain-lm": "text-classification",
    "causal/classifier-scratch": "text-classification",
    "causal/genome-lm": "text-generation",
    "causal/domain-lm": "text-generation",
    "masked/masked-lm": "fill-mask",
    "masked/classifier-masked-lm": "text-classification",
}


@pytest.fixture(scope="module")
def runs(small_genome, tmp_path_factory):
    """Two finished pipelines; a class has a bar in its name, which would break a table."""
    folder = tmp_path_factory.mktemp("runs")
    text = small_genome.sequences["contig_b"]
    lines = ["sequence,label,split"]
    for number in range(60):
        window = text[100 + 300 * number : 140 + 300 * number]
        split = ("train", "train", "train", "validation", "test")[number // 2 % 5]
        lines.append(
            f"{window[:20]}{'AG'[number % 2]}{window[21:]},{('left|right', 'other')[number % 2]},{split}"
        )
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    recipe = {
        "genomes": [str(small_genome.path)],
        "data": str(folder / "labels.csv"),
        "tokenizer": "kmer_k2_s1",
        "corpus": {"block_bp": 2_000, "min_piece_bp": 100},
        "pretrain": {
            "tokens": 2_400,
            "evaluations": 1,
            "model": MODEL,
            "stream": {"lanes": 8, "bptt_tokens": 30},
            "loop": LOOP,
        },
        "adapt": {"epochs": 1, "batch_size": 16, "loop": LOOP},
        "finetune": TRAINING,
        "scratch": {**TRAINING, "model": MODEL},
    }
    write_json(folder / "recipe.json", recipe)
    for name, extra in (("causal", {}), ("masked", {"masked": MASKED})):
        run_pipeline(build_settings(Recipe, {**recipe, **extra}, where=name), folder / name)
    return folder


@pytest.fixture(scope="module")
def cards(runs):
    return {name: build_model_card(runs / name, name=f"me/{Path(name).name}", license="mit") for name in RUNS}


def get_section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def list_numbers(text: str) -> list[str]:
    return re.findall(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?", text)


def collect_numbers(value) -> set[float]:
    """Every number of a JSON value, those inside texts too."""
    if isinstance(value, dict):
        return set().union(*map(collect_numbers, value.values()), *map(collect_numbers, value))
    if isinstance(value, list):
        return set().union(*map(collect_numbers, value))
    if isinstance(value, str):
        return {float(each.replace(",", "")) for each in list_numbers(value)}
    return set() if value is None or isinstance(value, bool) else {float(value)}


def find_unknown_numbers(text: str, known: set[float]) -> list[str]:
    """Numbers of a text that are none of the known ones, rounded as the text has them."""
    unknown = []
    for each in list_numbers(text):
        decimals = len(each.partition(".")[2])
        if f"{float(each.replace(',', '')):.{decimals}f}" not in {
            f"{number:.{decimals}f}" for number in known
        }:
            unknown.append(each)
    return unknown


@pytest.mark.parametrize("name", RUNS)
def test_a_card_has_every_section_and_passes_the_rules_of_the_hub(cards, name):
    text = cards[name].text
    assert find_card_problems(text) == []
    assert PLACEHOLDERS.search(text) is None
    assert "not recorded" not in text
    is_classifier = RUNS[name] == "text-classification"
    expected = [title for title in SECTIONS if is_classifier or title != "Split and leakage audit"]
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == expected
    assert all(get_section(text, title).strip() for title in expected)
    assert "Not for clinical use" in text
    assert not re.search(r"\n\n\n", text)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table


@pytest.mark.parametrize("name", RUNS)
def test_the_hub_reads_the_metadata_and_the_figures(runs, cards, name):
    data = HubCard(cards[name].text).data
    metrics = read_json(runs / name / "metrics.json")
    assert (data.license, data.library_name, data.pipeline_tag) == ("mit", "transformers", RUNS[name])
    assert {"dna", "genolm"} <= set(data.tags)
    split = "validation" if name == "causal/domain-lm" else "test"
    kept = {result.metric_name: result.metric_value for result in data.eval_results}
    if RUNS[name] == "text-classification":
        assert (kept["MCC"], kept["AUROC"]) == (metrics["test"]["mcc"], metrics["test"]["auroc"])
        assert {result.dataset_name for result in data.eval_results} == {"labels.csv"}
    else:
        assert kept["bits per base"] == metrics[split]["bits_per_base"]
    assert {result.dataset_split for result in data.eval_results} == {split}
    (results,) = cards[name].eval_results.values()
    entries = {entry.task_id: entry for entry in parse_eval_result_entries(yaml.safe_load(results))}
    assert len(entries) == len(kept)
    assert all(entry.value == metrics[split][task] for task, entry in entries.items())
    assert all(f"{split} split of " in entry.notes for entry in entries.values())
    assert all("not a data set of the hub" in entry.notes for entry in entries.values())


def test_a_data_set_of_the_hub_is_named(runs):
    card = build_model_card(runs / "causal" / "model", name="m", license="mit", dataset="me/labels")
    data = HubCard(card.text).data
    assert data.datasets == ["me/labels"]
    assert {result.dataset_type for result in data.eval_results} == {"me/labels"}
    entries = parse_eval_result_entries(yaml.safe_load(card.eval_results["genolm.yaml"]))
    assert {entry.dataset_id for entry in entries} == {"me/labels"}
    assert not any("not a data set" in entry.notes for entry in entries)


@pytest.mark.parametrize("name", RUNS)
def test_every_number_of_the_evaluation_is_in_the_files(runs, cards, name):
    folder = runs / name
    known = collect_numbers([read_json(folder / "metrics.json"), read_json(folder.parent / "report.json")])
    known |= {95.0, 2.0, float(read_json(folder / "run_config.json")["settings"]["seed"])}
    section = get_section(cards[name].text, "Evaluation")
    assert len(list_numbers(section)) > 5
    assert find_unknown_numbers(section, known) == []
    assert find_unknown_numbers(section + "\n| MCC | 0.4567 |", known) == ["0.4567"]


def test_the_figures_stand_where_they_belong(runs, cards):
    section = get_section(cards["causal/classifier-domain-lm"].text, "Evaluation")
    metrics, report = (read_json(runs / "causal" / name) for name in (f"{TUNED}/metrics.json", "report.json"))
    test = metrics["test"]
    low, high = test["ci95"]["mcc"]
    row = f"| MCC | {test['mcc']:.3f} | {low:.3f} .. {high:.3f} | {metrics['validation']['mcc']:.3f} |"
    assert row in section
    assert f"| sequences | {test['n']} | - | {metrics['validation']['n']} |" in section
    (a, b), (c, d) = test["confusion"]
    assert f"| left\\|right | {a} | {b} |\n| other | {c} | {d} |" in section
    assert [row["name"] in section for row in report["classifiers"]] == [True] * len(report["classifiers"])
    assert "| genome LM + domain LM * |" in section
    assert section.count(" * |") == 1
    for row in report["language_models"]:
        bits = row["test_bits_per_base"], row["validation_bits_per_base"]
        assert f"| {row['name']} | {bits[0]:.3f} | {bits[1]:.3f} |" in section


def test_another_seed_beside_the_run_gives_means_and_spreads(runs, cards, tmp_path):
    shutil.copytree(runs / "causal", tmp_path / "first")
    recipe = build_settings(Recipe, {**read_json(runs / "recipe.json"), "seed": 1}, where="seed 1")
    run_pipeline(recipe, tmp_path / "second")
    card = build_model_card(tmp_path / "first" / TUNED, name="m", license="mit")
    section = get_section(card.text, "Evaluation")
    metrics = [read_json(tmp_path / name / TUNED / "metrics.json")["test"] for name in ("first", "second")]
    assert "of this model (seed 0). The interval is a percentile bootstrap" in section
    assert (
        "The same training with the seeds 0 and 1, each from a pretraining of its own, on the tes" in section
    )
    values = [each["auroc"] for each in metrics]
    mean, sd = statistics.mean(values), statistics.stdev(values)
    assert f"| AUROC | {mean:.3f} | {sd:.3f} | {min(values):.3f} | {max(values):.3f} |" in section
    assert (card.over_seeds["seeds"], card.over_seeds["split"]) == ([0, 1], "test")
    assert card.over_seeds["figures"]["auroc"] == {
        "mean": pytest.approx(mean),
        "sd": pytest.approx(sd),
        "lowest": min(values),
        "highest": max(values),
        "n": 2,
    }
    known = collect_numbers(card.over_seeds)
    table = section.partition("The same training with")[2].partition("\n\nConfusion")[0]
    assert find_unknown_numbers(table, known) == []
    language_model = build_model_card(tmp_path / "second" / "genome-lm", name="m", license="mit")
    assert "seeds 0 and 1, each from random weights of its own" in language_model.text
    assert set(language_model.over_seeds["figures"]) >= {"bits_per_base", "loss"}
    assert cards["causal/classifier-domain-lm"].over_seeds is None
    own = get_section(cards["causal/classifier-domain-lm"].text, "Evaluation")
    assert "of one seed (0): the spread between seeds was not measured." in own
    assert "standard deviation" not in own


def copy_with_seed(run, target, *, seed, mcc, **settings):
    """A copy that says that it had another seed, other settings and another MCC."""
    shutil.copytree(run, target)
    run_config, metrics = (read_json(target / name) for name in ("run_config.json", "metrics.json"))
    write_json(
        target / "run_config.json",
        {**run_config, "settings": {**run_config["settings"], "seed": seed, **settings}},
    )
    write_json(target / "metrics.json", {**metrics, "test": {**metrics["test"], "mcc": mcc}})


def test_only_trainings_that_differ_in_the_seed_alone_are_seeds_of_one_another(runs, tmp_path):
    place = tmp_path / "runs"
    shutil.copytree(runs / "causal", place, ignore=shutil.ignore_patterns("model"))
    own = place / TUNED
    copy_with_seed(own, place / "copy", seed=0, mcc=0.9)
    copy_with_seed(own, place / "other-batches", seed=3, mcc=0.9, batch_size=8)
    copy_with_seed(own, place / "unfinished", seed=4, mcc=0.9)
    (place / "unfinished" / "metrics.json").unlink()
    write_json(place / "foreign" / "run_config.json", {"model": "of somebody"})
    for name in ("config.json", "metrics.json"):
        write_json(place / "foreign" / name, {})
    shutil.copy(own / "model.safetensors", place / "foreign")
    assert find_seed_spread(read_family(own), "test") is None
    copy_with_seed(own, place / "second", seed=7, mcc=0.25)
    copy_with_seed(own, place / "third", seed=5, mcc=0.75)
    mcc = read_json(own / "metrics.json")["test"]["mcc"]
    found = find_seed_spread(read_family(own), "test")
    assert (found.seeds, found.starts) == ((0, 5, 7), "all from the same pretrained weights")
    assert found.figures["mcc"].mean == pytest.approx((mcc + 1) / 3)
    assert found.figures["mcc"].n == 3


def test_the_data_are_told_with_checksums_and_what_was_left_out(runs, cards, small_genome):
    text = get_section(cards["causal/classifier-domain-lm"].text, "Training data")
    info = read_json(runs / "causal" / "corpus" / "corpus.json")
    sha256 = info["sources"][0]["sha256"]
    assert f"| small | a file of the user | small.fa.gz | {sha256} | 60,000 | 700 | 3,000 |" in text
    assert f"| train | {info['splits']['train']['rows']} | {info['splits']['train']['bp']:,} |" in text
    assert "- 701 bases that are not A, C, G or T" in text
    assert "of every 10 blocks of 2,000 bp of a contig, number 5 (counted from 0) is validation" in text
    assert f"{info['num_exclude_sequences']} sequences and 0 intervals that the model must not learn" in text
    assert f"{info['excluded_bp']:,} bp were cut out of every split" in text
    inputs = read_json(runs / "causal" / TUNED / "run_config.json")["inputs"]
    assert f"`labels.csv`; sha256 of sequences, labels and splits: `{inputs['data']}`" in text
    audit = get_section(cards["causal/classifier-domain-lm"].text, "Split and leakage audit")
    assert "| left\\|right | 30 | 18 | 6 | 6 | 40 |" in audit
    findings = read_json(runs / "causal" / "data_audit.json")["findings"]
    assert audit.count("\n- ") == len(findings)
    assert "No genome was read" in get_section(cards["causal/classifier-scratch"].text, "Training data")
    target = get_section(cards["causal/domain-lm"].text, "Training data")
    assert "the test split was not read" in target


def test_the_stages_are_told_in_order_with_batches_time_and_energy(runs, cards):
    text = get_section(cards["causal/domain-lm"].text, "Training procedure")
    assert re.findall(r"^### (.+)$", text, re.MULTILINE) == [
        "Causal language model of the genome",
        "Language model of the target sequences",
    ]
    assert "8 lanes of about 30 tokens" in text
    assert "an estimate from 10 W a CPU thread, not measured" in text
    metrics = read_json(runs / "causal" / "genome-lm" / "metrics.json")
    assert (
        f"| tokens seen | {metrics['tokens_seen']:,}, which bring {metrics['bases_seen']:,} new bases |"
        in text
    )
    settings = read_json(runs / "causal" / "genome-lm" / "run_config.json")["settings"]
    assert yaml.safe_load(text.partition("```yaml\n")[2].partition("```")[0]) == settings
    tuned = get_section(cards["masked/classifier-masked-lm"].text, "Training procedure")
    assert "4 windows of 40 bp" in tuned
    assert "batch | 16 sequences;" in tuned
    *_, last = re.findall(r"```yaml\n(.*?)```", tuned, re.DOTALL)
    assert "network" not in yaml.safe_load(last), "sizes that were not used"


def test_the_lines_of_the_card_run_on_the_folder_without_genolm(runs, cards, tmp_path):
    program = ["import sys", "sys.modules['genolm'] = None"]
    for name in RUNS:
        (block,) = re.findall(r"```python\n(.*?)```", cards[name].text, re.DOTALL)
        assert f'"me/{Path(name).name}"' in block
        program += [f"print('== {name}')", block.replace(f"me/{Path(name).name}", str(runs / name))]
    environment = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PATH": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(program)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parts = dict(part.split("\n", 1) for part in done.stdout.split("== ")[1:])
    assert set(parts) == set(RUNS)
    for name, tag in RUNS.items():
        if tag == "text-classification":
            found = dict(line.rsplit(": ", 1) for line in parts[name].splitlines())
            assert set(found) == {"left|right", "other"}
            assert sum(map(float, found.values())) == pytest.approx(1, abs=0.002)
        elif tag == "text-generation":
            assert re.fullmatch(r"[12]\.\d{3} bits per base\n", parts[name])
        else:
            assert {line.split()[0] for line in parts[name].splitlines()} <= set("ACGT") | {"[UNK]"}
            assert len(parts[name].splitlines()) == 5


def test_all_missing_facts_are_listed_at_once_and_a_draft_marks_them(runs, tmp_path):
    alone = tmp_path / "place" / "model"
    shutil.copytree(runs / "causal" / TUNED, alone)
    (alone / "training_log.jsonl").unlink()
    with pytest.raises(PublishError, match=r"lacks 7 fact\(s\) of its card: ") as stop:
        build_model_card(alone, name="alone")
    facts = stop.value.found.partition("card: ")[2].split("; ")
    assert [re.sub(r" \(.*", "", fact) for fact in facts] == [
        "the license",
        "the run of the pretrained model",
        "the audit of the labeled data for leaks",
        "tokens and bases of a batch",
        "the tokens seen",
        "the time of the training",
        "the controls on the same test sequences",
    ]
    draft = build_model_card(alone, name="alone", draft=True)
    assert find_card_problems(draft.text, is_draft=True) == []
    assert "> **Draft.** 7 fact(s)" in draft.text
    assert draft.text.count("not recorded") >= 7
    assert "license" not in yaml.safe_load(draft.text.split("---\n")[1])
    assert build_model_card(runs / "causal", name="whole", license="mit", draft=True) == build_model_card(
        runs / "causal" / "model", name="whole", license="mit"
    ), "nothing is missing, so a draft is no other card"


def test_controls_and_audit_of_other_data_are_not_taken(runs, tmp_path):
    shutil.copytree(runs / "causal", tmp_path / "run", ignore=shutil.ignore_patterns("report.json"))
    controls = read_json(tmp_path / "run" / "controls.json")
    card = build_model_card(tmp_path / "run" / "model", name="m", license="mit")
    assert "| this model * |" in card.text, "without a report, the controls and the run's own figures"
    for row in controls["value"]:
        row["test"]["n"] += 1
    write_json(tmp_path / "run" / "controls.json", controls)
    audit = read_json(tmp_path / "run" / "data_audit.json")
    audit["classes"][0]["records_by_split"]["test"] += 1
    write_json(tmp_path / "run" / "data_audit.json", audit)
    with pytest.raises(PublishError, match=r"lacks 2 fact\(s\).*the audit.*; the controls on the same test"):
        build_model_card(tmp_path / "run" / "model", name="m", license="mit")


def test_a_language_model_wants_its_corpus_and_a_markov_control(runs, tmp_path):
    shutil.copytree(runs / "masked" / "masked-lm", tmp_path / "place" / "masked-lm")
    with pytest.raises(
        PublishError, match=r"the corpus of the language model .*; the Markov control on the same"
    ):
        build_model_card(tmp_path / "place" / "masked-lm", name="m", license="mit")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"license": "my own"}, "found the license 'my own'; expected an identifier of the hub"),
        ({"name": "a/b/c"}, "found the model name 'a/b/c'; expected NAME or OWNER/NAME"),
        ({"name": 'x"\ny'}, "found the model name"),
    ],
    ids=["license", "two slashes", "quote"],
)
def test_a_license_or_a_name_that_the_hub_refuses_is_refused(runs, changes, message):
    with pytest.raises(PublishError, match=message):
        build_model_card(runs / "causal" / "model", **{"name": "m", "license": "mit", **changes})


def test_an_unfinished_or_broken_run_is_refused(runs, tmp_path):
    shutil.copytree(runs / "causal" / "model", tmp_path / "model")
    (tmp_path / "model" / "metrics.json").write_text('{"steps": ')
    with pytest.raises(PublishError, match=r"a broken file in .*model"):
        build_model_card(tmp_path / "model", name="m", license="mit")
    (tmp_path / "model" / "metrics.json").unlink()
    with pytest.raises(PublishError, match=r"found no metrics.json in .*expected the folder of a finished"):
        build_model_card(tmp_path / "model", name="m", license="mit")
    shutil.copytree(runs / "causal" / "model", tmp_path / "other")
    config = read_json(tmp_path / "other" / "config.json") | {"architectures": ["BertForPreTraining"]}
    write_json(tmp_path / "other" / "config.json", config)
    with pytest.raises(
        PublishError, match=r"a model of the class .*BertForPreTraining.*expected a classifier"
    ):
        build_model_card(tmp_path / "other", name="m", license="mit")


def test_a_class_that_looks_like_a_placeholder_is_named(runs, tmp_path):
    shutil.copytree(runs / "causal", tmp_path / "run")
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    config["id2label"]["0"] = "TODO"
    write_json(tmp_path / "run" / "model" / "config.json", config)
    with pytest.raises(PublishError, match="a card that the hub would refuse: the placeholder 'TODO'"):
        build_model_card(tmp_path / "run" / "model", name="m", license="mit")


def test_one_side_is_not_compared_with_two_without_a_word(cards):
    assert "Counts of both sides are the strict" in cards["masked/masked-lm"].text
    assert "Counts of both sides" not in cards["causal/genome-lm"].text


def test_a_random_start_is_no_pretraining(runs):
    text = build_model_card(runs / "masked" / "classifier-untrained-lm", name="m", license="mit").text
    assert "It started from random weights." in text
    assert "### Random weights (no pretraining)" in text
    assert "bits per base" not in get_section(text, "Evaluation")
    assert np.isfinite(HubCard(text).data.eval_results[0].metric_value)
