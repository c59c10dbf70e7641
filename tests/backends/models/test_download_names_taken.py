"""A download never takes the place of another file: not of one from its own repo, nor of one put there by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.models.library import Library
from tests.backends.models.download_support import NAME, REPO, hub_with, plan_of, world, write_file
from tests.fakes.hub_server import HubServer

PLACE = f"owner--Tiny-GGUF/{NAME}"


async def test_two_files_of_one_name_are_two_models(tmp_path: Path) -> None:
    paths = ("Q4_0/model.gguf", "Q8_0/model.gguf")
    for number, path in enumerate(paths):
        write_file(tmp_path / "hub" / REPO / path, 300_000, seed=number)
    with HubServer(tmp_path / "hub", bytes_s=300_000) as server:
        async with world(tmp_path, server) as here:
            for path in paths:
                here.downloads.add(plan_of(path))
            await here.until_received(1, plan_of(paths[0]).ref)
            server.bytes_s = None
            for path in paths:
                assert (await here.downloads.wait(plan_of(path).ref)).state == "done"
            assert all((here.folder / "owner--Tiny-GGUF" / path).read_bytes() == here.source(path) for path in paths)
            library = Library(here.folder, tmp_path / "index.json")
            for plan, files, hashes in here.done:
                library.add_downloaded(plan, files, hashes)
                assert library.find(plan.ref).files == files
            assert [(model.ref, model.check) for model in library.scan()] == [
                (f"hf:{REPO}/{path}", "verified") for path in paths
            ]
            (tmp_path / "index.json").unlink()
            assert Library(here.folder, tmp_path / "index.json").find(plan_of(paths[1]).ref).files == here.done[1][1]


@pytest.mark.parametrize("size", [5_000, 2_000_000])
async def test_a_file_with_other_bytes_is_not_replaced(tmp_path: Path, size: int) -> None:
    """Put there by hand, or damaged since: the person decides."""
    with hub_with(tmp_path) as server:
        async with world(tmp_path, server) as here:
            mine = write_file(here.folder / PLACE, size, seed=7)
            before = mine.read_bytes()
            end = await here.fetch()
            assert end.problem is not None
            assert end.problem.code == "name_taken"
            assert f"another file named {NAME} in" in end.problem.what
            assert mine.read_bytes() == before
            assert (server.cdn_seen, here.parts) == ([], []), "said before anything comes"
            mine.rename(here.folder / "elsewhere.gguf")
            here.downloads.resume(plan_of().ref)
            assert (await here.downloads.wait(plan_of().ref)).state == "done"


async def test_a_file_that_comes_in_the_way_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with hub_with(tmp_path, bytes_s=400_000) as server:
        async with world(tmp_path, server) as here:
            here.downloads.add(plan_of())
            await here.until_received(100_000)
            mine = write_file(here.folder / PLACE, 5_000, seed=7)
            before = mine.read_bytes()
            server.bytes_s = None
            end = await here.downloads.wait(plan_of().ref)
            assert end.problem is not None
            assert (end.problem.code, mine.read_bytes()) == ("name_taken", before)
            mine.unlink()
            server.sent.clear()
            here.downloads.resume(plan_of().ref)
            assert (await here.downloads.wait(plan_of().ref)).state == "done"
            assert server.served_bytes == 0, "what came is kept"
