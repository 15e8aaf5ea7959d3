"""Tables of vectors and scores as files, each whole or absent."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genolm.errors import DataError, SettingsError
from genolm.files import atomic_path
from genolm.inference.scores import Scores

VECTOR_FORMATS = (".npz", ".parquet", ".tsv")


def check_vector_path(path: Path) -> None:
    """Check before the work that vectors can be written to a file of this name.

    Raises:
        SettingsError: the ending is none of .npz, .parquet and .tsv, or it is a folder.
    """
    if path.suffix not in VECTOR_FORMATS or path.is_dir():
        raise SettingsError(
            found=f"{'the folder' if path.is_dir() else 'the file name'} {path}",
            expected=f"a file name that ends in {', '.join(VECTOR_FORMATS)}",
            remedy="correct --output, for instance to vectors.npz",
        )


def write_vectors(path: Path, vectors: npt.NDArray[np.float32], *, ids: Sequence[str]) -> None:
    """Write one vector for each id, in the format that the ending of the file name says.

    .npz: the arrays `ids` (text) and `vectors` (float32 [n, size]), for `numpy.load`, without pickle.
    .parquet: the columns `id` and `vector`, a list of fixed size, for datasets, pandas and polars.
    .tsv: `id` and `v1` to the last number, 7 digits each.

    Raises:
        SettingsError: another ending.
        DataError: the numbers of ids and vectors differ.
    """
    check_vector_path(path)
    if len(ids) != len(vectors):
        raise DataError(
            found=f"{len(ids)} ids for {len(vectors)} vectors", expected="as many", remedy="check both"
        )
    with atomic_path(path) as temporary:
        if path.suffix == ".npz":
            with open(temporary, "wb") as file:
                np.savez(file, ids=np.array(ids, dtype=np.str_), vectors=vectors)
        elif path.suffix == ".parquet":
            _write_parquet(temporary, vectors, ids)
        else:
            header = ["id", *(f"v{number}" for number in range(1, vectors.shape[1] + 1))]
            rows = (
                [name, *(f"{value:.7g}" for value in row)] for name, row in zip(ids, vectors, strict=True)
            )
            with open(temporary, "w", encoding="utf-8") as text:
                text.writelines("\t".join(row) + "\n" for row in (header, *rows))


def build_score_table(scores: Scores, *, ids: Sequence[str]) -> list[tuple[str, ...]]:
    """Return `id`, `bits_per_base` (nan where no base is scored) and `bases` as text, the header first.

    >>> build_score_table(Scores(np.array([3.0]), np.array([2])), ids=["a"])
    [('id', 'bits_per_base', 'bases'), ('a', '1.500000', '2')]
    """
    rows = zip(ids, scores.bits_per_base, scores.bases, strict=True)
    return [
        ("id", "bits_per_base", "bases"),
        *((name, f"{bits:.6f}", f"{bases:d}") for name, bits, bases in rows),
    ]


def _write_parquet(path: Path, vectors: npt.NDArray[np.float32], ids: Sequence[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    pq.write_table(pa.table({"id": pa.array(list(ids), pa.string()), "vector": column}), path)
