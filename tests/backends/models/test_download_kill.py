"""kill -9 at any moment: what came is there, at most 1 MiB of it comes again for each kill, and the file verifies.

KILL_TEST_MIB sets the size of the file; 2048 takes a minute. Bytes are counted where the child's code takes
them off its sockets: what the two kernels hold in between is not fetched yet.
"""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import random
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from backends.models.download_disk import sync, write_at
from backends.models.download_names import layout_of
from backends.models.download_part import Part
from backends.models.download_sidecar import Claim, Sidecar, read_sidecar
from backends.models.download_spans import Spans
from backends.models.records import DownloadPlan, RemoteFile
from tests.backends.models.download_support import (
    CHILD,
    NAME,
    REPO,
    SPLIT_NAMES,
    kill,
    listing,
    plan_of,
    start_child,
    write_file,
)
from tests.fakes.hub_server import HubServer

MIB = 2**20
SIZE_MIB = int(os.environ.get("KILL_TEST_MIB", "96"))
KILLS = 10
HEAD_BYTES = 1024  # more than the head of any answer of the stand-in
# Counts, in a file that survives the child, what its code received from the file server.
COUNTING = """
import mmap, struct
import backends.egress_socket as door
_file = open(sys.argv.pop(), "r+b")
_count = mmap.mmap(_file.fileno(), 8)
_receive = door.Connection.receive_into
def _counting(self, buffer):
    received = _receive(self, buffer)
    with _lock:
        struct.pack_into("<Q", _count, 0, struct.unpack_from("<Q", _count)[0] + received)
    return received
import threading
_lock = threading.Lock()
door.Connection.receive_into = _counting
"""


def _script() -> str:
    before, after = CHILD.split("async def main", 1)
    return f"{before}{COUNTING}\nasync def main{after}"


