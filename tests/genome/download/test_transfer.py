"""Downloads from a real server that misbehaves: the right file in place, or one clear error and nothing."""

import gzip
import hashlib
import logging
import os
import resource
import signal
import subprocess
import sys
import time
import zlib
from contextlib import contextmanager
from email.utils import formatdate
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import pytest
from file_server import HTML_PAGE, Fault, FileServer, busy, redirect, web_page

from genolm.errors import DownloadError, GenolmError, SettingsError
from genolm.genome.download.partial_file import FileHead, PartialFile, read_file_head
from genolm.genome.download.settings import get_origin
from genolm.genome.download.transfer import Checksum, Transfer, TransferSettings, redact_url
from genolm.progress import Reporter, Task

NAME = "ecoli.fa.gz"
GENOME = (files("genolm.builtin_data") / "ecoli_k12_mg1655.fa.gz").read_bytes()
SIZE = len(GENOME)
MD5 = Checksum("md5", hashlib.md5(GENOME).hexdigest())
SHA256 = Checksum("sha256", hashlib.sha256(GENOME).hexdigest())


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No pause of pooch before it fetches once more, no wait for the disk."""
    monkeypatch.setattr("pooch.core.time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture
def folder(tmp_path):
    """The folder that is served, with the genome of E. coli K-12 that genolm brings along."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / NAME).write_bytes(GENOME)
    return folder


@pytest.fixture
def server(folder):
    with FileServer(folder) as server:
        yield server


class Client:
    """Fetches into one folder, with small pauses."""

    def __init__(self, folder: Path) -> None:
        self.parts, self.path = folder / "parts", folder / "genomes" / NAME

    @contextmanager
    def open(self, *servers, reporter=None, **settings):
        quick = {"backoff_s": 0.01, "read_timeout_s": 20.0, "max_wait_s": 1.0, "tries": 3}
        origins = frozenset(server.origin for server in servers)
        settings = TransferSettings(allowed_origins=origins, **(quick | settings))
        with Transfer(settings, parts=self.parts, reporter=reporter) as transfer:
            yield transfer

    def fetch(self, server, url=None, *, checksum=None, others=(), reporter=None, **settings):
        with self.open(server, *others, reporter=reporter, **settings) as transfer:
            return transfer.fetch_file(url or server.url + NAME, self.path, checksum=checksum)

    def list_left(self):
        """What lies in the folders, apart from locks."""
        places = (self.parts, self.path.parent)
        return [path.name for place in places for path in place.glob("**/*") if path.suffix != ".lock"]


@pytest.fixture
def client(tmp_path):
    return Client(tmp_path)


def queue(server, faults, path=NAME):
    """Queue faults; return the settings that suit them: a stall is waited for as briefly as can be."""
    for fault in faults:
        server.add_fault(path, fault)
    return {"read_timeout_s": 0.3} if any(fault.stop == "stall" for fault in faults) else {}


BREAKS = {
    "none": [],
    "dropped once": [Fault(stop_after=500_000)],
    "dropped always": [Fault(stop_after=300_000, times=None)],
    "reset once": [Fault(stop_after=500_000, stop="reset")],
    "stalled once": [Fault(stop_after=500_000, stop="stall")],
    "chunked": [Fault(framing="chunked")],
    "chunked, cut once": [Fault(framing="chunked", stop_after=400_000)],
    "chunked, cut always": [Fault(framing="chunked", stop_after=400_000, times=None)],
    "no Range": [Fault(stop_after=500_000), Fault(ignore_range=True)],
    "busy twice": [busy(times=2)],
    "too many requests": [busy(status=429, retry_after="0.05")],
    "busy without a word": [busy(status=500, retry_after=None)],
    "bit flipped once": [Fault(flip_bit_at=700_000)],
    "bit flipped, then broken": [Fault(flip_bit_at=7_000, stop_after=500_000)],
    "called an encoding": [Fault(headers={"Content-Encoding": "x-gzip"})],
    "another part": [Fault(stop_after=9_000), Fault(headers={"Content-Range": f"bytes 5-9/{SIZE}"})],
}


@pytest.mark.parametrize("checksum", [MD5, None], ids=["md5", "gzip"])
@pytest.mark.parametrize("faults", BREAKS.values(), ids=BREAKS)
def test_a_break_is_mended(client, server, faults, checksum):
    receipt = client.fetch(server, checksum=checksum, **queue(server, faults))
    assert client.path.read_bytes() == GENOME
    assert client.list_left() == [NAME]
    last = server.requests[-1].headers
    assert receipt[:4] == (server.url + NAME, SIZE, SHA256.value, checksum)
    assert receipt.etag == f'"{SHA256.value[:16]}"'
    assert receipt.last_modified == formatdate((server.folder / NAME).stat().st_mtime, usegmt=True)
    assert last["accept-encoding"] == "identity"
    assert last["user-agent"].startswith("genolm/")
    if checksum:
        assert receipt.verified_by == f"{checksum.algorithm} of the provider"
    else:
        is_open = faults == BREAKS["chunked"]
        length = "end mark of a chunked answer" if is_open else "declared length"
        assert receipt.verified_by == f"{length} and gzip CRC-32"


