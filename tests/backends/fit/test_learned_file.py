"""The file of what was learned: there again, shared by programs, and harmless when it is damaged."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from backends.file_lock import alone_if_possible
from backends.fit.learned import Learned
from backends.fit.learned_file import LearnedFile
from backends.paths import app_paths
from tests.backends.fit.test_learned import CARD, MIB, load, run


@pytest.fixture
def file(tmp_path: Path) -> LearnedFile:
    return LearnedFile(tmp_path / "data" / "learned.json")


def test_what_was_learned_is_there_again(file: LearnedFile) -> None:
    assert file.load() == Learned()
    file.add(load(100))
    file.add(run(120.0), run(121.0))
    again = LearnedFile(file.path).load()
    assert again.seen == (load(100), run(120.0), run(121.0))
    if os.name == "posix":
        assert file.path.stat().st_mode & 0o077 == 0, "for this user alone"


def test_it_lies_in_the_data_folder() -> None:
    paths = app_paths()
    assert LearnedFile.of(paths).path == paths.data / "learned.json"


ADD = """
import sys
from dataclasses import replace
from pathlib import Path
from backends.fit.learned_file import LearnedFile
from tests.backends.fit.test_learned import load
file, first = LearnedFile(Path(sys.argv[1])), int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for number in range(first, first + 20):
    file.add(load(number))
"""


def test_programs_that_add_at_once_lose_nothing_of_each_other(file: LearnedFile) -> None:
    command = [sys.executable, "-c", ADD, str(file.path)]
    programs = [
        subprocess.Popen([*command, str(100 * number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in (1, 2, 3)
    ]
    with contextlib.ExitStack() as open_programs:
        for program in programs:
            open_programs.enter_context(program)
            assert program.stdout is not None
            assert program.stdout.readline() == "ready\n"
        for program in programs:
            assert program.stdin is not None
            program.stdin.write("go\n")
            program.stdin.flush()
        for program in programs:
            program.wait(60)
    assert [program.returncode for program in programs] == [0, 0, 0]
    kept = sorted(((each.real_bytes or 0) - each.predicted_bytes) // MIB for each in file.load().seen)
    assert kept == [100 * number + step for number in (1, 2, 3) for step in range(20)]


def test_one_that_is_held_for_good_only_costs_the_wait(file: LearnedFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.file_lock.PATIENCE_S", 0.05)
    with alone_if_possible(file.path) as mine:
        assert mine
        with alone_if_possible(file.path) as second:
            assert not second
        assert file.add(load(1)).seen == (load(1),)
    with alone_if_possible(file.path) as again:
        assert again


def test_forgetting_deletes_the_file(file: LearnedFile) -> None:
    file.add(load(100))
    assert file.forget() is None
    assert not file.path.exists()
    assert file.load() == Learned()
    assert file.forget() is None, "nothing to forget is no failure"


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00", b"[]", b"null", b'{"seen": 7}', b'{"seen": [1, null, {}]}', b"{" * 5000, b" " * 1_000_001],
    ids=["empty", "binary", "list", "null", "number", "odd entries", "nested", "too large"],
)
def test_damage_costs_corrections_and_nothing_else(file: LearnedFile, content: bytes) -> None:
    file.path.parent.mkdir()
    file.path.write_bytes(content)
    assert file.load() == Learned()
    assert file.add(load(5)).seen == (load(5),)
    assert file.load().seen == (load(5),)


def test_a_file_cut_short_keeps_its_whole_entries(file: LearnedFile) -> None:
    file.add(load(1), load(2), load(3))
    raw = file.path.read_bytes()
    file.path.write_bytes(raw[: raw.rindex(b'"predicted_bytes"')])
    assert file.load().seen == (load(1), load(2))


def test_mad_entries_are_left_out_and_unknown_fields_ignored(file: LearnedFile) -> None:
    good = asdict(load(1))
    mad = [
        good | {"real_tok_s": float("nan")},
        good | {"real_tok_s": -3.0},
        good | {"predicted_bytes": -1},
        good | {"real_bytes": 2**60},
        good | {"speed_factor": 0.0},
        good | {"devices": []},
        good | {"ref": "x" * 1000},
        good | {"kv_type": "q2"},
        {key: value for key, value in good.items() if key != "ref"},
    ]
    file.path.parent.mkdir()
    file.path.write_text(json.dumps({"seen": [*mad, good | {"from_a_newer_version": 1}]}))
    assert file.load().seen == (load(1),)


def test_where_nothing_can_be_written_it_holds_for_the_session(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    file = LearnedFile(tmp_path / "data" / "learned.json")
    assert file.add(load(100)).overhead_bytes(CARD.name) == 100 * MIB
    assert file.load().seen == (load(100),)
    (tmp_path / "data").unlink()
    file.add(load(200))
    assert LearnedFile(file.path).load().seen == (load(100), load(200)), "and is written once it can be"
