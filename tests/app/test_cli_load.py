"""`nearfar run` with a model that would not fit: the sentence names the way on, and --load-anyway takes it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

from backends.fit.learned_file import LearnedFile
from backends.paths import app_paths
from tests.gguf_factory import write_script

LIMIT_S = 120
# A child of our own, in which the machine says that nearly nothing is free; all the rest is the program.
TIGHT = """
    import sys
    from backends.devices import machine
    from backends.devices.records import MemoryInfo
    machine.read_memory = lambda: MemoryInfo(16 * 2**30, 64 * 2**20, 0, 0)
    from app.cli import main
    sys.exit(main(sys.argv[1:]))
"""


def on_a_tight_machine(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TIGHT), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT_S,
        check=False,
    )


def test_a_model_that_would_not_fit_is_loaded_only_when_told_so(tmp_path: Path) -> None:
    model = write_script(tmp_path / "talker.gguf", [f" word{n}".encode() for n in range(20)], n_ctx_train=65_536)
    ask = ("run", "go", "--target", f"local:{model}", "--json")
    refused = on_a_tight_machine(*ask)
    assert refused.returncode == 1
    failed = json.loads(refused.stdout.splitlines()[-1])
    assert failed["error"]["code"] == "would_not_fit"
    assert "--load-anyway" in failed["error"]["fix"]
    anyway = on_a_tight_machine(*ask, "--load-anyway")
    assert anyway.returncode == 0, anyway.stderr
    assert "word19" in json.loads(anyway.stdout.splitlines()[-1])["result"]["text"]
    learned = LearnedFile.of(app_paths()).load().seen
    assert learned, "it teaches as a run in the window does"
    assert learned[0].real_bytes is not None