HTML = {"Content-Type": "text/html"}
OPEN_END = "found an answer without a declared length .* give the sha256 or md5"
REFUSALS = {
    "cut, no length, always": (
        [Fault(framing="close", stop_after=500_000, times=None)],
        f"found md5 {hashlib.md5(GENOME[:500_000]).hexdigest()} at .*, twice; expected md5 {MD5.value}",
        OPEN_END,
    ),
    "never more than at first": (
        [Fault(stop_after=300_000, ignore_range=True, times=None)],
        r"broke off, 3 times in a row, .* \(0.3 MB are kept\)",
        r"broke off, 3 times in a row, .* \(0.3 MB are kept\)",
    ),
    "a few bytes at a time": (
        [Fault(stop_after=100, times=None)],
        r"broke off, 3 times in a row, .* \(0.0 MB are kept\)",
        "broke off, 3 times in a row",
    ),
    "busy always": ([busy(times=None)], r"answer 503 \(Service Unavailable\), 3 times", "answer 503"),
    "web page once": ([web_page()], "a web page instead of a file", "a web page instead of a file"),
    "web page always": ([web_page(times=None)], "a web page", "a web page"),
    "page called text": ([web_page(content_type="text/plain")], "a web page", "a web page"),
    "bit flipped always": (
        [Fault(flip_bit_at=700_000, times=None)],
        f"found md5 [0-9a-f]{{32}} at .*, twice; expected md5 {MD5.value}.*damaged",
        rf"found a damaged gzip file \({NAME}.* twice",
    ),
    "stalled always": ([Fault(stop_after=0, stop="stall", times=None)], "no data for 0.3 s", "no data for"),
    "absent": ([Fault(status=404)], r"the answer 404 \(Not Found\) .*accession", "the answer 404"),
    "gone": ([Fault(status=410)], r"the answer 410", "the answer 410"),
    "forbidden": ([Fault(status=403)], r"the answer 403 .*api key", "the answer 403"),
    "no content": ([Fault(status=204, body=b"")], r"the answer 204", "the answer 204"),
    "unheard of": ([Fault(status=555, times=None)], r"answer 555 \(a fault of the server\)", "answer 555"),
    "page that begins with XML": ([Fault(body=b"<?xml version='1.0'?><a/>", headers=HTML)], "a web", "a web"),
    "round and round": ([redirect(NAME)], "more than 5 redirects", "more than 5 redirects"),
    "sent to nowhere": ([redirect("ftp://me:pw@a.org/b")], "which cannot be used", "cannot be used"),
}


@pytest.mark.parametrize("with_checksum", [True, False], ids=["md5", "gzip"])
@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS)
def test_what_cannot_be_mended_is_one_error_and_no_file(client, server, case, with_checksum):
    faults, match, match_without = case
    settings = queue(server, faults)
    with pytest.raises(DownloadError, match=match if with_checksum else match_without):
        client.fetch(server, checksum=MD5 if with_checksum else None, **settings)
    assert not client.path.parent.exists()
    assert [path.suffix for path in client.parts.glob("*.check")] == []


def test_redirects_are_followed_five_times(client, server):
    queue(server, [redirect(NAME, times=5)])
    client.fetch(server)
    assert len(server.requests) == 6
    queue(server, [redirect(NAME, times=6)])
    with pytest.raises(DownloadError, match="more than 5 redirects"):
        client.fetch(server)
    assert len(server.requests) == 12


def test_a_server_may_send_less_than_it_is_asked_for(client, server):
    queue(server, [Fault(stop_after=500_000), Fault(at_most=300_000)])
    client.fetch(server)
    assert [each.range for each in server.requests] == [None, "bytes=500000-", "bytes=800000-"]
    assert client.path.read_bytes() == GENOME


def test_a_part_that_is_dropped_again_and_again_is_no_progress(client, server):
    queue(server, [Fault(stop_after=300_000), Fault(status=416)] * 9)
    with pytest.raises(DownloadError, match="broke off, 3 times in a row"):
        client.fetch(server)
    assert [each.status for each in server.requests] == [200, 416, 200]


@pytest.mark.parametrize("status", [404, 403, 501])
def test_an_answer_that_is_final_is_asked_for_once(client, server, status):
    queue(server, [Fault(status=status)])
    with pytest.raises(DownloadError, match=f"the answer {status}"):
        client.fetch(server)
    assert len(server.requests) == 1


