"""The log of connections on disk: nothing of what was sent, whole lines, and a killed app."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from backends.cloud.engine import PURPOSE
from backends.doctor_text import as_text
from backends.egress import Egress
from backends.egress_log import MAX_BYTES, ContactLog, forget, older, read_contacts
from backends.egress_policy import Policy
from backends.errors import NetworkNotAllowed
from backends.paths import app_paths
from tests.backends.cloud.support import KEY, QUESTION, engine_at, request
from tests.backends.test_doctor import look
from tests.fakes.openai_server import OpenAIServer


def _kept(path: Path, *, keep: bool = True) -> tuple[Egress, ContactLog]:
    egress = Egress(Policy(local_only=False))
    log = ContactLog(path, keep=lambda: keep)
    egress.listener = log.heard
    return egress, log


async def test_what_went_where_is_read_back_and_nothing_of_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "data" / "connections.jsonl"
    egress, log = _kept(path)
    with OpenAIServer() as server:
        async with engine_at(server.base_url, egress=egress) as engine:
            await engine.run(request(), lambda _event: None)
    with pytest.raises(NetworkNotAllowed):
        egress.check("update of prices", "https://prices.example/data.json?token=abc")
    log.close()
    assert read_contacts(path, 10) == egress.log()
    asked, refused = read_contacts(path, 10)
    assert (asked.purpose, asked.host, asked.outcome, asked.requests) == (PURPOSE, "127.0.0.1", "closed", 1)
    assert asked.bytes_sent > 100
    assert (refused.host, refused.outcome, refused.bytes_sent) == ("prices.example", "refused", 0)
    raw = path.read_text(encoding="utf-8")
    assert not any(secret in raw for secret in (KEY, KEY[-8:], QUESTION, "token=abc", "/v1/"))
    assert path.stat().st_mode & 0o077 == 0
    assert read_contacts(path, 1) == (refused,)


def test_where_nothing_is_kept_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "connections.jsonl"
    egress, log = _kept(path, keep=False)
    egress.begin("test", "127.0.0.1", 80).became("closed")
    log.close()
    assert not path.exists()
    egress.begin("after the end", "127.0.0.1", 80)


def test_damaged_lines_cost_themselves_alone(tmp_path: Path) -> None:
    path = tmp_path / "connections.jsonl"
    egress, log = _kept(path)
    egress.begin("first", "127.0.0.1", 80).became("closed")
    log.close()
    with path.open("ab") as file:
        file.write(b'{"id": "x", "purpose": "hand-made", "port": -1}\n\xff\xfe\n[1]\n{"id": "cut of')
    second, later = _kept(path)
    second.begin("lost with the torn line", "127.0.0.1", 80)
    second.begin("second", "127.0.0.1", 81).became("failed")
    later.close()
    assert [(each.purpose, each.outcome) for each in read_contacts(path, 10)] == [
        ("first", "closed"),
        ("second", "failed"),
    ]


def test_it_grows_to_two_files_and_no_further(tmp_path: Path) -> None:
    path = tmp_path / "connections.jsonl"
    egress, log = _kept(path)
    for number in range(3000):
        egress.begin("x" * 90, "host.localhost", number).became("closed")
    log.close()
    assert path.stat().st_size <= MAX_BYTES
    assert older(path).stat().st_size <= MAX_BYTES
    assert {file.name for file in tmp_path.iterdir()} == {path.name, older(path).name}
    assert read_contacts(path, 1)[0].port == 2999
    forget(path)
    forget(path)
    assert list(tmp_path.iterdir()) == []
    assert read_contacts(path, 5) == ()


CHILD = """
import sys, time
from pathlib import Path
from backends.egress import Egress
from backends.egress_log import ContactLog
egress = Egress()
log = ContactLog(Path(sys.argv[1]), keep=lambda: True)
egress.listener = log.heard
egress.begin("ended", "one.localhost", 80).became("closed")
egress.begin("open when it was killed", "two.localhost", 80).became("open")
log.close() if sys.argv[2] == "wait" else time.sleep(0)
print("ready", flush=True)
time.sleep(60)
"""


def test_a_killed_app_leaves_what_was_open_to_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "connections.jsonl"
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, str(path), "wait"], stdout=subprocess.PIPE) for _ in range(2)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()
    found = read_contacts(path, 10)
    assert sorted(each.outcome for each in found) == ["closed", "closed", "open", "open"]
    assert max(each.at for each in found) - min(each.at for each in found) < timedelta(minutes=5)


async def test_the_doctor_says_contacted_only_of_hosts_that_were_reached(tmp_path: Path) -> None:
    egress = Egress(Policy(local_only=False, allowed_hosts=frozenset({"down.example", "up.example"})))
    paths = app_paths({"NEARFAR_HOME": str(tmp_path)})
    kept = ContactLog(paths.contacts_file, keep=lambda: True)
    egress.listener = kept.heard
    egress.begin("ask a model", "down.example", 443).became("failed")
    broken = egress.begin("ask a model", "up.example", 443)
    broken.requests, broken.bytes_sent = 1, 100
    broken.became("failed")
    egress.begin("ask a model", "up.example", 443)  # killed meanwhile
    kept.close()
    rows = as_text(await look(tmp_path)).splitlines()
    heads = [line.split()[0] for line in rows if ".example" in line]
    assert heads == ["Tried", "Contacted", "Tried"]
    (down,) = [line for line in rows if "down.example" in line]
    assert down.endswith("down.example, ask a model: no connection came about")
