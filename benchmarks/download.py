"""Measures downloading: ours, verified and durable, beside curl. Must not know the window.

    ours      the app's own queue: listing, ranges over several connections, sha256, fsync, rename
    curl      curl -L -o FILE: neither hashes nor syncs
    durable   the same, then sync FILE: as safe from a power cut as ours is at its end
    hashed    curl -L | sha256sum: hashes, keeps nothing
    bare      what hashing alone leaves of curl's rate: download_bare.py

Server and file are those of the tests' stand-in hub: a process of its own that answers with sendfile. The ways take
turns, so that a busy machine slows all of them alike; each run begins with nothing unwritten in memory, and with memory
for the file at hand: a virtual machine gives back what is free, and pays for taking it again. Besides, it
measures what a mebibyte costs in CPU time when the app's usual HTTP client reads it on the engine loop instead.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from download_bare import take_memory
from download_page import TEXT

from backends.egress import Egress
from backends.models.download import Downloads
from backends.models.download_http import RangeClient
from backends.models.download_reader import Pace
from backends.models.hub import DOWNLOAD, LISTING, Hub, Resolved
from backends.models.hub_address import HubAddress

ROOT = Path(__file__).resolve().parents[1]
REPO, NAME = "owner/Benchmark-GGUF", "Benchmark-Q4_K_M.gguf"
AIM_TIMES_CURL, AIM_MEMORY_MIB = 0.9, 64.0
MIB = 2**20
READ_MIB = 512
WAYS = ("curl", "ours", "bare", "durable", "hashed")


@dataclass(frozen=True, slots=True)
class Run:
    """One download. Memory is the growth of the resident size from just before it began to its peak."""

    seconds: float
    memory_mib: float | None = None
    cpu_s: float | None = None


def make_file(folder: Path, size_bytes: int) -> Path:
    """Random bytes that begin as a GGUF; made once."""
    path = folder / "hub" / REPO / NAME
    if not path.exists() or path.stat().st_size != size_bytes:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(b"GGUF")
            while (left := size_bytes - file.tell()) > 0:
                file.write(os.urandom(min(left, 16 * MIB)))
    return path


@contextmanager
def hub_server(folder: Path) -> Iterator[str]:
    """The stand-in hub in a process of its own; its address."""
    command = [sys.executable, "-m", "tests.fakes.hub_server", "--folder", str(folder / "hub")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


def by_curl(url: str, folder: Path, size_bytes: int, *, durable: bool = False) -> Run:
    target = folder / "by-curl.gguf"
    take_memory(folder, size_bytes)
    began = time.perf_counter()
    subprocess.run(["curl", "-sfL", "-o", str(target), f"{url}/{REPO}/resolve/main/{NAME}"], check=True)
    if durable:
        subprocess.run(["sync", str(target)], check=True)
    seconds = time.perf_counter() - began
    target.unlink()
    return Run(seconds)


def by_curl_hashed(url: str) -> Run:
    began = time.perf_counter()
    with subprocess.Popen(["curl", "-sfL", f"{url}/{REPO}/resolve/main/{NAME}"], stdout=subprocess.PIPE) as curl:
        subprocess.run(["sha256sum"], stdin=curl.stdout, stdout=subprocess.DEVNULL, check=True)
    return Run(time.perf_counter() - began)


def by_bare(url: str, folder: Path, size_bytes: int) -> Run:
    """In a fresh process, as ours."""
    command = [sys.executable, str(ROOT / "benchmarks" / "download_bare.py"), str(folder / "bare"), str(size_bytes)]
    done = subprocess.run([*command, asyncio.run(resolved(url)).url], check=True, capture_output=True, text=True)
    return Run(float(done.stdout))


def by_us(url: str, folder: Path, connections: int) -> Run:
    """In a fresh process, so that its memory is its own."""
    command = [sys.executable, __file__, "--child", url, str(folder / "models"), str(connections)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    shutil.rmtree(folder / "models")
    return Run(**json.loads(done.stdout))


async def download(url: str, folder: Path, connections: int) -> Run:
    hub = Hub(Egress(), url)
    downloads = Downloads(
        hub, folder, on_change=lambda _news: None, on_done=lambda *_: None, pace=Pace(connections=connections)
    )
    listing = await hub.listing(REPO)  # imports and the first connection count neither as time nor as memory
    plan = listing.plan(listing.models[0])
    take_memory(folder.parent, (await hub.resolve(REPO, None, NAME)).size_bytes or 0)
    with memory_peak() as peak:
        began, cpu = time.perf_counter(), time.process_time()
        downloads.add(plan)
        end = await downloads.wait(plan.ref)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    if end.state != "done":
        raise SystemExit(f"the download failed: {end.problem}")
    await downloads.close()
    await hub.close()
    return Run(seconds, peak[0], cpu)


@contextmanager
def memory_peak() -> Iterator[list[float]]:
    """The growth of this process in MiB, looked at every 10 ms; in the list once it is over."""
    process, over = psutil.Process(), threading.Event()
    before = highest = process.memory_info().rss
    peak = [0.0]

    def look() -> None:
        nonlocal highest
        while not over.wait(0.01):
            highest = max(highest, process.memory_info().rss)

    looking = threading.Thread(target=look)
    looking.start()
    yield peak
    over.set()
    looking.join()
    peak[0] = (highest - before) / MIB


async def resolved(url: str) -> Resolved:
    hub = Hub(Egress(), url)
    try:
        return await hub.resolve(REPO, None, NAME)
    finally:
        await hub.close()


def cpu_per_gib_by_range_client(url: str, size_bytes: int) -> float:
    """CPU seconds of this process to read the file's bytes, and do nothing with them."""
    found = asyncio.run(resolved(url))
    client = RangeClient(Egress(), DOWNLOAD, HubAddress(url), 30)
    began = time.process_time()
    client.open(found.url, 0, size_bytes, found.size_bytes or 0)
    left = size_bytes
    buffer = memoryview(bytearray(256 * 1024))
    while left and (size := client.read_into(buffer)):
        left -= size
    client.close()
    return (time.process_time() - began) * 2**30 / size_bytes