def test_a_body_that_ends_with_the_connection_needs_a_checksum(client, server):
    queue(server, [Fault(framing="close", stop_after=500_000), Fault(framing="close", times=None)])
    with pytest.raises(DownloadError, match=OPEN_END):
        client.fetch(server)
    assert client.fetch(server, checksum=MD5).verified_by == "md5 of the provider"
    assert client.path.read_bytes() == GENOME


def test_a_wrong_file_leaves_an_old_one_in_place(client, server):
    client.path.parent.mkdir()
    client.path.write_bytes(b"old")
    queue(server, [Fault(flip_bit_at=9, times=None)])
    with pytest.raises(DownloadError, match="twice"):
        client.fetch(server, checksum=MD5)
    assert client.path.read_bytes() == b"old"
    assert client.list_left() == [NAME]
    assert [each.range for each in server.requests] == [None, None]


def test_a_file_that_fits_is_not_fetched_again(client, server):
    client.fetch(server, checksum=MD5)
    receipt = client.fetch(server, checksum=MD5._replace(value=MD5.value.upper()), offline=True)
    assert (receipt.sha256, receipt.checksum, receipt.etag) == (SHA256.value, MD5, None)
    assert len(server.requests) == 1
    client.path.write_bytes(b"spoiled")
    client.fetch(server, checksum=MD5)
    assert (client.path.read_bytes(), len(server.requests)) == (GENOME, 2)


def build_bgzf(text):
    """One BGZF block: a gzip member that says its own length."""
    packed = zlib.compressobj(wbits=-15)
    body = packed.compress(text) + packed.flush()
    head = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0" + (len(body) + 25).to_bytes(2, "little")
    return head + body + zlib.crc32(text).to_bytes(4, "little") + len(text).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b">a\nACGT\n", "neither a checksum nor a gzip file"),
        (b"", "neither a checksum nor a gzip file"),
        (gzip.compress(b">a\nACGT\n", mtime=0)[:-5], "ends too early"),
        (build_bgzf(b">a\nACGT\n"), "ends too early"),
    ],
    ids=["plain", "empty", "cut gzip", "BGZF cut between blocks"],
)
def test_without_a_checksum_only_a_whole_gzip_file_will_do(client, server, content, match):
    (server.folder / NAME).write_bytes(content)
    with pytest.raises(DownloadError, match=match):
        client.fetch(server)
    assert client.list_left() == []
    checksum = Checksum("sha256", hashlib.sha256(content).hexdigest())
    assert client.fetch(server, checksum=checksum).bytes == len(content)


def test_a_plain_part_that_was_begun_with_a_checksum_needs_one_at_the_end(client, server):
    content = GENOME[1:]
    checksum = Checksum("md5", hashlib.md5(content).hexdigest())
    (server.folder / NAME).write_bytes(content)
    stop_early(client, server, checksum=checksum)
    with pytest.raises(DownloadError, match="neither a checksum nor a gzip file"):
        client.fetch(server)
    assert not client.path.exists()
    client.fetch(server, checksum=checksum)
    assert client.path.read_bytes() == content
    assert [each.range for each in server.requests] == [None, "bytes=500000-"]


def test_a_caller_who_reads_the_file_strictly_may_be_content_with_its_length(client, server):
    (server.folder / NAME).write_bytes(b"chr1\t9\t10\n" * 9_000)
    queue(server, [Fault(stop_after=50_000)])
    with client.open(server) as transfer:
        for framing in ("chunked", "close"):
            server.add_fault("b.bed", Fault(framing=framing))
            (server.folder / "b.bed").write_bytes(b"chr1\t9\t10\n")
            with pytest.raises(DownloadError, match=r"neither a checksum nor|without a declared length"):
                transfer.fetch_file(server.url + "b.bed", client.path, accept_declared_length=True)
        receipt = transfer.fetch_file(server.url + NAME, client.path, accept_declared_length=True)
    assert (receipt.verified_by, receipt.bytes) == ("declared length", 90_000)
    assert client.path.read_bytes() == b"chr1\t9\t10\n" * 9_000
    (server.folder / NAME).write_bytes(GENOME[:-5])
    with client.open(server) as transfer, pytest.raises(DownloadError, match="ends too early"):
        transfer.fetch_file(server.url + NAME, client.path, accept_declared_length=True)


def test_a_whole_bgzf_file_will_do(client, server):
    (server.folder / NAME).write_bytes(build_bgzf(b">a\nACGT\n") + build_bgzf(b""))
    assert client.fetch(server).verified_by == "declared length and gzip CRC-32"
    assert gzip.decompress(client.path.read_bytes()) == b">a\nACGT\n"


