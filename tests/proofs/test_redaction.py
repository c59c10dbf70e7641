"""A key in use is found nowhere but in the memory of the program, whatever goes wrong; a planted one is found."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fakes.openai_server import Exchange, OpenAIServer, Script, error
from tests.gguf_factory import write_script
from tests.proofs.detectors import holds, places
from tests.proofs.test_no_prompt_leaves import World

LIMIT_S = 240
VISIT = "import sys; from tests.proofs.crash_visit import main; sys.exit(main())"
UNASKED = "import app.__main__ as roles; roles.leave_no_core_file = lambda: None; " + VISIT
CORE_PATTERN = Path("/proc/sys/kernel/core_pattern")


def _leaves_cores_here() -> bool:
    if not CORE_PATTERN.exists() or CORE_PATTERN.read_text()[:1] in ("|", "/"):
        return False
    import resource

    return resource.getrlimit(resource.RLIMIT_CORE)[1] != 0


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc, signals and core files as Linux has them")


@dataclass
class Seen:
    """All that the visit left or showed, as bytes to search."""

    world: World
    stages: list[dict[str, Any]] = field(default_factory=list)
    processes: dict[str, bytes] = field(default_factory=dict)
    output: bytes = b""
    status: int = 0

    def stage(self, name: str) -> dict[str, Any]:
        return next(stage for stage in self.stages if stage["stage"] == name)


def _echo(key: str) -> Script:
    """A refusal that repeats the key, as some servers do."""
    return error(401, code="invalid_api_key", message=f"Incorrect API key provided: {key}. Bearer {key}")


async def _silent(exchange: Exchange) -> None:
    await exchange.until_gone()


async def _endless(exchange: Exchange) -> None:
    await exchange.head()
    await exchange.say("an answer that never ends")
    await exchange.until_gone(LIMIT_S)


def _unlimited_core() -> None:
    """As a developer's machine may have it: what the program does about core files is what counts."""
    import resource  # where there is none, this file is skipped

    _soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


def _processes(pid: int) -> dict[str, bytes]:
    """Command line and environment of the program and of every child, as any program of this user can read them."""
    found = {}
    for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
        for name in ("cmdline", "environ"):
            found[f"{name} of {process.name()} {process.pid}"] = Path(f"/proc/{process.pid}/{name}").read_bytes()
    return found


