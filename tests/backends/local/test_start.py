"""Starting a worker, and not: whenever a start ends early, no process and no folder is left. Must not ask a model."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from backends.errors import WorkerDied
from backends.local.child import WorkerProcess
from backends.local.engine import worker_command
from tests.processes import wait_gone

MUTE = [sys.executable, "-c", "import sys; sys.stdin.read()"]


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made, in this process and in those it starts."""
    folder = tmp_path / "temp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def left_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.mark.parametrize("turns", [1, 2, 3, 4, 6, 8, 12])
async def test_a_start_cancelled_at_any_turn_of_the_loop_leaves_nothing(temp: Path, turns: int) -> None:
    starting = asyncio.create_task(WorkerProcess.start(MUTE))
    for _ in range(turns):
        await asyncio.sleep(0)
    await _cancelled(starting)
    assert left_in(temp) == []


@pytest.mark.parametrize("delay_s", [0.002, 0.01, 0.05, 0.3])
async def test_a_start_cancelled_after_a_while_leaves_nothing(temp: Path, delay_s: float) -> None:
    starting = asyncio.create_task(WorkerProcess.start(MUTE))
    await asyncio.sleep(delay_s)
    await _cancelled(starting)
    assert left_in(temp) == []


async def _cancelled(starting: asyncio.Task[WorkerProcess]) -> None:
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert psutil.Process().children() == []
    gc.collect()  # a pipe left open would be a warning, which fails the test


async def test_a_command_that_is_not_there_leaves_no_folder(temp: Path) -> None:
    with pytest.raises(WorkerDied, match="could not be started"):
        await WorkerProcess.start(["/nonexistent/python"])
    assert left_in(temp) == []


async def test_a_command_that_cannot_be_one_leaves_no_folder(temp: Path) -> None:
    with pytest.raises(ValueError, match="null byte"):
        await WorkerProcess.start([sys.executable, "\0"])
    assert left_in(temp) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a folder that is in use")
async def test_a_worker_that_said_hello_stands_in_a_folder_that_is_gone(temp: Path) -> None:
    worker = await WorkerProcess.start(worker_command())
    assert left_in(temp) == []
    await worker.stop()


PARENT = """
import asyncio, sys
from backends.local import child
real = child._spawn
async def spawn(*arguments):
    process = await real(*arguments)
    print(process.pid, flush=True)
    return process
child._spawn = spawn
asyncio.run(child.WorkerProcess.start(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps a folder that is in use")
def test_an_app_killed_before_its_worker_said_hello_leaves_nothing(temp: Path) -> None:
    command = [sys.executable, "-c", PARENT, *worker_command()]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    assert wait_gone(pid, limit_s=30.0)  # it is still importing: it learns of its parent's end after that
    assert left_in(temp) == []
