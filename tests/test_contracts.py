"""What holds for the whole repository: layers, recipes, commands, README, one version."""

import ast
import os
import pickle
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest
import typer.main
from typer.testing import CliRunner

import genolm
from genolm import errors
from genolm.cli import app

ROOT = Path(__file__).parents[1]

# Layer 0 is one folder, the root of the package. From layer 1 on, the folders of a layer are independent.
LAYERS = (
    (
        "alphabet",
        "builtin_data",
        "config",
        "errors",
        "files",
        "kmer_compiled",
        "kmer_packing",
        "kmer_profiles",
        "kmers",
        "metrics",
        "progress",
        "splitmix",
        "threshold",
    ),
    ("genome",),
    ("corpus",),
    ("tokenization",),
    ("embeddings", "models"),
    ("training", "inference"),
    ("evaluation", "interpretation"),
    ("publishing",),
    ("pipeline", "recipes"),
    ("cli", "web"),
)
LAYER_OF = {"": 0} | {part: number for number, parts in enumerate(LAYERS) for part in parts}
LIGHT_LAYERS = range(4)
HEAVY_PACKAGES = {"torch", "transformers"}
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "misc", "common"}

COMMANDS = {
    "run",
    "ulmfit",
    "genome list",
    "genome download",
    "genome info",
    "genome verify",
    "corpus build",
    "corpus info",
    "corpus export",
    "data check",
    "data split",
    "data negatives",
    "data promoters",
    "data export",
    "tokenizer build",
    "tokenizer train",
    "tokenizer info",
    "word2vec train",
    "word2vec neighbors",
    "word2vec plot",
    "pretrain causal",
    "pretrain masked",
    "adapt",
    "finetune",
    "predict",
    "evaluate",
    "explain",
    "scan",
    "variants",
    "embed",
    "score",
    "benchmark",
    "publish",
    "import dnabert",
    "import fastai",
    "doctor",
}


class Import(NamedTuple):
    """One imported name; `runs_at_import` is false inside functions and `if TYPE_CHECKING`."""

    target: str
    runs_at_import: bool


def read_modules(package: Path) -> dict[str, str]:
    """Source by dotted name; a package stands under its own name, with a final dot to mark it.

    The code of a shipped model is no module of genolm: it was published with the weights, for those without.
    """
    sources = {}
    for path in sorted(package.rglob("*.py")):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        if parts[1] == "builtin_models":
            continue
        name = ".".join(parts[:-1]) + "." if parts[-1] == "__init__" else ".".join(parts)
        sources[name] = path.read_text(encoding="utf-8")
    return sources