def _visit(world: World, key: str, model: Path, server: OpenAIServer, program: str = VISIT) -> Seen:
    seen = Seen(world)
    errors = world.root / "run" / "stderr.txt"
    environment = world.environment(
        NEARFAR_OPENAI_BASE_URL=server.base_url, OPENAI_LOG="debug", PYTHONPATH=str(Path.cwd())
    )
    with errors.open("wb") as stderr:
        visit = subprocess.Popen(
            [sys.executable, "-c", program, str(model)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment,
            cwd=world.root / "run",  # where a core file would be
            preexec_fn=_unlimited_core,
        )
    assert visit.stdin is not None
    assert visit.stdout is not None
    try:
        visit.stdin.write(key.encode() + b"\n")
        visit.stdin.flush()
        for line in visit.stdout:
            seen.output += line
            seen.stages.append(json.loads(line))
            if seen.stages[-1]["stage"] == "streaming":
                break
        assert seen.stages, errors.read_text()[-3000:]
        assert seen.stages[-1]["stage"] == "streaming", errors.read_text()[-3000:]
        seen.processes = _processes(visit.pid)
        os.kill(visit.pid, signal.SIGABRT)
        seen.status = visit.wait(30)
    finally:
        visit.kill()
        visit.wait()
        visit.stdin.close()
        visit.stdout.close()
    return seen


def _command(world: World, *arguments: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "app", *arguments], env=world.environment(), capture_output=True, timeout=60, check=True
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def key() -> str:
    """As long as the real ones, with letters that base64 and URLs spell otherwise."""
    return f"sk-proj-{secrets.token_urlsafe(48)}~+"


def _world(folder: Path) -> World:
    words = tuple(f" word{number}".encode() for number in range(40))
    world = World(folder / "world", write_script(folder / "endless.gguf", words, loop_to=0, n_ctx_train=65_536))
    world.choose(local_only=False)
    return world


def _scripts(key: str) -> tuple[Script, ...]:
    limited = error(429, {"Retry-After": "0.2"}, code="rate_limit_exceeded")
    return _echo(key), limited, limited, _silent, _endless


@pytest.fixture(scope="module")
def seen(key: str, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    world = _world(tmp_path_factory.mktemp("redaction"))
    with OpenAIServer(*_scripts(key)) as server:
        seen = _visit(world, key, world.model, server)
        sent = [request.headers.get("authorization") for request in server.received]
    assert sent == [f"Bearer {key}"] * 5, "it was in use all the time"
    return seen


def test_everything_went_wrong_as_planned(seen: Seen) -> None:
    assert "key_refused" in str(seen.stage("refused")["said"]) or "did not accept" in str(
        seen.stage("refused")["accessible"]
    )
    assert "too many requests" in str(seen.stage("limited")["accessible"])
    assert "sent nothing for" in str(seen.stage("timed out")["accessible"])
    assert seen.stage("streaming")["dialogs"] == 2, "a refused key is asked for anew"
    assert seen.status == -signal.SIGABRT


def test_the_key_is_in_no_file_and_in_no_core(seen: Seen, key: str) -> None:
    assert places(key, seen.world.root) == {}
    logs = list((seen.world.root / "nearfar" / "logs").iterdir())
    assert any(each.stat().st_size for each in logs), "there are logs that it could have been in"


def test_the_key_is_in_no_command_line_and_no_environment(seen: Seen, key: str) -> None:
    assert len(seen.processes) >= 2
    assert {name: hits for name, data in seen.processes.items() if (hits := holds(key, data))} == {}


def test_the_key_is_in_nothing_that_was_said(seen: Seen, key: str) -> None:
    """Output, errors and what a screen reader could say, with the dialog open and the key typed in."""
    assert seen.stage("dialog")["accessible"]
    assert holds(key, seen.output) == []
    typed = str(seen.stage("dialog")["accessible"])
    assert key not in typed
    assert key[-8:] not in typed


def test_the_key_is_in_no_export(seen: Seen, key: str) -> None:
    listed = json.loads(_command(seen.world, "history", "list", "--json").splitlines()[0])
    comparison_id = str(listed["id"] if "id" in listed else listed["comparisons"][0]["id"])
    for arguments in (("history", "export", comparison_id), ("doctor",), ("history", "list"), ("key", "status")):
        for form in ((), ("--json",)):
            said = _command(seen.world, *arguments, *form)
            assert said
            assert holds(key, said) == [], (*arguments, *form)


def test_control_what_is_planted_is_found(seen: Seen, key: str, tmp_path: Path) -> None:
    for name, content in {
        "plain.log": f"Authorization: Bearer {key}",
        "tail.txt": f"a key that ends in {key[-8:]}",
        "wide.ini": key.encode("utf-16-le").decode("latin-1"),
    }.items():
        (tmp_path / name).write_bytes(content.encode("latin-1"))
    assert set(places(key, tmp_path)) == {"plain.log", "tail.txt", "wide.ini"}


@pytest.mark.skipif(not _leaves_cores_here(), reason="core files go elsewhere here, or are not allowed at all")
def test_control_the_same_visit_leaves_its_key_in_a_core_file_where_the_program_does_not_ask(
    key: str, tmp_path: Path
) -> None:
    world = _world(tmp_path)
    with OpenAIServer(*_scripts(key)) as server:
        _visit(world, key, world.model, server, UNASKED)
    assert [name for name in places(key, world.root) if name.startswith("run/core")] != []