def stop_early(client, server, **arguments):
    """Fetch the first 500,000 bytes and give up."""
    server.add_fault(NAME, Fault(stop_after=500_000))
    with pytest.raises(DownloadError, match=r"\(0.5 MB are kept\)"):
        client.fetch(server, tries=1, **arguments)
    assert sorted(Path(name).suffix for name in client.list_left()) == [".json", ".part"]


@pytest.mark.parametrize("etag", ["strong", "weak", "none"])
def test_the_next_call_goes_on_if_the_file_is_the_same(client, folder, etag):
    with FileServer(folder, etag=etag) as server:
        stop_early(client, server)
        client.fetch(server)
        second = server.requests[1]
        date = formatdate((folder / NAME).stat().st_mtime, usegmt=True)
        assert second.range == "bytes=500000-"
        assert second.headers["if-range"] == (f'"{SHA256.value[:16]}"' if etag == "strong" else date)
        assert (second.status, second.bytes_sent) == (206, SIZE - 500_000)
    assert client.path.read_bytes() == GENOME


def build_other_file(size_bytes):
    """A gzip file of a given size with other bases; the name field in its head makes up the length."""
    packed = gzip.compress(b">a\n" + b"ACGT" * (size_bytes // 4 - 100), compresslevel=0, mtime=0)
    name = b"n" * (size_bytes - len(packed) - 1) + b"\0"
    return packed[:3] + b"\x08" + packed[4:10] + name + packed[10:]


@pytest.mark.parametrize("fault", [Fault(), Fault(ignore_if_range=True)], ids=["If-Range", "no If-Range"])
@pytest.mark.parametrize(
    ("etag", "size_bytes", "age_s"),
    [("strong", SIZE, 0), ("weak", SIZE, 0), ("weak", SIZE, 99), ("none", SIZE, 99), ("none", SIZE + 1, 0)],
    ids=["ETag", "weak ETag", "weak ETag and date", "date", "length"],
)
def test_a_file_that_has_changed_is_begun_anew(client, folder, etag, size_bytes, age_s, fault):
    modified_s = (folder / NAME).stat().st_mtime
    other = build_other_file(size_bytes)
    with FileServer(folder, etag=etag) as server:
        stop_early(client, server)
        (folder / NAME).write_bytes(other)
        os.utime(folder / NAME, (modified_s, modified_s - age_s))
        queue(server, [fault])
        client.fetch(server)
        assert [each.range for each in server.requests[:2]] == [None, "bytes=500000-"]
    assert client.path.read_bytes() == other


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({}, True),
        ({"etag": None, "last_modified": None, "total_bytes": None}, True),
        ({"etag": '"b"'}, False),
        ({"etag": 'W/"b"'}, False),
        ({"last_modified": "Tue"}, False),
        ({"total_bytes": 10}, False),
    ],
)
def test_a_part_is_taken_up_unless_something_tells_another_version(tmp_path, changes, is_same):
    part, head = PartialFile(tmp_path, "https://a.org/b"), FileHead(9, False, '"a"', "Mon")
    assert part.take_up(head) is False
    part.begin(head)
    assert part.take_up(head._replace(**changes)) is is_same
    assert part.read_head() == head


@pytest.mark.parametrize(
    ("status", "content_range", "start", "total_bytes"),
    [
        (206, "bytes 9-19/20", 9, 20),
        (206, "bytes 9-19/*", 9, 20),
        (206, "bytes 9-15/20", 9, 20),
        (206, "bytes 8-18/20", 9, None),
        (206, "bytes */20", 9, None),
        (206, "", 9, None),
        (200, "", 9, None),
        (200, "", 0, 11),
    ],
)
def test_the_head_of_an_answer_says_how_long_the_file_is(status, content_range, start, total_bytes):
    headers = {"Content-Length": "11", "Content-Range": content_range}
    head = read_file_head(SimpleNamespace(status_code=status, headers=headers), start=start)
    assert head == (total_bytes and FileHead(total_bytes, False, None, None))


def test_without_validators_only_a_checksum_allows_to_go_on(client, folder):
    with FileServer(folder, etag="none", last_modified=False) as server:
        stop_early(client, server)
        client.fetch(server)
        assert server.requests[1].range is None
        client.path.unlink()
        stop_early(client, server, checksum=MD5)
        client.fetch(server, checksum=MD5)
        assert server.requests[3].range == "bytes=500000-"
        assert "if-range" not in server.requests[3].headers
    assert client.path.read_bytes() == GENOME


def test_a_resumed_file_that_is_wrong_is_fetched_once_more_from_the_first_byte(client, folder):
    with FileServer(folder, etag="none", last_modified=False) as server:
        stop_early(client, server, checksum=MD5)
        part = next(client.parts.glob("*.part"))
        part.write_bytes(b"?" * 500_000)
        client.fetch(server, checksum=MD5)
        assert [each.range for each in server.requests] == [None, "bytes=500000-", None]
    assert client.path.read_bytes() == GENOME


