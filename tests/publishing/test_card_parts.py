"""The parts of a card that need no training: the hub's rules, energy, logs, usage of every kind of model."""

import json

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from genolm.corpus.builtin import find_builtin
from genolm.corpus.labeled import read_labeled
from genolm.files import compute_fingerprint, write_json
from genolm.publishing.card.evidence import find_data_name
from genolm.publishing.card.families import FAMILIES, get_family
from genolm.publishing.card.hub_rules import LICENSES, find_card_problems
from genolm.publishing.card.kinds import build_usage, find_kind
from genolm.publishing.card.procedure import estimate_energy_kwh
from genolm.publishing.card.runs import RunRecord, count_parameters, read_run

RESULT = {
    "task": {"type": "fill-mask"},
    "dataset": {"type": "d", "name": "d"},
    "metrics": [{"type": "accuracy", "value": 0.5}],
}
HEADER = {
    "license": "mit",
    "library_name": "transformers",
    "pipeline_tag": "fill-mask",
    "tags": ["dna"],
    "model-index": [{"name": "m", "results": [RESULT]}],
}


def build_card(**changes) -> str:
    header = {name: value for name, value in {**HEADER, **changes}.items() if value != "gone"}
    return f"---\n{yaml.safe_dump(header)}---\n\n# m\n"


