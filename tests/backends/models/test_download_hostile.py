"""Servers and networks that lie: each has its sentence, no file in the models folder, nothing outside it touched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.backends.models.download_support import (
    NAME,
    QUICK,
    REPO,
    listing,
    plan_of,
    world,
    write_file,
)
from tests.fakes.hub_server import HubServer

SIZE = 600_000

# fault -> (code of the error, a part of its sentence)
REFUSED = {
    "wrong_hash": ("file_mismatch", "its sha256 is wrong"),
    "too_short": ("file_mismatch", "shorter than the hub announced"),
    "too_long": ("file_mismatch", "longer than the hub announced"),
    "changed_etag": ("server_misbehaved", "another file each time"),
    "html": ("not_the_file", "web page instead of"),
    "not_gguf": ("not_the_file", "not a GGUF file"),
    "gzip": ("server_misbehaved", "compressed"),
    "endless": ("server_misbehaved", "sends more than the file"),
    "endless_continue": ("server_misbehaved", "more before the file than any server has to say"),
    "endless_trailer_early": ("server_misbehaved", "more before the file than any server has to say"),
    "endless_until_closed": ("server_misbehaved", "sends more than the file"),
    "slow_loris": ("hub_unreachable", "almost nothing came for 1 seconds"),
    "slow_head": ("hub_unreachable", "almost nothing came for 1 seconds"),
    "silent": ("hub_unreachable", "almost nothing came for 1 seconds"),
    "nothing": ("hub_unreachable", "connection to 127.0.0.1 was lost"),
    "busy": ("hub_unreachable", "too busy or failed on its side (HTTP 503)"),
    "wrong_range": ("server_misbehaved", "another part of the file"),
    "no_content_range": ("server_misbehaved", "does not say which part"),
    "circle": ("server_misbehaved", "redirects in circles"),
    "garbage": ("hub_unreachable", "connection to 127.0.0.1 was lost"),
    "portal": ("not_the_file", "web page instead of"),
    "portal_redirect": ("server_misbehaved", "portal.example, which is not one of the hub's own hosts"),
    "unencrypted": ("server_misbehaved", "cdn-lfs.hf.co without encryption"),
    "foreign": ("server_misbehaved", "huggingface.co.evil.com, which is not one of the hub's own hosts"),
    "other_scheme": ("server_misbehaved", "an address that no download uses"),
    "too_many": ("hub_unreachable", "asks you to wait"),
    "failing": ("hub_unreachable", "failed on its side (HTTP 500)"),
    "no_hash": ("server_misbehaved", "does not say size and sha256"),
    "mirror": ("server_misbehaved", "does not say size and sha256"),
    "swapped": ("file_mismatch", "its sha256 is wrong"),
}
HONEST = ("ranges_ignored", "traversal_name", "cut", "endless_trailer")


def outside(tmp_path: Path) -> dict[str, int]:
    """Everything that no download may touch."""
    return {name: size for name, size in listing(tmp_path).items() if not name.startswith("models/.incomplete")}


@pytest.fixture
def neighbours(tmp_path: Path) -> Path:
    """Files of others inside and outside the models folder."""
    write_file(tmp_path / "hub" / REPO / NAME, SIZE)
    write_file(tmp_path / "models" / "other--Repo" / "Other.gguf", 5000)
    (tmp_path / "evil.gguf").write_text("not to be touched")
    return tmp_path


@pytest.mark.parametrize("fault", REFUSED)
async def test_a_fault_has_its_sentence_and_leaves_no_file(neighbours: Path, fault: str) -> None:
    code, words = REFUSED[fault]
    before = outside(neighbours)
    with HubServer(neighbours / "hub", fault=fault) as server:
        async with world(neighbours, server) as here:
            end = await here.fetch()
            assert end.state == "failed"
            assert end.problem is not None
            assert words in end.problem.what, end.problem.what
            assert end.problem.code == code
            assert end.problem.safe
            assert end.problem.fix
    assert outside(neighbours) == before
    assert here.done == []


@pytest.mark.parametrize("fault", HONEST)
async def test_what_can_be_borne_is_borne(neighbours: Path, fault: str) -> None:
    """Ranges ignored: fetched whole. A name from the server: never used. Cut connections: gone on with.

    Lines behind a whole piece: not read to their end.
    """
    before = outside(neighbours)
    with HubServer(neighbours / "hub", fault=fault) as server:
        async with world(neighbours, server) as here:
            end = await here.fetch()
            assert end.problem is None
            assert (here.folder / "owner--Tiny-GGUF" / NAME).read_bytes() == here.source()
    assert outside(neighbours) == {**before, f"models/owner--Tiny-GGUF/{NAME}": SIZE}


async def test_a_wrong_hash_is_fetched_once_more(neighbours: Path) -> None:
    pieces = -(-SIZE // QUICK.segment_bytes)
    with HubServer(neighbours / "hub", fault="wrong_hash", fault_times=pieces) as server:
        async with world(neighbours, server) as here:
            assert (await here.fetch()).state == "done"
            assert len(server.cdn_seen) == 2 * pieces
        server.fault_times = None
        async with world(neighbours, server, folder=neighbours / "others") as twice:
            asked = len(server.cdn_seen)
            end = await twice.fetch()
            assert end.problem is not None
            assert end.problem.code == "file_mismatch"
            assert len(server.cdn_seen) == asked + 2 * pieces, "not a third time"
            assert twice.parts == [], "the damaged bytes are gone"


async def test_a_server_that_stops_knowing_ranges_restarts_the_part(neighbours: Path) -> None:
    with HubServer(neighbours / "hub", bytes_s=200_000) as server:
        async with world(neighbours, server) as here:
            here.downloads.add(plan_of())
            await here.until_received(200_000)
            await here.downloads.pause(plan_of().ref)
            server.fault, server.bytes_s = "ranges_ignored", None
            here.downloads.resume(plan_of().ref)
            assert (await here.downloads.wait(plan_of().ref)).state == "done"
            assert (here.folder / "owner--Tiny-GGUF" / NAME).read_bytes() == here.source()


async def test_a_changed_etag_restarts_the_part_and_a_settled_one_finishes(neighbours: Path) -> None:
    with HubServer(neighbours / "hub", fault="changed_etag", fault_times=1) as server:
        async with world(neighbours, server) as here:
            assert (await here.fetch()).state == "done"
            assert (here.folder / "owner--Tiny-GGUF" / NAME).read_bytes() == here.source()


async def test_another_file_under_the_same_name_starts_over(neighbours: Path) -> None:
    with HubServer(neighbours / "hub", bytes_s=200_000) as server:
        async with world(neighbours, server) as here:
            here.downloads.add(plan_of())
            await here.until_received(200_000)
        write_file(neighbours / "hub" / REPO / NAME, SIZE, seed=2)
        server.bytes_s = None
        async with world(neighbours, server) as later:
            assert (await later.fetch()).state == "done"
            assert (later.folder / "owner--Tiny-GGUF" / NAME).read_bytes() == later.source()


async def test_a_plan_that_knows_better_than_the_hub(neighbours: Path) -> None:
    """The catalogue holds sizes and hashes; a hub that has others now is not believed."""
    plan = plan_of()
    file = replace(plan.files[0], size_bytes=SIZE, sha256="0" * 64)
    with HubServer(neighbours / "hub") as server:
        async with world(neighbours, server) as here:
            end = await here.fetch(replace(plan, files=(file,)))
            assert end.problem is not None
            assert (end.problem.code, server.cdn_seen) == ("file_mismatch", [])
            assert "another file under the name" in end.problem.what


async def test_a_mirror_that_names_no_size_will_do_where_the_plan_knows_it(neighbours: Path) -> None:
    with HubServer(neighbours / "hub") as server:
        async with world(neighbours, server) as here:
            listing = await here.hub.listing(REPO)
            plan = listing.plan(listing.models[0])
            server.fault = "mirror"
            assert (await here.fetch(plan)).state == "done"


async def test_a_network_that_drops_in_mid_download_comes_back(neighbours: Path) -> None:
    with HubServer(neighbours / "hub", bytes_s=100_000) as server:
        async with world(neighbours, server) as here:
            here.downloads.add(plan_of())
            await here.until_received(100_000)
            server.fault, server.fault_times, server.bytes_s = "nothing", 4, None
            assert (await here.downloads.wait(plan_of().ref)).state == "done"


async def test_a_network_that_stays_away_keeps_the_part(neighbours: Path) -> None:
    with HubServer(neighbours / "hub", bytes_s=100_000) as server:
        async with world(neighbours, server, pace=replace(QUICK, give_up_s=0.3)) as here:
            here.downloads.add(plan_of())
            await here.until_received(200_000)
            server.lifetime_requests, server.fault = 0, "failing"
            server.drop_connections()
            end = await here.downloads.wait(plan_of().ref)
            assert end.state == "failed"
            assert end.problem is not None
            assert end.problem.safe == "What was downloaded so far is kept."
            assert end.received_bytes >= 200_000
            server.lifetime_requests = server.fault = server.bytes_s = None
            here.downloads.resume(plan_of().ref)
            assert (await here.downloads.wait(plan_of().ref)).state == "done"


async def test_nobody_answers(neighbours: Path) -> None:
    with HubServer(neighbours / "hub") as server:
        pass
    async with world(neighbours, server) as here:
        end = await here.fetch()
        assert end.problem is not None
        assert end.problem.what == "Nothing answers at 127.0.0.1: the connection was refused."
        assert here.parts == []


@pytest.mark.parametrize(
    ("token", "fix"), [(None, "Accept its licence"), ("hf_wrong", "with that account"), ("hf_standin", None)]
)
async def test_a_gated_repo(neighbours: Path, token: str | None, fix: str | None) -> None:
    with HubServer(neighbours / "hub", gated={REPO}) as server:
        async with world(neighbours, server, token=token) as here:
            end = await here.fetch()
            assert (end.state == "done") == (fix is None)
            if fix is not None:
                assert end.problem is not None
                assert end.problem.code == "repo_gated"
                assert fix in end.problem.fix
            assert all("authorization" not in seen.headers for seen in server.cdn_seen), "never to the file server"
            assert token is None or "authorization" in server.seen[0].headers


@pytest.mark.parametrize(
    ("plan", "code", "words"),
    [
        (plan_of(repo="nobody/Nothing"), "repo_hidden", "missing, private or gated"),
        (plan_of("None-Q4_K_M.gguf"), "repo_missing", "There is no file owner/Tiny-GGUF/None-Q4_K_M.gguf"),
        (plan_of(revision="gone"), "repo_missing", "no such revision any more"),
    ],
)
async def test_what_the_hub_does_not_have(neighbours: Path, plan: object, code: str, words: str) -> None:
    with HubServer(neighbours / "hub") as server:
        async with world(neighbours, server) as here:
            end = await here.fetch(plan)  # type: ignore[arg-type]  # parametrize loses the type
            assert end.problem is not None
            assert words in end.problem.what
            assert end.problem.code == code

            assert here.parts == []
