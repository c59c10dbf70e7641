"""Shows how far a long job is and keeps its whole output in a file. It must not know what the job does."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from shell import Stop, shown

_STEP = re.compile(r"^\[(\d+)/(\d+)\] ")
_TAIL_LINES = 30


class Progress:
    """One line that counts up: rewritten in place on a terminal, a new line every tenth elsewhere."""

    def __init__(self, total: int, unit: str) -> None:
        self._total = max(total, 1)
        self._unit = unit
        self._began_s = time.monotonic()
        self._shown_tenth = -1
        self._live = sys.stdout.isatty()

    def show(self, done: int) -> None:
        """Says how much is done, at most ten times where nobody watches live."""
        tenth = done * 10 // self._total
        if not self._live and tenth == self._shown_tenth:
            return
        self._shown_tenth = tenth
        minutes, seconds = divmod(int(time.monotonic() - self._began_s), 60)
        share = done * 100 // self._total
        line = f"  {share:3d} %  {done} of {self._total} {self._unit}, {minutes}:{seconds:02d}"
        print(f"\r{line}" if self._live else line, end="" if self._live else "\n", flush=True)

    def close(self) -> None:
        """Ends the line on a terminal."""
        if self._live:
            print(flush=True)


def follow(argv: Sequence[str | Path], env: Mapping[str, str], log: Path) -> None:
    """Runs a build, showing Ninja's count. Raises Stop with the end of its output when it fails."""
    progress: Progress | None = None
    with (
        log.open("w", encoding="utf-8") as file,
        subprocess.Popen(
            [str(part) for part in argv],
            env=env,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as child,
    ):
        assert child.stdout
        file.write(f"{shown(argv)}\n")
        for line in child.stdout:
            file.write(line)
            if step := _STEP.match(line):
                progress = progress or Progress(int(step[2]), "steps")
                progress.show(int(step[1]))
    if progress:
        progress.close()
    if child.returncode:
        end = "\n".join(log.read_text(encoding="utf-8").splitlines()[-_TAIL_LINES:])
        raise Stop(f"The build failed. What it said last:\n{end}\n\nAll of it is in {log}")
