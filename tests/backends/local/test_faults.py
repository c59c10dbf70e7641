"""The worker dies, hangs, or lies: text is kept, the run says so, nothing is left behind, the next question works."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from backends.children import child_environment
from backends.events import Cancelled, Delta, Failed, Notice
from backends.local import engine as engine_module
from backends.local.engine import LocalEngine
from backends.local.facts import LoadOptions
from tests.backends.local.conftest import MakeEngine
from tests.backends.local.driver import HELLO_TEXT, Recorder, answer, ask, request
from tests.processes import wait_gone

HELLO_LINE = '{"v":1,"type":"hello","facts":{"version":"0","backends":[],"devices":[],"gpu_offload":false}}'


async def start_endless(engine: LocalEngine) -> tuple[Recorder, asyncio.Task[None], int]:
    """A run that will not end by itself, and has shown some text."""
    recorder = Recorder()
    task = asyncio.create_task(engine.run(request(max_tokens=None), recorder))
    await recorder.until(lambda: len(recorder.of(Delta)) >= 3)
    assert engine.worker_pid is not None
    return recorder, task, engine.worker_pid


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "ended from outside"),
        (signal.SIGSEGV, "crashed"),
        (signal.SIGABRT, "crashed"),
        (signal.SIGILL, "processor"),
        (signal.SIGBUS, "file changed"),
    ],
)
async def test_a_killed_worker_fails_the_run_and_keeps_its_text(
    make_engine: MakeEngine, endless: Path, number: signal.Signals, words: str
) -> None:
    engine = make_engine(endless)
    recorder, task, pid = await start_endless(engine)
    os.kill(pid, number)
    await asyncio.wait_for(task, 2.0)
    assert isinstance(recorder.end, Failed)
    assert recorder.end.problem.code == "worker_died"
    assert words in recorder.end.problem.what
    assert " alpha beta" in recorder.end.result.text
    assert (await answer(engine, max_tokens=2)).text == " alpha beta"
    assert engine.worker_pid not in (None, pid)


async def test_a_worker_killed_between_runs_is_replaced(make_engine: MakeEngine, hello: Path) -> None:
    engine = make_engine(hello)
    await answer(engine)
    pid = engine.worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await Recorder().until(lambda: engine.worker_pid is None)
    assert (await answer(engine)).text == HELLO_TEXT


async def test_a_stopped_worker_is_noticed_and_the_notice_taken_back(make_engine: MakeEngine, endless: Path) -> None:
    engine = make_engine(endless)
    recorder, task, pid = await start_endless(engine)
    os.kill(pid, signal.SIGSTOP)
    await recorder.until(lambda: bool(recorder.of(Notice)), 5.0)
    assert recorder.of(Notice)[0].code == "worker_silent"
    os.kill(pid, signal.SIGCONT)
    await recorder.until(lambda: recorder.of(Notice)[-1].text == "", 10.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert isinstance(recorder.end, Cancelled)


async def test_a_stopped_worker_can_be_cancelled_and_is_then_killed(make_engine: MakeEngine, endless: Path) -> None:
    engine = make_engine(endless)
    recorder, task, pid = await start_endless(engine)
    os.kill(pid, signal.SIGSTOP)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5.0)
    assert isinstance(recorder.end, Cancelled)
    assert " alpha beta" in recorder.end.result.text
    assert not psutil.pid_exists(pid)
    assert (await answer(engine, max_tokens=1)).text == " alpha"


async def test_cancelled_twice_kills_at_once(make_engine: MakeEngine, endless: Path) -> None:
    engine = make_engine(endless)
    recorder, task, pid = await start_endless(engine)
    os.kill(pid, signal.SIGSTOP)
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5.0)
    assert isinstance(recorder.end, Cancelled)
    assert not psutil.pid_exists(pid)


async def test_a_worker_silent_for_too_long_is_ended(
    make_engine: MakeEngine, endless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "SILENCE_LIMIT_S", 2.5)
    engine = make_engine(endless)
    recorder, task, pid = await start_endless(engine)
    os.kill(pid, signal.SIGSTOP)
    await asyncio.wait_for(task, 15.0)
    assert isinstance(recorder.end, Failed)
    assert recorder.end.problem.code == "worker_silent"
    assert recorder.of(Notice)
    assert not psutil.pid_exists(pid)
    assert (await answer(engine, max_tokens=1)).text == " alpha"


async def test_a_machine_that_slept_is_not_mistaken_for_a_silent_worker(
    make_engine: MakeEngine, endless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asleep_s = [0.0]
    monkeypatch.setattr(engine_module, "CLOCK_S", lambda: time.monotonic() + asleep_s[0])
    engine = make_engine(endless)
    recorder, task, pid = await start_endless(engine)
    os.kill(pid, signal.SIGSTOP)
    await recorder.until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    await asyncio.sleep(2 * engine_module.WATCH_STEP_S)  # everything it wrote is read by now
    asleep_s[0] = 3600.0
    await asyncio.sleep(2 * engine_module.WATCH_STEP_S)
    os.kill(pid, signal.SIGCONT)
    heard = len(recorder.events)
    await recorder.until(lambda: task.done() or len(recorder.events) > heard)
    assert not task.done()
    assert engine.worker_pid == pid
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert isinstance(recorder.end, Cancelled)


HOSTILE = {
    "garbage": "print('not json', flush=True)",
    "binary": "sys.stdout.buffer.write(bytes(range(256)) * 100 + b'\\n'); sys.stdout.flush()",
    "endless line": "[sys.stdout.write('x' * 1_000_000) for _ in range(1000)]",
    "wrong version": "print(hello.replace('\"v\":1', '\"v\":2'), flush=True)",
    "no hello": 'print(\'{"v":1,"type":"delta","id":1,"text":"a","stamps_ns":[]}\', flush=True)',
    "foreign answer": "print(hello, flush=True); sys.stdin.readline(); "
    'print(\'{"v":1,"type":"delta","id":99,"text":"a","stamps_ns":[]}\', flush=True)',
    "huge number": "print(hello, flush=True); sys.stdin.readline(); "
    'print(\'{"v":1,"type":"loading","id":1,"fraction":1e999}\', flush=True)',
    "wrong ending": "print(hello, flush=True); sys.stdin.readline(); "
    'print(\'{"v":1,"type":"done","id":1,"finish_reason":"stop","usage":{},"timings":{}}\', flush=True)',
    "deep nesting": "print('[' * 100_000, flush=True)",
}


@pytest.mark.parametrize("code", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_child_is_found_out(make_engine: MakeEngine, hello: Path, code: str) -> None:
    script = f"import sys, time; hello = {HELLO_LINE!r}; {code}; time.sleep(60)"
    engine = make_engine(hello, command=[sys.executable, "-c", script])
    before = psutil.Process().memory_info().rss
    recorder = await asyncio.wait_for(ask(engine), 30.0)
    assert isinstance(recorder.end, Failed)
    assert recorder.end.problem.code == "worker_confused"
    assert psutil.Process().memory_info().rss - before < 50_000_000
    assert engine.worker_pid is None


async def test_a_child_that_ends_at_once_says_why(make_engine: MakeEngine, hello: Path) -> None:
    script = "import sys; sys.exit('llama-cpp-python is not installed')"
    recorder = await ask(make_engine(hello, command=[sys.executable, "-c", script]))
    assert isinstance(recorder.end, Failed)
    assert "not installed correctly" in recorder.end.problem.what


async def test_a_flood_on_stderr_is_bounded(make_engine: MakeEngine, hello: Path) -> None:
    script = (
        "import sys; from backends.local import worker\n"
        "for _ in range(2000): sys.stderr.write('noise ' * 200)\n"
        "sys.exit(worker.main())"
    )
    engine = make_engine(hello, command=[sys.executable, "-P", "-c", script])
    assert (await answer(engine)).text == HELLO_TEXT
    exchange = engine._exchange
    assert exchange is not None
    assert 0 < len(exchange.worker.log_tail) <= 65_536


async def test_the_log_never_holds_the_prompt(make_engine: MakeEngine, tiny: Path) -> None:
    engine = make_engine(tiny, n_ctx=64)
    await ask(engine, "canary-4711 what", max_tokens=5)
    await ask(engine, "canary-4711 " * 100, max_tokens=5)
    exchange = engine._exchange
    assert exchange is not None
    assert b"canary" not in exchange.worker.log_tail


async def test_not_enough_memory_is_a_sentence_and_the_next_question_works(
    make_engine: MakeEngine, hello: Path, slow: Path
) -> None:
    script = (
        "import resource, sys; from backends.local import worker\n"
        "resource.setrlimit(resource.RLIMIT_AS, (400_000_000, 400_000_000)); sys.exit(worker.main())"
    )
    command = [sys.executable, "-P", "-c", script]
    recorder = await ask(make_engine(slow, command=command, n_ctx=8192, n_batch=8192))
    assert isinstance(recorder.end, Failed)
    assert "memory" in recorder.end.problem.what
    assert (await answer(make_engine(hello, command=command))).text == HELLO_TEXT


PARENT = """
import asyncio, sys
from pathlib import Path
from backends.local.engine import LocalEngine
from backends.local.facts import LoadOptions
from tests.backends.local.driver import request
async def main():
    engine = LocalEngine(Path(sys.argv[1]))
    seen = []
    def emit(event):
        seen.append(event)
        if len(seen) == 20:
            print(engine.worker_pid, flush=True)
    await engine.run(request(max_tokens=None), emit)
