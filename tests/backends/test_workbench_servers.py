"""Servers of one's own behind the workbench: whom a question goes to once an address, or what holds a key, changed."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from backends.cloud.engine import CloudEngine
from backends.cloud.known_models import KnownModels
from backends.cloud.offers import ModelList
from backends.cloud.providers import shipped_endpoints, variable_of
from backends.cloud.servers import Servers
from backends.compare import Comparison
from backends.egress import Egress
from backends.egress_policy import Policy
from backends.errors import NetworkNotAllowed
from backends.events import Event, Failed, Finished
from backends.ids import new_id
from backends.key_holders import key_holder, key_holders
from backends.key_ring import KeyRing
from backends.keyring_store import KeyringStore
from backends.keys import Secret
from backends.paths import app_paths
from backends.records import Prompt, RunRequest, Sampling, Target
from backends.settings import Settings
from backends.targets import SELF_HOSTED, parse_target
from backends.workbench import Workbench
from tests.fakes.openai_server import OpenAIServer, by_path

LAB = Target("custom", "lab/phi-4")
VLLM = Target("vllm", "phi-4")


@pytest_asyncio.fixture
async def bench() -> AsyncIterator[Workbench]:
    made = Workbench(app_paths())
    yield made
    await made.close()


async def ran(bench: Workbench, target: Target) -> Event:
    """How one question to a target ended."""
    events: list[Event] = []
    request = RunRequest(new_id("run"), target, Prompt.ask("Hi"), Sampling(max_tokens=5))
    bench.access.consent([target])
    await bench.run(Comparison([request], bench.engine_for, events.append), [request])
    return events[-1]


async def test_a_question_goes_to_where_its_server_is_now(bench: Workbench) -> None:
    with OpenAIServer() as old, OpenAIServer() as new:
        bench.change(custom_servers={"lab": old.base_url})
        assert isinstance(await ran(bench, LAB), Finished)
        bench.change(custom_servers={"lab": new.base_url})
        assert isinstance(await ran(bench, LAB), Finished)
        assert (len(old.received), len(new.received)) == (1, 1)


async def test_the_engine_of_an_earlier_address_is_closed(bench: Workbench) -> None:
    with OpenAIServer() as old, OpenAIServer() as new:
        bench.change(custom_servers={"lab": old.base_url})
        await ran(bench, LAB)
        engine = bench.engine_for(LAB)
        assert isinstance(engine, CloudEngine)
        bench.change(custom_servers={"lab": new.base_url})
        await ran(bench, LAB)
        assert engine._setting is None  # its connections are closed


async def test_a_server_that_was_removed_is_not_asked(bench: Workbench) -> None:
    with OpenAIServer() as server:
        bench.change(custom_servers={"lab": server.base_url})
        await ran(bench, LAB)
        bench.change(custom_servers={})
        events: list[Event] = []
        request = RunRequest(new_id("run"), LAB, Prompt.ask("Hi"), Sampling(max_tokens=5))
        await bench.run(Comparison([request], bench.engine_for, events.append), [request])
        assert isinstance(events[-1], Failed)
        assert len(server.received) == 1


async def test_a_key_is_for_the_address_it_was_given_for(bench: Workbench) -> None:
    with OpenAIServer() as old, OpenAIServer() as new:
        bench.change(custom_servers={"lab": old.base_url, "vllm": old.base_url})
        for target in (LAB, VLLM):
            bench.access.keep_key(target, Secret("sk-test-lab"))
            await ran(bench, target)
        bench.change(custom_servers={"lab": new.base_url, "vllm": new.base_url})
        for target in (LAB, VLLM):
            await ran(bench, target)
        assert [request.headers.get("authorization") for request in old.received] == ["Bearer sk-test-lab"] * 2
        assert [request.headers.get("authorization") for request in new.received] == [None, None]


async def test_models_are_listed_with_the_key_that_the_keyring_holds(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(_store: KeyringStore, name: str) -> Secret | None:
        return Secret("sk-test-kept") if name == "openai" else None

    monkeypatch.setattr(KeyringStore, "read", read)
    with OpenAIServer(by_path({"/v1/models": {"data": [{"id": "gpt-6-luna"}]}})) as server:
        monkeypatch.setenv(variable_of("openai"), server.base_url)
        bench.change(kept_keys=("openai",))
        await bench.servers.list_models(Target("openai", "default"))
        assert server.received[0].headers["authorization"] == "Bearer sk-test-kept"


async def test_looking_for_servers_forgets_no_list_of_ones_own_server(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in SELF_HOSTED:
        monkeypatch.setenv(variable_of(kind), "http://127.0.0.1:9/v1")
    bench.known_models.keep(ModelList("http://127.0.0.1:9/v1", (), datetime.now(UTC)))
    bench.change(custom_servers={"lab": "http://127.0.0.1:9/v1"})
    await bench.servers.look()
    assert bench.known_models.of("http://127.0.0.1:9/v1") is not None
    bench.change(custom_servers={})
    await bench.servers.look()
    assert bench.known_models.of("http://127.0.0.1:9/v1") is None


def test_asking_for_models_does_not_undo_local_only_switched_on_at_the_same_moment() -> None:
    egress = Egress(Policy(local_only=False))
    switches: list[threading.Thread] = []

    def settings() -> Settings:
        switches.append(threading.Thread(target=egress.set_local_only, args=(True,)))
        switches[0].start()
        switches[0].join(0.2)
        return Settings(local_only=False)

    keys = KeyRing(kept=tuple, change=lambda **_: None, save=_saved)
    servers = Servers(KnownModels(Path()), settings=settings, egress=egress, keys=keys, offered=lambda _: ())
    servers.consent(shipped_endpoints()["openai"])
    switches[0].join()
    assert egress.policy.local_only


async def _saved() -> None:
    return None


def test_a_kept_key_of_an_earlier_address_is_listed_to_be_deleted() -> None:
    kept = ("custom:lab@10.0.0.7:9000", "custom:lab@10.0.0.8:9000", "custom:gone@10.0.0.7:80", "vllm@127.0.0.1:8000")
    settings = Settings(kept_keys=kept, custom_servers={"lab": "http://10.0.0.8:9000/v1"})
    held = {endpoint.key_entry: endpoint.label for endpoint in key_holders(settings)}
    assert held["custom:lab@10.0.0.8:9000"] == "lab"
    assert held["custom:lab@10.0.0.7:9000"] == "lab, formerly at 10.0.0.7:9000"
    assert held["vllm@127.0.0.1:8000"] == "vLLM"
    assert key_holder("custom:gone", settings).key_entry == "custom:gone@10.0.0.7:80"
    assert list(held).count("custom:gone@10.0.0.7:80") == 1


@pytest.mark.parametrize("name", ["custom:lab/gpt-oss:120b-cloud", "ollama:gpt-oss:120b-Cloud"])
async def test_under_local_only_nothing_is_sent_on_by_a_server_on_this_machine(bench: Workbench, name: str) -> None:
    target = parse_target(name)
    with OpenAIServer() as server:
        bench.change(local_only=True, custom_servers={"lab": server.base_url, "ollama": server.base_url})
        with pytest.raises(NetworkNotAllowed, match=r"ollama\.com"):
            bench.access.consent([target])
        events: list[Event] = []
        request = RunRequest(new_id("run"), target, Prompt.ask("Hi"), Sampling(max_tokens=5))
        await bench.run(Comparison([request], bench.engine_for, events.append), [request])
        assert isinstance(events[-1], Failed)
        assert events[-1].problem.code == "network_not_allowed"
        assert server.received == []