def iter_import_statements(
    node: ast.AST, *, runs_at_import: bool = True
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        runs_at_import = False
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        for child in node.body:
            yield from iter_import_statements(child, runs_at_import=False)
        for child in node.orelse:
            yield from iter_import_statements(child, runs_at_import=runs_at_import)
        return
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node, runs_at_import
    for child in ast.iter_child_nodes(node):
        yield from iter_import_statements(child, runs_at_import=runs_at_import)


def find_imports(name: str, modules: Mapping[str, str]) -> list[Import]:
    """Every import of a module, relative ones resolved, `from package import module` as the module."""
    known = {module.rstrip(".") for module in modules}
    found = []
    for statement, runs_at_import in iter_import_statements(ast.parse(modules[name])):
        if isinstance(statement, ast.Import):
            targets = [alias.name for alias in statement.names]
        else:
            base = statement.module or ""
            if statement.level:
                package = name.split(".")[: -statement.level]
                base = ".".join([*package, base]).rstrip(".")
            full_names = [f"{base}.{alias.name}" for alias in statement.names]
            targets = [full if full in known else base for full in full_names]
        found += [Import(target, runs_at_import) for target in dict.fromkeys(targets)]
    return found


def get_part(module: str) -> str:
    """The folder or file right under the package; empty for the package itself."""
    return [*module.rstrip(".").split("."), ""][1]


def find_layer_problems(modules: Mapping[str, str]) -> list[str]:
    """Upward imports; the package itself may name anything that it does not import when it is imported."""
    problems = []
    for name in modules:
        part = get_part(name)
        if part not in LAYER_OF:
            problems.append(f"{name.rstrip('.')} is in no layer")
            continue
        for target, runs_at_import in find_imports(name, modules):
            is_public_name = name == "genolm." and not runs_at_import  # for type checkers alone
            if target.split(".")[0] != "genolm" or is_public_name:
                continue
            other = get_part(target)
            is_own_folder = part == other or LAYER_OF[part] == LAYER_OF.get(other) == 0
            if not is_own_folder and LAYER_OF.get(other, len(LAYERS)) >= LAYER_OF[part]:
                problems.append(f"{name.rstrip('.')} imports {target}")
    return problems


def find_circle(modules: Mapping[str, str]) -> list[str]:
    known = {module.rstrip(".") for module in modules}
    graph = {
        name.rstrip("."): {each.target for each in find_imports(name, modules)} & known for name in modules
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def find_heavy_imports(modules: Mapping[str, str]) -> list[str]:
    return [
        f"{name.rstrip('.')} imports {each.target}"
        for name in modules
        if LAYER_OF.get(get_part(name)) in LIGHT_LAYERS
        for each in find_imports(name, modules)
        if each.runs_at_import and each.target.split(".")[0] in HEAVY_PACKAGES
    ]


def find_vague_names(modules: Mapping[str, str]) -> list[str]:
    return [name for name in modules if VAGUE_NAMES & set(name.rstrip(".").split("."))]


@pytest.fixture(scope="module")
def modules() -> dict[str, str]:
    return read_modules(ROOT / "genolm")


def test_modules_import_only_from_their_own_folder_or_a_lower_layer(modules):
    assert {"genolm.", "genolm.alphabet", "genolm.cli.", "genolm.training.loop"} <= set(modules)
    assert find_layer_problems(modules) == []


def test_no_circles_among_modules(modules):
    assert find_circle(modules) == []


def test_lower_layers_import_neither_torch_nor_transformers(modules):
    assert find_heavy_imports(modules) == []


def test_no_module_has_a_vague_name(modules):
    assert find_vague_names(modules) == []


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("import genolm.training.loop", "genolm.training.loop"),
        ("from genolm.training import loop", "genolm.training.loop"),
        ("from ..training import loop", "genolm.training.loop"),
        ("from ..training.loop import run_training", "genolm.training.loop"),
        ("def f():\n    from genolm.training.loop import x", "genolm.training.loop"),
        ("class A:\n    async def f(self):\n        import genolm.training", "genolm.training"),
        ("if TYPE_CHECKING:\n    from genolm.training.loop import x", "genolm.training.loop"),
        ("try:\n    import genolm.pipeline\nexcept ImportError:\n    pass", "genolm.pipeline"),
        ("import genolm.unheard_of", "genolm.unheard_of"),
    ],
)
def test_the_layer_check_finds_an_upward_import(source, target):
    modules = {"genolm.": "", "genolm.training.": "", "genolm.training.loop": "", "genolm.models.toy": source}
    assert find_layer_problems(modules) == [f"genolm.models.toy imports {target}"]


@pytest.mark.parametrize(
    ("first", "second"),
    [("embeddings", "models"), ("training", "inference"), ("evaluation", "interpretation"), ("cli", "web")],
)
def test_the_layer_check_keeps_the_folders_of_a_layer_apart(first, second):
    for one, other in ((first, second), (second, first)):
        modules = {f"genolm.{one}.a": f"import genolm.{other}.b", f"genolm.{other}.b": ""}
        assert find_layer_problems(modules) == [f"genolm.{one}.a imports genolm.{other}.b"]


def test_the_layer_check_allows_the_own_folder_lower_layers_and_layer_0_within_itself():
    modules = {
        "genolm.": "__version__ = '1'",
        "genolm.config": "from genolm.errors import GenolmError",
        "genolm.models.a": "import torch\nimport genolm\nfrom . import b\nfrom genolm.corpus.c import d",
        "genolm.models.b": "from genolm.kmers import e",
    }
    assert find_layer_problems(modules) == []
    assert find_layer_problems({"genolm.": "import genolm.cli"}) == ["genolm imports genolm.cli"]
    assert find_layer_problems({"genolm.": "if TYPE_CHECKING:\n    from genolm.cli import main"}) == []
    assert find_layer_problems({"genolm.extras.a": ""}) == ["genolm.extras.a is in no layer"]