@pytest.mark.parametrize("head", ["", "[]", '{"total_bytes": 3}', None])
def test_a_part_without_a_readable_head_is_begun_anew(client, server, head):
    stop_early(client, server)
    path = next(client.parts.glob("*.json"))
    path.unlink() if head is None else path.write_text(head)
    client.fetch(server)
    assert server.requests[1].range is None
    assert client.path.read_bytes() == GENOME


def test_a_part_that_is_longer_than_the_file_is_dropped(client, server):
    stop_early(client, server)
    with next(client.parts.glob("*.part")).open("ab") as file:
        file.write(b"?" * SIZE)
    client.fetch(server, checksum=MD5)
    assert [each.status for each in server.requests] == [200, 416, 200]
    assert client.path.read_bytes() == GENOME


CHILD = """
import sys
from pathlib import Path
from genolm.genome.download.transfer import Checksum, Transfer, TransferSettings
origin, name, parts, path, md5, patch = sys.argv[1:]
exec(patch)
settings = TransferSettings(allowed_origins=frozenset({origin}))
with Transfer(settings, parts=Path(parts)) as transfer:
    print("ready", flush=True)
    transfer.fetch_file(f"{origin}/{name}", Path(path), checksum=Checksum("md5", md5))
"""


@pytest.fixture
def start_child(client, server):
    """Start the same fetch in another process; what is left of it at the end is killed."""
    children = []

    def start(patch=""):
        words = (server.origin, NAME, client.parts, client.path, MD5.value, patch)
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-c", CHILD, *map(str, words)]
        child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.wait()
        child.stdout.close()
        child.stderr.close()


def test_after_a_kill_the_same_call_goes_on_where_it_stopped(client, server, start_child):
    server.add_fault(NAME, Fault(pause_s=0.02))
    child = start_child()
    deadline_s = time.monotonic() + 20
    while not any(part.stat().st_size > 200_000 for part in client.parts.glob("*.part")):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not client.path.parent.exists()
    kept_bytes = next(client.parts.glob("*.part")).stat().st_size
    assert 200_000 < kept_bytes < SIZE
    client.fetch(server, checksum=MD5)
    assert client.path.read_bytes() == GENOME
    assert client.list_left() == [NAME]
    second = server.requests[1]
    assert (second.range, second.bytes_sent) == (f"bytes={kept_bytes}-", SIZE - kept_bytes)


