"""Models in several files: a part that is whole is never fetched nor read again, whatever became of the others."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.models.download_disk import RESERVE_BYTES, check_space
from backends.models.download_names import layout_of
from tests.backends.models.download_support import (
    CHILD,
    REPO,
    SPLIT_NAMES,
    World,
    listing,
    plan_of,
    start_child,
    world,
    write_file,
)
from tests.fakes.hub_server import HubServer

SIZE = 600_000
PLAN = plan_of(*SPLIT_NAMES)
PLACES = tuple(path.as_posix() for path in layout_of(Path(), PLAN).final)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubServer]:
    for number, name in enumerate(SPLIT_NAMES):
        write_file(tmp_path / "hub" / REPO / name, SIZE, seed=number)
    with HubServer(tmp_path / "hub") as server:
        yield server


def fetched(server: HubServer) -> list[int]:
    """Bytes that were sent of each file of the split."""
    files = [server.folder / REPO / name for name in SPLIT_NAMES]
    return [sum(sent.stop - sent.start for sent in server.sent if sent.path == file) for file in files]


def part(number: int) -> str:
    return layout_of(Path(), PLAN).parts[number].as_posix()


def assert_whole(here: World) -> None:
    assert here.models == dict.fromkeys(PLACES, SIZE)
    assert all((here.folder / place).read_bytes() == here.source(name)
               for place, name in zip(PLACES, SPLIT_NAMES, strict=True))  # fmt: skip
    assert here.parts == []


async def test_a_bad_part_costs_no_other_part(tmp_path: Path, hub: HubServer) -> None:
    """The second part comes with wrong bytes twice; the first, which is verified, is neither fetched nor read again."""
    true = hub.folder / REPO / SPLIT_NAMES[1]
    good = true.read_bytes()
    async with world(tmp_path, hub) as here:
        true.write_bytes(good[:1000] + bytes([good[1000] ^ 1]) + good[1001:])
        hub.vouches[true] = hashlib.sha256(good).hexdigest()
        end = await here.fetch(PLAN)
        assert end.problem is not None
        assert end.problem.code == "file_mismatch"
        assert end.problem.safe == "The damaged file was removed; no other file was touched."
        assert [name for name in here.parts if name.endswith(".part")] == [part(0)], "only the damaged part went"
        assert end.received_bytes == SIZE
        true.write_bytes(good)
        hub.sent.clear()
        here.downloads.resume(PLAN.ref)
        assert (await here.downloads.wait(PLAN.ref)).state == "done"
        assert fetched(hub) == [0, SIZE, SIZE]
        assert_whole(here)


async def test_a_part_that_is_verified_is_not_read_again(
    tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from backends.models.download_part import Part

    hashed: list[str] = []
    hash_into = Part.hash_into

    def recorded(self: Part, *arguments: object) -> bool:
        hashed.append(self.path.name)
        return hash_into(self, *arguments)  # type: ignore[arg-type]  # as it came

    monkeypatch.setattr(Part, "hash_into", recorded)
    hub.bytes_s = 400_000
    async with world(tmp_path, hub) as here:
        here.downloads.add(PLAN)
        await here.until_received(SIZE + 100_000, PLAN.ref)
    hub.bytes_s = None
    hub.sent.clear()
    hashed.clear()
    async with world(tmp_path, hub) as later:
        await later.downloads.restore()
        assert later.downloads.snapshot()[0].received_bytes >= SIZE + 100_000
        later.downloads.resume(PLAN.ref)
        assert (await later.downloads.wait(PLAN.ref)).state == "done"
        assert [name for name in hashed if "00001-of" in name] == []
        assert fetched(hub)[0] == 0
        assert_whole(later)


async def test_a_verified_part_that_was_changed_since_is_read_again(tmp_path: Path, hub: HubServer) -> None:
    hub.bytes_s = 400_000
    async with world(tmp_path, hub) as here:
        here.downloads.add(PLAN)
        await here.until_received(SIZE + 100_000, PLAN.ref)
    (part,) = (here.folder / ".incomplete").glob("*00001-of-00003.gguf*.part")
    with part.open("r+b") as file:
        file.seek(5000)
        file.write(b"changed")
    hub.bytes_s = None
    async with world(tmp_path, hub) as later:
        assert (await later.fetch(PLAN)).state == "done"
        assert_whole(later)


async def test_one_lost_part_of_an_installed_model_is_all_that_comes(tmp_path: Path, hub: HubServer) -> None:
    async with world(tmp_path, hub) as here:
        await here.fetch(PLAN)
        (here.folder / PLACES[1]).unlink()
        hub.sent.clear()
        end = await here.fetch(PLAN)
        assert (end.state, end.received_bytes) == ("done", 3 * SIZE)
        assert fetched(hub) == [0, SIZE, 0]
        assert len(here.done[-1][1]) == 3
        assert_whole(here)


KILLED_WHILE_PUBLISHING = """
import os, signal, backends.models.download_files as files
_replace, _left = os.replace, [int(sys.argv.pop())]
def _one_more(source, target):
    _replace(source, target)
    if str(target).endswith(".gguf"):
        _left[0] -= 1
        if not _left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