class Counter:
    """Bytes that children received, killed or not."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(8))
        self.path = path

    @property
    def value(self) -> int:
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ) as count:
            return int(struct.unpack("<Q", count[:8])[0])


def _until(condition: Callable[[], bool], limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def _reached(counter: Counter, aim: int) -> bool:
    return counter.value >= aim


def _write_large(path: Path, size: int, seed: int) -> None:
    """As `write_file`, in pieces: the test's own memory stays small."""
    write_file(path, 4 * MIB, seed)
    with path.open("r+b") as file:
        for at in range(4 * MIB, size, 4 * MIB):
            file.seek(at)
            file.write(random.Random(seed * 10_000 + at // MIB).randbytes(4 * MIB))
        file.truncate(size)


def _kept(folder: Path, plan: DownloadPlan) -> int:
    """Bytes that the next session will not fetch again, by the notes that a kill left."""
    layout = layout_of(folder, plan)
    read = read_sidecar(layout.sidecar)
    return 0 if read is None else sum(read.claim(index).likely_bytes for index in range(len(layout.parts)))


@pytest.mark.parametrize("names", [(NAME,), SPLIT_NAMES], ids=["one file", "split"])
def test_ten_kills_cost_at_most_a_mebibyte_each(
    tmp_path: Path, names: tuple[str, ...], record_property: Callable[[str, object], None]
) -> None:
    rng = random.Random(2026)
    each = SIZE_MIB * MIB // len(names)
    size = each * len(names)
    for number, name in enumerate(names):
        _write_large(tmp_path / "hub" / REPO / name, each, seed=number + 1)
    counter = Counter(tmp_path / "count")
    folder = tmp_path / "models"
    plan = plan_of(*names)
    costs: list[int] = []
    with HubServer(tmp_path / "hub") as server:

        def lost() -> int:
            """Received and not kept, all sessions together; the heads of answers are no bytes of the file."""
            return counter.value - _kept(folder, plan) - len(server.cdn_seen) * HEAD_BYTES

        for number in range(KILLS):
            server.bytes_s = rng.uniform(10, 60) * MIB  # for each connection
            aim = counter.value + max(MIB, (size - counter.value) // (KILLS - number + 1)) + rng.randrange(MIB)
            child = start_child(server.url, folder, script=_script(), more=(*names, str(counter.path)))
            _until(partial(_reached, counter, aim))
            before = sum(costs)
            kill(child)
            costs.append(lost() - before)
            assert costs[-1] <= MIB, f"kill {number + 1}"
            assert not [name for name in listing(folder) if not name.startswith(".incomplete")], "no model yet"
        server.bytes_s = None
        child = start_child(server.url, folder, script=_script(), more=(*names, str(counter.path)))
        said, errors = child.communicate(timeout=300)
        assert said.split() == ["begun", "done"], errors
    again = counter.value - size
    record_property("fetched_again_bytes", again)
    print(f"{SIZE_MIB} MiB, {KILLS} kills cost {max(costs):,} bytes at most: {again:,} bytes received again")
    assert again - len(server.cdn_seen) * HEAD_BYTES <= max(0, sum(costs)), "what was kept did not come again"
    for name, ours in zip(names, layout_of(folder, plan).final, strict=True):
        with (tmp_path / "hub" / REPO / name).open("rb") as theirs, ours.open("rb") as file:
            assert hashlib.file_digest(file, "sha256").digest() == hashlib.file_digest(theirs, "sha256").digest()
    places = {path.relative_to(folder).as_posix() for path in layout_of(folder, plan).final}
    assert listing(folder) == dict.fromkeys(places, each)


# -- power cuts: the page cache is gone, so only what was synced is there for certain ------------------------------


def _sidecar(tmp_path: Path, size: int) -> Sidecar:
    plan = plan_of()
    sidecar = Sidecar(tmp_path / "x.json", replace(plan, files=(RemoteFile(NAME, size, "0" * 64),)))
    sidecar.write()
    return sidecar


def test_nothing_is_claimed_before_it_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all writes, syncs and claims, in order: a claim covers only what the last sync of the part covered."""
    events: list[tuple[str, int]] = []
    sidecar = _sidecar(tmp_path, 4 * MIB)
    part = Part(tmp_path / "x.part", 4 * MIB, sidecar, 0)
    written = 0

    def recorded_sync(handle: int) -> None:
        events.append(("sync" if os.path.samestat(os.fstat(handle), part.path.stat()) else "claimed", written))

    monkeypatch.setattr("backends.models.download_part.sync", recorded_sync)
    monkeypatch.setattr("backends.models.download_sidecar.sync", recorded_sync)
    put = sidecar.put

    def recorded_put(index: int, claim: Claim) -> None:
        events.append(("claim", claim.done.total))
        put(index, claim)

    monkeypatch.setattr(sidecar, "put", recorded_put)
    part.open()
    keeper = threading.Thread(target=part.keep)
    keeper.start()
    for at in range(0, 4 * MIB, 128 * 1024):
        assert part.reserve(128 * 1024)
        part.write(at, bytes(128 * 1024), 128 * 1024)
        written = at + 128 * 1024
        part.release(128 * 1024)
    part.end()
    keeper.join()
    part.close()
    kinds = [kind for kind, _size in events]
    assert kinds == ["sync", "claim", "claimed"] * (len(kinds) // 3), "sync the part, claim, sync the claim"
    for (_s, synced), (_c, claimed) in zip(events[::3], events[1::3], strict=True):
        assert claimed <= synced
    assert events[-2] == ("claim", 4 * MIB)


def test_notes_of_bytes_that_a_power_cut_lost_are_not_believed(tmp_path: Path) -> None:
    sidecar = _sidecar(tmp_path, MIB)
    part = Part(tmp_path / "x.part", MIB, sidecar, 0)
    part.open()
    chunks = [random.Random(n).randbytes(64 * 1024) for n in range(16)]
    for n, data in enumerate(chunks):
        part.write(n * 64 * 1024, data, len(data))
    part.close()
    sidecar.close()
    with part.path.open("r+b") as file:  # as if these never left the page cache
        for n in (3, 7, 8):
            write_at(file.fileno(), bytes(64 * 1024), n * 64 * 1024)
    with sidecar.path.open("r+b") as file:  # and the last line was cut
        file.truncate(sidecar.path.stat().st_size - 9)
    read = read_sidecar(sidecar.path)
    assert read is not None
    again = Part(part.path, MIB, read, 0)
    again.open()
    again.close()
    missing = list(again._done.gaps(MIB))
    assert missing == [(3 * 65536, 4 * 65536), (7 * 65536, 9 * 65536), (15 * 65536, 16 * 65536)]


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="needs a page cache that can be told to forget")
def test_bytes_that_could_not_be_synced_are_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed sync Linux takes the pages for written: the next sync succeeds, and the cache has the bytes."""
    sidecar = _sidecar(tmp_path, MIB)
    part = Part(tmp_path / "x.part", MIB, sidecar, 0)
    part.open()
    chunk = b"x" * 64 * 1024
    part.write(0, chunk, len(chunk))
    keeper = threading.Thread(target=part.keep)
    keeper.start()
    part.end()
    keeper.join()
    assert sidecar.claim(0).done.total == len(chunk)
    part.close()

    def refuse(_handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("backends.models.download_part.sync", refuse)
    part = Part(part.path, MIB, sidecar, 0)
    part.open()
    part.write(len(chunk), chunk, len(chunk))
    part.end()
    with pytest.raises(OSError, match="Input/output"):
        part.keep()
    monkeypatch.setattr("backends.models.download_part.sync", sync)
    part.keep()  # the other thread, whose sync succeeds
    part.close()
    sidecar.close()
    read = read_sidecar(sidecar.path)
    assert read is not None
    assert read.claim(0).notes == (), "nothing is said any more of what was not synced"
    assert read.claim(0).done == Spans([(0, len(chunk))])


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="needs a page cache that can be told to forget")
def test_notes_are_checked_on_the_disk_and_not_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sidecar = _sidecar(tmp_path, MIB)
    part = Part(tmp_path / "x.part", MIB, sidecar, 0)
    part.open()
    part.write(0, b"x" * 64 * 1024, 64 * 1024)
    part.write(64 * 1024, b"y" * 64 * 1024, 64 * 1024)
    part.close()
    done: list[str] = []

    def synced(handle: int) -> None:
        done.append("sync")
        sync(handle)

    def forget(handle: int, offset: int, size: int, advice: int) -> None:
        """The disk never got the second piece; the cache has it until now."""
        assert (offset, size, advice) == (0, 0, os.POSIX_FADV_DONTNEED)
        done.append("forget")
        write_at(handle, bytes(64 * 1024), 64 * 1024)

    monkeypatch.setattr("backends.models.download_part.sync", synced)
    monkeypatch.setattr("backends.models.download_disk.os.posix_fadvise", forget)
    again = Part(part.path, MIB, sidecar, 0)
    again.open()
    again.close()
    sidecar.close()
    assert done == ["sync", "forget"]
    assert list(again._done) == [(0, 64 * 1024)]


def test_a_claim_about_a_part_that_is_gone_is_not_believed(tmp_path: Path) -> None:
    sidecar = _sidecar(tmp_path, MIB)
    sidecar.put(0, Claim(Spans([(0, MIB)])))
    part = Part(tmp_path / "x.part", MIB, sidecar, 0)
    part.open()
    part.close()
    assert part.done_bytes == 0


def test_unsynced_bytes_are_bounded(tmp_path: Path) -> None:
    """With nobody to sync, whoever reads waits when 1 MiB is at stake."""
    sidecar = _sidecar(tmp_path, 4 * MIB)
    part = Part(tmp_path / "x.part", 4 * MIB, sidecar, 0)
    part.open()

    def read() -> None:
        at = 0
        while part.reserve(64 * 1024):
            part.write(at, bytes(64 * 1024), 64 * 1024)
            part.release(64 * 1024)
            at += 64 * 1024

    reader = threading.Thread(target=read)
    reader.start()
    reader.join(0.5)
    assert reader.is_alive(), "it waits"
    assert part.done_bytes == 15 * 64 * 1024
    part.end()
    reader.join()
    part.close()