def cpu_per_gib_on_the_loop(url: str, size_bytes: int) -> float:
    """As the other, by the HTTP client that the rest of the app uses."""

    async def read() -> float:
        found = await resolved(url)
        async with Egress().http_client(LISTING, url) as client:
            began = time.process_time()
            head = {"Range": f"bytes=0-{size_bytes - 1}"}
            async with client.stream("GET", found.url, headers=head) as response:
                async for _piece in response.aiter_raw():
                    pass
            used = time.process_time() - began
        return used * 2**30 / size_bytes

    return asyncio.run(read())


def measure(arguments: argparse.Namespace, folder: Path) -> tuple[dict[str, list[Run]], dict[str, float]]:
    """All ways in turn; the first round warms up and does not count."""
    size_bytes = arguments.size_mib * MIB
    make_file(folder, size_bytes)
    runs: dict[str, list[Run]] = {way: [] for way in WAYS}
    with hub_server(folder) as url:
        for number in range(arguments.rounds + 1):
            for way in WAYS:
                os.sync()
                match way:
                    case "curl":
                        run = by_curl(url, folder, size_bytes)
                    case "durable":
                        run = by_curl(url, folder, size_bytes, durable=True)
                    case "ours":
                        run = by_us(url, folder, arguments.connections)
                    case "bare":
                        run = by_bare(url, folder, size_bytes)
                    case _:
                        run = by_curl_hashed(url)
                print(f"round {number} {way:7} {size_bytes / run.seconds / 1e6:7.0f} MB/s", file=sys.stderr)
                if number:
                    runs[way].append(run)
        part = min(size_bytes, READ_MIB * MIB)
        readers = {"threads": cpu_per_gib_by_range_client, "loop": cpu_per_gib_on_the_loop}
        costs = {name: statistics.median(read(url, part) for _ in range(3)) for name, read in readers.items()}
    return runs, costs


