"""Keys in keyrings of every kind: a real Secret Service, unlocked and locked, and ones that are slow, forgetful or bad.

They run in processes of their own, since `keyring` chooses its backend once for a process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backends.key_ring import GONE
from backends.keys import MAX_LENGTH
from tests.backends import keyrings
from tests.backends.keyrings import run_code, stand_in, stored

KEY = "sk-CANARY0123456789"

# Does what the words in argv say, with a workbench as the app makes it, and prints each outcome.
CODE = """
import asyncio, json, sys, time
from dataclasses import asdict
from backends.keys import Secret
from backends.paths import app_paths
from backends.workbench import Workbench

async def main():
    bench, said = Workbench(app_paths()), []
    longest, last = 0.0, time.monotonic()
    async def beat():
        nonlocal longest, last
        while True:
            await asyncio.sleep(0.01)
            now = time.monotonic()
            longest, last = max(longest, now - last), now
    beating = asyncio.create_task(beat())
    for word in WORDS:
        began = time.monotonic()
        what, _, value = word.partition(" ")
        if what == "again":
            await bench.close()
            bench = Workbench(app_paths())
            continue
        if what == "keep":
            state = asdict(await bench.keys.keep("openai", Secret(value)))
        elif what == "forget":
            state = asdict(await bench.keys.forget("openai", look_anyway=value == "anyway"))
        elif what == "wait":
            await asyncio.sleep(float(value))
            continue
        else:
            state = asdict((await bench.keys.states(["openai"]))[0])
        key = bench.keys.get("openai")
        said.append({**state, "key": key and key.reveal(), "took_s": time.monotonic() - began,
                     "kept": list(bench.settings.kept_keys), "expects": bench.keys.expects("openai")})
    beating.cancel()
    await bench.close()
    print(json.dumps({"said": said, "longest_stall_s": longest}))
asyncio.run(main())
"""


KILLED_IN_WRITE = """
import asyncio, os, signal
import keyring
from backends.keys import Secret
from backends.paths import app_paths
from backends.workbench import Workbench
store = keyring.get_keyring()
take = store.set_password
def take_and_die(*entry):
    take(*entry)
    os.kill(os.getpid(), signal.SIGKILL)
