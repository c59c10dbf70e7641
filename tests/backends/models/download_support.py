"""A hub on loopback, a models folder and a queue of downloads, for the tests that fetch. Must not judge anything."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backends.egress import Egress
from backends.keys import Secret
from backends.models.download import Downloads
from backends.models.download_reader import Pace
from backends.models.hub import Hub
from backends.models.records import DownloadPlan, DownloadProgress, RemoteFile
from tests.fakes.hub_server import HubServer

REPO = "owner/Tiny-GGUF"
NAME = "Tiny-Q4_K_M.gguf"
SPLIT_NAMES = tuple(f"Big-Q8_0/Big-Q8_0-0000{n}-of-00003.gguf" for n in (1, 2, 3))
# Several connections and pieces even for small files, and no long waits.
QUICK = Pace(
    first_connections=4, segment_bytes=256 * 1024, stall_s=1.0, give_up_s=3.0, backoff_s=0.02, max_backoff_s=0.1
)
ALIVE_S = 60.0


def write_file(path: Path, size_bytes: int, seed: int = 1) -> Path:
    """Random bytes that begin as a GGUF does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"GGUF" + random.Random(seed).randbytes(size_bytes - 4))
    return path


def listing(folder: Path) -> dict[str, int]:
    """Every file below a folder with its size."""
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def plan_of(*paths: str, repo: str = REPO, ref: str | None = None, revision: str | None = None) -> DownloadPlan:
    """A plan that leaves sizes and hashes to the hub."""
    files = tuple(RemoteFile(path) for path in paths or (NAME,))
    return DownloadPlan(ref or f"hf:{repo}/{files[0].path}", files[0].path, "Q4_K_M", repo, revision, files)


@dataclass
class World:
    """What a test of downloads stands in."""

    server: HubServer
    folder: Path
    egress: Egress
    hub: Hub
    downloads: Downloads
    changes: list[tuple[DownloadProgress, ...]] = field(default_factory=list)
    done: list[tuple[DownloadPlan, tuple[Path, ...], tuple[str, ...]]] = field(default_factory=list)

    def source(self, path: str = NAME) -> bytes:
        return (self.server.folder / REPO / path).read_bytes()

    @property
    def models(self) -> dict[str, int]:
        """The files of the models folder that are not parts."""
        return {name: size for name, size in listing(self.folder).items() if not name.startswith(".incomplete")}

    @property
    def parts(self) -> list[str]:
        return sorted(name for name in listing(self.folder) if name.startswith(".incomplete"))

    async def fetch(self, plan: DownloadPlan | None = None) -> DownloadProgress:
        plan = plan or plan_of()
        self.downloads.add(plan)
        return await asyncio.wait_for(self.downloads.wait(plan.ref), ALIVE_S)

    async def until_received(self, size_bytes: int, ref: str | None = None) -> None:
        ref = ref or plan_of().ref
        async with asyncio.timeout(ALIVE_S):
            while self.received(ref) < size_bytes:  # noqa: ASYNC110 - threads write it
                await asyncio.sleep(0.005)

    def received(self, ref: str) -> int:
        return next(each.received_bytes for each in self.downloads.snapshot() if each.ref == ref)


@asynccontextmanager
async def world(
    tmp_path: Path,
    server: HubServer,
    *,
    egress: Egress | None = None,
    token: str | None = None,
    pace: Pace = QUICK,
    limit_bytes_s: float | None = None,
    folder: Path | None = None,
) -> AsyncIterator[World]:
    """A queue that downloads from `server` into a folder of its own."""
    egress = egress or Egress()
    hub = Hub(egress, server.url, (lambda: Secret(token)) if token is not None else None, answer_s=2.0)
    place = folder or tmp_path / "models"
    here: World
    downloads = Downloads(
        hub,
        place,
        on_change=lambda news: here.changes.append(news),
        on_done=lambda plan, paths, hashes: here.done.append((plan, paths, hashes)),
        limit_bytes_s=limit_bytes_s,
        pace=pace,
    )
    here = World(server, place, egress, hub, downloads)
    try:
        yield here
    finally:
        await downloads.close()
        await hub.close()


@contextmanager
def hub_with(tmp_path: Path, size_bytes: int = 2_000_000, **options: Any) -> Iterator[HubServer]:
    """A hub whose one repo has one file of this size."""
    write_file(tmp_path / "hub" / REPO / NAME, size_bytes)
    with HubServer(tmp_path / "hub", **options) as server:
        yield server


CHILD = """
import asyncio, sys
from pathlib import Path
from backends.egress import Egress
from backends.models.download import Downloads
from backends.models.hub import Hub
from tests.backends.models.download_support import plan_of

async def main(url, folder, *names):
    hub = Hub(Egress(), url)
    downloads = Downloads(hub, Path(folder), on_change=lambda news: None, on_done=lambda *_: None)
    await downloads.restore()
    plan = plan_of(*names)
    if downloads.snapshot():
        downloads.resume(plan.ref)
    else:
        downloads.add(plan)
    print("begun", flush=True)
    end = await downloads.wait(plan.ref)
    print(end.state, end.problem.sentence if end.problem else "", flush=True)
    await downloads.close()
    await hub.close()

asyncio.run(main(*sys.argv[1:]))
"""


def start_child(url: str, folder: Path, *, script: str = CHILD, more: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """A process of its own that downloads, resuming what it finds."""
    return subprocess.Popen(
        [sys.executable, "-c", script, url, str(folder), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )


def kill(child: subprocess.Popen[str]) -> None:
    child.send_signal(signal.SIGKILL)
    child.communicate()