def times_curl(runs: dict[str, list[Run]], way: str) -> float:
    """The median of the ratios within a round."""
    return statistics.median(curl.seconds / run.seconds for curl, run in zip(runs["curl"], runs[way], strict=True))


def report(
    runs: dict[str, list[Run]],
    costs: dict[str, float],
    arguments: argparse.Namespace,
    load: tuple[float, float],
    kills: str,
) -> str:
    size_mb = arguments.size_mib * MIB / 1e6
    rows = []
    for way, label in (
        ("curl", "`curl -L -o FILE`"),
        ("durable", "`curl -L -o FILE; sync FILE`"),
        ("ours", "Nearfar: hashed, synced, renamed"),
        ("bare", "a loop that receives, writes and hashes, and no more"),
        ("hashed", "`curl -L \\| sha256sum`, keeps nothing"),
    ):
        speeds = sorted(size_mb / run.seconds for run in runs[way])
        rows.append(
            f"| {label} | {statistics.median(speeds):.0f} | {speeds[0]:.0f} | {speeds[-1]:.0f} "
            f"| {times_curl(runs, way):.2f} |"
        )
    memory = max(run.memory_mib or 0.0 for run in runs["ours"])
    cpu = statistics.median(run.cpu_s or 0.0 for run in runs["ours"])
    command = f"python benchmarks/download.py --size-mib {arguments.size_mib} --rounds {arguments.rounds}"
    return TEXT.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        commit=commit(),
        cpu=cpu_name(),
        cores=os.cpu_count(),
        python=platform.python_version(),
        command=command,
        size_mib=arguments.size_mib,
        rounds=arguments.rounds,
        connections=arguments.connections,
        rows="\n".join(rows),
        times=f"{times_curl(runs, 'ours'):.2f}",
        bare=f"{times_curl(runs, 'bare'):.2f}",
        memory=f"{memory:.1f}",
        cpu_s=f"{cpu:.1f}",
        threads=f"{costs['threads']:.2f}",
        loop=f"{costs['loop']:.2f}",
        load_before=load[0],
        load_after=load[1],
        kills=kills,
    )


def by_kills(size_mib: int) -> str:
    """What the test of kills says of itself."""
    test = "tests/backends/models/test_download_kill.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", test, "-k", "ten"],
        cwd=ROOT,
        env={**os.environ, "KILL_TEST_MIB": str(size_mib)},
        check=True,
        capture_output=True,
        text=True,
    )
    return next(line.lstrip(".") for line in done.stdout.splitlines() if " kills cost " in line)


def commit() -> str:
    done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or "an unknown commit"


def cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-mib", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=Pace().connections)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; a temporary one by default")
    parser.add_argument("--save", type=Path, help="write the page to this file")
    arguments = parser.parse_args()
    load_before = psutil.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        runs, costs = measure(arguments, Path(folder))
    load = (load_before, psutil.getloadavg()[0])
    text = report(runs, costs, arguments, load, by_kills(arguments.size_mib))
    print(text)
    if arguments.save is not None:
        arguments.save.parent.mkdir(parents=True, exist_ok=True)
        arguments.save.write_text(text, encoding="utf-8")
    memory = max(run.memory_mib or 0.0 for run in runs["ours"])
    return 0 if times_curl(runs, "ours") >= AIM_TIMES_CURL and memory < AIM_MEMORY_MIB else 1


def child() -> int:
    url, folder, connections = sys.argv[2:]
    run = asyncio.run(download(url, Path(folder), int(connections)))
    print(json.dumps({"seconds": run.seconds, "memory_mib": run.memory_mib, "cpu_s": run.cpu_s}))
    return 0


if __name__ == "__main__":
    sys.exit(child() if sys.argv[1:2] == ["--child"] else main())