def test_the_circle_check_finds_a_circle_that_functions_hide():
    modules = {
        "genolm.models.": "from genolm.models.a import x",
        "genolm.models.a": "def f():\n    from . import b",
        "genolm.models.b": "import genolm.models",
    }
    assert set(find_circle(modules)) == {"genolm.models", "genolm.models.a", "genolm.models.b"}
    assert find_circle(modules | {"genolm.models.b": "import torch"}) == []


def test_the_heavy_import_check_tells_import_time_from_use():
    at_import = "class A:\n    import torch\nif True:\n    from transformers import AutoModel\n"
    later = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\ndef f():\n    import torch\n"
    )
    expected = ["genolm.corpus.a imports torch", "genolm.corpus.a imports transformers"]
    assert find_heavy_imports({"genolm.corpus.a": at_import, "genolm.models.a": at_import}) == expected
    assert find_heavy_imports({"genolm.corpus.a": later}) == []
    otherwise = "if TYPE_CHECKING:\n    pass\nelse:\n    import torch.nn\n"
    assert find_heavy_imports({"genolm.kmers": otherwise}) == ["genolm.kmers imports torch.nn"]


def test_the_name_check_finds_a_vague_folder_and_a_vague_file():
    modules = dict.fromkeys(("genolm.utils.", "genolm.corpus.helpers", "genolm.corpus.common_names"), "")
    assert find_vague_names(modules) == ["genolm.utils.", "genolm.corpus.helpers"]


