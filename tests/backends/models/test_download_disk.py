"""Disks that are full, gone, or not what they should be: a sentence, nothing lost, nothing outside touched."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from backends.models.download_disk import allocate, free_bytes, open_file, sync, write_at
from backends.models.download_names import layout_of
from backends.models.download_sidecar import read_sidecar
from tests.backends.models.download_support import (
    CHILD,
    NAME,
    QUICK,
    REPO,
    World,
    hub_with,
    listing,
    plan_of,
    start_child,
    world,
    write_file,
)

PLACE = f"owner--Tiny-GGUF/{NAME}"
GIB = 2**30


async def _resumed(here: World) -> None:
    here.downloads.resume(plan_of().ref)
    assert (await here.downloads.wait(plan_of().ref)).state == "done"
    assert (here.folder / PLACE).read_bytes() == here.source()


async def test_too_little_space_is_said_before_anything_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.models.download_disk.free_bytes", lambda _folder: GIB + 1_000_000)
    with hub_with(tmp_path) as server:
        async with world(tmp_path, server) as here:
            end = await here.fetch()
            assert end.problem is not None
            assert end.problem.code == "disk_full"
            assert "1.00 GiB free; this download needs 1.91 MiB, and 1.00 GiB must stay free" in end.problem.what
            assert server.cdn_seen == []
            assert here.parts == []
            monkeypatch.setattr("backends.models.download_disk.free_bytes", lambda _folder: GIB + 2_000_001)
            await _resumed(here)


async def test_what_is_on_disk_already_needs_no_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with hub_with(tmp_path, 4_000_000, bytes_s=1_000_000) as server:
        async with world(tmp_path, server) as here:
            here.downloads.add(plan_of())
            await here.until_received(1_000_000)
            await here.downloads.pause(plan_of().ref)
            server.bytes_s = None
            spare = 0 if here.folder.joinpath(".incomplete").exists() and _allocates(tmp_path) else 3_000_000
            monkeypatch.setattr("backends.models.download_disk.free_bytes", lambda _folder: GIB + spare)
            await _resumed(here)


def _allocates(folder: Path) -> bool:
    handle = open_file(folder / "probe")
    try:
        return allocate(handle, 100_000) and os.fstat(handle).st_blocks > 0
    finally:
        os.close(handle)


async def test_a_disk_that_fills_up_keeps_the_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = [1_000_000]

    def filling(handle: int, data: bytes, offset: int) -> None:
        if left[0] < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= len(data)
        write_at(handle, data, offset)

    monkeypatch.setattr("backends.models.download_part.write_at", filling)
    with hub_with(tmp_path, 3_000_000) as server:
        async with world(tmp_path, server) as here:
            end = await here.fetch()
            assert end.problem is not None
            assert end.problem.what == f"The disk of {here.folder} is full."
            assert end.problem.safe == "What was downloaded so far is kept."
            assert 500_000 < end.received_bytes <= 1_000_000
            assert len(server.cdn_seen) <= 2 * QUICK.connections, "a full disk is not tried again"
            left[0] = 10**9
            await _resumed(here)


async def test_a_disk_that_fails_to_sync_fetches_that_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written when the disk failed is neither believed nor published; what was synced before is kept."""
    count = 0

    def failing(handle: int) -> None:
        nonlocal count
        count += 1
        if count >= 3:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(handle)

    monkeypatch.setattr("backends.models.download_part.sync", failing)
    with hub_with(tmp_path, 4_000_000, bytes_s=1_000_000) as server:
        async with world(tmp_path, server) as here:
            end = await here.fetch()
            assert end.problem is not None
            assert (end.problem.code, here.models) == ("models_folder", {})
            read = read_sidecar(layout_of(here.folder, plan_of()).sidecar)
            assert read is not None
            kept = read.claim(0).done.total
            assert 0 < kept < 4_000_000
            assert read.claim(0).likely_bytes - kept <= 64 * 1024 * QUICK.connections, "only what came after it"
            monkeypatch.setattr("backends.models.download_part.sync", sync)
            server.bytes_s = None
            server.sent.clear()
            await _resumed(here)


async def test_others_fill_the_disk_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the space could not be taken ahead, it is watched while the file comes.

    Where it could, only a next part can find too little: tests/backends/models/test_download_split.py.
    """
    monkeypatch.setattr("backends.models.download_part.allocate", lambda _handle, _size: False)
    monkeypatch.setattr("backends.models.download_transfer.LOOK_S", 0.1)
    free = [100 * GIB]
    monkeypatch.setattr("backends.models.download_transfer.free_bytes", lambda _folder: free[0])
    with hub_with(tmp_path, 3_000_000, bytes_s=500_000) as server:
        async with world(tmp_path, server) as here:
            here.downloads.add(plan_of())
            await here.until_received(500_000)
            free[0] = GIB // 4
            end = await here.downloads.wait(plan_of().ref)
            assert end.problem is not None
            assert (end.problem.code, "almost full" in end.problem.what) == ("disk_full", True)
            free[0], server.bytes_s = 100 * GIB, None
            await _resumed(here)


LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"


def test_a_disk_that_cannot_hold_a_file_so_large(tmp_path: Path) -> None:
    """As FAT32 beyond 4 GiB; here a limit of the process stands in for the disk's."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    with hub_with(tmp_path) as server:
        child = start_child(server.url, tmp_path / "models", script=LIMITED + CHILD)
        said, errors = child.communicate(timeout=60)
    assert "cannot hold a file as large as this one" in said, errors
    assert "FAT32" in said
    assert listing(tmp_path / "models") == {}