def test_a_kill_during_the_check_costs_no_byte(client, server, start_child):
    child = start_child(
        "import os, signal, pooch.core\n"
        "pooch.core.hash_matches = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert child.wait() == -signal.SIGKILL
    assert not client.path.parent.exists()
    client.fetch(server, checksum=MD5)
    assert len(server.requests) == 1
    assert client.path.read_bytes() == GENOME
    assert client.list_left() == [NAME]


def test_what_a_killed_process_left_for_pooch_is_not_taken_for_the_file(client, server):
    folder = PartialFile(client.parts, server.url + NAME).check_folder
    folder.mkdir(parents=True)
    (folder / "whole").write_bytes(b"left over")
    assert client.fetch(server).verified_by == "declared length and gzip CRC-32"
    assert client.path.read_bytes() == GENOME
    assert client.list_left() == [NAME]


def test_two_processes_fetch_a_file_once(client, server, start_child):
    server.add_fault(NAME, Fault(pause_s=0.01))
    child = start_child()
    assert child.stdout.readline() == "ready\n"
    while not server.requests:
        time.sleep(0.01)
    reporter = Recorder()
    receipt = client.fetch(server, checksum=MD5, reporter=reporter)
    assert child.wait() == 0
    assert child.stderr.read() == ""  # nothing from pooch, nothing from urllib3
    assert (receipt.sha256, len(server.requests)) == (SHA256.value, 1)
    assert reporter.notes == [f"{NAME}: another process is fetching this file; waiting for it"]


class Recorder(Reporter):
    """Keeps what is shown."""

    def __init__(self):
        self.notes, self.tasks, self.updates = [], [], []

    def note(self, text):
        self.notes.append(text)

    @contextmanager
    def task(self, title, *, total):
        self.tasks.append((title, total))
        task = Task()
        task.update = lambda completed, text="": self.updates.append((completed, text))
        yield task


def test_progress_counts_bytes_and_shows_the_rate(client, server):
    queue(server, [busy(), Fault(stop_after=500_000)])
    reporter = Recorder()
    client.fetch(server, reporter=reporter)
    assert reporter.tasks == [(NAME, SIZE)]
    counts = [completed for completed, _ in reporter.updates]
    assert counts == sorted(counts)
    assert 500_000 in counts
    assert reporter.updates[-2][0] == SIZE
    assert reporter.updates[-2][1].endswith(" MB/s")
    assert reporter.updates[-1] == (SIZE, "checking")
    assert reporter.notes == ["127.0.0.1: the answer 503 (Service Unavailable); trying again"]


def test_progress_without_a_total_shows_what_is_there(client, server):
    queue(server, [Fault(framing="chunked")])
    reporter = Recorder()
    client.fetch(server, reporter=reporter)
    assert reporter.tasks == [(NAME, 0)]
    assert reporter.updates[-2][1].startswith(f"{SIZE / 1e6:.1f} MB so far, ")


@pytest.mark.parametrize(
    ("retry_after", "least_s"),
    [("0.3", 0.3), ("1", 1.0), (formatdate(1e9, usegmt=True), 0.0), ("soon", 0.0), ("-1", 0.0)],
)
def test_a_pause_is_kept_as_the_server_asks(client, server, retry_after, least_s):
    queue(server, [busy(retry_after=retry_after)])
    started_s = time.monotonic()
    client.fetch(server)
    assert time.monotonic() - started_s >= least_s


@pytest.mark.parametrize("retry_after", ["3600", "3600.5", "a date in an hour"])
def test_too_long_a_pause_is_an_error_that_names_it(client, server, retry_after):
    if "date" in retry_after:
        retry_after = formatdate(time.time() + 3600, usegmt=True)
    queue(server, [busy(retry_after=retry_after)])
    with pytest.raises(DownloadError, match=r"503 .* pause of 3[56]\d\d s asked for; expected .*at most 1 s"):
        client.fetch(server)
    assert len(server.requests) == 1


def test_pauses_between_tries_grow(client, server):
    queue(server, [busy(times=None)])
    started_s = time.monotonic()
    with pytest.raises(DownloadError, match="5 times in a row"):
        client.fetch(server, tries=5, backoff_s=0.05)
    assert time.monotonic() - started_s > 0.7  # 0.025 + 0.1 + 0.2 + 0.4, and jitter
    assert len(server.requests) == 5


def test_there_is_a_pause_before_the_first_repetition(client, server):
    queue(server, [Fault(stop_after=500_000)])
    started_s = time.monotonic()
    client.fetch(server, backoff_s=0.6)
    assert time.monotonic() - started_s > 0.3


def test_nobody_at_home_is_an_error(client, folder):
    with FileServer(folder) as server:
        pass
    with pytest.raises(DownloadError, match="found a refused connection, 3 times in a row"):
        client.fetch(server)


def test_a_disk_that_fills_up_keeps_the_part(client, server):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
    try:
        with pytest.raises(DownloadError, match=r"too little room on the disk .*file too large.*goes on"):
            client.fetch(server)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert next(client.parts.glob("*.part")).stat().st_size == 600_000
    client.fetch(server)
    assert (client.path.read_bytes(), server.requests[1].range) == (GENOME, "bytes=600000-")


def test_a_file_that_is_larger_than_the_disk_is_refused_before_it_is_fetched(client, server, monkeypatch):
    stop_early(client, server)
    for free, is_enough in ((SIZE - 500_001, False), (SIZE - 500_000, True)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        if is_enough:
            client.fetch(server)
        else:
            with pytest.raises(DownloadError, match=r"0\.9 MB free, 0\.9 MB to come"):
                client.fetch(server)
            assert next(client.parts.glob("*.part")).stat().st_size == 500_000
    assert client.path.read_bytes() == GENOME


def test_room_that_an_outdated_part_takes_up_counts_as_free(client, server, monkeypatch):
    stop_early(client, server)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=SIZE - 500_000))
    queue(server, [Fault(ignore_range=True)])
    client.fetch(server)
    assert client.path.read_bytes() == GENOME


def test_offline_asks_nobody_and_says_what_is_missing(client, server):
    with client.open(server, offline=True) as transfer:
        with pytest.raises(DownloadError, match=f"found no copy of E. coli .* {server.url}{NAME}; run"):
            transfer.fetch_file(server.url + NAME, client.path, title="E. coli")
        with pytest.raises(DownloadError, match=f"found no copy of {NAME}"):
            transfer.fetch_file(server.url + NAME, client.path, checksum=MD5)
        with pytest.raises(DownloadError, match=r"found no copy of md5\.txt"):
            transfer.fetch_text(server.url + "md5.txt")
    assert server.requests == []


@pytest.fixture
def other(folder):
    with FileServer(folder) as other:
        yield other


def test_a_redirect_leads_to_allowed_servers_only(client, server, other):
    queue(server, [redirect(other.url + NAME)])
    with pytest.raises(
        DownloadError, match=f"a redirect of {server.url}{NAME} to the server {other.origin};"
    ):
        client.fetch(server)
    assert other.requests == []
    client.fetch(server, others=[other])
    assert len(other.requests) == 1
    assert client.path.read_bytes() == GENOME


