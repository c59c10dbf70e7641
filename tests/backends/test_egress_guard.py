"""What goes around the door is refused, in a process of its own: an audit hook can never be taken out again."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.fakes.openai_server import OpenAIServer

HEAD = """
import asyncio, json, socket, sys, threading, urllib.request
from backends import egress_guard
from backends.egress import Egress
from backends.egress_policy import Policy
egress = Egress(Policy(local_only=False, allowed_hosts=frozenset({"localhost"})))
port = int(sys.argv[1])
"""
GUARD = "egress_guard.guard()\negress_guard.tell(egress.went_around)\n"
TAIL = """
try:
    outcome = attempt()
except PermissionError as error:
    outcome = f"refused: {error.strerror}"
except OSError as error:
    outcome = f"{type(error).__name__}: {getattr(error, 'reason', error)}"
contacts = [[each.purpose, each.host, each.port, each.outcome] for each in egress.log()]
print(json.dumps({"outcome": str(outcome), "contacts": contacts}))
"""
REFUSED = "went around its own door"


def _attempt(body: str, port: int, *, guarded: bool = True) -> tuple[str, list[list[object]]]:
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    script = HEAD + (GUARD if guarded else "") + f"def attempt():\n{lines}\n" + TAIL
    done = subprocess.run(
        [sys.executable, "-c", script, str(port)], capture_output=True, text=True, timeout=60, check=True
    )
    said = json.loads(done.stdout)
    return said["outcome"], said["contacts"]


AROUND = {
    "a plain socket": 'socket.create_connection(("127.0.0.1", port)).close()\nreturn "connected"',
    "connect_ex": 's = socket.socket()\nreturn s.connect_ex(("127.0.0.1", port))',
    "urllib": 'return urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).status',
    "asyncio": (
        "async def go():\n"
        '    await asyncio.open_connection("127.0.0.1", port)\n'
        '    return "connected"\n'
        "return asyncio.run(go())"
    ),
    "UDP": 's = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nreturn s.sendto(b"x", ("127.0.0.1", port))',
    "a thread": (
        "found = []\n"
        "def go():\n"
        "    try:\n"
        '        socket.create_connection(("127.0.0.1", port)).close()\n'
        "    except OSError as error:\n"
        "        found.append(error)\n"
        "thread = threading.Thread(target=go)\n"
        "thread.start()\n"
        "thread.join()\n"
        "if found:\n"
        "    raise found[0]\n"
        'return "connected"'
    ),
}


@pytest.mark.parametrize("how", AROUND)
def test_what_goes_around_the_door_is_refused_and_written_down(how: str) -> None:
    with OpenAIServer() as server:
        outcome, contacts = _attempt(AROUND[how], server.port)
        assert REFUSED in outcome
        assert contacts == [["not asked for by Nearfar", "unknown", 0, "refused"]], "the socket is not even made"
        assert server.connections == 0


@pytest.mark.parametrize("how", AROUND)
def test_without_the_guard_the_same_attempts_succeed(how: str) -> None:
    """The control: what the guard is seen to refuse would have worked."""
    with OpenAIServer() as server:
        outcome, contacts = _attempt(AROUND[how], server.port, guarded=False)
        assert REFUSED not in outcome
        assert contacts == []


@pytest.mark.parametrize("look_up", ["getaddrinfo('far.example', 80)", "gethostbyname('far.example')"])
def test_no_name_is_looked_up_around_the_door(look_up: str) -> None:
    outcome, contacts = _attempt(f"return socket.{look_up}", 1)
    assert REFUSED in outcome
    assert contacts == [["not asked for by Nearfar", "far.example", 0, "refused"]]


@pytest.mark.parametrize(
    "how",
    ['socket.create_server(("127.0.0.1", 0)).close()', "socket.socket().listen()", "socket.socket(socket.AF_INET6)"],
)
def test_no_port_is_opened(how: str) -> None:
    outcome, contacts = _attempt(f'{how}\nreturn "listening"', 1)
    assert REFUSED in outcome
    assert [contact[3] for contact in contacts] == ["refused"]


def test_no_address_is_turned_into_a_name() -> None:
    outcome, contacts = _attempt('return socket.getnameinfo(("192.0.2.2", 53), 0)', 1)
    assert REFUSED in outcome
    assert contacts == [["not asked for by Nearfar", "192.0.2.2", 53, "refused"]]


def test_the_door_itself_stays_open_and_numbers_are_no_question() -> None:
    body = """
async def go():
    async with egress.http_client("test", f"http://localhost:{port}/v1") as client:
        return (await client.get("/models")).status_code
connection = egress.connect("model download", f"http://localhost:{port}/", timeout_s=5)
connection.close()
socket.getaddrinfo("127.0.0.1", port)
socket.socketpair()
return asyncio.run(go())
"""
    with OpenAIServer() as server:
        outcome, contacts = _attempt(body, server.port)
        assert outcome.isdecimal(), outcome
        assert [contact[3] for contact in contacts] == ["closed", "closed"]
        assert server.connections == 2


def test_a_child_has_no_door_at_all() -> None:
    script = (
        "import socket, sys\n"
        "from backends.egress_guard import guard\n"
        "guard()\n"
        "socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
    )
    with OpenAIServer() as server:
        done = subprocess.run(
            [sys.executable, "-c", script, str(server.port)], capture_output=True, text=True, timeout=60, check=False
        )
        assert "PermissionError" in done.stderr
        assert server.connections == 0
