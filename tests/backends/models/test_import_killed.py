"""A copy into the models folder, killed at every step: it is whole or not there. Real kills of real processes."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.backends.models.library_support import library, model_bytes, tree, write_model

KILLED = """
import os, signal, sys
from pathlib import Path
from backends.models import verify, disk
from backends.models.library import Library
verify.BLOCK_BYTES = disk.BLOCK_BYTES = 16_384
base, file, moments = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
watched = {"open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.truncate"}
for moment in range(moments, moments + 400):
    child = os.fork()
    if child == 0:
        left = [moment]
        def step(*_):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        def hook(event, args):
            if event in watched and str(base) in str(args[0]):
                step()
        sys.addaudithook(hook)
        Library(base / "models", base / "data" / "models.json").import_file(file, "copy", step)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(moment, status, flush=True)
    sys.stdin.readline()
    if status == 0:
        break
"""


def test_killed_at_any_moment_a_copy_is_whole_or_not_there(tmp_path: Path) -> None:
    """At every file operation and every block of the copy, until one runs to its end."""
    mine = write_model(tmp_path / "mine" / "m.gguf", 5)
    argv = [sys.executable, "-c", KILLED, str(tmp_path), str(mine), "1"]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    kills = 0
    for line in child.stdout:
        status = int(line.split()[1])
        models = library(tmp_path).scan()
        assert [model.path.read_bytes() for model in models] == [model_bytes(5)] * len(models)
        assert [model.note for model in models] == [""] * len(models)
        assert mine.read_bytes() == model_bytes(5)
        if status == 0:
            break
        assert status == signal.SIGKILL
        kills += 1
        shutil.rmtree(tmp_path / "models" / "imported", ignore_errors=True) if models else None
        child.stdin.write("\n")
        child.stdin.flush()
    child.stdin.close()
    assert child.wait(timeout=60) == 0
    assert kills > len(model_bytes()) // 16_384
    left = [name for name in tree(tmp_path / "models") if name.endswith(".incomplete")]
    assert left == [], "what killed imports left is swept by the next one"
    child.stdout.close()
