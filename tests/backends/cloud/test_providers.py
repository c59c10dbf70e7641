"""Who serves what where: the shipped table, and the addresses that people write."""

from __future__ import annotations

from datetime import date

import pytest

from backends import targets
from backends.cloud.providers import check_address, endpoint_for, model_of, shipped_endpoints, variable_of
from backends.errors import BadAddress, UnknownTarget
from backends.records import Target


def test_the_shipped_table_is_whole() -> None:
    endpoints = shipped_endpoints()
    assert set(endpoints) == set(targets.PROVIDERS) - {"local", "custom"}
    for name, endpoint in endpoints.items():
        assert endpoint.provider == endpoint.key_name == name
        assert check_address(endpoint.base_url) == endpoint.base_url
        assert endpoint.self_hosted is (name in targets.SELF_HOSTED)
        if endpoint.self_hosted:
            continue
        assert endpoint.encrypted
        assert endpoint.leaves_machine
        assert endpoint.needs_key
        assert endpoint.price_as_of is not None
        assert date.fromisoformat(endpoint.price_as_of) <= date(2026, 11, 23)
        assert any(model.offered for model in endpoint.models)
        ids = [model.id for model in endpoint.models]
        assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("name", "port"), [("vllm", 8000), ("llamacpp", 8080), ("ollama", 11434), ("lmstudio", 1234), ("tgi", 3000)]
)
def test_a_server_that_people_run_themselves_is_on_this_machine_until_it_is_moved(name: str, port: int) -> None:
    target = targets.parse_target(f"{name}:some/model:3b")
    assert (target.provider, target.model, str(target)) == (name, "some/model:3b", f"{name}:some/model:3b")
    here = endpoint_for(target, environ={})
    assert here.base_url == f"http://127.0.0.1:{port}/v1"
    assert not here.leaves_machine
    assert not here.needs_key
    assert here.probe is not None
    moved = endpoint_for(target, environ={variable_of(name): "https://gpu.example/v1"})
    assert moved.leaves_machine
    assert moved.destination == "gpu.example"
    by_settings = endpoint_for(target, environ={}, addresses={name: "http://10.0.0.7:9000/v1"})
    assert by_settings.leaves_machine


@pytest.mark.parametrize("model", ["gpt-oss:120b-cloud", "minimax-m2:cloud", "gpt-oss:120b-Cloud", "minimax-m2:CLOUD"])
def test_a_model_that_ollama_sends_on_leaves_this_machine(model: str) -> None:
    endpoint = endpoint_for(Target("ollama", model), environ={})
    assert endpoint.host == "127.0.0.1"
    assert endpoint.leaves_machine
    assert endpoint.destination == "ollama.com"
    assert not endpoint_for(Target("ollama", "llama3.2:3b"), environ={}).leaves_machine
    assert not endpoint_for(Target("ollama", "cloudy:3b"), environ={}).leaves_machine


def test_a_server_of_ones_own_on_this_machine_may_be_an_ollama() -> None:
    target = Target("custom", "lab/gpt-oss:120b-cloud")
    here = endpoint_for(target, environ={}, addresses={"lab": "http://127.0.0.1:11434/v1"})
    assert (here.host, here.destination, here.leaves_machine) == ("127.0.0.1", "ollama.com", True)
    away = endpoint_for(target, environ={}, addresses={"lab": "https://lab.example/v1"})
    assert away.destination == "lab.example"
    plain = endpoint_for(Target("custom", "lab/phi-4"), environ={}, addresses={"lab": "http://127.0.0.1:11434/v1"})
    assert not plain.leaves_machine


@pytest.mark.parametrize(
    ("provider", "model", "chats"),
    [
        ("openai", "gpt-4o", True),
        ("openai", "gpt-6-luna", True),
        ("openai", "text-embedding-3-small", False),
        ("openai", "gpt-4o-audio-preview", False),
        ("openai", "whisper-1", False),
        ("groq", "whisper-large-v3", False),
        ("groq", "openai/gpt-oss-20b", True),
        ("ollama", "nomic-embed-text:latest", False),
        ("lmstudio", "text-embedding-nomic-embed-text-v1.5", False),
        ("openrouter", "meta-llama/llama-3.1-8b-instruct", True),
    ],
)
def test_models_that_do_not_chat_are_known(provider: str, model: str, chats: bool) -> None:
    assert shipped_endpoints()[provider].chats(model) is chats


def test_gpt_4o_is_offered_first_with_its_last_day() -> None:
    first, second, *_ = shipped_endpoints()["openai"].models
    assert (first.id, first.retires, first.offered) == ("gpt-4o", date(2027, 1, 14), True)
    assert (second.id, second.retires) == ("gpt-6-luna", None)


