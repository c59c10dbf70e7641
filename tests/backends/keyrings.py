"""Keyrings to test with: a real Secret Service, and stand-ins that are slow, locked, forgetful or not to be trusted.

Each is used by a child process with a home, a bus and a runtime folder of its own. Must not know what is tested.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

LIMIT_S = 120
SECRET_SERVICE = "keyring.backends.SecretService.Keyring"
UNLOCKED = 'printf "a password\\n" | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1; exec "$@"'
LOCKED = 'gnome-keyring-daemon --start --components=secrets >/dev/null 2>&1; exec "$@"'
NO_SERVICE = 'exec "$@"'

# Written to a file of their own, because `keyring` finds a backend by its module. Those that call themselves Secret
# Service play one that the app trusts.
STAND_INS = """
import json, os, pathlib, time
from keyring.backend import KeyringBackend

FILE = pathlib.Path(os.environ.get("STAND_IN_FILE", "/nonexistent"))

class Plain(KeyringBackend):
    priority = 9
    def _all(self): return json.loads(FILE.read_text()) if FILE.exists() else {}
    def _write(self, entries): FILE.write_text(json.dumps(entries))
    def get_password(self, service, username): return self._all().get(service + "/" + username)
    def set_password(self, service, username, password):
        self._write(self._all() | {service + "/" + username: password})
    def delete_password(self, service, username):
        entries = self._all()
        if entries.pop(service + "/" + username, None) is None: raise LookupError("not there")
        self._write(entries)

class Good(Plain): pass

class Slow(Plain):
    def get_password(self, service, username): time.sleep(10); return super().get_password(service, username)
    def set_password(self, *entry): time.sleep(10); super().set_password(*entry)

class Late(Plain):
    SECONDS = [4]
    def set_password(self, service, username, password):
        if self.SECONDS: time.sleep(self.SECONDS.pop())
        super().set_password(service, username, password)
        FILE.with_suffix(".landed").touch()

class Blinking(Plain):  # once it does not answer, just after it took something
    ASKED = []
    def get_password(self, *entry):
        self.ASKED.append(entry)
        if len(self.ASKED) == 2: raise RuntimeError("detail-of-the-system")
        return super().get_password(*entry)

class Stuck(Good):  # keeps what it took, and gives back another
    def get_password(self, *entry): return "sk-of-another" if super().get_password(*entry) else None
    def delete_password(self, *entry): pass

class Locked(Plain):
    def get_password(self, service, username): raise RuntimeError("detail-of-the-system")
    def set_password(self, service, username, password): raise RuntimeError("detail " + password)
    def delete_password(self, service, username): raise RuntimeError("detail-of-the-system")

class Forgetful(Plain):
    def set_password(self, service, username, password): pass

class Mixing(Plain):
    def get_password(self, *entry): return (super().get_password(*entry) or "")[::-1]

class Sticky(Plain):
    def delete_password(self, service, username): pass

for each in (Good, Slow, Late, Locked, Forgetful, Mixing, Sticky, Blinking, Stuck):
    each.__module__ = "keyring.backends.SecretService"
"""


def stand_in(tmp_path: Path, name: str) -> dict[str, str]:
    """The environment of a child that shall find this stand-in; what it stores is in `stored`."""
    folder = tmp_path / "stand-ins"
    folder.mkdir(exist_ok=True)
    (folder / "stand_ins.py").write_text(STAND_INS)
    return {
        "PYTHONPATH": str(folder),
        "PYTHON_KEYRING_BACKEND": f"stand_ins.{name}",
        "STAND_IN_FILE": str(folder / "stored.json"),
    }


def stored(tmp_path: Path) -> dict[str, str]:
    """What the stand-in holds: "Nearfar/openai" and the key."""
    file = tmp_path / "stand-ins" / "stored.json"
    found: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    return found


def need_secret_service() -> None:
    """Skip where the real thing is not installed; never on a machine that says it is for tests alone."""
    if sys.platform != "linux":
        pytest.skip("a Secret Service is Linux's")
    lacking = [name for name in ("dbus-run-session", "gnome-keyring-daemon") if shutil.which(name) is None]
    if lacking and not os.environ.get("CI"):
        pytest.skip(f"needs {' and '.join(lacking)}")
    assert not lacking, f"CI must have {' and '.join(lacking)}"


def with_secret_service(home: Path, argv: list[str], setup: str = UNLOCKED, **more: str) -> list[str]:
    """The command line that runs `argv` beside a Secret Service whose files are in `home`, with nobody else's bus."""
    runtime = home / "run"
    runtime.mkdir(parents=True, exist_ok=True)
    runtime.chmod(0o700)
    plain = {
        **{name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ},
        **{name: value for name, value in os.environ.items() if name.startswith(("NEARFAR_", "QT_"))},
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(runtime),
        "PYTHON_KEYRING_BACKEND": SECRET_SERVICE,
        **more,
    }
    variables = [f"{name}={value}" for name, value in plain.items()]
    return ["env", "-i", *variables, "dbus-run-session", "--", "bash", "-c", setup, "bash", *argv]


def run_code(code: str, argv_of: Any = None, env: Mapping[str, str] | None = None) -> Any:
    """What a child prints as JSON in its last line; its standard error must be empty but for the daemon's notes."""
    argv = [sys.executable, "-c", code]
    done = subprocess.run(
        argv_of(argv) if argv_of else argv,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
