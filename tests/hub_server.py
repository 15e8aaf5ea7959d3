"""A server on the loopback that answers for one dataset as the Hugging Face hub does.

It speaks the few queries that `load_dataset("user/name", streaming=True)` makes: the dataset's and its
revision's information, its tree, paths-info, and `resolve` with HEAD and Range.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hub_answers import HubHandler, HubServerBase, describe_file

COMMIT = "c0ffee" + "0" * 34


class HubServer(HubServerBase):
    """Serves a folder as `user/name`, at the branch main and the tag v1, which are one commit."""

    def __init__(self, folder: Path, *, dataset: str) -> None:
        super().__init__(_Handler)
        self.folder, self.dataset = folder, dataset
        self.requests: list[str] = []  # "METHOD path range"
        self.refused = ""  # a file of this name is answered by 403, which the client does not try again

    def describe(self, path: Path) -> dict[str, Any]:
        """An entry of a tree."""
        name = path.relative_to(self.folder).as_posix()
        if path.is_dir():
            return {
                "type": "directory",
                "oid": hashlib.sha1(name.encode()).hexdigest(),
                "size": 0,
                "path": name,
            }
        return describe_file(name, path.read_bytes(), is_lfs=path.suffix == ".parquet")


@contextmanager
def serve_hub(folder: Path, *, dataset: str = "user/name") -> Iterator[HubServer]:
    """Serve until the block ends."""
    server = HubServer(folder, dataset=dataset)
    with server.serving():
        yield server


class _Handler(HubHandler):
    server: HubServer

    def answer(self) -> None:
        url = urlsplit(self.path)
        path, dataset = unquote(url.path), re.escape(self.server.dataset)
        self.server.requests.append(f"{self.command} {path} {self.headers.get('Range', '')}".strip())
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        match = re.fullmatch(
            rf"/api/datasets/{dataset}(?:/(revision|tree|paths-info)/([^/]+)(/.*)?)?", path
        ) or re.fullmatch(rf"/datasets/{dataset}/(resolve)/([^/]+)(/.*)", path)
        if match is None:
            return self.send_problem(404, "RepoNotFound", code="RepoNotFound")
        kind, revision, rest = match.groups()
        if revision not in (None, "main", "v1", COMMIT):
            return self.send_problem(404, "RevisionNotFound", code="RevisionNotFound")
        target = self.server.folder / (rest or "/")[1:]
        if not target.exists():
            return self.send_problem(404, "EntryNotFound", code="EntryNotFound")
        if kind == "resolve":
            return self.send_file(target)
        if kind == "tree":
            is_recursive = parse_qs(url.query).get("recursive", ["false"])[0].lower() in ("true", "1")
            paths = target.rglob("*") if is_recursive else target.iterdir()
            return self.send_json([self.server.describe(each) for each in sorted(paths)])
        if kind == "paths-info":
            is_json = "json" in self.headers.get("Content-Type", "")
            names = json.loads(body)["paths"] if is_json else parse_qs(body.decode())["paths"]
            found = [self.server.folder / name for name in names]
            return self.send_json([self.server.describe(each) for each in found if each.exists()])
        names = [
            each.relative_to(self.server.folder) for each in self.server.folder.rglob("*") if each.is_file()
        ]
        return self.send_json(
            {
                "id": self.server.dataset,
                "sha": COMMIT,
                "private": False,
                "gated": False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": [],
                "siblings": [{"rfilename": name.as_posix()} for name in sorted(names)],
            }
        )

    def send_file(self, path: Path) -> None:
        content = path.read_bytes()
        first, last = 0, len(content) - 1
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(wanted[1]), min(int(wanted[2] or last), last)
        if path.name == self.server.refused:
            return self.send_problem(403, "Forbidden", code="Forbidden")
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        self.send_body(content[first : last + 1], "application/octet-stream")
