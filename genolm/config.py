"""Settings from YAML: every value checked against the frozen dataclass that it fills.

All unusable settings of a file are reported at once, in one line.
"""

import dataclasses
import difflib
import re
import types
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from genolm.errors import GenolmError, SettingsError

Settings = TypeVar("Settings")

_SCIENTIFIC = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")  # YAML 1.1 reads 5e-3, without a dot, as text


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        SettingsError: the file is absent, not YAML, or not a mapping.
    """
    if not path.is_file():
        raise SettingsError(found=f"no file {path}", expected="a YAML recipe", remedy="check the path")
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(
            found=f"{path} with unreadable YAML ({' '.join(str(error).split())})",
            expected="a YAML mapping",
            remedy="correct the file",
        ) from error
    if not isinstance(value, dict):
        raise SettingsError(
            found=f"a {type(value).__name__} in {path}", expected="a YAML mapping", remedy="correct the file"
        )
    return value


def list_recipes() -> list[str]:
    """Return the names of the shipped recipes."""
    folder = resources.files("genolm") / "recipes"
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def find_recipe(name: str) -> Path:
    """Return the file of a recipe: a shipped name, or the path of a YAML file.

    Raises:
        SettingsError: there is no shipped recipe of that name.
    """
    if name in list_recipes():
        return Path(str(resources.files("genolm") / "recipes" / f"{name}.yaml"))
    if name.endswith((".yaml", ".yml")):
        return Path(name)
    raise SettingsError(
        found=f"the recipe {name!r}",
        expected=f"one of {', '.join(list_recipes())}, or a .yaml file",
        remedy="correct the name",
    )


def read_recipe(
    name: str, *, overrides: Sequence[str] = (), find: Callable[[str], Path] | None = None
) -> dict[str, Any]:
    """Read a recipe, and what it `extends`, with overrides put in.

    A recipe that says `extends: OTHER` has the settings of the other one (shipped, or a file beside it) but
    for those it gives itself; lists are replaced whole.

    Args:
        name: of a shipped recipe, or a path.
        overrides: such as `pretrain.tokens=1000000`.
        find: returns the file of a name; by default `find_recipe`.

    Raises:
        SettingsError: there is no such recipe, it is not YAML, or recipes extend each other in a circle.
    """
    find = find or find_recipe
    path, seen = find(name), []
    layers = []
    while path not in seen:
        seen.append(path)
        layers.append(dict(read_yaml(path)))
        base = layers[-1].pop("extends", None)
        if base is None:
            merged: dict[str, Any] = {}
            for layer in reversed(layers):
                merged = _merge(merged, layer)
            return apply_overrides(merged, overrides)
        is_file = str(base).endswith((".yaml", ".yml"))
        path = path.parent / str(base) if is_file else find(str(base))
    raise SettingsError(
        found=f"recipes that extend each other: {' -> '.join(each.name for each in [*seen, path])}",
        expected="a recipe that extends no other at the end",
        remedy="remove one extends",
    )


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in changes.items():
        inner = merged.get(name)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            value = _merge(inner, value)
        merged[name] = value
    return merged


def read_recipe_part(
    cls: type[Settings], part: str, recipe: str, *, overrides: Sequence[str] = ()
) -> Settings:
    """Fill the settings of one part of a recipe, such as `corpus`; the other parts are not looked at.

    It spares the commands that train nothing the import of all that trains.

    Raises:
        SettingsError: there is no such recipe, or a setting of the part is not usable.
    """
    mapping = read_recipe(recipe, overrides=overrides).get(part) or {}
    problems: list[SettingsError] = []
    settings: Settings = _convert(cls, mapping, part, problems)
    _raise_problems(problems, where=find_recipe(recipe).name)
    return settings


def apply_overrides(mapping: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return the mapping with settings such as `pretrain.tokens=1000` put in; values are read as YAML.

    >>> apply_overrides({"pretrain": {"tokens": 5}}, ["pretrain.tokens=7", "seed=1"])
    {'pretrain': {'tokens': 7}, 'seed': 1}
    """
    result = dict(mapping)
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not name:
            raise SettingsError(
                found=f"the override {override!r}",
                expected="NAME=VALUE, such as pretrain.tokens=1000000",
                remedy="write it with an equals sign",
            )
        *parents, last = name.split(".")
        level = result
        for parent in parents:
            inner = level.get(parent)
            level[parent] = dict(inner) if isinstance(inner, Mapping) else {}
            level = level[parent]
        try:
            level[last] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise SettingsError(
                found=f"the override {override!r} with an unreadable value",
                expected="NAME=VALUE, the value as in YAML",
                remedy="close its brackets and quotes",
            ) from error
    return result


