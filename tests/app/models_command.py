"""Runs `nearfar models` as a real process, piped or on a terminal, beside the hub's stand-in. Must not know tests."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.backends.models.library_support import write_model, write_parts
from tests.fakes.hub_server import HubServer

PROGRAM = ("-m", "app")
LIMIT_S = 120
REPO = "maker/Tiny-GGUF"
FILE = "tiny-Q8_0.gguf"
REF = f"hf:{REPO}/{FILE}"
LARGE = "large-Q8_0.gguf"
LARGE_BYTES = 24 << 20


@contextmanager
def hub_with_models(folder: Path) -> Iterator[HubServer]:
    """A repo with a small model, one in two parts, and a large one."""
    write_model(folder / REPO / FILE)
    write_parts(folder / REPO / "sub", "big", 2)
    large = write_model(folder / REPO / LARGE, 1)
    with large.open("ab") as file:
        file.write(os.urandom(LARGE_BYTES))
    with HubServer(folder) as server:
        yield server


def env(hub: HubServer | None = None, more: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, **({"NEARFAR_HUB_URL": hub.url} if hub else {}), **(more or {})}


def nearfar(
    *arguments: str, hub: HubServer | None = None, more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *PROGRAM, "models", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT_S,
        env=env(hub, more),
        check=False,
    )


def program(*arguments: str | bytes, more: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The whole command line, for what stands beside `models`."""
    return subprocess.run(
        [sys.executable, *PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT_S,
        env=env(None, more),
        check=False,
    )


def sentence(done: subprocess.CompletedProcess[str], status: int) -> str:
    assert done.returncode == status, done
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("nearfar: ")
    return done.stderr


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def listed(more: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    done = nearfar("list", "--json", more=more)
    assert done.returncode == 0, done.stderr
    models: list[dict[str, Any]] = json.loads(done.stdout)["models"]
    return models


class Terminal:
    """A command on a terminal, as a person has it."""

    def __init__(self, *arguments: str, hub: HubServer | None = None) -> None:
        self._master, slave = pty.openpty()
        argv = [sys.executable, *PROGRAM, "models", *arguments]
        self.child = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env=env(hub), start_new_session=True
        )
        os.close(slave)
        self.text = ""

    def until(self, words: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        while words not in self.text:
            assert time.monotonic() < deadline, self.text
            assert self._read(0.2) or words in self.text, self.text

    def _read(self, wait_s: float) -> bool:
        if not select.select([self._master], [], [], wait_s)[0]:
            return True
        try:
            piece = os.read(self._master, 65536)
        except OSError:  # the other end is closed
            return False
        self.text += piece.decode(errors="replace")
        return bool(piece)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def end(self) -> int:
        while self._read(LIMIT_S):
            pass
        os.close(self._master)
        return self.child.wait(timeout=LIMIT_S)
