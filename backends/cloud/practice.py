"""Practice: an OpenAI-protocol server on this machine, started and ended by the app. Must not import xllamacpp."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
from collections import deque
from dataclasses import asdict
from pathlib import Path

from backends.children import child_environment, spawn
from backends.cloud import pricing
from backends.cloud.engine import CloudEngine
from backends.cloud.patience import Patience
from backends.cloud.providers import Endpoint, practice_endpoint, shipped_endpoints
from backends.egress import Egress
from backends.errors import NearfarError, PracticeFailed
from backends.events import Emit, Event, Failed
from backends.keys import Secret
from backends.records import Cost, RunRequest, Usage
from backends.tally import NOT_CHARGED, Tally

MODULE = "backends.cloud.practice_server"
START_S = 60.0
STOP_S = 2.0
MAX_LINE_BYTES = 64_000
LOG_LINES = 40
ALIAS = "demo"
# After these the server is ended, so that the next question finds a fresh one.
BROKEN = frozenset({"stalled", "unreachable", "connection_lost"})


def practice_command() -> tuple[str, ...]:
    """How this installation starts the child; -P keeps the working folder off the module path."""
    if getattr(sys, "frozen", False):
        return (sys.executable, "--practice")
    return (sys.executable, "-P", "-m", MODULE)


class PracticeServer:
    """Owns the child. It starts at the first `endpoint()` and again whenever it was found dead."""

    def __init__(self, model_path: Path, *, command: tuple[str, ...] | None = None, start_s: float = START_S) -> None:
        self._model_path = model_path.absolute()
        self._command = command or practice_command()
        self._start_s = start_s
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._endpoint: Endpoint | None = None
        self._key: Secret | None = None
        self._log: deque[str] = deque(maxlen=LOG_LINES)
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self.is_running and self._process is not None else None

    @property
    def is_running(self) -> bool:
        process = self._process
        if process is None or process.stdout is None or self._endpoint is None:
            return False
        # Its report pipe ends with it, which is seen sooner than its exit status.
        return process.returncode is None and not process.stdout.at_eof()

    def key(self) -> Secret | None:
        """The key of the server that runs now; a new one each time it starts."""
        return self._key

    async def endpoint(self) -> Endpoint:
        """Where it listens, once it does; raises PracticeFailed."""
        async with self._starting:
            await asyncio.sleep(0)  # let the loop see a pipe that has just ended
            if not self.is_running:
                await self._stop()
                await self._start()
            assert self._endpoint is not None
            return self._endpoint

    async def close(self) -> None:
        """End the child and wait for it; idempotent."""
        async with self._starting:
            await self._stop()

    async def _start(self) -> None:
        if not self._model_path.is_file():
            raise PracticeFailed("The demo model that practice serves is missing.", fix="Install Nearfar again.")
        key = secrets.token_urlsafe(32)
        try:
            async with asyncio.timeout(self._start_s):
                report = await self._spawn(key)
        except TimeoutError:
            await self._stop(0)
            raise PracticeFailed(f"The practice server did not start within {self._start_s:.0f} seconds.") from None
        except (OSError, ValueError) as error:
            await self._stop(0)
            raise PracticeFailed(f"The practice server did not start ({type(error).__name__}).") from None
        except asyncio.CancelledError:
            await self._stop(0)
            raise
        port = report.get("port")
        if not isinstance(port, int):
            await self._stop()
            why = str(report.get("error") or self._last_words()).rstrip(".")
            raise PracticeFailed(f"The practice server did not start: {why}.")
        self._key = Secret(key)
        self._endpoint = practice_endpoint(f"http://127.0.0.1:{port}/v1")

    async def _spawn(self, key: str) -> dict[str, object]:
        """Start the child, hand it its settings by stdin, and read its one line."""
        process = await spawn(
            self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self._model_path.parent,  # native code may look for libraries where it stands: a folder of the app
            env=child_environment(os.environ),
            limit=MAX_LINE_BYTES,
            creationflags=0x0800_0000 if sys.platform == "win32" else 0,  # CREATE_NO_WINDOW
        )
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._reading = asyncio.create_task(self._keep_log(process.stderr))
        settings = {"model": str(self._model_path), "key": key, "alias": ALIAS}
        process.stdin.write(json.dumps(settings).encode() + b"\n")
        with contextlib.suppress(ConnectionError):
            await process.stdin.drain()
        line = await process.stdout.readline()
        report = json.loads(line) if line else {}
        return report if isinstance(report, dict) else {}

    async def _keep_log(self, stderr: asyncio.StreamReader) -> None:
        """Drain stderr, or the child would block on a full pipe; the last lines explain a failed start."""
        while chunk := await stderr.read(4096):
            self._log.extend(chunk.decode(errors="replace").splitlines())

    def _last_words(self) -> str:
        return self._log[-1][:200] if self._log else "it said nothing"

    async def _stop(self, grace_s: float = STOP_S) -> None:
        process, self._process = self._process, None
        self._endpoint = self._key = None
        if process is not None:
            await _end(process, grace_s)
        reading, self._reading = self._reading, None
        if reading is not None:
            await reading


async def _end(process: asyncio.subprocess.Process, grace_s: float) -> None:
    """Close its stdin, which it takes as the order to end; kill it if it does not within the grace."""
    if process.stdin is not None:
        process.stdin.close()
    # Not asyncio.timeout: in a task that is being cancelled, that of Python 3.11.2 raises CancelledError instead.
    ended = asyncio.ensure_future(process.wait())
    await asyncio.wait([ended], timeout=grace_s)
    if not ended.done():
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    await ended


class PracticeEngine:
    """The practice server as an engine. Its cost is what gpt-4o would have charged, and says so; nothing is paid."""

    def __init__(self, server: PracticeServer, *, egress: Egress, patience: Patience | None = None) -> None:
        self._server = server
        self._egress = egress
        self._patience = patience
        self._engine: CloudEngine | None = None

    async def run(self, request: RunRequest, emit: Emit) -> None:
        """See `Engine.run`."""
        broken: list[Failed] = []

        def listen(event: Event) -> None:
            if isinstance(event, Failed) and event.problem.code in BROKEN:
                broken.append(event)
            emit(event)

        tally = Tally(request, listen, cost_of=_practice_cost, settings=asdict(request.sampling))
        tally.broken_cost_of = lambda _text: NOT_CHARGED  # nobody is paid, so what broke off costs nothing either
        tally.started()
        try:
            engine = await self._ready(tally)
        except asyncio.CancelledError:
            tally.cancelled()
            raise
        except NearfarError as error:
            tally.failed(error)
            return
        await engine.run_into(tally, request)
        if broken:
            await self._server.close()

    async def warm_up(self) -> None:
        """Start the server and load the client before the first question; raises NearfarError."""
        engine = await self._engine_at(await self._server.endpoint())
        await engine.warm_up()

    async def close(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.close()
        await self._server.close()

    async def _ready(self, tally: Tally) -> CloudEngine:
        if self._server.is_running:
            return await self._engine_at(await self._server.endpoint())
        tally.notice("practice_starting", "Starting the practice server on this machine…")
        engine = await self._engine_at(await self._server.endpoint())
        tally.notice("practice_starting", "")
        return engine

    async def _engine_at(self, endpoint: Endpoint) -> CloudEngine:
        """The client for this address; a restarted server has another port."""
        if self._engine is not None and self._engine.endpoint == endpoint:
            return self._engine
        old = self._engine
        self._engine = CloudEngine(endpoint, egress=self._egress, key=self._server.key, patience=self._patience)
        if old is not None:
            await old.close()
        return self._engine


def _practice_cost(usage: Usage) -> Cost:
    return pricing.practice_cost(usage, shipped_endpoints()[pricing.PRACTICE_PROVIDER].price_as_of)