@pytest.mark.parametrize(
    "url",
    ["https://example.org/a.gz", "http://127.0.0.1:1/a.gz", "file:///a", "a.gz", "https://", "https://a:b/"],
)
def test_only_allowed_servers_are_asked(client, server, url):
    with pytest.raises(DownloadError, match=f"expected one of the allowed servers: {server.origin};"):
        client.fetch(server, url)
    assert server.requests == []


def test_this_machine_is_asked_without_a_proxy(client, server, monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert client.fetch(server).bytes == SIZE


def test_a_key_goes_to_its_own_server_only(client, server, other):
    queue(server, [redirect(other.url + NAME)])
    client.fetch(server, others=[other], api_keys={server.origin: "s3cret"})
    assert server.requests[0].headers["api-key"] == "s3cret"
    assert "api-key" not in other.requests[0].headers
    client.fetch(server, others=[other], api_keys={other.origin: "s3cret\n"})
    assert "api-key" not in server.requests[1].headers
    assert other.requests[1].headers["api-key"] == "s3cret"


def test_a_password_goes_to_its_own_server_only(client, server, other, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    queue(server, [redirect(other.url + NAME)])
    client.fetch(server, server.url.replace("//", "//me:s3cret@") + NAME, others=[other])
    assert server.requests[0].headers["authorization"] == "Basic bWU6czNjcmV0"
    assert "authorization" not in other.requests[0].headers


SECRETS = ("s3cret", "t0ken", "k3y")


@pytest.mark.parametrize(
    ("faults", "checksum"),
    [
        ([], None),
        ([Fault(stop_after=9_000), busy()], MD5),
        ([Fault(stop_after=9_000, ignore_range=True, times=None)], MD5),
        ([busy(times=None)], None),
        ([busy(retry_after="99")], None),
        ([Fault(status=404)], None),
        ([web_page()], None),
        ([Fault(flip_bit_at=20, times=None)], None),
        ([Fault(flip_bit_at=20, times=None)], MD5),
        ([redirect("https://me:s3cret@example.org/?t0ken")], None),
        ([redirect("gopher://me:s3cret@example.org/?t0ken")], None),
        ([Fault(framing="close")], None),
    ],
)
def test_no_secret_is_shown_or_kept(client, server, faults, checksum, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    queue(server, faults)
    url = server.url.replace("//", "//me:s3cret@") + NAME + "?api_key=t0ken"
    reporter, shown = Recorder(), ""
    try:
        receipt = client.fetch(
            server, url, checksum=checksum, reporter=reporter, api_keys={server.origin: "k3y"}
        )
        assert receipt.url == server.url + NAME
        shown += repr(receipt)
    except DownloadError as error:
        shown += f"{error!r} {error} {error.__cause__!r}"
        assert server.requests[0].query == "api_key=t0ken"
        logging.getLogger("test").exception("as a traceback")
    shown += "".join(
        [*reporter.notes, *(title for title, _ in reporter.tasks), caplog.text, *capfd.readouterr()]
    )
    assert "GET" in caplog.text
    for path in client.parts.glob("*"):
        shown += path.name + (path.read_text() if path.suffix == ".json" else "")
    assert [secret for secret in SECRETS if secret in shown] == []


def test_the_filter_of_the_log_goes_with_the_transfer(client, server):
    logger = logging.getLogger("urllib3.connectionpool")
    with client.open(server):
        assert len(logger.filters) == 1
    assert logger.filters == []


def test_settings_do_not_show_their_keys(server):
    settings = TransferSettings(allowed_origins=frozenset({server.origin}), api_keys={server.origin: "k3y"})
    assert "k3y" not in repr(settings)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"allowed_origins": {"http://example.org"}}, "the server 'http://example.org'; expected .*https"),
        ({"allowed_origins": {"ftp://me:k3y@example.org"}}, "the server 'ftp://example.org'"),
        ({"allowed_origins": {"example.org"}}, "the server 'example.org'"),
        ({"allowed_origins": {"https://a.org:port"}}, "cannot be read"),
        ({"api_keys": {"http://a.org": "k3y"}}, "the server 'http://a.org'"),
        ({"api_keys": {"https://a.org": "k3y\r\nHost: b"}}, "an api key for https://a.org that is empty or"),
        ({"api_keys": {"https://a.org": " "}}, "copy the key again"),
        ({"tries": 0}, "found time-outs and tries .*0"),
        ({"read_timeout_s": 0}, "expected time-outs and tries above zero"),
        ({"backoff_s": -1}, "pauses not below it"),
    ],
)
def test_unusable_settings_are_refused_without_showing_a_key(settings, match):
    with pytest.raises(SettingsError, match=match) as caught:
        TransferSettings(**({"allowed_origins": frozenset()} | settings))
    assert "k3y" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["HTTPS://Example.org:443/a", "https://me@example.org", "https://example.org/"]
)
def test_origins_have_one_form(text):
    assert TransferSettings(allowed_origins=frozenset({text})).allowed_origins == {"https://example.org"}


