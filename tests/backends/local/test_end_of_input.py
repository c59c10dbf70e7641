"""The worker ends when its standard input does, which is all that macOS and Windows offer. Must not use the engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from backends.local.facts import LoadOptions
from backends.local.messages import Load, Run, TextDelta
from backends.local.protocol import decode_reply, encode
from backends.records import Message, Sampling


def test_the_worker_ends_in_mid_answer_when_its_input_ends(endless: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "backends.local.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.write(encode(Load(1, str(endless), "endless", LoadOptions())))
        run = Run(2, (Message("user", "go"),), Sampling(max_tokens=None, temperature=0.0, seed=1), exact=True)
        worker.stdin.write(encode(run))
        worker.stdin.flush()
        while not isinstance(decode_reply(worker.stdout.readline()), TextDelta):
            pass
        worker.stdin.close()
        try:
            assert worker.wait(timeout=2) == 0
        finally:
            worker.kill()
