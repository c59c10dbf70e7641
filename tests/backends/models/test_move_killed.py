"""The move of the models folder, killed at every step: no model is lost, none is left twice. Real kills."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backends.models.library import Library
from tests.backends.models.library_support import catalogue, download, library, tree, write_model, write_parts
from tests.backends.models.test_move import kept

KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from backends.models import disk, move, verify
from backends.models.library import Library
verify.BLOCK_BYTES = disk.BLOCK_BYTES = 65_536
base, other_disk, first = Path(sys.argv[1]), sys.argv[2] == "1", int(sys.argv[3])
if other_disk:
    move.same_disk = lambda old, new: False
settings = base / "settings"
watched = {"open", "os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.symlink"}
for moment in range(first, 10_000):
    child = os.fork()
    if child == 0:
        left = [moment]
        def step(*_):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        async def switch(folder):
            temporary = settings.with_suffix(".new")
            temporary.write_text(str(folder))
            os.replace(temporary, settings)
        sys.addaudithook(lambda event, args: step() if event in watched and str(base) in str(args[0]) else None)
        here = Path(settings.read_text())
        made = Library(here, base / "data" / "models.json")
        made.scan()
        there = base / ("new" if here.name == "models" else "models")
        asyncio.run(made.move_folder(there, step, switch=switch))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(moment, status, flush=True)
    if status == 0:
        break
    sys.stdin.readline()
"""


@pytest.mark.parametrize("other_disk", [False, True], ids=["same disk", "other disk"])
def test_killed_at_any_moment_no_model_is_lost(tmp_path: Path, other_disk: bool) -> None:
    """At every file operation and block of a move and of the start after it, until one runs to its end."""
    made = library(tmp_path)
    download(made)
    made.import_file(write_model(tmp_path / "mine" / "noted.gguf", 3), "use in place")
    write_parts(made.folder / "some--Repo", count=2)
    wanted = {ref: files for ref, (_check, files) in kept(made).items()}
    assert len(wanted) == 3
    settings = tmp_path / "settings"
    settings.write_text(str(made.folder))
    argv = [sys.executable, "-c", KILLED, str(tmp_path), str(int(other_disk)), "1"]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None
    assert child.stdout is not None
    kills = switched = 0
    for line in child.stdout:
        status = int(line.split()[1])
        named = Path(settings.read_text())
        after = Library(named, tmp_path / "data" / "models.json", catalogue=catalogue)
        models = {ref: files for ref, (_check, files) in kept(after).items()}
        assert models == wanted, (line, named, after.notice)
        if status == 0:
            break
        assert status == signal.SIGKILL, line
        kills += 1
        switched += named.name == "new"
        child.stdin.write("\n")
        child.stdin.flush()
    child.stdin.close()
    child.stdout.close()
    assert child.wait(timeout=60) == 0
    assert kills > 20
    assert switched > 0, "some kills must come after the switch"
    assert not (tmp_path / "data" / "models-move.json").exists()
    old = tmp_path / ("models" if Path(settings.read_text()).name == "new" else "new")
    assert not [name for name in tree(old) if name.endswith(".gguf")], "no second copy is left"
