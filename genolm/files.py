"""Files that are either whole or absent: atomic writes, checksums, JSON."""

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHUNK_BYTES = 1 << 20


def compute_sha256(path: Path) -> str:
    """Return the sha256 of a file as 64 hexadecimal digits, reading 1 MiB at a time."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def compute_fingerprint(value: Any) -> str:
    """Return the sha256 of a JSON-able value; the order of the keys does not matter.

    >>> compute_fingerprint({"a": 1, "b": 2}) == compute_fingerprint({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary file name beside `path`; rename it to `path` when the block succeeds.

    The parent folder is made. If the block raises, the temporary file is removed and `path` is as before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".tmp-{path.name}-{uuid.uuid4().hex[:8]}"
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; rename it to `path` when the block succeeds.

    An existing `path` is replaced. Left-overs of a killed process under the same name are removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in path.parent.iterdir():
        if re.fullmatch(rf"\.tmp-{re.escape(path.name)}-[0-9a-f]{{8}}", leftover.name):
            shutil.rmtree(leftover, ignore_errors=True)
    temporary = path.parent / f".tmp-{path.name}-{uuid.uuid4().hex[:8]}"
    temporary.mkdir()
    try:
        yield temporary
        for file in sorted(temporary.rglob("*")):
            _sync(file)
        _sync(temporary)
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_unused(folder: Path) -> bool:
    """Say whether a folder is absent, or holds nothing but locks and left-overs of a killed process."""
    if not folder.is_dir():
        return not folder.exists()
    return all(path.name.startswith((".tmp-", ".run.")) for path in folder.iterdir())


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write an indented JSON file atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def make_file_name(text: str, *, max_chars: int = 40) -> str:
    """Turn any text, a record id or a name that a server gave, into a name that stays in its folder.

    A text of letters, digits, dot, dash and underscore that begins with a letter or a digit is kept. Of any
    other the foreign characters become underscores, and a hash is added that keeps two such texts apart.

    >>> make_file_name("GCF_000005845.2")
    'GCF_000005845.2'
    >>> make_file_name("../../etc/passwd")
    'etc_passwd-3754d6cb'
    """
    if len(text) <= max_chars and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*(?<!\.)", text):
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    prefix = re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("._-")[: max_chars - 9]
    return f"{prefix}-{digest}" if prefix else digest


def _sync(path: Path) -> None:
    """Flush a file or a folder to the disk, so that a rename never outlives the content."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
