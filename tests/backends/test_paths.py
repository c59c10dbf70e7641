"""Where files go, and who may read the folders. Must not touch the real home."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from backends.paths import app_paths, ensure_folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_nearfar_home_moves_every_file(tmp_path: Path) -> None:
    paths = app_paths({"NEARFAR_HOME": str(tmp_path)})
    for place in (
        paths.config,
        paths.data,
        paths.cache,
        paths.logs,
        paths.models,
        paths.settings_file,
        paths.history_file,
        paths.prices_file,
        paths.price_table_file,
        paths.ledger_folder,
        paths.old_ledger_file,
    ):
        assert place.is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == [], "asking where files go must not make any"


def test_a_relative_home_stays_where_it_was_when_the_program_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    paths = app_paths({"NEARFAR_HOME": "here"})
    monkeypatch.chdir("/")
    assert paths.data == tmp_path / "here" / "data"


@pytest.mark.skipif(sys.platform != "linux", reason="XDG variables are for Linux")
@pytest.mark.parametrize("home", ["", "   "])
def test_without_a_home_the_systems_own_folders_are_used(home: str, tmp_path: Path) -> None:
    script = (
        "from backends.paths import app_paths; p = app_paths(); print(p.config, p.history_file, p.models, sep='\\n')"
    )
    environ = {"HOME": str(tmp_path), "NEARFAR_HOME": home, "XDG_CONFIG_HOME": str(tmp_path / "conf")}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
    config, history, models = done.stdout.splitlines()
    assert config == str(tmp_path / "conf" / "nearfar")
    assert history == str(tmp_path / ".local" / "share" / "nearfar" / "history.sqlite3")
    assert models == str(tmp_path / ".local" / "share" / "nearfar" / "models")


def test_new_folders_are_private_and_old_ones_are_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    folder = ensure_folder(tmp_path / "a" / "b")
    assert [mode(folder), mode(folder.parent), mode(tmp_path)] == [0o700, 0o700, 0o755]
    folder.chmod(0o750)
    ensure_folder(folder)
    assert mode(folder) == 0o750


def test_a_file_in_place_of_a_folder_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    with pytest.raises(FileExistsError):
        ensure_folder(tmp_path / "data")
    with pytest.raises(NotADirectoryError):
        ensure_folder(tmp_path / "data" / "below")