def test_a_header_in_order_has_no_problem():
    assert find_card_problems(build_card()) == []
    assert {"apache-2.0", "mit", "cc0-1.0", "gpl-3.0"} <= LICENSES
    assert "other" not in LICENSES


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"license": "MIT License"}, "the license 'MIT License', which is no identifier of the hub"),
        ({"license": "gone"}, "the license None, which is no identifier of the hub"),
        ({"pipeline_tag": "dna"}, "the pipeline_tag 'dna'"),
        ({"library_name": "gone"}, "the library_name None"),
        ({"tags": "dna"}, "tags that is not a list of texts"),
        ({"metrics": [1]}, "metrics that is not a list of texts"),
        ({"datasets": ["a/b/c"]}, "the data set 'a/b/c'"),
        ({"model-index": [{"name": "m"}]}, "a model-index that lacks something ('results')"),
        ({"model-index": [{"name": 3, "results": []}]}, "a model-index without a name"),
        (
            {
                "model-index": [
                    {"name": "m", "results": [{**RESULT, "metrics": [{"type": "a", "value": "0.5"}]}]}
                ]
            },
            "the figure '0.5'",
        ),
        (
            {"model-index": [{"name": "m", "results": [{**RESULT, "task": {"type": ""}}]}]},
            "a model-index whose types and names are not texts",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_hub_refuses_is_found(changes, problem):
    assert problem in find_card_problems(build_card(**changes))


@pytest.mark.parametrize("text", ["TODO", "{{ name }}", "[More Information Needed]", "nan", "None", "inf"])
def test_a_placeholder_is_found(text):
    problems = find_card_problems(build_card() + f"| MCC | {text} |\n")
    assert problems
    assert all(problem.startswith("the placeholder") for problem in problems)


def test_a_card_without_a_readable_header_is_refused():
    assert find_card_problems("# m\n") == ["no YAML between two lines of --- at the top"]
    assert find_card_problems("---\n- a\n---\n") == ["a header that is no mapping"]
    assert "YAML that cannot be read" in find_card_problems("---\na: [\n---\n")[0]


def test_only_a_draft_may_lack_its_license():
    text = build_card(license="gone")
    assert find_card_problems(text, is_draft=True) == []
    assert len(find_card_problems(text)) == 1
    assert len(find_card_problems(build_card(license="mine"), is_draft=True)) == 1


@pytest.mark.parametrize(
    ("gpus", "processes", "expected"),
    [([], 1, 0.08), ([], 2, 0.16), (["NVIDIA H100 80GB HBM3"], 1, 1.4), (["NVIDIA H100 PCIe"] * 2, 2, 1.4)],
    ids=["cpu", "two processes", "h100", "two pcie"],
)
def test_energy_is_power_times_time(gpus, processes, expected):
    hardware = {"gpus": gpus, "torch_threads": 4, "processes": processes}
    assert estimate_energy_kwh(hardware, 7200.0) == pytest.approx(expected)


def test_the_energy_of_an_unknown_gpu_is_not_guessed():
    hardware = {"gpus": ["NVIDIA L4", "GPU of tomorrow"], "torch_threads": 4, "processes": 2}
    assert estimate_energy_kwh(hardware, 7200.0) is None
    assert estimate_energy_kwh({**hardware, "processes": 1}, 3600.0) == pytest.approx(0.072)


def write_run(folder, log):
    folder.mkdir()
    write_json(
        folder / "run_config.json", {"fingerprint": "f", "command": "finetune", "settings": {}, "inputs": {}}
    )
    write_json(folder / "metrics.json", {})
    write_json(folder / "config.json", {})
    save_file({"a": np.zeros((3, 4), np.float32), "b": np.zeros(5, np.float32)}, folder / "model.safetensors")
    (folder / "training_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    return folder


def test_the_time_of_a_run_that_went_on_is_summed_over_its_processes(tmp_path):
    def step(number, elapsed_s, **speed):
        return {"step": number, "tokens": 10 * number, "speed": {"elapsed_s": elapsed_s, **speed}}

    log = [
        step(1, 5.0),
        step(2, 9.0, tokens_per_s=4.0, bases_per_s=12.0),
        {"step": 2, "evaluation": {"loss": 1.0}},
        step(3, 2.0),
        step(4, 6.5),
    ]
    run = read_run(write_run(tmp_path / "run", log))
    assert (run.log.elapsed_s, run.log.tokens, run.log.step, run.log.bases_per_token) == (15.5, 40, 4, 3.0)
    assert run.num_parameters == count_parameters(tmp_path / "run" / "model.safetensors") == 17
    copy = tmp_path / "copy"
    write_run(copy, log)
    (copy / "training_log.jsonl").unlink()
    assert read_run(copy).log == run.log, "that of the folder with the same fingerprint"
    write_json(tmp_path / "run" / "run_config.json", {"fingerprint": "g"})
    assert read_run(copy).log is None


def test_built_in_data_are_known_by_their_content(tmp_path):
    data = read_labeled(find_builtin("ecoli_promoters"))
    content = [data.sequences, data.labels.tolist(), list(data.label_names), list(data.splits)]
    inputs = {"data": compute_fingerprint(content)}
    parts = {"folder": tmp_path, "metrics": {}, "config": {}, "num_parameters": 0, "log": None}
    assert find_data_name(RunRecord(run_config={"inputs": inputs}, **parts)) == "ecoli_promoters.csv.gz"
    assert find_data_name(RunRecord(run_config={"inputs": {"data": "0"}}, **parts)) is None
    recorded = {"inputs": inputs, "sources": {"data": {"name": "mine.csv"}}}
    assert find_data_name(RunRecord(run_config=recorded, **parts)) == "mine.csv"


def use(architecture: str, scheme: str = "kmer_k3_s1", **config) -> str:
    config = {"architectures": [architecture], **config}
    text = build_usage(find_kind(config), config, name="me/m", scheme=scheme)
    compile(text, "card", "exec")
    return text


def test_the_lines_suit_the_task():
    assert ".softmax(-1)" in use("BertForSequenceClassification")
    assert ".sigmoid()" in use("BertForSequenceClassification", problem_type="multi_label_classification")
    assert use("BertForSequenceClassification", problem_type="regression").endswith("print(logits.item())")
    assert "argmax(-1)" in use("BertForTokenClassification")
    assert find_kind({"architectures": ["BertModel"]}) is None
    assert find_kind({}) is None


def test_remote_code_is_asked_for_only_where_there_is_any():
    own = use("AwdLstmForSequenceClassification", auto_map={"AutoConfig": "m.C"})
    assert own.count("trust_remote_code=True") == 1
    assert "trust_remote_code" not in use("BertForMaskedLM")


@pytest.mark.parametrize(
    ("scheme", "masks", "hidden_bp"), [("kmer_k6_s1", 6, 1), ("kmer_k3_s3", 1, 3), ("bpe_4096", 1, 1)]
)
def test_a_base_is_hidden_from_every_token_that_sees_it(scheme, masks, hidden_bp):
    seen = []

    def fill(text):
        seen.append(text)
        guess = {"token_str": "ACG", "score": 0.5}
        return [[guess]] * masks if masks > 1 else [guess]

    text = use("BertForMaskedLM", scheme=scheme, max_position_embeddings=42)
    lines = text.replace("from transformers import pipeline", "")
    exec(lines, {"pipeline": lambda *_, **__: fill, "print": lambda *_: None})
    assert seen[0].count("[MASK]") == masks
    assert len(seen[0].replace("[MASK]", "")) == 40 - hidden_bp, "no longer than the model reads"


def test_bits_are_told_per_base_also_where_a_token_brings_several():
    assert "/ math.log(2) / 2:" in use("AwdLstmForCausalLM", scheme="kmer_k4_s2")
    assert "/ math.log(2):" in use("AwdLstmForCausalLM")


def test_every_family_cites_balanced_bibtex():
    for family in FAMILIES.values():
        assert family.citation.count("{") == family.citation.count("}")
        assert "{{" not in family.citation
    assert get_family("llama").differences == ()