def test_no_offered_model_was_retired_when_the_table_was_made() -> None:
    for endpoint in shipped_endpoints().values():
        for model in endpoint.models:
            assert not model.offered or model.retires is None or model.retires > date(2026, 11, 23)


@pytest.mark.parametrize(
    ("model", "takes"), [("gpt-4o", True), ("gpt-4.1", True), ("gpt-6-luna", False), ("o3", False), ("gpt-5.1", False)]
)
def test_models_that_choose_their_own_temperature(model: str, takes: bool) -> None:
    assert shipped_endpoints()["openai"].takes_sampling(model) is takes
    assert shipped_endpoints()["groq"].takes_sampling(model)


def test_an_address_comes_from_the_environment_then_the_settings_then_the_table() -> None:
    target = Target("openai", "gpt-4o")
    moved = {"NEARFAR_OPENAI_BASE_URL": "http://127.0.0.1:9999/v1/"}
    assert endpoint_for(target, environ={}).base_url == "https://api.openai.com/v1"
    assert endpoint_for(target, environ={}, addresses={"openai": "https://proxy.example/v1"}).host == "proxy.example"
    endpoint = endpoint_for(target, environ=moved, addresses={"openai": "https://proxy.example/v1"})
    assert endpoint.base_url == "http://127.0.0.1:9999/v1"
    assert not endpoint.leaves_machine
    assert endpoint.price_provider == "openai"


def test_a_server_of_ones_own() -> None:
    target = Target("custom", "my-box/meta/llama-3.1")
    environ = {"NEARFAR_MY_BOX_BASE_URL": "http://192.168.1.5:8000/v1"}
    endpoint = endpoint_for(target, environ=environ)
    assert endpoint.base_url == "http://192.168.1.5:8000/v1"
    assert endpoint.leaves_machine
    assert not endpoint.encrypted
    assert not endpoint.needs_key
    assert (endpoint.label, endpoint.key_name, endpoint.price_provider) == ("my-box", "custom:my-box", None)
    assert model_of(target) == "meta/llama-3.1"
    by_settings = endpoint_for(target, environ={}, addresses={"my-box": "http://localhost:1234/v1"})
    assert not by_settings.leaves_machine


def test_a_server_without_address_says_where_to_give_one() -> None:
    with pytest.raises(BadAddress, match="no address for your server box") as caught:
        endpoint_for(Target("custom", "box/m"), environ={})
    assert "NEARFAR_BOX_BASE_URL" in caught.value.problem.fix


@pytest.mark.parametrize("name", ["openai", "practice", "custom", "local"])
def test_a_server_of_ones_own_cannot_take_a_providers_name(name: str) -> None:
    with pytest.raises(UnknownTarget, match=name):
        endpoint_for(Target("custom", f"{name}/m"), environ={variable_of(name): "http://127.0.0.1:1/v1"})


@pytest.mark.parametrize("target", [Target("local", "demo"), Target("practice", "demo"), Target("nobody", "x")])
def test_what_is_not_in_the_cloud(target: Target) -> None:
    with pytest.raises(UnknownTarget):
        endpoint_for(target, environ={})


@pytest.mark.parametrize(
    ("written", "used"),
    [
        (" https://api.example/v1/ ", "https://api.example/v1"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
        ("https://api.example/v1/chat/completions", "https://api.example/v1"),
        ("https://api.example", "https://api.example"),
    ],
)
def test_addresses_as_people_write_them(written: str, used: str) -> None:
    assert check_address(written) == used


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("", "does not begin with"),
        ("api.openai.com/v1", "does not begin with"),
        ("ftp://api.example/v1", "does not begin with"),
        ("file:///etc/passwd", "does not begin with"),
        ("https://", "names no server"),
        ("https://:8080/v1", "names no server"),
        ("http://127.0.0.1:99999/v1", "not an address"),
        ("http://127.0.0.1:port/v1", "not an address"),
        ("http://[::1/v1", "not an address"),
        ("https://user:pass@api.example/v1", "name or a password"),
        ("https://api.example/v1?key=1", "part"),
        ("https://api.example/v1#x", "part"),
        ("https://api .example/v1", "space"),
        ("https://аpi.example/v1", "character"),
        ("https://api.example/\nv1", "space or a character"),
        ("http://0.0.0.0:8000/v1", "where servers listen"),
        ("http://[::]:8000/v1", "where servers listen"),
    ],
)
def test_a_bad_address_is_a_sentence(written: str, words: str) -> None:
    with pytest.raises(BadAddress, match=words) as caught:
        check_address(written)
    assert "pass@" not in str(caught.value)
    assert caught.value.problem.fix