asyncio.run(main())
"""


@pytest.mark.parametrize("stopped", [False, True])
def test_no_worker_outlives_a_killed_app(endless: Path, stopped: bool) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(endless)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        if stopped:
            os.kill(pid, signal.SIGSTOP)
            while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
                time.sleep(0.01)
        parent.kill()
    assert wait_gone(pid)


async def test_the_worker_sees_no_key_and_an_empty_folder(
    make_engine: MakeEngine, hello: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {"OPENAI_API_KEY": "sk-1", "GGML_TOKEN": "t", "CUDA_SECRET": "s", "MY_THING": "x", "SSH_AUTH_SOCK": "y"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    engine = make_engine(hello)
    await engine.probe()
    worker = psutil.Process(engine.worker_pid)
    environment = worker.environ()
    assert not secrets.keys() & environment.keys()
    assert environment["CUDA_VISIBLE_DEVICES"] == "0"
    assert environment["GGML_NO_BACKTRACE"] == "1"
    assert "PATH" in environment
    folder = os.readlink(f"/proc/{worker.pid}/cwd")
    assert folder.endswith("(deleted)"), "nobody can put a library into a folder that is gone"
    assert not any("sk-1" in argument for argument in worker.cmdline())
    core, _hard = worker.rlimit(psutil.RLIMIT_CORE)
    assert core == 0


def test_environment_names_are_matched_whole() -> None:
    kept = child_environment({"PATH": "/bin", "PATHS": "x", "lc_all": "C", "GGML_APIKEY": "k", "HF_TOKEN": "t"})
    assert kept == {"PATH": "/bin", "lc_all": "C", "GGML_NO_BACKTRACE": "1", "PYTHONUTF8": "1"}


@pytest.mark.parametrize("how", ["killed", "closed"])
async def test_a_worker_that_goes_before_it_is_asked_ends_the_run(hello: Path, how: str) -> None:
    """While the load is planned nobody waits for a reply yet."""

    async def plan() -> LoadOptions:
        worker = engine._exchange.worker if engine._exchange is not None else None
        assert worker is not None
        if how == "closed":
            await engine.close()
        else:
            os.kill(worker.pid, signal.SIGKILL)
            await Recorder().until(lambda: engine.worker_pid is None)
            await asyncio.sleep(0.05)  # the reader of its replies hears of it too
        return LoadOptions()

    engine = LocalEngine(hello, plan=plan)
    recorder = Recorder()
    try:
        await asyncio.wait_for(engine.run(request(), recorder), 20.0)
    finally:
        await engine.close()
    assert isinstance(recorder.end, Failed)
    assert recorder.end.problem.code == "worker_died"