FULL = """
import backends.models.download_disk as disk, backends.models.download_part as part
disk.RESERVE_BYTES = 0
disk.check_space = lambda folder, missing: None
import backends.models.download_job as job
job.check_space = disk.check_space
part.allocate = lambda handle, size: False
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare to mount a small disk")
def test_a_really_full_disk(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    script = 'mount -t tmpfs -o size=1m tmpfs "$1" || exit 77; "$2" -c "$3" "$4" "$1"; find "$1" -type f'
    with hub_with(tmp_path) as server:
        done = subprocess.run(
            ["unshare", "-rm", "sh", "-c", script, "sh", str(folder), sys.executable, FULL + CHILD, server.url],
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
    if done.returncode == 77 or "unshare failed" in done.stderr:
        pytest.skip("mounting is not allowed here")
    assert "is full. What was downloaded so far is kept." in done.stdout, done.stderr
    assert ".part" in done.stdout
    assert PLACE not in done.stdout


async def test_a_folder_that_vanishes_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.models.download_transfer.LOOK_S", 0.1)
    drive = tmp_path / "drive"
    with hub_with(tmp_path, 4_000_000, bytes_s=300_000) as server:
        async with world(tmp_path, server, folder=drive / "models") as here:
            here.downloads.add(plan_of())
            await here.until_received(1_000_000)
            drive.rename(tmp_path / "removed")
            end = await here.downloads.wait(plan_of().ref)
            assert end.problem is not None
            assert end.problem.code == "models_folder"
            assert "is not there any more" in end.problem.what
            here.downloads.resume(plan_of().ref)
            end = await here.downloads.wait(plan_of().ref)
            assert end.problem is not None
            assert "connect it again" in end.problem.fix
            assert not drive.exists()
            (tmp_path / "removed").rename(drive)
            server.bytes_s = None
            await _resumed(here)


async def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("mine")
    with hub_with(tmp_path) as server:
        async with world(tmp_path, server) as here:
            end = await here.fetch()
            assert end.problem is not None
            assert end.problem.code == "models_folder"
    assert (tmp_path / "models").read_text() == "mine"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc, where nobody can write")
async def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with hub_with(tmp_path) as server:
        async with world(tmp_path, server, folder=Path("/proc/models")) as here:
            end = await here.fetch()
            assert end.problem is not None
            assert end.problem.code == "models_folder"
            assert "Choose another folder for models" in end.problem.fix


async def test_links_in_place_of_parts_are_not_followed(tmp_path: Path) -> None:
    victim = write_file(tmp_path / "victim", 5000)
    before = victim.read_bytes()
    layout = layout_of(tmp_path / "models", plan_of())
    layout.incomplete.mkdir(parents=True)
    with hub_with(tmp_path) as server:
        async with world(tmp_path, server) as here:
            for place in (*layout.parts, layout.lock):
                place.symlink_to(victim)
                end = await here.fetch()
                assert victim.read_bytes() == before
                assert (end.state == "done") == (place != layout.lock), "a part is made anew, a lock is refused"
                place.unlink(missing_ok=True)


async def test_damaged_notes_mean_from_the_beginning(tmp_path: Path) -> None:
    with hub_with(tmp_path, 2_000_000, bytes_s=500_000) as server:
        async with world(tmp_path, server) as here:
            here.downloads.add(plan_of())
            await here.until_received(500_000)
        sidecar = layout_of(here.folder, plan_of()).sidecar
        sidecar.write_bytes(b"\x00" * 500)
        server.bytes_s = None
        async with world(tmp_path, server) as later:
            await later.downloads.restore()
            assert later.downloads.snapshot() == ()
            assert (await later.fetch()).state == "done"
            assert later.parts == []


async def test_notes_that_lead_elsewhere_are_passed_over(tmp_path: Path) -> None:
    evil = plan_of("../../../evil.gguf")
    place = layout_of(tmp_path / "models", plan_of()).sidecar
    place.parent.mkdir(parents=True)
    plan = {
        "ref": "x", "name": "x", "quant": "", "repo": REPO, "revision": None,
        "files": [{"path": evil.files[0].path, "size_bytes": 5, "sha256": "0" * 64}],
    }  # fmt: skip
    place.write_text(json.dumps({"nearfar_download": 1, "plan": plan}) + "\n")
    with hub_with(tmp_path) as server:
        async with world(tmp_path, server) as here:
            await here.downloads.restore()
            assert here.downloads.snapshot() == ()


async def test_a_plan_for_the_same_file_finds_the_part_whatever_it_is_called(tmp_path: Path) -> None:
    with hub_with(tmp_path, 4_000_000, bytes_s=2_000_000) as server:
        async with world(tmp_path, server) as here:
            here.downloads.add(plan_of())
            await here.until_received(2_000_000)
            await here.downloads.cancel(plan_of().ref)
            asked = here.downloads.snapshot()[0].received_bytes
            server.bytes_s = None
            end = await here.fetch(replace(plan_of(), ref="tiny:Q4_K_M"))
            assert end.state == "done"
            received = sum(each.bytes_received for each in here.egress.log() if each.purpose == "model download")
            assert received < 4_000_000 + 100_000
            assert asked >= 2_000_000


async def test_the_disk_is_asked_off_the_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network drive that does not answer must not hold up the window's other work."""
    asked_by: list[str] = []

    def slow(folder: Path) -> int:
        asked_by.append(threading.current_thread().name)
        return free_bytes(folder)

    monkeypatch.setattr("backends.models.download_disk.free_bytes", slow)
    with hub_with(tmp_path) as server:
        async with world(tmp_path, server) as here:
            assert (await here.fetch()).state == "done"
            await asyncio.sleep(0)
    assert asked_by == ["aside"]
