"""What several tests of models stand on: the manager with its settings, and a hub with a few models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.backends.models.library_support import write_model, write_parts
from tests.backends.models.manager_bench import FILE, REPO, Bench
from tests.fakes.hub_server import HubServer


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.models.close()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    write_model(tmp_path / "hub" / REPO / FILE)
    write_parts(tmp_path / "hub" / REPO / "sub", "big", 2)
    with HubServer(tmp_path / "hub") as server:
        monkeypatch.setenv("NEARFAR_HUB_URL", server.url)
        yield server
