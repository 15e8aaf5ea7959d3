"""The data that ship with genolm, under names such as `builtin:ecoli_promoters`."""

import importlib.resources
from collections.abc import Iterable
from pathlib import Path

from genolm.errors import SettingsError
from genolm.genome.contigs import Genome, name_genome
from genolm.genome.store import GenomeStore, resolve_genome

PREFIX = "builtin:"
BUILTIN_FILES = {
    "ecoli_k12_mg1655": "ecoli_k12_mg1655.fa.gz",
    "ecoli_promoters": "ecoli_promoters.csv.gz",
    "ecoli_promoters_gc_matched": "ecoli_promoters_gc_matched.csv.gz",
}


def find_builtin(name: str) -> Path:
    """Return the file of a built-in data set, with or without the prefix `builtin:`.

    Raises:
        SettingsError: there is no data set of that name.
    """
    file_name = BUILTIN_FILES.get(name.removeprefix(PREFIX))
    if file_name is None:
        raise SettingsError(
            found=f"'{name}'",
            expected=f"one of {', '.join(PREFIX + known for known in BUILTIN_FILES)}",
            remedy="correct the name, or give the path of a file",
        )
    return Path(str(importlib.resources.files("genolm"))) / "builtin_data" / file_name


def resolve_source(text: str | Path) -> Path:
    """Return the path that a setting means: a file of the user, or a built-in data set.

    Raises:
        SettingsError: a `builtin:` name that does not exist.
    """
    return find_builtin(str(text)) if str(text).startswith(PREFIX) else Path(text).expanduser()


def resolve_genomes(texts: Iterable[str], *, store: GenomeStore) -> list[Genome]:
    """Return the genomes that settings mean: `builtin:` names, files, or what the store has or can get.

    A genome that is named twice, for instance by itself and as the member of a group, comes once.

    Raises:
        GenolmError: a name means nothing, or a download failed; see `genolm.genome.store.resolve_genome`.
    """
    genomes: dict[Path, Genome] = {}
    for text in texts:
        if text.startswith(PREFIX):
            found = [name_genome(find_builtin(text))._replace(provenance={"source": text})]
        else:
            found = resolve_genome(text, store=store)
        for genome in found:
            genomes.setdefault(genome.path.resolve(), genome)
    return list(genomes.values())