def run_python(code: str, *words: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def test_help_imports_none_of_the_large_packages():
    code = (
        "import sys\n"
        "from genolm.cli import main\n"
        "sys.argv = ['genolm', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit as stop:\n"
        "    print('exit', stop.code, sorted({'torch', 'transformers', 'datasets'} & set(sys.modules)))"
    )
    output = run_python(code, "--help")
    assert output.startswith("Usage: genolm")
    assert output.endswith("exit 0 []\n")


def test_no_package_that_the_lower_layers_import_brings_torch_along(modules):
    light = [name.rstrip(".") for name in modules if LAYER_OF.get(get_part(name)) in LIGHT_LAYERS]
    assert "genolm.tokenization.encoder" in light
    code = "import importlib, sys\nfor name in sys.argv[1:]:\n    importlib.import_module(name)\n"
    code += "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    assert run_python(code, *light) == "[]\n"


RECIPES = sorted(path.stem for path in (ROOT / "genolm" / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_usable(name):
    from genolm.config import list_recipes
    from genolm.pipeline.recipe import load_recipe

    assert list_recipes() == RECIPES
    assert load_recipe(name, overrides=["seed=7"]).seed == 7


MASKED_RECIPES = [name for name in RECIPES if name.startswith("dnabert_") and name != "dnabert_debug"]
HUMAN_RECIPES = [*MASKED_RECIPES, "ulmfit_human_promoters"]  # whose twins have other data
OTHER_RECIPES = [name for name in RECIPES if name not in HUMAN_RECIPES and not name.endswith("_debug")]


@pytest.mark.parametrize("name", MASKED_RECIPES)
def test_the_masked_language_models_have_a_small_twin_on_the_embedded_genome(name):
    from genolm.pipeline.recipe import load_recipe

    recipe, twin = load_recipe(name), load_recipe("dnabert_debug")
    assert twin.genomes == ("builtin:ecoli_k12_mg1655",)
    assert twin.masked.model.architecture == recipe.masked.model.architecture
    assert (twin.masked.model.size, twin.masked.schedule) == ("debug", recipe.masked.schedule)
    assert twin.masked.steps * twin.masked.batch_size <= recipe.masked.steps * recipe.masked.batch_size / 1000


@pytest.mark.parametrize("name", OTHER_RECIPES)
def test_every_recipe_has_a_small_twin_on_the_same_data(name):
    from genolm.pipeline.recipe import load_recipe

    recipe, twin = load_recipe(name), load_recipe(f"{name}_debug")
    assert (twin.genomes, twin.data, twin.tokenizer) == (recipe.genomes, recipe.data, recipe.tokenizer)
    assert twin.corpus == recipe.corpus
    assert twin.pretrain.model.num_layers == recipe.pretrain.model.num_layers
    assert twin.pretrain.tokens <= recipe.pretrain.tokens / 100
    assert sum(phase.epochs for phase in twin.finetune.phases) <= 2


def list_commands() -> dict[str, set[str]]:
    """Every command by its words, with its options."""
    found, open_groups = {}, [("", typer.main.get_command(app))]
    while open_groups:
        prefix, group = open_groups.pop()
        for name, command in group.commands.items():
            words = f"{prefix} {name}".strip()
            if hasattr(command, "commands"):
                open_groups.append((words, command))
            else:
                found[words] = {option for parameter in command.params for option in parameter.opts} | {
                    "--help"
                }
    return found


def test_the_commands_are_those_of_the_design():
    assert set(list_commands()) == COMMANDS


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_every_command_has_help_for_itself_and_each_option(words):
    result = CliRunner().invoke(app, [*words.split(), "--help"], prog_name="genolm")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: genolm {words}")
    command = typer.main.get_command(app)
    for word in words.split():
        command = command.commands[word]
    assert len(command.help) > 20
    assert [parameter.name for parameter in command.params if not getattr(parameter, "help", None)] == []


def find_readme_problems(readme: str, root: Path, commands: Mapping[str, set[str]]) -> list[str]:
    """Scripts that do not exist or cannot be run; genolm commands and options that do not exist."""
    problems = []
    for name in sorted(set(re.findall(r"\bscripts/[\w./-]*\w", readme))):
        path = root / name
        is_command = path.suffix in ("", ".py", ".sh") and not path.is_dir()
        if not path.exists():
            problems.append(f"no {name}")
        elif is_command and not os.access(path, os.X_OK):
            problems.append(f"{name} is not executable")
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    for line in lines:
        if not line.startswith("genolm "):
            continue
        words = shlex.split(line, comments=True)[1:]
        known = next((name for name in commands if words[: len(name.split())] == name.split()), None)
        if known is None:
            problems.append(f"no command genolm {' '.join(words[:2])}")
            continue
        options = {word.split("=")[0] for word in words if word.startswith("--")}
        problems += [f"genolm {known} has no {option}" for option in sorted(options - commands[known])]
    return problems


def test_what_the_readme_names_exists():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert find_readme_problems(text, ROOT, list_commands()) == []


def test_the_readme_check_finds_what_is_wrong(tmp_path):
    (tmp_path / "scripts").mkdir()
    for name, mode in (("good", 0o755), ("dull", 0o644), ("list.txt", 0o644)):
        (tmp_path / "scripts" / name).touch()
        (tmp_path / "scripts" / name).chmod(mode)
    readme = (
        "Run `scripts/good`, scripts/dull, scripts/gone; see scripts/list.txt.\n"
        "genolm outside of a block is prose\n"
        "```bash\ngenolm predict a.fa --modle m --output=x  # --wrong in a comment\n"
        "genolm corpus bake g.fa\ngenolm corpus build g.fa \\\n  --outptu x\n```\n"
    )
    assert find_readme_problems(readme, tmp_path, list_commands()) == [
        "scripts/dull is not executable",
        "no scripts/gone",
        "genolm predict has no --modle",
        "no command genolm corpus bake",
        "genolm corpus build has no --outptu",
    ]


def test_the_version_stands_in_one_place(modules):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"]["path"] == "genolm/__init__.py"
    assignments = [name for name in modules if re.search(r"^__version__\s*[:=]", modules[name], re.MULTILINE)]
    assert assignments == ["genolm."]
    assert re.fullmatch(r"\d+\.\d+\.\d+([ab.]\w+)?", genolm.__version__)
    assert CliRunner().invoke(app, ["--version"]).output == f"{genolm.__version__}\n"


ERROR_CLASSES = [each for each in vars(errors).values() if isinstance(each, type)]


@pytest.mark.parametrize("cls", ERROR_CLASSES, ids=lambda cls: cls.__name__)
def test_an_error_says_found_expected_remedy_and_survives_pickling(cls):
    error = cls(found="a page", expected="FASTA", remedy="load it again")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert str(copy) == str(error) == "found a page; expected FASTA; load it again"
    assert (copy.found, copy.expected, copy.remedy) == ("a page", "FASTA", "load it again")


def test_errors_have_one_root_and_an_exit_code_each():
    assert all(issubclass(cls, errors.GenolmError) for cls in ERROR_CLASSES)
    assert sorted(cls.exit_code for cls in ERROR_CLASSES) == [1, 2, 3, 4, 5, 6, 7, 74, 75, 75]
    assert issubclass(errors.SettingsError, ValueError)
    assert issubclass(errors.DataError, ValueError)