@pytest.mark.parametrize(
    ("url", "origin"),
    [("http://[::1]:80/a", "http://[::1]"), ("http://localhost:8000", "http://localhost:8000")],
)
def test_this_machine_may_be_asked_over_http(url, origin):
    assert get_origin(url) == origin
    assert TransferSettings(allowed_origins=frozenset({url})).allowed_origins == {origin}


@pytest.mark.parametrize(
    ("url", "redacted"),
    [
        ("https://a.org/b?c=d#e", "https://a.org/b"),
        ("https://me:p@ss@a.org:8443/b", "https://a.org:8443/b"),
        ("https://me:p?ss#@a.org/b", "(an address that cannot be read)"),
        ("https://me:p/ss@a.org/b", "(an address that cannot be read)"),
        ("https://a.org?k=http://b/", "https://a.org"),
        ("http://[::1]:80/b", "http://[::1]:80/b"),
        ("me:pw@a.org/b?c", "a.org/b"),
        ("a/b.fa", "a/b.fa"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_its_secrets(url, redacted):
    assert redact_url(url) == redacted


@pytest.mark.parametrize(
    "checksum",
    [Checksum("md5", "abc"), Checksum("sha256", MD5.value), Checksum("sum", "1"), Checksum("", "")],
)
def test_what_is_no_checksum_is_refused(client, server, checksum):
    with pytest.raises(SettingsError, match="expected md5 with 32 hexadecimal digits"):
        client.fetch(server, checksum=checksum)
    assert server.requests == []


def test_the_name_of_a_part_does_not_depend_on_the_password(tmp_path):
    urls = ("https://a.org/b?c", "https://me:pw@a.org/b?c", "https://a.org/b?d")
    one, same, different = (PartialFile(tmp_path, url).path for url in urls)
    assert one == same != different


TEXT_FAULTS = {
    "none": [],
    "cut once": [Fault(stop_after=5)],
    "chunked, cut once": [Fault(framing="chunked", stop_after=5)],
    "stalled once": [Fault(stop_after=5, stop="stall")],
    "busy": [busy(times=2)],
}


@pytest.mark.parametrize("faults", TEXT_FAULTS.values(), ids=TEXT_FAULTS)
def test_a_text_is_fetched_whole(client, server, faults):
    (server.folder / "md5.txt").write_bytes(b"\xef\xbb\xbf" + "caf\u00e9  ./a.fna.gz\n".encode())
    with client.open(server, **queue(server, faults, "md5.txt")) as transfer:
        assert transfer.fetch_text(server.url + "md5.txt") == "caf\u00e9  ./a.fna.gz\n"
    assert client.list_left() == []


@pytest.mark.parametrize(
    ("fault", "match"),
    [
        (Fault(stop_after=5, times=None), "broke off, 3 times in a row"),
        (Fault(framing="chunked", stop_after=5, times=None), "broke off, 3 times in a row"),
        (Fault(framing="close", stop_after=5), "an answer without a declared length"),
        (Fault(status=206), "an answer without a declared length"),
        (Fault(status=404), "the answer 404"),
        (Fault(body=b"x" * 101), "more than 100 bytes at .*md5.txt"),
        (Fault(body=b"x" * 101, framing="chunked"), "more than 100 bytes"),
        (Fault(body=b"a\0b"), "a binary file"),
        (web_page(), "a web page instead of a file"),
    ],
)
def test_a_text_that_is_not_whole_is_refused(client, server, fault, match):
    (server.folder / "md5.txt").write_bytes(b"x" * 100)
    server.add_fault("md5.txt", fault)
    with client.open(server) as transfer, pytest.raises(DownloadError, match=match):
        transfer.fetch_text(server.url + "md5.txt", max_bytes=100)


def test_a_listing_may_be_a_web_page(client, server):
    (server.folder / "genomes" / "GCF_1").mkdir(parents=True)
    with client.open(server) as transfer:
        assert '<a href="GCF_1/">GCF_1/</a>' in transfer.fetch_text(server.url + "genomes/")
        assert '<a href="GCF_1/">' in transfer.fetch_text(server.url + "genomes")  # redirected to the slash


def test_the_error_is_one_of_ours_and_of_the_system(client, server):
    error = DownloadError(found="a", expected="b", remedy="c")
    assert isinstance(error, (GenolmError, OSError))
    assert (error.exit_code, str(error)) == (6, "found a; expected b; c")
    assert HTML_PAGE.startswith(b"<!DOCTYPE html>")
