"""The app's end of one worker process: starts it, reads and writes its lines, ends it. Must not know runs or events."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from backends.children import child_environment, known
from backends.errors import NearfarError, PromptTooLong, UsageError, WorkerConfused, WorkerDied, WorkerSilent
from backends.local.endings import why_it_died
from backends.local.facts import WorkerFacts
from backends.local.fields import ProtocolError
from backends.local.messages import Beat, Hello, Reply, Request
from backends.local.process import FOLDER_PREFIX
from backends.local.protocol import MAX_REPLY_BYTES, MAX_REQUEST_BYTES, decode_reply, decode_request, encode

START_LIMIT_S = 60.0
EXIT_GRACE_S = 1.0
LOG_BYTES = 65_536
MAX_QUEUED_REPLIES = 1024


class WorkerProcess:
    """A worker that said hello. `receive` gives its replies; once it is gone, `receive` raises why."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self.facts: WorkerFacts | None = None
        self.heard = 0  # lines read; while it grows, the worker lives
        self._process = process
        self._folder = folder
        self._replies: asyncio.Queue[Reply | None] = asyncio.Queue(MAX_QUEUED_REPLIES)
        self._problem: NearfarError | None = None
        self._log = bytearray()
        self._tasks = [asyncio.create_task(self._read_replies()), asyncio.create_task(self._read_log())]

    @classmethod
    async def start(cls, command: Sequence[str]) -> WorkerProcess:
        """Start a worker and wait for its hello; raises WorkerError. A cancelled start leaves no process."""
        folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
        try:
            process = await _spawn(command, folder)
        except BaseException as error:
            _remove(folder)
            if isinstance(error, OSError):
                raise WorkerDied(f"The local engine could not be started ({error.strerror}).") from None
            raise
        worker = cls(process, folder)
        try:
            await worker._await_hello()
        except BaseException:
            await worker.stop()
            raise
        return worker

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._problem is None and self._process.returncode is None

    @property
    def log_tail(self) -> bytes:
        """The last 64 KiB that llama.cpp and Python wrote to stderr; no prompt is ever written there."""
        return bytes(self._log)

    def send(self, request: Request) -> None:
        """Queue a request; raises UsageError where a field is out of bounds, PromptTooLong where it is too large.

        It never waits: a worker that reads nothing is found by its silence.
        """
        try:
            data = encode(request)
        except ProtocolError:
            raise PromptTooLong(f"The prompt is larger than {MAX_REQUEST_BYTES // 2**20} MiB.") from None
        try:
            decode_request(data)
        except ProtocolError as error:
            raise UsageError(f"The local model cannot be asked this: {error}.") from None
        if self._process.stdin is not None:
            self._process.stdin.write(data)

    async def receive(self) -> Reply:
        """The next reply, beats left out; raises WorkerError once the worker is gone and all replies are read."""
        reply = await self._replies.get()
        if reply is None:
            self._replies.put_nowait(None)
            raise self._problem or WorkerDied("The local model stopped unexpectedly.")
        return reply

    def kill(self, problem: NearfarError | None = None) -> None:
        """End the process now; `problem` is what `receive` then raises."""
        self._problem = self._problem or problem
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def stop(self) -> None:
        """Close its input, on which it ends by itself, else kill it; leaves no process, task or folder behind."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        timer = asyncio.get_running_loop().call_later(EXIT_GRACE_S, self.kill)
        try:
            await self._process.wait()
        except BaseException:
            self.kill()
            raise
        finally:
            timer.cancel()
            for task in self._tasks:
                task.cancel()
            self._wake_receiver()
            _remove(self._folder)

    def _wake_receiver(self) -> None:
        """Whoever waits in `receive` must learn that nothing comes any more, even if nobody reads the output now."""
        self._problem = self._problem or WorkerDied("The local model was stopped.")
        while self._replies.full():
            self._replies.get_nowait()
        self._replies.put_nowait(None)

    async def _await_hello(self) -> None:
        late = WorkerSilent(f"The local engine did not start within {START_LIMIT_S:.0f} seconds.")
        timer = asyncio.get_running_loop().call_later(START_LIMIT_S, self.kill, late)
        try:
            reply = await self.receive()
        finally:
            timer.cancel()
        if not isinstance(reply, Hello):
            raise WorkerConfused("The local engine did not introduce itself.")
        self.facts = reply.facts

    async def _read_replies(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        try:
            while True:
                reply = decode_reply(await stdout.readuntil(b"\n"))
                self.heard += 1
                if not isinstance(reply, Beat):
                    await self._replies.put(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            await self._learn_why()
        except (ProtocolError, asyncio.LimitOverrunError):
            self.kill(WorkerConfused("The local engine answered with something that is not its protocol."))
        await self._replies.put(None)

    async def _learn_why(self) -> None:
        """Its output ended: wait for the exit status and the last of its log, which carry the cause."""
        timer = asyncio.get_running_loop().call_later(EXIT_GRACE_S, self.kill)
        await self._process.wait()
        timer.cancel()
        await asyncio.wait(self._tasks[1:], timeout=EXIT_GRACE_S)
        self._problem = self._problem or why_it_died(self._process.returncode, self.log_tail)

    async def _read_log(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None
        while chunk := await stderr.read(4096):
            self._log += chunk
            del self._log[:-LOG_BYTES]


async def _spawn(command: Sequence[str], folder: Path) -> asyncio.subprocess.Process:
    """The process, with `folder` as its place; raises OSError. asyncio kills and reaps it when cancelled half way."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=MAX_REPLY_BYTES,
        cwd=folder,
        env=child_environment(os.environ),
        creationflags=0x0800_0000 if sys.platform == "win32" else 0,  # CREATE_NO_WINDOW
    )
    return known(process)


def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
