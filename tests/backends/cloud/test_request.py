"""What one question sends, to whom, and what it never sends. Must not look at answers."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from backends.cloud.engine import CloudEngine
from backends.cloud.providers import PassesOn
from backends.egress import Egress
from backends.egress_policy import Policy
from backends.events import Event, Notice
from backends.keys import Secret
from backends.records import Prompt, RunRequest, Target
from tests.backends.cloud.support import KEY, QUESTION, ask, endpoint_at, engine_at, failed, finished, request
from tests.fakes.openai_server import OpenAIServer

LEAKS = {
    "OPENAI_API_KEY": "sk-from-the-environment",
    "OPENAI_ADMIN_KEY": "sk-admin-from-the-environment",
    "OPENAI_BASE_URL": "http://127.0.0.1:9/other",
    "OPENAI_ORG_ID": "org-leak",
    "OPENAI_PROJECT_ID": "proj-leak",
    "OPENAI_CUSTOM_HEADERS": "X-Leak: custom-leak\nAuthorization: Bearer leak",
}


async def test_the_request_is_ours_and_nothing_of_the_environment_is_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LEAKS.items():
        monkeypatch.setenv(name, value)
    with OpenAIServer() as server:
        finished(await ask(server, request(max_tokens=7, temperature=0.5, seed=3, stop=("END",))))
        received = server.received[0]
    assert (received.method, received.path) == ("POST", "/v1/chat/completions")
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.json == {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": QUESTION}],
        "stream": True,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
        "max_completion_tokens": 7,
        "service_tier": "default",
        "temperature": 0.5,
        "top_p": 0.95,
        "seed": 3,
        "stop": ["END"],
    }
    assert "leak" not in str(received.headers)
    assert not {"openai-organization", "openai-project", "x-stainless-os", "cookie"} & set(received.headers)


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap, OpenAIServer() as server:
        trap.settimeout(0.2)
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{trap.getsockname()[1]}")
            monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{trap.getsockname()[1]}")
        finished(await ask(server))
        with pytest.raises(TimeoutError):
            trap.accept()


async def test_no_password_file_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with OpenAIServer() as server:
        finished(await ask(server))
        assert server.received[0].headers["authorization"] == f"Bearer {KEY}"


async def test_a_server_without_key_gets_no_authorization(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    with OpenAIServer() as server:
        endpoint = replace(endpoint_at(server.base_url), needs_key=False)
        engine = CloudEngine(endpoint, egress=Egress(), key=lambda: None)
        events: list[Event] = []
        await engine.run(request(), events.append)
        await engine.close()
        finished(events)
        assert "authorization" not in server.received[0].headers


async def test_a_missing_key_sends_nothing() -> None:
    with OpenAIServer() as server:
        end = failed(await ask(server, key=None))
        assert end.problem.code == "key_missing"
        assert server.connections == 0


async def test_a_model_that_a_server_here_sends_on_is_refused_under_local_only() -> None:
    with OpenAIServer() as server:
        endpoint = replace(endpoint_at(server.base_url, "ollama"), passes_on=PassesOn(("-cloud",), "ollama.com"))
        for model, allowed, code in (
            ("m-cloud", frozenset[str](), "network_not_allowed"),
            ("m-cloud", frozenset({"ollama.com"}), ""),
            ("m:3b", frozenset[str](), ""),
        ):
            egress = Egress(Policy(local_only=not allowed, allowed_hosts=allowed))
            engine = CloudEngine(endpoint.asked_for(model), egress=egress, key=lambda: None)
            events: list[Event] = []
            await engine.run(request(model, provider="ollama"), events.append)
            await engine.close()
            if code:
                assert failed(events).problem.code == code
                assert "ollama.com" in failed(events).problem.what
                assert server.connections == 0
            else:
                assert finished(events).result.cost.basis == ("unknown_price" if allowed else "not_measured")


async def test_local_only_sends_nothing_away_but_reaches_this_machine() -> None:
    egress = Egress(Policy(local_only=True, allowed_hosts=frozenset({"api.openai.com"})))
    async with engine_at("https://api.openai.com/v1", egress=egress) as engine:
        events: list[Event] = []
        await engine.run(request(), events.append)
    assert failed(events).problem.code == "network_not_allowed"
    assert "api.openai.com" in failed(events).problem.what
    assert egress.snapshot().connections == 0
    assert [contact.outcome for contact in egress.log()] == ["refused"]
    with OpenAIServer() as server:
        async with engine_at(server.base_url, egress=egress) as engine:
            events = []
            await engine.run(request(), events.append)
        finished(events)


async def test_a_model_that_chooses_its_own_temperature_is_not_told_one() -> None:
    with OpenAIServer() as server:
        events = await ask(server, request("gpt-6-luna"))
        body = server.received[0].json
    assert "temperature" not in body
    assert "top_p" not in body
    assert "own_sampling" in [event.code for event in events if isinstance(event, Notice)]
    assert finished(events).result.settings["not_sent"] == [
        "min_p",
        "repeat_penalty",
        "temperature",
        "top_k",
        "top_p",
    ]


@pytest.mark.parametrize(
    ("model", "effort", "is_sent"),
    [
        ("gpt-6-luna", "high", True),
        ("gpt-6-luna", "none", True),
        ("gpt-5-mini", "minimal", True),
        ("gpt-5-mini", "none", False),
        ("gpt-5.1", "none", True),
        ("o3", "medium", True),
        ("gpt-4o", "high", False),
        ("gpt-6-luna", None, False),
    ],
)
async def test_reasoning_effort_goes_to_models_that_take_it(model: str, effort: str | None, is_sent: bool) -> None:
    with OpenAIServer() as server:
        result = finished(await ask(server, request(model, reasoning_effort=effort))).result
        body = server.received[0].json
    assert body.get("reasoning_effort") == (effort if is_sent else None)
    not_sent = result.settings["not_sent"]
    assert isinstance(not_sent, list)
    assert ("reasoning_effort" in not_sent) is (effort is not None and not is_sent)


async def test_a_whole_conversation_is_sent() -> None:
    asked = RunRequest("run-1", Target("openai", "gpt-4o"), Prompt.ask("And now?", system="Be brief."))
    with OpenAIServer() as server:
        finished(await ask(server, asked))
        assert server.received[0].json["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "And now?"},
        ]


async def test_the_key_is_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with OpenAIServer() as server:
        async with engine_at(server.base_url) as engine:
            events: list[Event] = []
            await engine.run(request(), events.append)
            held = repr(engine) + repr(engine._setting) + repr(vars(engine._setting.client))  # type: ignore[union-attr]
    for place in (repr(events), caplog.text, held, repr(Secret(KEY))):
        assert KEY not in place
        assert KEY[-8:] not in place
    assert QUESTION not in caplog.text
