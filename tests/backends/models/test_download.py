"""Downloads that go well: whole, in parts, stopped and gone on with, one after the other."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from pathlib import Path

import pytest

from backends.models.errors import BadReference, DownloadError, LicenceNotAccepted
from backends.models.hub import DOWNLOAD
from tests.backends.models.download_support import (
    NAME,
    REPO,
    SPLIT_NAMES,
    hub_with,
    plan_of,
    start_child,
    world,
    write_file,
)
from tests.fakes.hub_server import HubServer

PLACE = f"owner--Tiny-GGUF/{NAME}"


async def test_a_file_comes_whole_under_our_own_name(tmp_path: Path) -> None:
    with hub_with(tmp_path) as server:
        async with world(tmp_path, server) as here:
            end = await here.fetch()
            assert (end.state, end.problem) == ("done", None)
            assert end.received_bytes == end.total_bytes == 2_000_000
            assert (here.folder / PLACE).read_bytes() == here.source()
            assert here.models == {PLACE: 2_000_000}
            assert here.parts == []
            ((plan, paths, hashes),) = here.done
            assert paths == (here.folder / PLACE,)
            assert hashes == (hashlib.sha256(here.source()).hexdigest(),)
            assert plan.revision == server.commit(REPO), "pinned to the commit that was fetched"
            assert plan.files[0].size_bytes == 2_000_000
            assert {contact.purpose for contact in here.egress.log()} == {"model listing", DOWNLOAD}
            assert all(seen.headers["accept-encoding"] == "identity" for seen in server.cdn_seen)
            assert len({seen.headers["range"] for seen in server.cdn_seen}) == 8, "several pieces"
    received = sum(contact.bytes_received for contact in here.egress.log() if contact.purpose == DOWNLOAD)
    assert 2_000_000 < received < 2_020_000, "nothing was fetched twice, and all of it was counted"


async def test_parts_become_a_model_only_together(tmp_path: Path) -> None:
    for number, name in enumerate(SPLIT_NAMES):
        write_file(tmp_path / "hub" / REPO / name, 300_000 + number, seed=number)
    with HubServer(tmp_path / "hub", bytes_s=300_000) as server:
        async with world(tmp_path, server) as here:
            plan = plan_of(*SPLIT_NAMES)
            here.downloads.add(plan)
            await here.until_received(650_000, plan.ref)
            assert here.models == {}, "two parts are complete, but the model is not"
            server.bytes_s = None
            end = await here.downloads.wait(plan.ref)
            assert end.state == "done"
            assert end.total_bytes == 900_003
            home = here.folder / "owner--Tiny-GGUF"
            assert here.done[0][1] == tuple(home / name for name in SPLIT_NAMES)
            assert all((home / name).read_bytes() == here.source(name)
                       for name in SPLIT_NAMES)  # fmt: skip
            assert here.parts == []


async def test_a_paused_download_goes_on_where_it_was(tmp_path: Path) -> None:
    with hub_with(tmp_path, 8_000_000, bytes_s=4_000_000) as server:
        async with world(tmp_path, server) as here:
            here.downloads.add(plan_of())
            await here.until_received(3_000_000)
            await here.downloads.pause(plan_of().ref)
            (paused,) = here.downloads.snapshot()
            assert paused.state == "paused"
            assert paused.received_bytes >= 3_000_000
            assert here.models == {}
            await asyncio.sleep(0.05)  # a request that was on its way is counted late
            asked = len(server.cdn_seen)
            await asyncio.sleep(0.05)
            assert len(server.cdn_seen) == asked, "nobody is asked while it is paused"
            here.downloads.resume(plan_of().ref)
            server.bytes_s = None
            end = await here.downloads.wait(plan_of().ref)
            assert end.state == "done"
        received = sum(each.bytes_received for each in here.egress.log() if each.purpose == DOWNLOAD)
        assert received < 8_000_000 + 100_000, "what had come was not fetched again"


async def test_a_pause_in_the_very_first_moment_holds(tmp_path: Path) -> None:
    with hub_with(tmp_path) as server:
        async with world(tmp_path, server) as here:
            here.downloads.add(plan_of())
            await here.downloads.pause(plan_of().ref)
            assert here.downloads.snapshot()[0].state == "paused"
            assert server.seen == []
            here.downloads.resume(plan_of().ref)
            await asyncio.sleep(0)
            await here.downloads.pause(plan_of().ref)
            assert here.downloads.snapshot()[0].state == "paused"
            here.downloads.resume(plan_of().ref)
            assert (await here.downloads.wait(plan_of().ref)).state == "done"


async def test_another_session_finds_and_finishes_it(tmp_path: Path) -> None:
    with hub_with(tmp_path, 4_000_000, bytes_s=2_000_000) as server:
        async with world(tmp_path, server) as first:
            first.downloads.add(plan_of())
            await first.until_received(2_000_000)
        server.bytes_s = None
        async with world(tmp_path, server) as second:
            await second.downloads.restore()
            (found,) = second.downloads.snapshot()
            assert (found.state, found.total_bytes, found.name) == ("paused", 4_000_000, NAME)
            assert found.received_bytes >= 2_000_000
            assert second.server.cdn_seen
            second.downloads.resume(found.ref)
            assert (await second.downloads.wait(found.ref)).state == "done"
        received = sum(each.bytes_received for each in second.egress.log() if each.purpose == DOWNLOAD)
        assert received < 2_100_000
        assert (second.folder / PLACE).read_bytes() == second.source()


async def test_one_at_a_time_and_the_next_by_itself(tmp_path: Path) -> None:
    write_file(tmp_path / "hub" / REPO / "Other-Q8_0.gguf", 400_000, seed=9)
    with hub_with(tmp_path, 400_000, bytes_s=400_000) as server:
        async with world(tmp_path, server) as here:
            second = plan_of("Other-Q8_0.gguf")
            here.downloads.add(plan_of())
            here.downloads.add(second)
            assert [each.state for each in here.downloads.snapshot()] == ["running", "queued"]
            await here.until_received(1)
            assert [each.state for each in here.downloads.snapshot()] == ["running", "queued"]
            await here.downloads.pause(second.ref)
            here.downloads.resume(second.ref)
            server.bytes_s = None
            assert (await here.downloads.wait(second.ref)).state == "done"
            assert [plan.ref for plan, _paths, _hashes in here.done] == [plan_of().ref, second.ref]


async def test_cancelling_keeps_the_part_and_discarding_removes_it(tmp_path: Path) -> None:
    with hub_with(tmp_path, 4_000_000, bytes_s=2_000_000) as server:
        async with world(tmp_path, server) as here:
            here.downloads.add(plan_of())
            await here.until_received(1_000_000)
            await here.downloads.cancel(plan_of().ref)
            (cancelled,) = here.downloads.snapshot()
            assert cancelled.state == "cancelled"
            assert len(here.parts) == 2, "the part and its notes"
            here.downloads.resume(cancelled.ref)
            await here.until_received(1_500_000)
            await here.downloads.cancel(plan_of().ref, discard=True)
            assert here.parts == []
            assert here.models == {}
            here.downloads.forget(plan_of().ref)
            assert here.downloads.snapshot() == ()


async def test_the_same_file_twice_is_refused(tmp_path: Path) -> None:
    with hub_with(tmp_path, bytes_s=100_000) as server:
        async with world(tmp_path, server) as here:
            here.downloads.add(plan_of())
            with pytest.raises(DownloadError, match="downloaded already"):
                here.downloads.add(plan_of())
            with pytest.raises(DownloadError, match="downloaded already"):
                here.downloads.add(plan_of(ref="tiny:Q4_K_M"))
            assert len(here.downloads.snapshot()) == 1


async def test_the_same_file_in_two_processes_is_refused(tmp_path: Path) -> None:
    with hub_with(tmp_path, bytes_s=20_000) as server:
        async with world(tmp_path, server) as here:
            here.downloads.add(plan_of())
            await here.until_received(1)
            child = start_child(server.url, here.folder)
            said, errors = await asyncio.to_thread(child.communicate, timeout=60)
            assert "Another Nearfar is downloading this file now." in said, errors
            server.bytes_s = None
            assert (await here.downloads.wait(plan_of().ref)).state == "done"
            assert here.models == {PLACE: 2_000_000}
            assert here.parts == []


async def test_what_is_there_already_is_not_fetched(tmp_path: Path) -> None:
    with hub_with(tmp_path) as server:
        async with world(tmp_path, server) as here:
            await here.fetch()
            asked = len(server.cdn_seen)
            assert (await here.fetch()).state == "done"
            assert len(server.cdn_seen) == asked


async def test_a_limit_is_kept_and_can_be_lifted(tmp_path: Path) -> None:
    with hub_with(tmp_path, 3_000_000) as server:
        async with world(tmp_path, server, limit_bytes_s=400_000) as here:
            here.downloads.add(plan_of())
            await here.until_received(1)
            began = time.monotonic()
            await asyncio.sleep(1)
            (running,) = here.downloads.snapshot()
            allowed = 400_000 * (time.monotonic() - began) + 4 * 25_000  # each connection has one read ahead
            assert 0 < running.received_bytes <= allowed * 1.1
            assert running.rate_bytes_s is not None
            assert running.left_s is not None
            here.downloads.set_limit(None)
            assert (await asyncio.wait_for(here.downloads.wait(plan_of().ref), 20)).state == "done"


async def test_changes_are_told_at_most_five_times_a_second(tmp_path: Path) -> None:
    with hub_with(tmp_path, 1_000_000, bytes_s=250_000) as server:
        async with world(tmp_path, server) as here:
            began = time.monotonic()
            other = plan_of("Other.gguf")
            here.downloads.add(plan_of())
            here.downloads.add(other)
            for _ in range(30):
                await here.downloads.pause(other.ref)
                here.downloads.resume(other.ref)
            await here.downloads.cancel(other.ref)
            here.downloads.forget(other.ref)
            await here.downloads.wait(plan_of().ref)
            took_s = time.monotonic() - began
            await asyncio.sleep(0.25)
            assert len(here.changes) <= 5 * (took_s + 0.25) + 2
            assert here.changes[-1][0].state == "done"
            assert {each[0].state for each in here.changes if each} <= {"running", "done", "queued"}


async def test_expired_addresses_are_renewed(tmp_path: Path) -> None:
    with hub_with(tmp_path, lifetime_requests=2) as server:
        async with world(tmp_path, server) as here:
            assert (await here.fetch()).state == "done"
            asked = [seen for seen in server.seen if "/resolve/" in seen.path]
            assert len(asked) >= 4, "eight pieces at two for each address"


async def test_a_renamed_repo_and_a_pinned_commit(tmp_path: Path) -> None:
    with hub_with(tmp_path) as server:
        server.renamed["old/Name"] = REPO
        async with world(tmp_path, server) as here:
            assert (await here.fetch(plan_of(repo="old/Name", revision=server.commit(REPO)))).state == "done"
            assert here.models == {f"old--Name/{NAME}": 2_000_000}, "the name is ours, not the server's"


async def test_what_the_end_callback_says_is_told(tmp_path: Path) -> None:
    with hub_with(tmp_path) as server:
        async with world(tmp_path, server) as here:

            async def refuse(*_: object) -> None:
                raise LicenceNotAccepted("no")

            here.downloads._on_done = refuse
            end = await here.fetch()
            assert end.state == "failed"
            assert end.problem is not None
            assert end.problem.code == "licence_not_accepted"
            assert here.models == {PLACE: 2_000_000}


@pytest.mark.parametrize(
    "plan",
    [
        plan_of("../evil.gguf"),
        plan_of("/etc/evil.gguf"),
        plan_of("a/../../evil.gguf"),
        plan_of("C:evil.gguf"),
        plan_of("nul.gguf"),
        plan_of("evil.txt"),
        plan_of("a\nb.gguf"),
        plan_of(NAME, repo="../.."),
        plan_of(NAME, repo="https://evil.example/x"),
        plan_of(NAME, f"sub/{NAME}"),
        plan_of(NAME, revision="../x"),
    ],
    ids=lambda plan: f"{plan.repo} {plan.files[0].path!r} {plan.revision}",
)
async def test_a_plan_with_a_bad_name_is_refused(tmp_path: Path, plan: object) -> None:
    with hub_with(tmp_path) as server:
        async with world(tmp_path, server) as here:
            with pytest.raises(BadReference):
                here.downloads.add(plan)  # type: ignore[arg-type]  # parametrize loses the type
            assert server.seen == []
            assert not here.folder.exists()


async def test_closing_in_the_middle_leaves_no_thread(tmp_path: Path) -> None:
    with hub_with(tmp_path, bytes_s=100_000) as server:
        async with world(tmp_path, server) as here:
            here.downloads.add(plan_of())
            await here.until_received(1)
            assert any(thread.name.startswith("download-") for thread in threading.enumerate())
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("download-")]


async def test_a_download_that_nobody_knows(tmp_path: Path) -> None:
    with hub_with(tmp_path) as server:
        async with world(tmp_path, server) as here:
            await here.downloads.pause("x:y")
            await here.downloads.cancel("x:y", discard=True)
            here.downloads.resume("x:y")
            with pytest.raises(KeyError):
                await here.downloads.wait("x:y")
