"""Downloads and the one door to the network: the policy holds at any moment, and encryption is checked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from backends.egress import Egress
from backends.egress_policy import Policy
from backends.egress_route import Route
from backends.errors import NetworkNotAllowed
from backends.models.hub import DOWNLOAD
from tests.backends.models.download_support import NAME, QUICK, REPO, hub_with, plan_of, world, write_file
from tests.fakes.hub_server import CERTIFICATES, HubServer

PLACE = f"owner--Tiny-GGUF/{NAME}"


async def test_local_only_refuses_before_anything_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With this machine's own address taken for a foreign one, so that the policy has something to refuse."""
    monkeypatch.setattr("backends.egress.on_this_machine", lambda _host: False)
    monkeypatch.setattr("backends.egress_policy.on_this_machine", lambda _host: False)
    with hub_with(tmp_path) as server:
        async with world(tmp_path, server, egress=Egress(Policy(local_only=True))) as here:
            here.hub.allow()
            end = await here.fetch()
            assert end.state == "failed"
            assert end.problem is not None
            assert "Local only is switched on" in end.problem.what
            assert server.seen == []
            assert not here.folder.exists()
            here.egress.set_policy(Policy(local_only=False))
            assert (await here.fetch()).problem is not None, "nobody allowed this host"
            here.hub.allow()
            assert (await here.fetch()).state == "done"


async def test_local_only_ends_a_download_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.egress.on_this_machine", lambda _host: False)
    monkeypatch.setattr("backends.egress_policy.on_this_machine", lambda _host: False)
    monkeypatch.setattr("backends.egress_socket.on_this_machine", lambda _host: False)
    with hub_with(tmp_path, 4_000_000, bytes_s=1_000_000) as server:
        one_request = replace(QUICK, connections=1, segment_bytes=32 * 2**20)
        async with world(tmp_path, server, egress=Egress(Policy(local_only=False)), pace=one_request) as here:
            here.hub.allow()
            here.downloads.add(plan_of())
            await here.until_received(1_000_000)
            here.egress.set_policy(Policy(local_only=True))
            end = await asyncio.wait_for(here.downloads.wait(plan_of().ref), 20)
            assert end.problem is not None
            assert end.problem.code == NetworkNotAllowed.code
            assert len(here.parts) == 2
            assert end.received_bytes < 4_000_000, "it ended in the middle of a body"


async def test_over_an_encrypted_connection(tmp_path: Path) -> None:
    """With the stand-in's certificate in the person's own file of authorities."""
    egress = Egress()
    egress.route = Route(ca_file=str(CERTIFICATES / "valid.pem"))
    write_file(tmp_path / "hub" / REPO / NAME, 5_000_000)
    with HubServer(tmp_path / "hub", host="localhost", certificate="valid", bytes_s=2_000_000) as server:
        async with world(tmp_path, server, egress=egress) as here:
            here.downloads.add(plan_of())
            await here.until_received(1_000_000)
            await here.downloads.pause(plan_of().ref)
            server.bytes_s = None
            here.downloads.resume(plan_of().ref)
            assert (await here.downloads.wait(plan_of().ref)).problem is None
            assert (here.folder / PLACE).read_bytes() == here.source()


async def test_a_certificate_that_nobody_trusts(tmp_path: Path) -> None:
    write_file(tmp_path / "hub" / REPO / NAME, 5_000)
    with HubServer(tmp_path / "hub", host="localhost", certificate="valid") as server:
        async with world(tmp_path, server) as here:
            end = await here.fetch()
            assert end.problem is not None
            assert "is not trusted by this machine" in end.problem.what
            assert server.seen == []


@pytest.mark.parametrize(("bytes_s", "enough_bytes_s", "connections"), [(2_000_000, 1e9, 4), (None, 1e5, 1)])
async def test_more_connections_only_while_they_may_help(
    tmp_path: Path, bytes_s: int | None, enough_bytes_s: float, connections: int
) -> None:
    """A slow server gets as many as there may be, a fast one the first alone. `bytes_s` is one connection's."""
    pace = replace(QUICK, first_connections=1, widen_s=0.05, enough_bytes_s=enough_bytes_s)
    with hub_with(tmp_path, 8_000_000 if bytes_s else 40_000_000, bytes_s=bytes_s) as server:
        async with world(tmp_path, server, pace=pace) as here:
            assert (await here.fetch()).state == "done"
            assert (here.folder / PLACE).read_bytes() == here.source()
            assert sum(contact.purpose == DOWNLOAD for contact in here.egress.log()) == connections
