"""The labeled sequences of a pipeline, with their splits."""

from dataclasses import replace

import numpy as np

from genolm.corpus.builtin import resolve_source
from genolm.corpus.labeled import ColumnNames, LabeledData, assign_random_split, read_labeled
from genolm.errors import DataError
from genolm.pipeline.recipe import RecipeRun
from genolm.progress import Reporter


def read_split_data(
    source: str,
    *,
    columns: ColumnNames,
    min_length_bp: int,
    seed: int,
    reporter: Reporter,
    require_labels: bool = True,
    has_classes: bool = True,
) -> LabeledData:
    """Read labeled data; without splits, draw them at random and tell the user what that means.

    Labels that are no classes (`has_classes` false), such as numbers, need not all be in train.
    """
    data = read_labeled(
        resolve_source(source),
        min_length_bp=min_length_bp,
        require_labels=require_labels and has_classes,
        **columns.build_arguments(),
    )
    if data.has_splits:
        return data
    strata = data if has_classes else replace(data, labels=np.zeros_like(data.labels), label_names=("any",))
    data = replace(data, splits=assign_random_split(strata, seed=seed).splits)
    reporter.note(
        "  the labeled data has no split column: split at random, which leaks when near-identical "
        "sequences land on both sides"
    )
    return data


def read_recipe_data(
    run: RecipeRun, *, min_length_bp: int | None = None, has_classes: bool = True
) -> LabeledData:
    """Read the recipe's labeled data on the main process; all processes get them.

    Args:
        run: the recipe at work.
        min_length_bp: the shortest sequence allowed; without it, what gives a token of the recipe's.
        has_classes: labels are classes, each of which has to be in train.

    Raises:
        DataError: they are not usable, or a split is empty.
    """

    def read() -> LabeledData:
        data = read_split_data(
            run.recipe.data,
            columns=run.recipe.columns,
            min_length_bp=min_length_bp or run.scheme.min_length_bp,
            seed=run.recipe.seed,
            reporter=run.reporter,
            has_classes=has_classes,
        )
        _check_splits(data, run.recipe.data)
        return data

    return run.ranks.on_main(read)


def read_other_data(
    run: RecipeRun,
    source: str,
    *,
    min_length_bp: int,
    require_labels: bool = True,
    has_classes: bool = True,
) -> LabeledData:
    """Read labeled data that are not the recipe's, by its columns and seed; all processes get them.

    Raises:
        DataError: they are not usable.
    """
    return run.ranks.on_main(
        lambda: read_split_data(
            source,
            columns=run.recipe.columns,
            min_length_bp=min_length_bp,
            seed=run.recipe.seed,
            reporter=run.reporter,
            require_labels=require_labels,
            has_classes=has_classes,
        )
    )


def _check_splits(data: LabeledData, source: str) -> None:
    for split in ("train", "validation", "test"):
        if len(data.select(split)) == 0:
            raise DataError(
                found=f"no {split} sequence in {source}",
                expected="train, validation and test sequences",
                remedy="add them to the split column, or remove the column for a random split",
            )
