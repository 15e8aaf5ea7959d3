"""What the card says of the data: genomes, what was held out, labeled sequences, and the audit."""

from typing import Any, NamedTuple

from genolm.publishing.card.evidence import Evidence, find_data_name
from genolm.publishing.card.missing import MissingFacts
from genolm.publishing.card.runs import RunFamily, RunRecord
from genolm.publishing.card.tables import Table, escape_text, format_figure

MAX_GENOMES = 40


class CorpusText(NamedTuple):
    """The corpus in words and tables."""

    genomes: Table
    splits: Table
    sentences: list[str]


class LabeledText(NamedTuple):
    """The labeled data and their audit in words and tables."""

    sentences: list[str]
    classes: Table
    findings: list[str]


def describe_corpora(family: RunFamily, missing: MissingFacts) -> list[CorpusText]:
    """Return what the language models behind a run learned from, oldest first."""
    if family.lost_sha256:
        missing.add(f"the run of the pretrained model (weights with sha256 {family.lost_sha256[:12]}...)")
    texts = []
    for run, info in family.corpora:
        if info is None:
            missing.add("the corpus of the language model (no folder near the run has it)")
        else:
            texts.append(_describe_corpus(run, info, missing))
    return texts


def describe_target_sequences(family: RunFamily) -> list[str]:
    """Return a sentence for each language model that was adapted to sequences without their labels."""
    return [
        "Target sequences that the language model was adapted to, without labels: those of the train split, "
        f"judged on the validation split (sha256 of both: `{run.run_config['inputs']['sequences']}`); the "
        "test split was not read."
        for run in (*reversed(family.ancestors), family.run)
        if run.command == "adapt"
    ]


def _describe_corpus(run: RunRecord, info: dict[str, Any], missing: MissingFacts) -> CorpusText:
    sources = info["sources"]
    genomes: Table = [("genome", "accession or source", "file", "sha256", "bp", "N, bp", "soft-masked, bp")]
    for source in sources[:MAX_GENOMES]:
        origin = source.get("accession") or source.get("source") or source.get("url")
        genomes.append(
            (
                source["assembly"],
                str(origin or "a file of the user"),
                str(missing.require(source.get("file"), "the file name of a genome")),
                str(missing.require(source.get("sha256"), "the checksum of a genome")),
                *(f"{source[name]:,}" for name in ("bp", "n_bp", "soft_masked_bp")),
            )
        )
    splits: Table = [("split", "stretches", "bp")]
    splits += [(name, f"{each['rows']:,}", f"{each['bp']:,}") for name, each in info["splits"].items()]
    sentences = [_describe_split_rule(info["settings"]), _describe_unknown(info)]
    sentences += [_describe_soft_mask(run, info), *_describe_exclusion(info)]
    if len(sources) > MAX_GENOMES:
        sentences.insert(0, f"The table shows {MAX_GENOMES} of {len(sources)} genomes.")
    return CorpusText(genomes, splits, sentences)


def describe_labeled(family: RunFamily, evidence: Evidence, missing: MissingFacts) -> LabeledText | None:
    """Return what a fine-tuned model learned from, or None of a language model."""
    run = family.run
    if run.command != "finetune":
        return None
    name = missing.require(find_data_name(run), "the file name of the labeled data")
    checksum = missing.require(run.run_config["inputs"].get("data"), "the checksum of the labeled data")
    sentences = [
        f"Labeled sequences: `{escape_text(str(name))}`; "
        f"sha256 of sequences, labels and splits: `{checksum}`."
    ]
    audit = evidence.audit
    if audit is None:
        if run.settings.get("task") == "classification":
            missing.add("the audit of the labeled data for leaks (data_audit.json)")
        counts = run.run_config.get("sources", {}).get("data", {}).get("records", {})
        rows: Table = [("split", "sequences")]
        rows += [(split, f"{count:,}") for split, count in counts.items()]
        return LabeledText(sentences, rows if counts else [], [])
    sentences.append(
        f"{audit['records']:,} records; {audit['duplicates']['exact']:,} repeated exactly, "
        f"{audit['duplicates']['reverse_complement']:,} pairs of reverse complements; "
        f"{audit['near_duplicates']['pairs_across_splits']:,} pairs of near duplicates across splits."
    )
    findings = [f"{each['severity']}: {escape_text(each['text'])}" for each in audit["findings"]]
    return LabeledText(sentences, _list_classes(audit), findings)


def _list_classes(audit: dict[str, Any]) -> Table:
    splits = list(audit["classes"][0]["records_by_split"])
    rows: Table = [("class", "records", *splits, "median bp", "mean GC")]
    for each in audit["classes"]:
        rows.append(
            (
                each["label"],
                f"{each['records']:,}",
                *(f"{each['records_by_split'].get(split, 0):,}" for split in splits),
                f"{each['median_bp']:g}",
                format_figure(each["mean_gc"]),
            )
        )
    return rows


def _describe_split_rule(settings: dict[str, Any]) -> str:
    rule = settings["split"]
    if rule == "blocks":
        return (
            f"Held out: of every {settings['block_modulus']} blocks of {settings['block_bp']:,} bp of a "
            f"contig, number {_list(settings['validation_blocks'])} (counted from 0) is validation, number "
            f"{_list(settings['test_blocks'])} test."
        )
    if rule in ("contigs", "assemblies"):
        named = {split: _list(settings[f"{split}_{rule}"]) for split in ("validation", "test")}
        return f"Held out by {rule}: validation {named['validation']}; test {named['test']}."
    if rule == "fractions":
        return (
            f"Held out at the end of each contig: {settings['validation_fraction']:g} of it for validation, "
            f"{settings['test_fraction']:g} for test."
        )
    return f"Rule of the split: {rule}."


def _describe_unknown(info: dict[str, Any]) -> str:
    return (
        f"{info['unknown_bp']:,} bases that are not A, C, G or T (N and other codes) were left out, and "
        "nothing was joined across them, across the end of a contig or across the border of a split."
    )


def _describe_soft_mask(run: RunRecord, info: dict[str, Any]) -> str:
    total_bp = sum(each["soft_masked_bp"] for each in info["splits"].values())
    weight = run.settings.get("mask", {}).get("soft_masked_weight", 1.0)
    policy = (
        "are read like all others"
        if weight == 1.0
        else f"are read, and count {weight:g} times as much as others in the loss"
    )
    return f"Repeats: {total_bp:,} soft-masked bases of the corpus {policy}."


def _describe_exclusion(info: dict[str, Any]) -> list[str]:
    num_named = info["num_exclude_sequences"] + info["num_exclude_intervals"]
    if not num_named:
        return ["Nothing else was cut out of the genomes."]
    where = "the train split" if info["settings"]["exclude_from"] == "train" else "every split"
    return [
        f"{info['num_exclude_sequences']:,} sequences and {info['num_exclude_intervals']:,} intervals that "
        "the model must not learn from were searched on both strands; "
        f"{info['num_sequences_found']:,} of the sequences were found, at {info['num_occurrences']:,} "
        f"places, and {info['excluded_bp']:,} bp were cut out of {where}."
    ]


def _list(values: Any) -> str:
    return " and ".join(map(str, values)) or "none"
