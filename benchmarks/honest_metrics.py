"""TTFT and tok/s as displayed while the GUI thread is blocked for 300 ms in every second, beside an idle window.

    sleep   the GUI thread waits in the system, as in a slow native call: other threads run on
    spin    the GUI thread computes in Python, as a slow page would, and holds the interpreter's lock

Two lanes: a random local model through its worker, and a server of our own on loopback that streams at a fixed rate
through the real OpenAI client. Ways take turns; a figure is the median move of what the strip shows, in percent. The
server's pace is known; how fast the local model computes differs from answer to answer, so what the strip shows of it
is set beside llama.cpp's own clock of the same answer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from figures import Figure, add_arguments, finish
from shapes import FOLDER, model_file

BLOCK_S, EVERY_MS = 0.3, 1000
AIM_PERCENT = 1.0
QUESTION = "What does it mean to run a model here?"
SERVER_TOKENS, SERVER_TOK_S, SERVER_FIRST_S = 400, 100.0, 0.6
LOCAL_TOKENS = 200
WAYS = ("idle", "sleep", "spin")
Shown = dict[str, float]  # of the server in ms and tok/s; of the local model as shares of llama.cpp's own


def block(way: str) -> None:
    if way == "sleep":
        time.sleep(BLOCK_S)  # a blocked GUI thread is what is measured
        return
    until = time.monotonic() + BLOCK_S
    while time.monotonic() < until:
        pass


class Window:
    """The whole app with a local lane and a lane of the server."""

    def __init__(self, home: Path, model: Path, url: str) -> None:
        os.environ["NEARFAR_HOME"] = str(home)
        os.environ["NEARFAR_LAB_BASE_URL"] = url
        os.environ.setdefault("QT_QPA_PLATFORM", "xcb" if os.environ.get("DISPLAY") else "offscreen")
        from PySide6.QtCore import QTimer
        from PySide6.QtWidgets import QApplication

        from app.session import Session
        from backends.paths import app_paths
        from backends.workbench import Workbench

        self.qt = QApplication([])
        bench = Workbench(app_paths())
        bench.change(lanes=(f"local:{model}", "custom:lab/model"), first_start_done=True, local_only=False)
        self._session = Session(self.qt, bench)
        self._session.window.show()
        self._way, self._asked = "", 0
        self._blocker = QTimer()
        self._blocker.timeout.connect(lambda: block(self._way))
        self._until(lambda: self._session.status.begun)

    def ask(self, way: str) -> Shown:
        """One comparison, in sequence; what the strips show in the end."""
        page = self._session.compare
        box = page.prompt_box
        box.parameters.set_sampling(replace(self._session.bench.settings.sampling, max_tokens=LOCAL_TOKENS))
        self._asked += 1  # each begins in its own way, so that none finds the last one's KV cache
        box.editor.setPlainText(f"{self._asked:04}: {QUESTION}")
        with self._blocked(way):
            box.run_button().click()
            self._until(lambda: not self._session.runs.busy and not page.tick())
        here, server = (page.lane(lane_id) for lane_id in page.lane_ids)
        ttft_ms, rate = figures_of(here)
        assert here.state.result is not None
        own = here.state.result.engine_timings
        server_ttft_ms, server_rate = figures_of(server)
        return {
            "local TTFT": ttft_ms / own["prompt_ms"],
            "local tok/s": rate * own["predicted_ms"] / own["predicted_n"] / 1000,
            "server TTFT": server_ttft_ms,
            "server tok/s": server_rate,
        }

    def close(self) -> None:
        self._session.window.close()
        self.qt.processEvents()

    @contextlib.contextmanager
    def _blocked(self, way: str) -> Iterator[None]:
        if way == "idle":
            yield
            return
        self._way = way
        self._blocker.start(EVERY_MS)
        yield
        self._blocker.stop()

    def _until(self, holds: object) -> None:
        from PySide6.QtCore import QEventLoop, QTimer

        assert callable(holds)
        loop, timer = QEventLoop(), QTimer()
        timer.timeout.connect(lambda: loop.quit() if holds() else None)
        timer.start(50)
        loop.exec()
        timer.stop()


def figures_of(lane: Any) -> tuple[float, float]:
    """TTFT in ms and tok/s as the lane's strip shows them."""
    values = lane.strip.values()
    return milliseconds(values["TTFT"]), float(values["tok/s"].replace(",", ""))


def milliseconds(text: str) -> float:
    """A duration as the strip writes it."""
    number, unit = text.replace(",", "").split()
    return float(number) * {"ms": 1.0, "s": 1000.0}[unit]


@contextlib.contextmanager
def server() -> Iterator[str]:
    """A server that streams at a fixed rate, in a process of its own so that no lock of ours slows it."""
    import subprocess

    child = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        yield child.stdout.readline().strip()
    finally:
        child.kill()
        child.wait()


async def serve() -> None:
    """OpenAI's chat completions, a token a chunk, each at its own time from the start: delays do not add up."""
    import json

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
        )
        await reader.readexactly(size)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        started = asyncio.get_running_loop().time()
        for number in range(SERVER_TOKENS + 1):
            done = number == SERVER_TOKENS
            choice = {
                "index": 0,
                "delta": {} if done else {"content": f" word{number}"},
                "finish_reason": "stop" if done else None,
            }
            chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "model", "choices": [choice]}
            if done:
                chunk["usage"] = {
                    "prompt_tokens": 9,
                    "completion_tokens": SERVER_TOKENS,
                    "total_tokens": 9 + SERVER_TOKENS,
                }
            due = started + SERVER_FIRST_S + number / SERVER_TOK_S
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            writer.write(f"data: {json.dumps(chunk)}\n\n".encode())
            await writer.drain()
        writer.write(b"data: [DONE]\n\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()[:2]
    print(f"http://{host}:{port}/v1", flush=True)
    await listening.serve_forever()


def moves(rows: dict[str, list[Shown]]) -> list[Figure]:
    """How far each figure moved from the idle window's, per way, by the medians of the rounds."""
    figures: list[Figure] = []
    for caption in rows["idle"][0]:
        idle = statistics.median(shown[caption] for shown in rows["idle"])
        for way in WAYS[1:]:
            values = [shown[caption] for shown in rows[way]]
            moved = abs(statistics.median(values) / idle - 1) * 100
            each = tuple(abs(value / idle - 1) * 100 for value in values)
            figures.append(Figure(f"{caption}, {way}", moved, "%", aim=AIM_PERCENT, less=True, samples=each))
        spread = [abs(shown[caption] / idle - 1) * 100 for shown in rows["idle"]]
        figures.append(
            Figure(f"{caption}, idle, spread", statistics.median(spread), "%", less=True, samples=tuple(spread))
        )
    return figures


def measure(rounds: int, folder: Path) -> Sequence[Figure]:
    rows: dict[str, list[Shown]] = {way: [] for way in WAYS}
    with server() as url, tempfile.TemporaryDirectory() as home:
        window = Window(Path(home), model_file(folder, "1b"), url)
        window.ask("idle")  # loads, imports, connects
        for number in range(rounds):
            for way in WAYS:
                rows[way].append(window.ask(way))
                print(f"round {number + 1} {way}: {rows[way][-1]}", file=sys.stderr)
        window.close()
    return moves(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    add_arguments(parser)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(serve())
        return 0
    figures = measure(arguments.rounds, arguments.folder)
    return finish(figures, arguments, rounds=arguments.rounds, block_s=BLOCK_S, every_ms=EVERY_MS)


if __name__ == "__main__":
    sys.exit(main())
