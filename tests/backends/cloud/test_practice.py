"""The practice endpoint: real xllamacpp in its own process, a real model, the real SDK."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import httpx2
import psutil
import pytest

from backends.cloud.discovery import find_servers
from backends.cloud.patience import Patience
from backends.cloud.practice import PracticeEngine, PracticeServer
from backends.cloud.practice_server import NO_ORIGIN
from backends.cloud.providers import shipped_endpoints
from backends.egress import Egress
from backends.errors import PracticeFailed
from backends.events import Cancelled, Delta, Event, Finished, Notice
from backends.records import Prompt, RunRequest, Sampling
from backends.targets import PRACTICE, SELF_HOSTED
from tests.backends.cloud.support import end_of, failed, finished, has_text, until
from tests.gguf_factory import write_script
from tests.processes import wait_gone

PIECES = [f" piece{number}".encode() for number in range(30)]
EVIL = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}


@pytest.fixture(scope="module")
def endless_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Spells its pieces, then begins again."""
    return write_script(tmp_path_factory.mktemp("practice") / "endless.gguf", PIECES, loop_to=0)


@pytest.fixture
async def server(endless_model: Path) -> AsyncIterator[PracticeServer]:
    server = PracticeServer(endless_model)
    yield server
    await server.close()


@pytest.fixture
async def engine(server: PracticeServer) -> AsyncIterator[PracticeEngine]:
    engine = PracticeEngine(server, egress=Egress())
    yield engine
    await engine.close()


def question(text: str = "What does tok/s mean?", max_tokens: int = 20) -> RunRequest:
    return RunRequest("run-1", PRACTICE, Prompt.ask(text), Sampling(max_tokens=max_tokens, temperature=0.0, seed=7))


async def ask(engine: PracticeEngine, asked: RunRequest | None = None) -> list[Event]:
    events: list[Event] = []
    await engine.run(asked or question(), events.append)
    return events


async def test_the_answer_its_usage_and_its_price(engine: PracticeEngine) -> None:
    events = await ask(engine)
    result = finished(events).result
    assert result.text == b"".join(PIECES[:20]).decode()
    assert result.usage.completion_tokens == 20
    assert result.usage.prompt_tokens is not None
    assert result.cost.basis == "practice_at_gpt4o_price"
    assert result.cost.usd == (result.usage.prompt_tokens * Decimal("2.5") + 20 * Decimal(10)) / 1_000_000
    assert result.cost.price_as_of == "2026-10-12"
    assert result.engine_timings["predicted_n"] == 20
    assert result.provider == "practice"
    codes = [(event.code, bool(event.text)) for event in events if isinstance(event, Notice)]
    assert codes[:2] == [("practice_starting", True), ("practice_starting", False)]


async def test_nothing_leaves_the_machine(server: PracticeServer) -> None:
    egress = Egress()
    engine = PracticeEngine(server, egress=egress)
    finished(await ask(engine))
    await engine.close()
    assert egress.snapshot().connections == 0
    assert {contact.host for contact in egress.log()} == {"127.0.0.1"}


async def test_it_listens_on_loopback_alone_and_keeps_its_key_to_itself(
    server: PracticeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    await server.endpoint()
    key = server.key()
    assert key is not None
    assert server.pid is not None
    child = psutil.Process(server.pid)
    listening = [place.laddr.ip for place in child.net_connections("inet") if place.status == psutil.CONN_LISTEN]
    assert listening == ["127.0.0.1"]
    assert key.reveal() not in str(child.cmdline())
    assert key.reveal() not in str(child.environ())
    assert "OPENAI_API_KEY" not in child.environ()
    assert len(key.reveal()) >= 40
    if sys.platform == "linux":
        assert child.rlimit(psutil.RLIMIT_CORE) == (0, 0)


async def test_the_key_is_required(server: PracticeServer) -> None:
    endpoint = await server.endpoint()
    key = server.key()
    assert key is not None
    body = {"model": "demo", "messages": [{"role": "user", "content": "?"}], "max_tokens": 1}
    async with httpx2.AsyncClient(trust_env=False, base_url=endpoint.base_url) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            assert (await client.post("/chat/completions", json=body, headers=headers)).status_code == 401
            assert (await client.get("/models", headers=headers)).status_code == 401
        right = {"Authorization": f"Bearer {key.reveal()}"}
        assert (await client.post("/chat/completions", json=body, headers=right)).status_code == 200


async def test_no_page_of_a_browser_is_let_in(server: PracticeServer) -> None:
    endpoint = await server.endpoint()
    async with httpx2.AsyncClient(trust_env=False, base_url=endpoint.base_url) as client:
        for answer in (
            await client.options("/chat/completions", headers=EVIL),
            await client.get("/models", headers=EVIL),
            await client.get(endpoint.base_url.removesuffix("/v1") + "/health", headers=EVIL),
        ):
            granted = answer.headers.get("access-control-allow-origin", "")
            assert granted in ("", NO_ORIGIN)
            assert answer.headers.get("access-control-allow-credentials", "false") == "false"


async def test_a_dead_server_is_started_again(server: PracticeServer, engine: PracticeEngine) -> None:
    first = finished(await ask(engine)).result
    pid, key = server.pid, server.key()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not server.is_running)
    second = finished(await ask(engine)).result
    assert second.text == first.text
    assert server.pid not in (None, pid)
    assert server.key() != key