store.set_password = take_and_die
bench = Workbench(app_paths())
asyncio.run(bench.keys.keep("openai", Secret(KEY)))
"""


def words(*wanted: str) -> str:
    return f"WORDS = {list(wanted)!r}\n{CODE}"


def with_stand_in(tmp_path: Path, name: str, *wanted: str) -> list[dict[str, Any]]:
    body = run_code(words(*wanted), env=stand_in(tmp_path, name))
    assert body["longest_stall_s"] < 2, "the loop went on while the keyring was asked"
    said: list[dict[str, Any]] = body["said"]
    return said


def with_service(home: Path, setup: str, *wanted: str) -> list[dict[str, Any]]:
    keyrings.need_secret_service()
    body = run_code(
        words(*wanted), lambda argv: keyrings.with_secret_service(home, argv, setup, PYTHONPATH=os.getcwd())
    )
    said: list[dict[str, Any]] = body["said"]
    return said


def nowhere_on_disk(folder: Path, key: str = KEY) -> bool:
    files = [each for each in folder.rglob("*") if each.is_file()]
    return not any(key.encode() in each.read_bytes() for each in files)


# -- a real Secret Service ---------------------------------------------------------------------------------------------


def test_a_key_is_kept_found_again_replaced_and_deleted(tmp_path: Path) -> None:
    kept, found, replaced, again, gone, nothing, back = with_service(
        tmp_path, keyrings.UNLOCKED, f"keep {KEY}", "again", "state", "keep sk-other", "again", "state",
        "forget", "again", "state", f"keep {'x' * MAX_LENGTH}",
    )  # fmt: skip
    assert (kept["place"], kept["reason"], kept["kept"]) == ("keyring", "", ["openai"])
    assert (found["place"], found["key"]) == ("keyring", KEY)
    assert (replaced["place"], again["key"]) == ("keyring", "sk-other")
    assert (gone["place"], gone["kept"], gone["key"], gone["reason"]) == ("none", [], None, "")
    assert (nothing["place"], nothing["expects"]) == ("none", False)
    assert back["place"] == "keyring", "the longest key that is taken fits"
    assert nowhere_on_disk(tmp_path), "in the keyring's own encrypted file alone, which is no plain text"


def test_a_keyring_that_is_locked_at_the_next_start_can_be_unlocked_and_asked_again(tmp_path: Path) -> None:
    with_service(tmp_path, keyrings.UNLOCKED, f"keep {KEY}")
    (locked,) = with_service(tmp_path, keyrings.LOCKED, "state")
    assert (locked["place"], locked["key"], locked["expects"]) == ("keyring", None, True)
    assert "locked" in locked["reason"]
    (found,) = with_service(tmp_path, keyrings.UNLOCKED, "state")
    assert (found["place"], found["key"], found["reason"]) == ("keyring", KEY, "")


def test_a_locked_keyring_leaves_the_key_in_the_session(tmp_path: Path) -> None:
    kept, forgotten = with_service(tmp_path, keyrings.LOCKED, f"keep {KEY}", "forget")
    assert (kept["place"], kept["key"], kept["kept"]) == ("session", KEY, [])
    assert kept["reason"].startswith("The keyring is locked or broken")
    assert (forgotten["place"], forgotten["key"], forgotten["reason"]) == ("none", None, "")
    assert nowhere_on_disk(tmp_path)


# -- keyrings that are none, or not as they should be ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        ("keyring.backends.fail.Keyring", "This machine has no keyring."),
        ("keyring.backends.null.Keyring", "This machine has no keyring."),
        ("stand_ins.Plain", "The keyring stand_ins may store keys in plain text, so it is not used."),
        ("stand_ins.Chained", "The keyring stand_ins may store keys in plain text, so it is not used."),
        ("keyrings.alt.file.PlaintextKeyring", "The keyring keyrings.alt.file may store keys in plain text"),
    ],
)
def test_only_stores_of_the_system_are_written_to(tmp_path: Path, backend: str, reason: str) -> None:
    env = {**stand_in(tmp_path, "Plain"), "PYTHON_KEYRING_BACKEND": backend}
    folder = tmp_path / "stand-ins"
    alt = folder / "keyrings" / "alt"
    alt.mkdir(parents=True)
    (alt / "file.py").write_text("import stand_ins\nclass PlaintextKeyring(stand_ins.Plain): pass\n")
    with (folder / "stand_ins.py").open("a") as file:
        file.write(
            "from keyring.backends.chainer import ChainerBackend\n"
            "class Chained(ChainerBackend):\n    backends = [Good(), Plain()]\n"
            "Chained.__module__ = 'keyring.backends.chainer'\n"
        )
    (kept,) = run_code(words(f"keep {KEY}"), env=env)["said"]
    assert (kept["place"], kept["key"], kept["kept"]) == ("session", KEY, [])
    assert kept["reason"].startswith(reason)
    assert stored(tmp_path) == {}
    assert nowhere_on_disk(tmp_path)


@pytest.mark.parametrize("name", ["Forgetful", "Mixing"])
def test_a_keyring_that_does_not_give_back_what_it_took(tmp_path: Path, name: str) -> None:
    (kept,) = with_stand_in(tmp_path, name, f"keep {KEY}")
    assert (kept["place"], kept["key"], kept["kept"]) == ("session", KEY, [])
    assert kept["reason"] == "The keyring took the key, but did not give it back."
    assert stored(tmp_path) == {}


def test_whatever_a_locked_keyring_raises_is_a_sentence_without_its_words(tmp_path: Path) -> None:
    (kept,) = with_stand_in(tmp_path, "Locked", f"keep {KEY}")
    assert (kept["place"], kept["reason"]) == ("session", "The keyring is locked or broken (RuntimeError).")


def test_a_slow_keyring_is_given_up_after_three_seconds(tmp_path: Path) -> None:
    kept, found = with_stand_in(tmp_path, "Slow", f"keep {KEY}", "state")
    assert (kept["place"], kept["key"], kept["kept"]) == ("session", KEY, ["openai"])
    assert kept["reason"] == "The keyring did not answer in 3 seconds. It may hold this key."
    assert 3 <= kept["took_s"] < 5
    assert found["place"] == "session"
    assert stored(tmp_path) == {}


def test_a_write_that_lands_too_late_is_taken_out_again(tmp_path: Path) -> None:
    kept, later = with_stand_in(tmp_path, "Late", f"keep {KEY}", "wait 2.5", "state")
    assert (kept["place"], kept["kept"]) == ("session", ["openai"]), "it may be there now, so it is named"
    assert kept["reason"].endswith("It may hold this key.")
    assert (later["place"], later["kept"], later["reason"]) == (
        "session",
        [],
        "The keyring did not answer in 3 seconds.",
    )
    assert (tmp_path / "stand-ins" / "stored.landed").exists()
    assert stored(tmp_path) == {}, "the person was told that it is kept for this session only"


@pytest.mark.parametrize("name", ["Late", "Blinking"])
def test_a_replacement_that_fails_leaves_the_earlier_key_in_the_keyring(tmp_path: Path, name: str) -> None:
    with_stand_in(tmp_path, "Good", f"keep {KEY}")
    kept, later = with_stand_in(tmp_path, name, "keep sk-new", "wait 2.5", "state")
    assert (kept["place"], kept["key"], kept["kept"]) == ("session", "sk-new", ["openai"])
    assert (tmp_path / "stand-ins" / "stored.landed").exists() == (name == "Late")
    assert later["reason"].endswith("It may still hold an earlier key.")
    assert later["kept"] == ["openai"]
    assert stored(tmp_path) == {"Nearfar/openai": KEY}
    (found,) = with_stand_in(tmp_path, "Good", "state")
    assert (found["place"], found["key"]) == ("keyring", KEY)


def test_an_entry_that_cannot_be_taken_out_again_stays_named(tmp_path: Path) -> None:
    (kept,) = with_stand_in(tmp_path, "Stuck", f"keep {KEY}")
    assert (kept["place"], kept["kept"]) == ("session", ["openai"])
    assert kept["reason"] == "The keyring took the key, but did not give it back. It may hold this key."


def test_a_kill_while_a_key_is_written_leaves_no_entry_that_the_settings_do_not_name(tmp_path: Path) -> None:
    """As the keyring has it already, before it answers."""
    killed = KILLED_IN_WRITE.replace("KEY", repr(KEY))
    done = subprocess.run(
        [sys.executable, "-c", killed],
        env={**os.environ, **stand_in(tmp_path, "Good")},
        check=False,
    )
    assert done.returncode == -9
    assert stored(tmp_path) == {"Nearfar/openai": KEY}
    found, gone = with_stand_in(tmp_path, "Good", "state", "forget")
    assert (found["place"], found["kept"]) == ("keyring", ["openai"])
    assert (gone["place"], stored(tmp_path)) == ("none", {})


def test_a_keyring_that_is_emptied_by_others_says_so_and_asks_anew(tmp_path: Path) -> None:
    with_stand_in(tmp_path, "Good", f"keep {KEY}")
    assert stored(tmp_path) == {"Nearfar/openai": KEY}
    (tmp_path / "stand-ins" / "stored.json").unlink()
    lost, kept = with_stand_in(tmp_path, "Good", "state", "keep sk-new")
    assert (lost["place"], lost["reason"], lost["expects"]) == ("none", GONE, False)
    assert (kept["place"], kept["reason"]) == ("keyring", "")


def test_a_machine_that_lost_its_keyring_asks_anew(tmp_path: Path) -> None:
    with_stand_in(tmp_path, "Good", f"keep {KEY}")
    (lost,) = run_code(words("state"))["said"]
    assert (lost["place"], lost["reason"], lost["expects"]) == ("none", "This machine has no keyring.", False)
    assert lost["kept"] == ["openai"], "the keyring may come back"


def test_a_key_that_cannot_be_deleted_is_not_said_to_be(tmp_path: Path) -> None:
    with_stand_in(tmp_path, "Good", f"keep {KEY}")
    (left,) = with_stand_in(tmp_path, "Sticky", "forget")
    assert (left["place"], left["key"], left["kept"]) == ("keyring", None, ["openai"])
    assert left["reason"] == "The keyring may still hold the key. The keyring did not delete the key."
    (gone,) = with_stand_in(tmp_path, "Good", "forget")
    assert (gone["place"], gone["kept"], stored(tmp_path)) == ("none", [], {})


def test_a_replacement_that_is_not_kept_says_that_the_earlier_key_is_still_there(tmp_path: Path) -> None:
    with_stand_in(tmp_path, "Good", f"keep {KEY}")
    (kept,) = with_stand_in(tmp_path, "Locked", "keep sk-new")
    assert (kept["place"], kept["key"], kept["kept"]) == ("session", "sk-new", ["openai"])
    assert kept["reason"].endswith("It may still hold an earlier key.")
    assert "sk-new" not in kept["reason"]


def test_an_entry_that_the_settings_do_not_know_is_deleted_when_that_is_wished(tmp_path: Path) -> None:
    with_stand_in(tmp_path, "Good", f"keep {KEY}")
    settings = Path(os.environ["NEARFAR_HOME"])
    for file in settings.rglob("settings.json"):
        file.unlink()
    with_stand_in(tmp_path, "Good", "forget")
    assert stored(tmp_path), "a key that was never kept is not looked for"
    with_stand_in(tmp_path, "Good", "forget anyway")
    assert stored(tmp_path) == {}
