"""The settings file: round trips, limits, damage and being killed while it is written."""

from __future__ import annotations

import json
import random
import signal
import stat
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backends.errors import SettingsNotSaved
from backends.records import Sampling
from backends.settings import KEYS, PRIVATE_CHOICES, Settings, SettingsFile, checked, wording
from backends.workbench import Workbench

CHANGED = Settings(
    theme="dark",
    keep_history=False,
    local_only=False,
    lane_order="race",
    lanes=("openai:gpt-4o", "local:/models/größe.gguf"),
    max_tokens=None,
    temperature=0.0,
    seed=7,
    stop=("\n\n", "END"),
    custom_servers={"lab": "http://10.0.0.2:8080/v1"},
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "settings.json"


def store(path: Path, text: str | bytes) -> SettingsFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return SettingsFile(path)


def test_no_file_means_defaults_and_no_file(path: Path) -> None:
    loaded = SettingsFile(path).load()
    assert loaded.settings == Settings()
    assert loaded.warnings == ()
    assert not path.parent.exists()


def test_every_setting_comes_back_as_it_was_saved(path: Path) -> None:
    SettingsFile(path).save(CHANGED)
    loaded = SettingsFile(path).load()
    assert loaded.warnings == ()
    assert loaded.settings == CHANGED
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    left = {each.name for each in path.parent.iterdir()}
    assert left == {"settings.json", "settings.json.lock"}, "no temporary file may stay behind"


def test_every_setting_has_words_and_a_default_within_its_limits() -> None:
    assert checked(Settings()) == Settings()
    for key in KEYS:
        assert wording(key).label
        assert wording(key).help.endswith(".")


def test_every_part_of_sampling_is_a_setting() -> None:
    assert Settings().sampling == Sampling()
    assert replace(Settings(), top_k=1, stop=("x",)).sampling == replace(Sampling(), top_k=1, stop=("x",))
    assert {each.name for each in fields(Sampling)} <= set(KEYS)


def test_a_newer_versions_keys_survive(path: Path) -> None:
    file = store(path, '{"theme": "dark", "hologram": {"depth": [1, 2]}, "keep_history": false}')
    loaded = file.load()
    assert loaded.warnings == ()
    file.save(replace(loaded.settings, theme="light"))
    stored = json.loads(path.read_text())
    assert stored["hologram"] == {"depth": [1, 2]}
    assert (stored["theme"], stored["keep_history"]) == ("light", False)


def test_saving_before_loading_keeps_a_newer_versions_keys(path: Path) -> None:
    store(path, '{"hologram": 3}').save(Settings())
    assert json.loads(path.read_text())["hologram"] == 3


BAD_VALUES = [
    ("theme", "pink"),
    ("keep_history", "perhaps"),
    ("lane_order", None),
    ("lanes", ["local:demo", "nowhere"]),
    ("lanes", ["local:demo"] * 5),
    ("lanes", "local:demo"),
    ("max_tokens", 0),
    ("temperature", -1),
    ("temperature", "NaN"),
    ("top_p", 1.5),
    ("seed", -1),
    ("stop", [""]),
    ("models_folder", "~nosuchuser/models"),
    ("models_folder", "a\0b"),
    ("custom_servers", {"lab": "ftp://x"}),
    ("custom_servers", {"lab": "https://user:secret@example.com/v1"}),
    ("custom_servers", {"A name!": "https://example.com/v1"}),
]


@pytest.mark.parametrize(("key", "value"), BAD_VALUES)
def test_a_bad_key_is_left_out_with_one_sentence_and_the_rest_is_kept(path: Path, key: str, value: object) -> None:
    raw = json.dumps({"hologram": 1, key: value} | ({"top_k": 7} if key != "top_k" else {}))
    file = store(path, raw)
    loaded = file.load()
    assert getattr(loaded.settings, key) == PRIVATE_CHOICES.get(key, getattr(Settings(), key))
    assert loaded.settings.top_k == 7
    about_key, kept = loaded.warnings
    assert f"({key})" in about_key
    assert about_key.endswith(".")
    assert "secret" not in about_key
    assert str(path) + ".bad" in kept
    assert Path(str(path) + ".bad").read_text() == raw
    file.save(loaded.settings)
    assert SettingsFile(path).load().warnings == ()


@pytest.mark.parametrize(
    ("raw", "theme"),
    [
        (b"", "system"),
        (b"\x00" * 100, "system"),
        (random.Random(7).randbytes(300), "system"),
        (b"[1, 2]", "system"),
        (b"null", "system"),
        (b'{"theme": "dark", "keep_hist', "dark"),
        (b'{"theme": "dark", "lanes": [', "dark"),
        (b"[" * 100_000, "system"),
        (b'{"a":' * 100_000, "system"),
        (b'{"theme": "dark"}' + b" " * 1_000_001, "system"),
        (b"<html>settings</html>", "system"),
        (b'{"theme": "\xff\xfe"}', "system"),
    ],
)
def test_a_damaged_file_never_stops_the_app(path: Path, raw: bytes, theme: str) -> None:
    file = store(path, raw)
    loaded = file.load()
    assert loaded.settings.theme == theme
    assert loaded.warnings
    assert all(each.endswith(".") for each in loaded.warnings)
    assert Path(str(path) + ".bad").read_bytes() == raw[:1_000_001]
    file.save(loaded.settings)
    assert SettingsFile(path).load() == loaded.__class__(loaded.settings)


def test_a_byte_order_mark_is_not_damage(path: Path) -> None:
    loaded = store(path, b'\xef\xbb\xbf{"theme": "dark"}').load()
    assert (loaded.settings.theme, loaded.warnings) == ("dark", ())


@given(
    st.dictionaries(
        st.sampled_from([*KEYS, "new"]),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(),
            lambda x: st.lists(x) | st.dictionaries(st.text(), x),
            max_leaves=5,
        ),
    )
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_whatever_a_person_wrote_loads_and_saves(
    tmp_path_factory: pytest.TempPathFactory, stored: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp("any") / "settings.json"
    file = store(path, json.dumps(stored))
    loaded = file.load()
    assert checked(loaded.settings) == loaded.settings
    file.save(loaded.settings)
    assert SettingsFile(path).load().settings == loaded.settings


def test_a_value_out_of_its_limits_is_not_saved(path: Path) -> None:
    file = SettingsFile(path)
    file.save(CHANGED)
    with pytest.raises(SettingsNotSaved, match="temperature"):
        file.save(replace(CHANGED, temperature=9.0))
    assert SettingsFile(path).load().settings == CHANGED


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file")
    file = SettingsFile(tmp_path / "config" / "settings.json")
    loaded = file.load()
    assert loaded.settings == replace(Settings(), local_only=True, keep_history=False)
    assert len(loaded.warnings) == 1
    with pytest.raises(SettingsNotSaved, match="could not be saved"):
        file.save(Settings())


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "nearfar.json"
    store(real, "{}")
    link = tmp_path / "settings.json"
    link.symlink_to(real)
    SettingsFile(link).save(CHANGED)
    assert link.is_symlink()
    assert SettingsFile(real).load().settings == CHANGED


WRITER = """
import itertools, sys
from dataclasses import replace
from pathlib import Path
from backends.settings import Settings, SettingsFile
file = SettingsFile(Path(sys.argv[1]))
print("ready", flush=True)
for n in itertools.count():
    file.save(replace(Settings(), top_k=1000 + n % 1000, stop=("x" * 199,) * 16))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_kill_while_saving_leaves_a_whole_file(path: Path) -> None:
    for round_ in range(8):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.02 + 0.011 * round_)
            process.send_signal(signal.SIGKILL)
        loaded = SettingsFile(path).load()
        assert loaded.warnings == ()
        assert loaded.settings.top_k == 40 or loaded.settings.top_k >= 1000
    assert path.exists()


@pytest.mark.parametrize(
    "text",
    [
        '{"theme": "system", "local_only": tru',
        '{"local_only": "maybe", "keep_history": "perhaps"}',
        "[1]",
        "\x00\x01",
    ],
)
def test_a_privacy_choice_that_cannot_be_read_gives_nothing_away(path: Path, text: str) -> None:
    loaded = store(path, text).load()
    assert loaded.settings.local_only is True
    assert loaded.settings.keep_history is False
    assert loaded.warnings


def test_a_privacy_choice_that_can_be_read_holds_in_a_damaged_file(path: Path) -> None:
    loaded = store(path, '{"local_only": false, "keep_history": true, "theme": "dar').load()
    assert loaded.settings.local_only is False
    assert loaded.settings.keep_history is True


def test_two_programs_keep_what_each_of_them_changed(path: Path) -> None:
    SettingsFile(path).save(replace(CHANGED, kept_keys=("groq", "together")))
    window, command = SettingsFile(path), SettingsFile(path)
    base, theirs = window.load().settings, command.load().settings
    command.save(replace(theirs, kept_keys=("groq", "together", "openai"), seed=8), theirs)
    mine = replace(base, theme="light", kept_keys=("together", "custom:lab"))
    both = window.save(mine, base)
    assert both == SettingsFile(path).load().settings
    assert (both.theme, both.seed) == ("light", 8)
    assert both.kept_keys == ("together", "openai", "custom:lab")
    command.save(replace(both, seed=3), both)
    assert window.save(replace(both, seed=9), both).seed == 9, "what both changed is as the last one wrote it"


def test_a_file_that_another_program_damaged_or_removed_is_written_anew(path: Path) -> None:
    file = SettingsFile(path)
    file.save(CHANGED)
    path.write_text('{"theme": "light", "seed": 3, "lan')
    file.save(CHANGED)
    assert SettingsFile(path).load().settings == CHANGED
    path.unlink()
    file.save(CHANGED)
    assert SettingsFile(path).load().settings == CHANGED


async def test_a_key_kept_by_a_command_is_not_forgotten_by_a_window_that_was_open() -> None:
    window, command = Workbench.open(), Workbench.open()
    command.change(kept_keys=("openai",))
    await command.close()
    window.change(theme="dark")
    assert await window.save() is None
    window.change(lanes=("practice",))
    await window.close()
    after = Workbench.open()
    assert after.settings.kept_keys == ("openai",)
    assert (after.settings.theme, after.settings.lanes) == ("dark", ("practice",))
    await after.close()
