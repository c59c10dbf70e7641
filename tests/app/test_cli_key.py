"""`nearfar key` as a person or a script meets it: real processes, a real Secret Service, and machines without one."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.app.test_cli import LIMIT_S, QUESTION, nearfar
from tests.backends import keyrings
from tests.backends.keyrings import stand_in, stored
from tests.fakes.openai_server import OpenAIServer

KEY = "sk-CANARY0123456789"


def beside_service(home: Path, *arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    """As `nearfar`, with a Secret Service whose files are in `home`."""
    keyrings.need_secret_service()
    argv = [sys.executable, "-m", "app", *arguments]
    return subprocess.run(
        keyrings.with_secret_service(home, argv, PYTHONPATH=os.getcwd(), **env),
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT_S,
        check=False,
    )


def test_a_key_is_set_used_and_deleted(tmp_path: Path) -> None:
    with OpenAIServer() as server:
        env = {"NEARFAR_OPENAI_BASE_URL": server.base_url}
        done = beside_service(tmp_path, "key", "set", "openai", stdin=f"{KEY}\n", **env)
        assert (done.returncode, done.stdout) == (0, "openai  OpenAI: in the keyring (Secret Service).\n")
        done = beside_service(tmp_path, "run", QUESTION, "--target", "openai:gpt-4o", **env)
        assert done.returncode == 0, done.stderr
        assert [each.headers["authorization"] for each in server.received] == [f"Bearer {KEY}"]
        done = beside_service(tmp_path, "key", "status", "openai", "--json", **env)
        said = {"provider": "openai", "place": "keyring", "reason": None, "backend": "Secret Service"}
        assert (done.returncode, json.loads(done.stdout)) == (0, said)
        done = beside_service(tmp_path, "key", "delete", "openai", **env)
        assert (done.returncode, done.stdout) == (0, "openai  OpenAI: none.\n")
        done = beside_service(tmp_path, "run", QUESTION, "--target", "openai:gpt-4o", **env)
        assert done.returncode == 1
        assert "nearfar key set openai" in done.stderr
        assert len(server.received) == 1
    files = [each for each in tmp_path.rglob("*") if each.is_file()]
    assert not [each for each in files if KEY.encode() in each.read_bytes()]


def test_a_named_variable_goes_before_the_keyring(tmp_path: Path) -> None:
    env = stand_in(tmp_path, "Good")
    assert nearfar("key", "set", "openai", stdin=KEY, env=env).returncode == 0
    with OpenAIServer() as server:
        env |= {"NEARFAR_OPENAI_BASE_URL": server.base_url, "OTHER": "sk-other"}
        done = nearfar("run", QUESTION, "--target", "openai:gpt-4o", "--key-env", "OTHER", env=env)
        assert done.returncode == 0, done.stderr
        assert [each.headers["authorization"] for each in server.received] == ["Bearer sk-other"]
    assert stored(tmp_path) == {"Nearfar/openai": KEY}


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("keyring.backends.fail.Keyring", "This machine has no keyring."),
        ("stand_ins.Plain", "may store keys in plain text"),
        ("stand_ins.Locked", "locked or broken"),
        ("stand_ins.Forgetful", "did not give it back"),
        ("stand_ins.Slow", "did not answer in 3 seconds"),
    ],
)
def test_a_key_that_is_not_kept_is_a_failure(tmp_path: Path, backend: str, words: str) -> None:
    env = {**stand_in(tmp_path, "Plain"), "PYTHON_KEYRING_BACKEND": backend}
    done = nearfar("key", "set", "openai", "--json", stdin=KEY, env=env)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr
    assert "The key was not kept elsewhere." in done.stderr
    assert "CANARY" not in done.stderr
    assert stored(tmp_path) == {}


def test_a_key_that_has_gone_is_said_where_it_is_needed(tmp_path: Path) -> None:
    env = stand_in(tmp_path, "Good")
    assert nearfar("key", "set", "openai", stdin=KEY, env=env).returncode == 0
    (tmp_path / "stand-ins" / "stored.json").unlink()
    done = nearfar("run", QUESTION, "--target", "openai:gpt-4o", env=env)
    assert done.returncode == 1
    assert "OpenAI needs an API key. The keyring no longer gives the key back." in done.stderr
    done = nearfar("key", "status", "openai", env=env)
    assert done.stdout == "openai  OpenAI: none. The keyring no longer gives the key back.\n"


@pytest.mark.parametrize(
    "typed",
    [
        ("set", "openai", KEY),
        ("set", KEY),
        ("set", f"custom:{KEY}"),
        ("set", "--key", KEY, "openai"),
        ("set", "openai", f"--json={KEY}"),
        ("status", KEY),
        ("delete", "openai", KEY),
        (KEY,),
        (f"--key={KEY}",),
    ],
)
def test_a_key_on_the_command_line_is_refused_and_not_repeated(typed: tuple[str, ...]) -> None:
    done = nearfar("key", *typed, stdin="sk-other")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "CANARY" not in done.stderr


@pytest.mark.parametrize("given", ["", "k", "CANARY7", "two words CANARY", f"Bearer {KEY}", "x" * 2000, "x" * 100_000])
def test_what_is_no_key_is_bad_usage_without_it(tmp_path: Path, given: str) -> None:
    done = nearfar("key", "set", "openai", stdin=given, env=stand_in(tmp_path, "Good"))
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert "CANARY" not in done.stderr
    assert "xx" not in done.stderr
    assert stored(tmp_path) == {}


@pytest.mark.parametrize("raw", [b"", b"k", b"x" * 2000, f"{KEY}\nsecond\n".encode(), KEY.encode("utf-16")])
def test_what_is_no_key_is_bad_usage_also_without_a_keyring(tmp_path: Path, raw: bytes) -> None:
    env = {**stand_in(tmp_path, "Good"), "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    done = set_from(raw, env)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"The key " in done.stderr
    assert b"CANARY" not in done.stderr.replace(b"\0", b"")


def test_a_terminal_without_a_keyring_asks_for_no_key(tmp_path: Path) -> None:
    person, terminal = pty.openpty()
    env = {**os.environ, **stand_in(tmp_path, "Good"), "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}
    argv = [sys.executable, "-m", "app", "key", "set", "openai"]
    try:
        done = subprocess.run(argv, stdin=terminal, capture_output=True, env=env, timeout=LIMIT_S, check=False)
    finally:
        os.close(terminal)
        os.close(person)
    assert done.returncode == 1
    assert b"This machine has no keyring." in done.stderr
    assert b"not shown" not in done.stderr


def set_from(raw: bytes, env: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "app", "key", "set", "openai"],
        input=raw,
        capture_output=True,
        env={**os.environ, **env},
        timeout=LIMIT_S,
        check=False,
    )


def test_the_mark_that_editors_put_before_utf8_is_no_part_of_a_key(tmp_path: Path) -> None:
    done = set_from(f"{KEY}\r\n".encode("utf-8-sig"), stand_in(tmp_path, "Good"))
    assert done.returncode == 0, done.stderr
    assert stored(tmp_path) == {"Nearfar/openai": KEY}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_of_powershell_is_said_to_be_utf16(tmp_path: Path, encoding: str) -> None:
    done = set_from(f"{KEY}\r\n".encode(encoding), stand_in(tmp_path, "Good"))
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"UTF-16" in done.stderr
    assert b"CANARY" not in done.stderr.replace(b"\0", b"")
    assert stored(tmp_path) == {}


def test_status_of_all_and_of_none(tmp_path: Path) -> None:
    env = {**stand_in(tmp_path, "Slow"), "NEARFAR_LAB_BASE_URL": "http://127.0.0.1:9/v1"}
    began = time.monotonic()
    done = nearfar("key", "status", "--json", env=env)
    states = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"openai", "together", "huggingface"} <= {each["provider"] for each in states}
    assert {each["place"] for each in states} == {"none"}
    assert time.monotonic() - began < 8, "a keyring that holds nothing of ours is not asked"
    done = nearfar("key", "status", "custom:lab", env=env)
    assert (done.returncode, done.stdout) == (0, "custom:lab  lab: none.\n")


class Prompted:
    """The command at a terminal, where it asks for the key."""

    def __init__(self, tmp_path: Path) -> None:
        self.person, terminal = pty.openpty()
        self.child = subprocess.Popen(
            [sys.executable, "-m", "app", "key", "set", "openai"],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**os.environ, **stand_in(tmp_path, "Good")},
            start_new_session=True,
        )
        os.close(terminal)
        self.seen = b""
        self.read_until(b"not shown): ")

    def read_until(self, words: bytes) -> None:
        while words not in self.seen:
            self.seen += os.read(self.person, 1024)


def test_a_prompt_does_not_show_what_is_typed(tmp_path: Path) -> None:
    asked = Prompted(tmp_path)
    os.write(asked.person, f"{KEY}\n".encode())
    asked.read_until(b"in the keyring")
    assert asked.child.wait(LIMIT_S) == 0
    os.close(asked.person)
    assert b"CANARY" not in asked.seen
    assert stored(tmp_path) == {"Nearfar/openai": KEY}


def test_the_first_ctrl_c_at_the_prompt_ends_the_command(tmp_path: Path) -> None:
    asked = Prompted(tmp_path)
    try:
        asked.child.send_signal(signal.SIGINT)
        assert asked.child.wait(30) == 130, "nothing was typed"
    finally:
        asked.child.kill()
        asked.child.wait()
        os.close(asked.person)
    assert stored(tmp_path) == {}
