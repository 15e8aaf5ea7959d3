"""What must not leave the machine: paths, its name, tokens and keys. Found, and taken out of JSON."""

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

from huggingface_hub import get_token

from genolm.errors import PublishError

REMOVED = "[removed]"
WEIGHTS_SUFFIX, PICTURE_SUFFIX = ".safetensors", ".png"
_PLAIN_HOSTS = ("localhost", "localhost.localdomain")
_PATH_KIND, _HOST_KIND, _SECRET_KIND = "an absolute path", "the name of this machine", "a token or key"
_PATTERNS = {
    _PATH_KIND: (
        # Two parts or more, and no part of a URL, of a fraction or of markup.
        r"(?<![\w.:/<>)\]}~*-])/(?:[\w.@+-]+/)+[\w.@+-]*",
        r"(?<![A-Za-z])[A-Za-z]:\\{1,2}[\w.-]+\\[^\s\"']*",
        r"file://[^\s\"')>]*",
    ),
    _SECRET_KIND: (
        r"\bhf_[A-Za-z0-9]{16,}",
        r"\b(?:api_org_|sk-|ghp_|gho_|ghs_|github_pat_|glpat-|xox[abp]-)[\w-]{16,}",
        r"\bAKIA[0-9A-Z]{16}\b",
        r"(?i)(?:api[_-]?key|secret|password|(?:access|auth|hub)[_-]?token)[\"']?\s*[:=]\s*[\"']?[\w./+-]{8,}",
        r"://[^/\s:@\"']+:[^/\s:@\"']+@",
    ),
}


class PrivateText(NamedTuple):
    """Expressions of what must not be published, with the kind of each; built once for a publication."""

    expressions: tuple[tuple[str, re.Pattern[str]], ...]


class Leak(NamedTuple):
    """A piece of text that must not be published."""

    kind: str
    text: str


def build_private_text() -> PrivateText:
    """Return the expressions that fit any machine, and this one's home folder, host name and hub token."""
    patterns = [(kind, pattern) for kind, each in _PATTERNS.items() for pattern in each]
    home, host, token = str(Path.home()), socket.gethostname(), get_token()
    if len(home) > 1:
        patterns.append((_PATH_KIND, rf"(?<![\w/.:-]){re.escape(home)}(?![\w-])"))
    # A host called "genome" tells nothing, and would be found in every card.
    if host not in _PLAIN_HOSTS and re.search(r"[\d.-]", host):
        patterns.append((_HOST_KIND, rf"(?<![\w-]){re.escape(host)}(?![\w-])"))
    if token:
        patterns.append((_SECRET_KIND, re.escape(token)))
    return PrivateText(tuple((kind, re.compile(pattern)) for kind, pattern in patterns))


def iter_leaks(text: str, private: PrivateText) -> Iterator[Leak]:
    """Yield what is found in a text; nothing of a token is repeated."""
    for kind, expression in private.expressions:
        for match in expression.finditer(text):
            yield Leak(kind, "" if kind == _SECRET_KIND else match[0])


def redact(value: Any, private: PrivateText) -> Any:
    """Return a JSON value without private text: of a path the last part stays, other things are removed.

    >>> redact({"data": "/home/ada/promoters.csv"}, build_private_text())
    {'data': 'promoters.csv'}
    """
    if isinstance(value, dict):
        return {redact(name, private): redact(item, private) for name, item in value.items()}
    if isinstance(value, list):
        return [redact(item, private) for item in value]
    if not isinstance(value, str):
        return value
    if re.match(r"/|[A-Za-z]:\\", value):  # one path from end to end, in which there may be spaces
        value = (PureWindowsPath(value).name if value[0] != "/" else Path(value).name) or REMOVED
    for kind, expression in private.expressions:
        value = expression.sub(lambda match: _shorten(kind, match[0]), value)  # noqa: B023  used at once
    return value


def _shorten(kind: str, text: str) -> str:
    return (re.split(r"[/\\]", text.rstrip("/\\"))[-1] if kind == _PATH_KIND else "") or REMOVED


def check_folder(folder: Path, private: PrivateText) -> None:
    """Check every file of a folder: no private text, no file that may hold a pickle.

    Text files are read whole, of weights the header, of pictures the text beside the pixels.

    Raises:
        PublishError: naming the file and what was found in it.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            continue
        name = path.relative_to(folder).as_posix()
        for leak in iter_leaks(_read_text(path, name), private):
            raise PublishError(
                found=f"{leak.kind} in {name}" + (f" ({leak.text})" if leak.text else ""),
                expected="files that tell nothing of the machine or the account they come from",
                remedy="change the name, label or setting that it comes from; nothing was published",
            )


def _read_text(path: Path, name: str) -> str:
    content = path.read_bytes() if path.suffix != WEIGHTS_SUFFIX else _read_header(path)
    if path.suffix == PICTURE_SUFFIX and content.startswith(b"\x89PNG"):
        return _read_picture_texts(content)
    try:
        if path.is_symlink() or b"\0" in content:
            raise ValueError(name)
        return content.decode("utf-8")
    except ValueError:
        raise PublishError(
            found=f"{name}, which is neither text nor weights nor a picture",
            expected=f"text, {WEIGHTS_SUFFIX} and {PICTURE_SUFFIX} files; a pickle can run code",
            remedy="publish a run of genolm as it is; nothing was published",
        ) from None


def _read_header(path: Path) -> bytes:
    """Return the JSON in front of the weights, https://github.com/huggingface/safetensors#format."""
    with open(path, "rb") as file:
        header = file.read(int.from_bytes(file.read(8), "little"))
    json.loads(header)
    return header


def _read_picture_texts(content: bytes) -> str:
    """Return the text chunks of a PNG: length, kind, data, checksum, one chunk after the other."""
    texts, place = [], 8
    while place + 8 <= len(content):
        length, kind = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
        if kind in (b"tEXt", b"iTXt", b"eXIf"):
            texts.append(content[place + 8 : place + 8 + length].replace(b"\0", b" ").decode("latin-1"))
        place += length + 12
    return "\n".join(texts)