files.os.replace = _one_more
"""


@pytest.mark.parametrize("renames", [1, 2, 3])
async def test_a_kill_between_two_renames_costs_nothing(tmp_path: Path, hub: HubServer, renames: int) -> None:
    before, after = CHILD.split("async def main", 1)
    script = f"{before}{KILLED_WHILE_PUBLISHING}\nasync def main{after}"
    child = start_child(hub.url, tmp_path / "models", script=script, more=(*SPLIT_NAMES, str(renames)))
    _said, errors = child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL, errors
    there = [name for name in listing(tmp_path / "models") if not name.startswith(".incomplete")]
    assert sorted(there) == sorted(PLACES[3 - renames :]), "the one that llama.cpp opens comes last"
    hub.sent.clear()
    async with world(tmp_path, hub) as here:
        await here.downloads.restore()
        (found,) = here.downloads.snapshot()
        assert found.received_bytes == 3 * SIZE
        here.downloads.resume(found.ref)
        assert (await here.downloads.wait(found.ref)).state == "done"
        assert fetched(hub) == [0, 0, 0]
        assert_whole(here)


async def test_space_is_asked_for_again_before_each_part(
    tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others fill the disk while the first part comes, whose own space was taken ahead; the rest is not begun."""
    free = [RESERVE_BYTES + 3 * SIZE]
    asked: list[int] = []

    def asks(folder: Path, missing_bytes: int) -> None:
        asked.append(missing_bytes)
        check_space(folder, missing_bytes)

    monkeypatch.setattr("backends.models.download_disk.free_bytes", lambda _folder: free[0])
    monkeypatch.setattr("backends.models.download_job.check_space", asks)
    hub.bytes_s = 400_000
    async with world(tmp_path, hub) as here:
        here.downloads.add(PLAN)
        await here.until_received(100_000, PLAN.ref)
        free[0] = RESERVE_BYTES + SIZE
        end = await here.downloads.wait(PLAN.ref)
        assert end.problem is not None
        assert end.problem.code == "disk_full"
        assert "this download needs 1.14 MiB" in end.problem.what, "what is still missing, not all of it"
        assert (end.received_bytes, fetched(hub)) == (SIZE, [SIZE, 0, 0])
        assert asked == [3 * SIZE, 2 * SIZE]
        free[0], hub.bytes_s = RESERVE_BYTES + 2 * SIZE, None
        here.downloads.resume(PLAN.ref)
        assert (await here.downloads.wait(PLAN.ref)).state == "done"
        assert fetched(hub) == [SIZE, SIZE, SIZE]
        assert asked[2:] == [2 * SIZE, SIZE]
        assert_whole(here)


async def test_parts_that_are_in_place_need_no_space(
    tmp_path: Path, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path, hub) as here:
        await here.fetch(PLAN)
        (here.folder / PLACES[2]).unlink()
        monkeypatch.setattr("backends.models.download_disk.free_bytes", lambda _folder: RESERVE_BYTES + SIZE)
        assert (await here.fetch(PLAN)).state == "done"
        assert_whole(here)
        assert os.listdir(here.folder / ".incomplete") == []
