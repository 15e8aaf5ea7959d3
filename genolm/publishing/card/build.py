"""The model card of a finished run: one call from the folder to the text."""

from pathlib import Path
from typing import Any, NamedTuple

import genolm
from genolm.errors import PublishError
from genolm.publishing.card.architecture import build_architecture_table
from genolm.publishing.card.evidence import find_data_name, read_evidence
from genolm.publishing.card.families import ModelFamily, get_family
from genolm.publishing.card.hub_rules import REPO_ID, check_license, find_card_problems
from genolm.publishing.card.kinds import ModelKind, build_usage, find_kind
from genolm.publishing.card.metadata import build_eval_results, build_header
from genolm.publishing.card.missing import NOT_RECORDED, MissingFacts
from genolm.publishing.card.procedure import describe_stages
from genolm.publishing.card.rendering import render_template
from genolm.publishing.card.results import describe_evaluation
from genolm.publishing.card.runs import RunFamily, read_family
from genolm.publishing.card.tables import escape_text
from genolm.publishing.card.training_data import (
    describe_corpora,
    describe_labeled,
    describe_target_sequences,
)

TEMPLATE = Path(__file__).parent / "model_card.md.j2"
_OWN_CITATION = """@software{{genolm,
  title = {{genolm: from a genome to a published, honestly evaluated genomic language model}},
  version = {{{version}}}
}}"""


class ModelCard(NamedTuple):
    """What a card consists of."""

    text: str
    """the whole README.md"""
    eval_results: dict[str, str]
    """text of each file of `.eval_results/`, by its name"""
    over_seeds: dict[str, Any] | None
    """for metrics.json: what the same training found with several seeds; None where there is one"""


def build_model_card(
    run: Path,
    *,
    name: str,
    draft: bool = False,
    license: str | None = None,
    dataset: str | None = None,
) -> ModelCard:
    """Render the card of a finished run from what it recorded, and check it by the hub's rules.

    The runs that it started from, their corpora, the report and the audit are looked for beside it and one
    level up.

    Args:
        run: folder of a training, or of a pipeline, whose chosen model is meant then.
        name: of the model, with or without its owner, as it will be loaded.
        draft: mark what is not recorded instead of refusing it.
        license: the hub's identifier of the license, such as apache-2.0.
        dataset: repository of the data that the figures are about, if the hub has them.

    Raises:
        PublishError: the run is not finished, its model is of no known kind, facts are missing, or the name
            or the license is none of the hub's.
    """
    check_license(license)
    if not REPO_ID.fullmatch(name):
        raise PublishError(
            found=f"the model name '{name}'",
            expected="NAME or OWNER/NAME of letters, digits, '.', '-' and '_'",
            remedy="choose another name",
        )
    family = read_family(run / "model" if (run / "model" / "config.json").is_file() else run)
    kind = _require_kind(family)
    missing = MissingFacts()
    missing.require(license, "the license (give it with --license)")
    content = _gather_content(family, kind, missing, name=name, license_id=license, dataset=dataset)
    if not draft:
        missing.check()
    is_draft = draft and bool(missing.names)
    text = render_template(TEMPLATE, {**content, "missing": missing.names, "is_draft": is_draft})
    if problems := find_card_problems(text, is_draft=draft):
        raise PublishError(
            found=f"a card that the hub would refuse: {'; '.join(problems)}",
            expected="a card by the hub's rules",
            remedy="correct the name of the model, of a class or of the data set that is meant",
        )
    results = build_eval_results(family, data_name=content["data_name"], dataset=dataset)
    over_seeds = content["evaluation"].over_seeds
    return ModelCard(text, results, over_seeds.as_record() if over_seeds else None)


def _require_kind(family: RunFamily) -> ModelKind:
    kind = find_kind(family.run.config)
    if kind is None:
        raise PublishError(
            found=f"a model of the class {family.run.config.get('architectures')}",
            expected="a classifier, a masked or a causal language model",
            remedy="publish the folder of a finished genolm training",
        )
    return kind


