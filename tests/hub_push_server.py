"""A server on the loopback that takes models as the Hugging Face hub does, and gives them back.

It speaks what `HfApi.create_repo`, `create_branch`, `create_commit` (with Git LFS) and `snapshot_download`
ask, as read in huggingface_hub 2.4. One account, one token. On request it breaks off or holds up an LFS
upload.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hub_answers import HubHandler, HubServerBase, describe_file

USER, TOKEN = "ada", "hf_" + "0123456789abcdef" * 2
LFS_SUFFIXES = (".safetensors", ".png")
GIT_ATTRIBUTES = b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"


class Repository:
    """Branches of commits; a commit is a whole set of files."""

    def __init__(self, *, private: bool) -> None:
        self.private = private
        first = {".gitattributes": GIT_ATTRIBUTES}
        self.commits: dict[str, dict[str, bytes]] = {}
        self.branches: dict[str, str] = {"main": self.add_commit(first)}

    def add_commit(self, files: dict[str, bytes]) -> str:
        oid = hashlib.sha1(f"{len(self.commits)}".encode()).hexdigest()
        self.commits[oid] = files
        return oid

    def find(self, revision: str) -> str | None:
        return self.branches.get(revision, revision if revision in self.commits else None)


class HubPushServer(HubServerBase):
    """Holds repositories by name, and LFS objects by sha256."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.uploads: list[str] = []  # sha256 of each LFS upload that began
        self.requests: list[str] = []  # "METHOD path"
        self.tokens: set[str] = set()  # that were sent with something
        self.drops = 0  # so many LFS uploads are broken off after a part of them
        self.held_oid = ""  # the upload of this object is held up after a part of it ...
        self.is_held = threading.Event()  # ... which is told here ...
        self.release = threading.Event()  # ... until this, and then it is broken off
        self.lock = threading.Lock()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent when a client is gone."""


@contextmanager
def serve_hub_pushes() -> Iterator[HubPushServer]:
    """Serve until the block ends."""
    server = HubPushServer()
    with server.serving():
        try:
            yield server
        finally:
            server.release.set()


class _Handler(HubHandler):
    server: HubPushServer

    def do_PUT(self) -> None:
        path = urlsplit(self.path).path
        self.server.requests.append(f"PUT {path}")
        oid = path.rsplit("/", 1)[1]
        size = int(self.headers["Content-Length"])
        with self.server.lock:
            self.server.uploads.append(oid)
            is_dropped = self.server.drops > 0
            self.server.drops -= is_dropped
        if is_dropped or oid == self.server.held_oid:
            self.rfile.read(size // 2)
            if not is_dropped:
                self.server.is_held.set()
                self.server.release.wait(60)
            self.close_connection = True
            self.connection.close()
            return
        body = self.rfile.read(size)
        if hashlib.sha256(body).hexdigest() != oid:
            self.send_problem(400, "the content has another checksum")
            return
        self.server.objects[oid] = body
        self.send_json({})

    def answer(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        self.server.requests.append(f"{self.command} {path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token:
            self.server.tokens.add(token)
        if path == "/api/validate-yaml":
            return self.send_json({"errors": [], "warnings": []})
        if token != TOKEN:
            return self.send_problem(401, "Invalid username or password.")
        if path == "/api/whoami-v2":
            return self.send_json({"type": "user", "name": USER})
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        return self.answer_for_repository(path, parse_qs(url.query), body)

    def create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted['organization'] or USER}/{wanted['name']}"
        address = f"{self.server.endpoint}/{name}"
        if not name.startswith(f"{USER}/"):
            return self.send_problem(403, f"You don't have the rights to create a model under {name}")
        if name in self.server.repositories:
            # The client reads the address from this answer, too.
            return self.send_problem(409, "You already created this model repo", url=address)
        private = wanted.get("visibility") == "private" or wanted.get("private") is True
        self.server.repositories[name] = Repository(private=private)
        return self.send_json({"url": address})

    def answer_for_repository(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
        match = (
            re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(\w+)(?:/([^/]+))?)?", path)
            or re.fullmatch(r"/([^/]+/[^/]+)\.git/(info)/(lfs)/objects/batch", path)
            or re.fullmatch(r"/([^/]+/[^/]+)/(resolve)/([^/]+)/.*", path)
        )
        if match is None or match[1] not in self.server.repositories:
            return self.send_problem(404, "Repository not found", code="RepoNotFound")
        name, kind, revision = match.groups()
        repository = self.server.repositories[name]
        if kind == "branch":
            if revision in repository.branches:
                return self.send_problem(409, "Reference already exists")
            repository.branches[revision] = repository.branches["main"]
            return self.send_json({})
        if kind == "info":
            return self.offer_uploads(json.loads(body))
        commit = repository.find(revision or "main")
        if commit is None:
            return self.send_problem(404, "Invalid rev id", code="RevisionNotFound")
        files = repository.commits[commit]
        if kind == "resolve":
            return self.send_file(files[path.split("/", 5)[5]], commit)
        if kind == "tree":
            return self.send_json(
                [
                    describe_file(each, content, is_lfs=each.endswith(LFS_SUFFIXES))
                    for each, content in files.items()
                ]
            )
        if kind == "preupload":
            names = [each["path"] for each in json.loads(body)["files"]]
            modes = {each: "lfs" if each.endswith(LFS_SUFFIXES) else "regular" for each in names}
            answer = [{"path": each, "uploadMode": modes[each], "shouldIgnore": False} for each in names]
            return self.send_json({"files": answer})
        if kind == "commit":
            return self.commit(repository, name, revision, files, body)
        siblings = [{"rfilename": each} for each in sorted(files)]
        return self.send_json(
            {"id": name, "sha": commit, "private": repository.private, "tags": [], "siblings": siblings}
        )

    def offer_uploads(self, wanted: dict[str, Any]) -> None:
        """Name an address for each object that is not there, as Git LFS has it."""
        objects = []
        for each in wanted["objects"]:
            entry = {"oid": each["oid"], "size": each["size"]}
            if each["oid"] not in self.server.objects:
                entry["actions"] = {"upload": {"href": f"{self.server.endpoint}/lfs/{each['oid']}"}}
            objects.append(entry)
        self.send_json({"transfer": "basic", "objects": objects})

    def commit(
        self, repository: Repository, name: str, branch: str, before: dict[str, bytes], body: bytes
    ) -> None:
        header, *operations = [json.loads(line) for line in body.splitlines()]
        assert header["key"] == "header"
        files = dict(before)
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "deletedFile":
                del files[value["path"]]
            elif operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif value["oid"] not in self.server.objects:
                return self.send_problem(400, f"LFS object {value['oid']} is not there")
            else:
                files[value["path"]] = self.server.objects[value["oid"]]
        repository.branches[branch] = oid = repository.add_commit(files)
        return self.send_json(
            {"commitUrl": f"{self.server.endpoint}/{name}/commit/{oid}", "commitOid": oid, "success": True}
        )

    def send_file(self, content: bytes, commit: str) -> None:
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_body(content, "application/octet-stream")