async def test_a_server_killed_in_mid_answer_keeps_the_text(server: PracticeServer, engine: PracticeEngine) -> None:
    events: list[Event] = []
    task = asyncio.create_task(engine.run(question(max_tokens=1900), events.append))
    await until(lambda: has_text(events))
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await task
    end = failed(events)
    assert end.problem.code == "connection_lost"
    assert end.result.text.startswith(" piece0")
    assert end.result.text == "".join(event.text for event in events if isinstance(event, Delta))
    finished(await ask(engine))


async def test_a_hanging_server_is_replaced(server: PracticeServer) -> None:
    engine = PracticeEngine(server, egress=Egress(), patience=Patience(read_s=3.0))
    await engine.warm_up()
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    assert failed(await ask(engine)).problem.code == "stalled"
    assert not psutil.pid_exists(pid)
    finished(await ask(engine))
    await engine.close()


async def test_a_prompt_longer_than_the_context_is_a_sentence(engine: PracticeEngine) -> None:
    end = failed(await ask(engine, question(text="many words " * 3000)))
    assert end.problem.code == "request_refused"
    assert "too long" in end.problem.what
    finished(await ask(engine))


async def test_cancelling_frees_the_server(engine: PracticeEngine) -> None:
    await engine.warm_up()
    events: list[Event] = []
    task = asyncio.create_task(engine.run(question(max_tokens=1900), events.append))
    await until(lambda: has_text(events))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert isinstance(end_of(events), Cancelled)
    assert isinstance(end_of(await ask(engine)), Finished)


async def test_questions_asked_together_are_answered_together(engine: PracticeEngine) -> None:
    """With one slot, the others would wait for the end of the first."""
    await engine.warm_up()
    order: list[int] = []

    async def one(place: int) -> str:
        events: list[Event] = []

        def listen(event: Event) -> None:
            events.append(event)
            if isinstance(event, Delta):
                order.append(place)

        await engine.run(question(max_tokens=300), listen)
        return finished(events).result.text

    texts = await asyncio.gather(*(one(place) for place in range(4)))
    assert len(set(texts)) == 1
    first_end = max(at for at, place in enumerate(order) if place == order[0])
    assert len(set(order[:first_end])) == 4


async def test_a_real_llama_cpp_server_is_told_from_the_others(server: PracticeServer) -> None:
    base_url = (await server.endpoint()).base_url
    kinds = [replace(shipped_endpoints()[kind], base_url=base_url) for kind in SELF_HOSTED]
    (found,) = await find_servers(Egress(), kinds)
    assert (found.endpoint.provider, found.models, found.asks_key) == ("llamacpp", None, True)


async def test_closing_ends_the_child(server: PracticeServer) -> None:
    await server.endpoint()
    pid = server.pid
    assert pid is not None
    await server.close()
    await server.close()
    assert not psutil.pid_exists(pid)
    assert server.key() is None


async def test_starting_twice_at_once_starts_one(server: PracticeServer) -> None:
    first, second = await asyncio.gather(server.endpoint(), server.endpoint())
    assert first == second


@pytest.mark.parametrize("content", [b"", b"GGUF", b"<html>Sign in</html>"])
async def test_a_file_that_is_no_model_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    server = PracticeServer(path)
    engine = PracticeEngine(server, egress=Egress())
    end = failed(await ask(engine))
    await engine.close()
    assert end.problem.code == "practice_failed"
    assert "Traceback" not in end.problem.sentence
    assert server.pid is None


async def test_a_missing_model_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(PracticeFailed, match="missing"):
        await PracticeServer(tmp_path / "none.gguf").endpoint()


@pytest.mark.parametrize(
    ("command", "start_s", "words"),
    [
        ((sys.executable, "-c", "import time; time.sleep(60)"), 0.5, "within"),
        ((sys.executable, "-c", "print('hello', flush=True)"), 30.0, "JSONDecodeError"),
        ((sys.executable, "-c", "import sys; sys.exit('broken install')"), 30.0, "broken install"),
        (("/nonexistent/python",), 30.0, "FileNotFoundError"),
    ],
)
async def test_a_child_that_does_not_serve_is_ended_and_said(
    command: tuple[str, ...], start_s: float, words: str, endless_model: Path
) -> None:
    server = PracticeServer(endless_model, command=command, start_s=start_s)
    with pytest.raises(PracticeFailed, match=words):
        await server.endpoint()
    assert server.pid is None
    await server.close()


async def test_cancelling_the_start_leaves_no_child(endless_model: Path) -> None:
    command = (sys.executable, "-c", "import time; time.sleep(60)")
    server = PracticeServer(endless_model, command=command)
    starting = asyncio.create_task(server.endpoint())
    await until(lambda: psutil.Process().children())
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert psutil.Process().children() == []
    await server.close()


@pytest.mark.parametrize("with_pdeathsig", [True, False])
def test_a_killed_parent_leaves_no_child(endless_model: Path, with_pdeathsig: bool) -> None:
    """Also where the kernel does not help: the end of stdin is enough."""
    code = f"""
import asyncio, sys
from pathlib import Path
from backends.cloud.patience import Patience
from backends.cloud.practice import PracticeServer

async def main():
    server = PracticeServer(Path({str(endless_model)!r}), command=tuple(sys.argv[1:]))
    await server.endpoint()
    print(server.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    plain = "import backends.cloud.practice_server as s; s._die_with_parent = lambda: None; s.main()"
    child_command = ["-m", "backends.cloud.practice_server"] if with_pdeathsig else ["-c", plain]
    parent = subprocess.Popen(
        [sys.executable, "-c", code, sys.executable, *child_command], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_gone(pid)