def build_settings(cls: type[Settings], mapping: Mapping[str, Any], *, where: str) -> Settings:
    """Fill a settings dataclass, nested ones too, from a mapping.

    Args:
        cls: a frozen dataclass.
        mapping: its values; what is missing keeps its default.
        where: what the messages call the mapping, such as the recipe's name.

    Raises:
        SettingsError: unknown names, values of the wrong type, or values out of range; all of them.
    """
    problems: list[SettingsError] = []
    settings = _build(cls, mapping, "", problems)
    _raise_problems(problems, where=where)
    return settings


def _raise_problems(problems: Sequence[SettingsError], *, where: str) -> None:
    if problems:
        raise SettingsError(
            found="; ".join(error.found for error in problems) + f" in {where}",
            expected="; ".join(dict.fromkeys(error.expected for error in problems)),
            remedy="; ".join(dict.fromkeys(error.remedy for error in problems)),
        )


def _build(cls: Any, mapping: Mapping[str, Any], prefix: str, problems: list[SettingsError]) -> Any:
    hints = get_type_hints(cls)
    values = {}
    known_before = len(problems)
    for name, value in mapping.items():
        if name not in hints:
            close = difflib.get_close_matches(str(name), hints, n=1)
            problems.append(
                SettingsError(
                    found=f"the unknown setting {prefix}{name}",
                    expected=f"one of {', '.join(hints)}",
                    remedy=f"write {prefix}{close[0]}" if close else f"remove {prefix}{name}",
                )
            )
            continue
        values[name] = _convert(hints[name], value, f"{prefix}{name}", problems)
    for field in dataclasses.fields(cls):
        has_default = (
            field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        )
        if field.name not in mapping and not has_default:
            problems.append(
                SettingsError(
                    found=f"no setting {prefix}{field.name}",
                    expected="a value for it",
                    remedy=f"set {prefix}{field.name}",
                )
            )
    if len(problems) > known_before:
        return None
    try:
        return cls(**values)
    except GenolmError as error:
        problems.append(SettingsError(found=error.found, expected=error.expected, remedy=error.remedy))
        return None


def _convert(hint: Any, value: Any, name: str, problems: list[SettingsError]) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert(next(each for each in arguments if each is not type(None)), value, name, problems)
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return _build(hint, value, f"{name}.", problems)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(
            _convert(arguments[0], item, f"{name}[{index}]", problems) for index, item in enumerate(value)
        )
    if origin is dict and isinstance(value, Mapping) and all(type(key) is str for key in value):
        return {key: _convert(arguments[1], item, f"{name}.{key}", problems) for key, item in value.items()}
    if origin is Literal and value is False and "no" in arguments:
        return "no"  # YAML 1.1 reads a bare no as false
    if origin is Literal and value in arguments:
        return value
    if hint is float and type(value) in (int, float):
        return float(value)
    if hint is float and isinstance(value, str) and _SCIENTIFIC.fullmatch(value):
        return float(value)
    if hint in (int, str, bool) and type(value) is hint:
        return value
    problems.append(
        SettingsError(
            found=f"{name}: {value!r}", expected=f"{name} as {_describe(hint)}", remedy=f"correct {name}"
        )
    )
    return None


def _describe(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if get_origin(hint) is tuple:
        return f"a list, each {_describe(get_args(hint)[0])}"
    if get_origin(hint) is dict:
        return f"names, each with {_describe(get_args(hint)[1])}"
    if dataclasses.is_dataclass(hint):
        return "a group of settings"
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return names.get(hint, str(hint))
