"""The hub's rules for the YAML header of a card, checked without the hub.

Sources: the hub's documentation of licenses, model cards (modelcard.md) and tasks.
"""

import math
import re
from typing import Any

import yaml

from genolm.errors import PublishError

LICENSES = frozenset(  # a list of words would be three pages long
    """
    afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
    bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0
    cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0
    cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0
    cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license
    ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 gemma gfdl gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1 lgpl-3.0
    lgpl-lr llama2 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openrail openrail++ osl-3.0 pddl
    postgresql unknown unlicense wtfpl zlib
    """.split()  # noqa: SIM905
)
"""Identifiers that need nothing beside them; `other` needs a text of its own, which genolm does not write"""
PIPELINE_TAGS = frozenset(
    ("text-classification", "token-classification", "fill-mask", "text-generation", "feature-extraction")
)
"""Those of the hub's tasks that fit a model of genolm"""
PLACEHOLDERS = re.compile(
    r"\bTODO\b|\bFIXME\b|\bNone\b|\bnan\b|\binf\b|\{\{|\}\}|\[More Information Needed\]"
)
_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_LISTS = ("tags", "metrics", "datasets")


def check_license(license: str | None) -> None:
    """Refuse a license that is no identifier of the hub; none at all is for the caller to judge.

    Raises:
        PublishError: the license is none of the hub's.
    """
    if license is not None and license not in LICENSES:
        raise PublishError(
            found=f"the license '{license}'",
            expected="an identifier of the hub, such as apache-2.0, mit, cc-by-4.0 or cc0-1.0",
            remedy="correct --license; the hub lists them at huggingface.co/docs/hub/repositories-licenses",
        )


def find_card_problems(text: str, *, is_draft: bool = False) -> list[str]:
    """Return what the hub, or a reader, would object to in a model card; nothing where it is in order.

    Args:
        text: the whole README.md.
        is_draft: a license may be missing.
    """
    problems = [f"the placeholder {each.group()!r}" for each in PLACEHOLDERS.finditer(text)]
    match = _FRONT_MATTER.match(text)
    if match is None:
        return [*problems, "no YAML between two lines of --- at the top"]
    try:
        header = yaml.safe_load(match.group(1))
    except yaml.YAMLError as error:
        return [*problems, f"YAML that cannot be read ({error})"]
    if not isinstance(header, dict):
        return [*problems, "a header that is no mapping"]
    return problems + _check_header(header, is_draft=is_draft)


def _check_header(header: dict[str, Any], *, is_draft: bool) -> list[str]:
    problems = []
    if not (is_draft and "license" not in header) and header.get("license") not in LICENSES:
        problems.append(f"the license {header.get('license')!r}, which is no identifier of the hub")
    if header.get("pipeline_tag") not in PIPELINE_TAGS:
        problems.append(f"the pipeline_tag {header.get('pipeline_tag')!r}")
    if header.get("library_name") != "transformers":
        problems.append(f"the library_name {header.get('library_name')!r}")
    for name in _LISTS:
        value = header.get(name, [])
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            problems.append(f"{name} that is not a list of texts")
        elif name == "datasets":
            problems += [f"the data set {each!r}" for each in value if not REPO_ID.fullmatch(each)]
    return problems + _check_model_index(header.get("model-index"))


def _check_model_index(index: Any) -> list[str]:
    if index is None:
        return []
    problems = []
    try:
        for model in index:
            if not isinstance(model["name"], str):
                problems.append("a model-index without a name")
            for result in model["results"]:
                required = (
                    result["task"]["type"],
                    result["dataset"]["type"],
                    result["dataset"]["name"],
                    *(metric["type"] for metric in result["metrics"]),
                )
                if not all(isinstance(each, str) and each for each in required):
                    problems.append("a model-index whose types and names are not texts")
                values = [metric["value"] for metric in result["metrics"]]
                problems += [f"the figure {value!r}" for value in values if not _is_number(value)]
    except (KeyError, TypeError) as error:
        problems.append(f"a model-index that lacks something ({error})")
    return problems


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