def _gather_content(
    family: RunFamily,
    kind: ModelKind,
    missing: MissingFacts,
    *,
    name: str,
    license_id: str | None,
    dataset: str | None,
) -> dict[str, Any]:
    """Return what the template is filled with, the header included."""
    run, evidence = family.run, read_evidence(family)
    model_family = get_family(run.config["model_type"])
    scheme = _find_scheme(family)
    corpora = describe_corpora(family, missing)
    labeled = describe_labeled(family, evidence, missing)
    data_name = (find_data_name(run) if labeled else _name_corpus(family)) or "data without a name"
    header = build_header(
        run,
        kind=kind,
        model_family=model_family,
        name=name,
        license_id=license_id,
        data_name=data_name,
        dataset=dataset,
    )
    return {
        "header": header,
        "name": name,
        "data_name": data_name,
        "summary": _summarize(family, kind, model_family, scheme=scheme, data_name=data_name),
        "has_code": "auto_map" in run.config,
        "usage": build_usage(kind, run.config, name=name, scheme=scheme),
        "averages_strands": bool(run.config.get("average_strands")),
        "is_classifier": labeled is not None,
        "architecture": build_architecture_table(run, scheme=scheme),
        "corpora": corpora,
        "is_descendant": bool(family.ancestors),
        "target_sequences": describe_target_sequences(family),
        "no_corpus": _explain_no_corpus(family),
        "labeled": labeled,
        "has_audit": evidence.audit is not None,
        "stages": describe_stages(family, missing),
        "evaluation": describe_evaluation(family, evidence, missing),
        "differences": model_family.differences,
        "citation": f"{_OWN_CITATION.format(version=genolm.__version__)}\n{model_family.citation}".strip(),
        "license_text": f"`{license_id}`" if license_id else f"The license is {NOT_RECORDED}.",
        "not_recorded": NOT_RECORDED,
    }


def _find_scheme(family: RunFamily) -> str:
    """Return the name of the tokenizer; an adapted model has that of the one it started from."""
    for run in (family.run, *family.ancestors):
        if "tokenizer" in run.settings:
            return str(run.settings["tokenizer"])
    return NOT_RECORDED


def _name_corpus(family: RunFamily) -> str | None:
    """Return the names of the genomes that a language model is judged on, or how many there are."""
    if family.run.command == "adapt":
        return "target sequences"
    infos = [info for run, info in family.corpora if run is family.run and info]
    names = [source["assembly"] for info in infos for source in info["sources"]]
    if not names:
        return None
    return " and ".join(names) if len(names) < 3 else f"{len(names)} genomes"


def _summarize(
    family: RunFamily, kind: ModelKind, model_family: ModelFamily, *, scheme: str, data_name: str
) -> str:
    run = family.run
    article = "An" if model_family.name[0] in "AEIOU" else "A"
    text = f"{article} {model_family.name} as a {kind.title}, with the tokenizer `{scheme}`"
    text += f" and {run.num_parameters:,} parameters."
    if run.command == "finetune":
        outputs = [escape_text(str(label)) for label in run.config.get("id2label", {}).values()]
        text += f" Fine-tuned on `{escape_text(data_name)}`"
        text += f" ({', '.join(outputs)})." if len(outputs) <= 20 else f" ({len(outputs)} classes)."
        text += f" {_describe_start(family)}"
    else:
        text += f" Trained on {escape_text(data_name)}."
    return f"{text} Trained and evaluated with genolm {run.run_config['genolm']}."


def _describe_start(family: RunFamily) -> str:
    commands = [each.command for each in family.ancestors]
    if family.lost_sha256:
        return "It started from a pretrained model."
    if not commands or commands == ["random weights"]:
        return "It started from random weights."
    stages = {
        "pretrain causal": "a causal language model of the genome",
        "pretrain masked": "a masked language model of the genome",
        "adapt": "a language model of the train sequences",
    }
    return f"It started from {', that from '.join(stages.get(command, command) for command in commands)}."


def _explain_no_corpus(family: RunFamily) -> str:
    if family.lost_sha256 or family.corpora:
        return f"The genomes that the language model learned from are {NOT_RECORDED}."
    return "No genome was read: there is no pretraining behind this model."
