"""Files of folders, to be compared."""

from pathlib import Path


def read_tree(folder: Path) -> dict[str, bytes]:
    """Content of each file by its name, without what huggingface_hub notes of a download."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(".cache/")}
