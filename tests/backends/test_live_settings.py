"""Settings that two processes change: nobody undoes what another chose, and privacy holds at once everywhere."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pytest
import pytest_asyncio

from backends.compare import Comparison
from backends.errors import NetworkNotAllowed
from backends.events import Delta, Event, Failed, Finished
from backends.ids import new_id
from backends.paths import app_paths
from backends.records import Prompt, RunRequest, Sampling
from backends.settings import Settings, SettingsFile
from backends.settings_merge import merged
from backends.targets import parse_target
from backends.workbench import Workbench
from tests.fakes.openai_server import Exchange, OpenAIServer, answer, chunk

OTHER = """
import asyncio, json, sys
from backends.paths import app_paths
from backends.workbench import Workbench

async def main():
    bench = Workbench(app_paths())
    print("open", flush=True)
    for line in sys.stdin:
        bench.change(**json.loads(line))
        assert await bench.save() is None
        print("saved", flush=True)
    await bench.close()

asyncio.run(main())
"""


class Other:
    """Another Nearfar, in a process of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "open\n"

    def chooses(self, **changes: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(changes), file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == "saved\n"

    def closes(self) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()
        assert self._process.returncode == 0


def stored() -> Mapping[str, Any]:
    found = json.loads(app_paths().settings_file.read_text())
    assert isinstance(found, dict)
    return found


def begin(**settings: Any) -> None:
    SettingsFile(app_paths().settings_file).save(Settings(**settings))


@pytest_asyncio.fixture
async def a() -> AsyncIterator[Workbench]:
    begin(local_only=False)
    bench = Workbench(app_paths())
    yield bench
    await bench.close()


@pytest.fixture
def b(a: Workbench) -> Iterator[Other]:
    other = Other()
    yield other
    other.closes()


async def test_a_theme_does_not_undo_what_another_process_chose(a: Workbench, b: Other) -> None:
    b.chooses(local_only=True, month_budget_usd=5, kept_keys=["openai"])
    a.change(theme="dark")
    assert await a.save() is None
    kept = stored()
    assert (kept["theme"], kept["local_only"], kept["month_budget_usd"]) == ("dark", True, 5)
    assert kept["kept_keys"] == ["openai"]
    assert a.settings.local_only is True, "it holds here, too"
    assert a.egress.policy.local_only


async def test_a_close_undoes_nothing(a: Workbench, b: Other) -> None:
    b.chooses(local_only=True, keep_history=False, month_budget_usd=5)
    a.change(lanes=("practice",))
    await a.close()
    kept = stored()
    assert (kept["local_only"], kept["keep_history"], kept["month_budget_usd"]) == (True, False, 5)
    assert kept["lanes"] == ["practice"]


async def test_a_run_after_anothers_switch_is_refused_and_sends_nothing(
    a: Workbench, b: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    localhost_is_far(monkeypatch)
    with OpenAIServer(answer("Hi"), answer("Hi")) as server:
        monkeypatch.setenv("NEARFAR_FAR_BASE_URL", f"http://localhost:{server.port}/v1")
        target = parse_target("custom:far/slow")
        assert isinstance((await asked(a, target))[-1], Finished), "a control"
        before = len(server.received)
        a.access.consent([target])
        b.chooses(local_only=True)
        events = await asked(a, target, consent=False)
        assert isinstance(events[-1], Failed)
        assert "Local only" in events[-1].problem.what
        with pytest.raises(NetworkNotAllowed):
            a.access.consent([target])
        assert len(server.received) == before


def localhost_is_far(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("egress", "egress_policy", "egress_http", "cloud.providers"):
        monkeypatch.setattr(f"backends.{module}.on_this_machine", lambda host: host != "localhost")


async def test_anothers_switch_cuts_a_run_that_is_under_way_and_what_comes_after_it(
    a: Workbench, b: Other, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `nearfar run` with two targets, which looks at no settings while it waits for an answer."""
    localhost_is_far(monkeypatch)

    async def endless(exchange: Exchange) -> None:
        await exchange.head()
        while True:
            await exchange.event(chunk({"content": "word "}))
            await asyncio.sleep(0.05)

    with OpenAIServer(endless, answer("Hi")) as server:
        monkeypatch.setenv("NEARFAR_FAR_BASE_URL", f"http://localhost:{server.port}/v1")
        targets = [parse_target("custom:far/slow"), parse_target("custom:far/next")]
        a.access.consent(targets)
        requests = [RunRequest(new_id("run"), each, Prompt.ask("Hi"), Sampling()) for each in targets]
        events: list[Event] = []

        def emit(event: Event) -> None:
            if isinstance(event, Delta) and not any(isinstance(each, Delta) for each in events):
                b.chooses(local_only=True)
            events.append(event)

        await asyncio.wait_for(a.run(Comparison(requests, a.engine_for, emit, "sequence"), requests), 30)
        ends = [event for event in events if isinstance(event, Failed)]
        assert [end.run_id for end in ends] == [request.run_id for request in requests]
        assert all("Local only" in end.problem.what for end in ends), ends
        assert [received.path for received in server.received] == ["/v1/chat/completions"]


async def asked(bench: Workbench, target: Any, *, consent: bool = True) -> list[Event]:
    if consent:
        bench.access.consent([target])
    request = RunRequest(new_id("run"), target, Prompt.ask("Hi"), Sampling(max_tokens=5))
    events: list[Event] = []
    await bench.run(Comparison([request], bench.engine_for, events.append, "sequence"), [request])
    return events


async def test_a_choice_that_undoes_privacy_is_refused_where_another_switched_it_on(a: Workbench, b: Other) -> None:
    b.chooses(local_only=True)
    with pytest.raises(NetworkNotAllowed):
        a.access.consent([parse_target("openai:gpt-4o")])
    assert a.settings.local_only is True


async def test_what_others_wrote_is_taken_over_and_told(a: Workbench, b: Other) -> None:
    told: list[frozenset[str]] = []
    a.live.taken_over = told.append
    b.chooses(proxy_url="http://127.0.0.1:3128", keep_history=False)
    a.look()
    assert told == [frozenset({"proxy_url", "keep_history"})]
    assert a.egress.route.proxy_url == "http://127.0.0.1:3128"
    a.look()
    assert len(told) == 1


async def test_switching_it_off_again_on_purpose_holds(a: Workbench, b: Other) -> None:
    b.chooses(local_only=True)
    a.look()
    a.change(local_only=False)
    assert await a.save() is None
    assert stored()["local_only"] is False


async def test_what_two_processes_save_at_once_is_all_there(a: Workbench, b: Other) -> None:
    for number in range(5):
        a.change(added_repos=(*a.settings.added_repos, f"mine/{number}"))
        await asyncio.gather(a.save(), asyncio.to_thread(b.chooses, kept_keys=[f"k{n}" for n in range(number + 1)]))
    kept = stored()
    assert kept["added_repos"] == [f"mine/{number}" for number in range(5)]
    assert kept["kept_keys"] == [f"k{number}" for number in range(5)]


async def test_a_file_that_is_gone_empty_or_no_file_changes_nothing_here(a: Workbench) -> None:
    path = app_paths().settings_file
    a.change(local_only=True, theme="dark")
    assert await a.save() is None
    path.write_bytes(b"")
    a.look()
    path.unlink()
    a.look()
    path.mkdir()
    a.look()
    path.rmdir()
    assert (a.settings.local_only, a.settings.theme, a.settings.keep_history) == (True, "dark", True)
    a.change(theme="light")
    assert await a.save() is None
    assert stored()["local_only"] is True


async def test_a_file_damaged_meanwhile_keeps_what_is_known_but_for_privacy(a: Workbench) -> None:
    a.change(theme="dark")
    assert await a.save() is None
    app_paths().settings_file.write_text("{ nothing")
    a.look()
    assert (a.settings.theme, a.settings.local_only, a.settings.keep_history) == ("dark", True, False)


@pytest.mark.parametrize(
    ("key", "base", "mine", "theirs", "kept"),
    [
        ("local_only", None, False, True, True),
        ("local_only", True, False, True, False),
        ("local_only", False, False, None, None),
        ("keep_history", True, True, False, False),
        ("month_budget_usd", None, 5.0, 3.0, 3.0),
        ("month_budget_usd", 1.0, None, 3.0, 3.0),
        ("theme", "system", "dark", "light", "dark"),
        ("kept_keys", ("a", "b"), ("b", "c"), ("a", "b", "d"), ("b", "d", "c")),
        ("kept_keys", ("a",), ("a", "c"), ("a", "c"), ("a", "c")),
        ("custom_servers", {"a": "x", "b": "y"}, {"a": "z"}, {"a": "x", "b": "y", "c": "w"}, {"a": "z", "c": "w"}),
    ],
)
def test_three_ways_come_together(key: str, base: Any, mine: Any, theirs: Any, kept: Any) -> None:
    base, mine, theirs = (MappingProxyType(v) if isinstance(v, dict) else v for v in (base, mine, theirs))
    found = getattr(merged(*(Settings(**{key: each}) for each in (base, mine, theirs))), key)
    assert found == kept
