"""Four independent proofs that local only means it, each with a control that shows its detector is not blind.

The same visit every time: the real window and worker, from the first start to the end (docs/privacy.md).
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backends.ids import new_id
from backends.local.engine import LocalEngine
from backends.paths import Paths
from backends.records import Prompt, RunRequest, Target
from backends.settings import Settings, SettingsFile
from tests.fakes.openai_server import OpenAIServer
from tests.gguf_factory import write_script
from tests.proofs.detectors import holds, internet_calls, places, written_files

LIMIT_S = 300
NO_NETWORK = ("unshare", "--map-root-user", "--net")
ANSWER = " quite another answer"
# What a shared library must import to reach a network. libc has more names for it, but no way without one of these.
NETWORK_SYMBOLS = frozenset(
    {"socket", "connect", "getaddrinfo", "gethostbyname", "gethostbyname_r", "sendto", "sendmsg", "res_query"}
    | {"getnameinfo", "syscall"}
)
# Python's modules and what they link, whose use the guard watches, and the compiler's run-time libraries, which call
# the kernel directly to wait for threads.
PYTHONS_OWN = frozenset(
    {"_socket", "_ssl", "select", "_asyncio", "_psutil_linux", "libcrypto", "libssl", "libc", "libpython3", "libresolv"}
    | {"_posixsubprocess", "libgomp", "libstdc++"}
)


def _has_namespaces() -> bool:
    if shutil.which(NO_NETWORK[0]) is None:
        return False
    return subprocess.run([*NO_NETWORK, "true"], check=False, capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="namespaces, strace and nm as Linux has them")


@dataclass(frozen=True)
class World:
    """A computer's folders for one person, all below one."""

    root: Path
    model: Path

    @property
    def paths(self) -> Paths:
        home = self.root / "nearfar"
        return Paths(*(home / name for name in ("config", "data", "cache", "logs", "models")))

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        folders = {"HOME": "home", "TMPDIR": "tmp", "XDG_RUNTIME_DIR": "run", "NEARFAR_HOME": "nearfar"}
        for place in folders.values():
            (self.root / place).mkdir(mode=0o700, exist_ok=True, parents=True)
        own = {name: str(self.root / place) for name, place in folders.items()}
        return kept | own | {"QT_QPA_PLATFORM": "offscreen"} | more

    def choose(self, **settings: Any) -> None:
        SettingsFile(self.paths.settings_file).save(Settings(**settings))

    def visit(self, prompt: str, *targets: str, before: tuple[str, ...] = (), **environment: str) -> dict[str, Any]:
        done = subprocess.run(
            [*before, sys.executable, "-m", "tests.proofs.journey", prompt, *targets],
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return report

    @property
    def local(self) -> tuple[str, str]:
        return "local:demo", f"local:{self.model}"


@pytest.fixture
def world(tmp_path: Path) -> World:
    model = write_script(tmp_path / "script.gguf", tuple(f"{word} ".encode() for word in ANSWER.split()))
    made = World(tmp_path / "world", model)
    made.choose(local_only=True)
    return made


@pytest.fixture
def canary() -> str:
    """128 random bits, which are nowhere by chance."""
    return secrets.token_hex(16)


def whole(report: dict[str, Any], canary: str) -> None:
    """The visit went well from its start to its end."""
    assert report["phases"] == ["done", "done"]
    assert all(report["answers"])
    assert report["found"] == 1
    assert canary in report["exported"][0]
    assert report["chip"].startswith("Local only, 0 connections since")


def silent(report: dict[str, Any]) -> None:
    """The third proof: neither the gate nor Python's audit events know of an internet address."""
    assert report["contacts"] == []
    assert report["connections"] == 0
    assert report["internet"] == []


def traced(trace: Path) -> tuple[str, ...]:
    """All calls about networks with what they carry, and every file that is opened."""
    calls = "trace=%network,openat,open,creat"
    return ("strace", "-f", "-qq", "--seccomp-bpf", "-s", "65535", "-e", calls, "-o", str(trace))


@pytest.mark.skipif(not _has_namespaces(), reason="no namespaces here")
def test_everything_works_where_there_is_no_network_at_all(world: World, canary: str) -> None:
    report = world.visit(f"Hello {canary}", *world.local, before=NO_NETWORK)
    whole(report, canary)
    silent(report)


@pytest.mark.skipif(not _has_namespaces(), reason="no namespaces here")
def test_control_in_the_same_empty_network_a_server_cannot_be_reached(world: World, canary: str) -> None:
    world.choose(local_only=False)
    with OpenAIServer() as server:
        report = world.visit(
            f"Hello {canary}", "local:demo", "custom:lab/m", before=NO_NETWORK, NEARFAR_LAB_BASE_URL=server.base_url
        )
        assert server.received == []
    assert report["phases"] == ["done", "failed"]


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here")
def test_no_system_call_names_the_internet_and_the_prompt_is_in_the_history_alone(
    world: World, canary: str, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.txt"
    report = world.visit(f"Hello {canary}", *world.local, before=traced(trace))
    whole(report, canary)
    silent(report)
    assert internet_calls(trace) == []
    assert holds(canary, trace.read_bytes()) == [], "it is in no call about a network, nor the name of a file"
    assert set(places(canary, world.root)) == {"nearfar/data/history.sqlite3"}
    elsewhere = [path for path in written_files(trace) if not path.is_relative_to(world.root)]
    assert [path for path in elsewhere if path.is_file() and holds(canary, path.read_bytes())] == []
    planted = world.root / "home" / "planted.log"
    planted.write_text(f"asked: Hello {canary}\n", encoding="utf-8")
    assert "home/planted.log" in places(canary, world.root), "the search finds what is there"


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not here")
def test_control_a_server_that_is_asked_is_seen_by_every_detector(world: World, canary: str, tmp_path: Path) -> None:
    world.choose(local_only=False)
    trace = tmp_path / "trace.txt"
    with OpenAIServer() as server:
        report = world.visit(
            f"Hello {canary}", "local:demo", "custom:lab/m", before=traced(trace), NEARFAR_LAB_BASE_URL=server.base_url
        )
        assert canary in server.received[0].body.decode()
    assert report["phases"] == ["done", "done"]
    calls = internet_calls(trace)
    assert any("connect(" in call and f"htons({server.port})" in call for call in calls)
    assert holds(canary, trace.read_bytes()) != []
    assert [contact[1:] for contact in report["contacts"]] == [["127.0.0.1", server.port, "closed"]]
    assert f"socket.connect ('127.0.0.1', {server.port})" in report["internet"]


def test_where_nothing_is_kept_the_prompt_is_in_no_file(world: World, canary: str) -> None:
    world.choose(local_only=True, keep_history=False)
    report = world.visit(f"Hello {canary}", *world.local)
    assert report["phases"] == ["done", "done"]
    assert report["found"] == 0
    assert places(canary, world.root) == {}


def imported(library: Path) -> frozenset[str]:
    """The dynamic symbols that a library wants from others."""
    done = subprocess.run(
        ["nm", "--dynamic", "--undefined-only", "--format=posix", str(library)],
        capture_output=True,
        text=True,
        check=True,
    )
    return frozenset(line.split(" ", 1)[0].partition("@")[0] for line in done.stdout.splitlines())


async def mapped_libraries(model: Path) -> list[Path]:
    """What a real worker has in its memory once a model is loaded and has answered."""
    engine = LocalEngine(model)
    asked = RunRequest(new_id("run"), Target("local", str(model)), Prompt.ask("Hello"))
    try:
        await engine.run(asked, lambda _event: None)
        return _libraries_in(Path(f"/proc/{engine.worker_pid}/maps"))
    finally:
        await engine.close()


def _libraries_in(maps: Path) -> list[Path]:
    lines = [line.split(maxsplit=5) for line in maps.read_text(encoding="utf-8").splitlines()]
    paths = {Path(parts[5]) for parts in lines if len(parts) == 6}
    return sorted(path for path in paths if ".so" in path.name and path.is_file())


def reaches_a_network(library: Path) -> bool:
    return any(name in NETWORK_SYMBOLS or name.startswith("curl_") for name in imported(library))


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm is not here")
async def test_no_native_library_of_the_engine_imports_a_way_to_a_network(world: World) -> None:
    """Of all that the worker maps. What can is Python's own, which the guard watches, and the system's C library."""
    libraries = await mapped_libraries(world.model)
    engine = [each for each in libraries if "llama" in each.name or "ggml" in each.name]
    assert len(engine) >= 4, libraries
    assert all(len(imported(each)) > 3 for each in engine), "they were read"
    found = {each.name.partition(".")[0] for each in libraries if reaches_a_network(each)}
    assert found <= PYTHONS_OWN, f"besides those: {found - PYTHONS_OWN}"
    assert not any(reaches_a_network(each) for each in engine)


@pytest.mark.skipif(shutil.which("nm") is None, reason="nm is not here")
def test_control_a_library_that_can_connect_is_found_out() -> None:
    """llama.cpp's own HTTP server, which the practice endpoint runs in a process of its own."""
    import importlib.util

    found = importlib.util.find_spec("xllamacpp")
    assert found is not None
    assert found.origin is not None
    libraries = [each for each in Path(found.origin).parent.rglob("*.so*") if each.is_file()]
    libraries += list(Path(found.origin).parent.parent.glob("xllamacpp*.libs/*.so*"))
    assert any(reaches_a_network(each) for each in libraries)
