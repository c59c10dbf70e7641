"""The list of models on disk, shared by processes and versions: nothing that one wrote is lost. Real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from backends.file_lock import alone
from backends.models.index import VERSION, Index, IndexFile

WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from backends.models.index import IndexFile
index, name, count = IndexFile(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    index.change(lambda each: each.used.update({f"{name}-{number}": datetime.now(UTC)}))
"""
HOLDER = """
import sys
from pathlib import Path
from backends.file_lock import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def started(program: str, *arguments: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", program, *arguments]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    return child


def use(index: IndexFile, ref: str) -> None:
    index.change(lambda each: each.used.update({ref: datetime.now(UTC)}))


def on_disk(path: Path) -> Index:
    return IndexFile(path).read()


def test_two_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "models.json"
    children = [started(WRITER, str(path), name, "60") for name in "ab"]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    for child in children:
        child.communicate(timeout=60)
        assert child.returncode == 0
    assert set(on_disk(path).used) == {f"{name}-{number}" for name in "ab" for number in range(60)}


def test_a_process_that_holds_on_too_long_costs_the_writing_not_the_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "models.json"
    index = IndexFile(path)
    use(index, "before")
    monkeypatch.setattr("backends.file_lock.PATIENCE_S", 0.1)
    child = started(HOLDER, str(path))
    use(index, "meanwhile")
    assert set(index.read().used) == {"before", "meanwhile"}
    assert set(on_disk(path).used) == {"before"}
    child.kill()  # the system lets go of its lock
    child.communicate(timeout=60)
    use(index, "after")
    assert set(on_disk(path).used) == {"before", "meanwhile", "after"}


def test_one_lock_is_given_back_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), alone(tmp_path / "x"):
        raise KeyError
    with alone(tmp_path / "x"):
        pass


def test_the_file_of_a_newer_version_is_set_aside_whole(tmp_path: Path) -> None:
    path = tmp_path / "models.json"
    use(IndexFile(path), "kept")
    newer = json.dumps({**json.loads(path.read_text()), "version": VERSION + 1})
    path.write_text(newer)
    index = IndexFile(path)
    assert index.read().used == {}
    assert path.read_text() == newer, "reading changes nothing"
    use(index, "new")
    assert (tmp_path / f"models.json.version-{VERSION + 1}").read_text() == newer
    assert set(on_disk(path).used) == {"new"}


def test_a_damaged_file_is_set_aside_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.models.index.MAX_INDEX_BYTES", 100)
    path = tmp_path / "models.json"
    for damaged in (b"\x00\xff no json", b" " * 300 + b"{}"):
        path.write_bytes(damaged)
        index = IndexFile(path)
        use(index, "new")
        assert (tmp_path / "models.json.bad").read_bytes() == damaged
        assert set(index.read().used) == {"new"}
        assert b'"new"' in path.read_bytes()


def test_a_file_that_cannot_be_set_aside_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "models.json"
    path.write_bytes(b"no json")
    index = IndexFile(path)
    (tmp_path / "models.json.bad").mkdir()
    use(index, "new")
    assert path.read_bytes() == b"no json"
    assert set(index.read().used) == {"new"}


def test_a_file_that_cannot_be_opened_for_a_moment_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the process has too many files open."""
    path = tmp_path / "models.json"
    use(IndexFile(path), "kept")
    index, real = IndexFile(path), Path.open

    def refuse(self: Path, *given: object, **named: object) -> object:
        if self == path:
            raise OSError(24, "Too many open files")
        return real(self, *given, **named)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        use(index, "lost")
        assert set(index.read().used) == {"lost"}
    assert set(on_disk(path).used) == {"kept"}
    use(index, "new")
    assert set(on_disk(path).used) == {"kept", "new"}


def test_two_writes_with_one_stamp_are_told_apart(tmp_path: Path) -> None:
    """A file of the same size in the same tick of the clock may even get the same inode again."""
    path = tmp_path / "models.json"
    mine, theirs = IndexFile(path), IndexFile(path)
    use(mine, "aa")
    stat = path.stat()
    content = path.read_bytes().replace(b'"aa"', b'"bb"')
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    use(mine, "cc")
    assert set(theirs.read().used) == {"bb", "cc"}
