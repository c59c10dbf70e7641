"""A budget or a proxy in the settings file that cannot be read: nothing is sent as if there were none."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from backends.compare import Comparison
from backends.egress_route import Route
from backends.errors import RouteUnusable
from backends.events import Event, Failed
from backends.ids import new_id
from backends.paths import app_paths
from backends.records import Prompt, RunRequest, Sampling
from backends.settings import Settings, SettingsFile
from backends.targets import parse_target
from backends.workbench import Workbench
from tests.fakes.openai_server import OpenAIServer, answer

BUDGETS = ("session_budget_usd", "month_budget_usd")


def write(text: str) -> Path:
    path = app_paths().settings_file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("key", BUDGETS)
@pytest.mark.parametrize("written", ["-1", "NaN", "Infinity", "1e18", '"abc"', "true", '"5"', "[]"])
def test_a_budget_that_cannot_be_read_is_no_dollar_at_all(key: str, written: str) -> None:
    path = write(f'{{"local_only": false, "keep_history": true, "{key}": {written}}}')
    loaded = SettingsFile(path).load()
    assert getattr(loaded.settings, key) == 0
    assert (loaded.settings.local_only, loaded.settings.keep_history) == (False, True)
    assert f"({key})" in loaded.warnings[0]
    assert "$0" in loaded.warnings[0]
    SettingsFile(path).save(loaded.settings)
    assert getattr(SettingsFile(path).load().settings, key) == 0, "until the person chooses anew"


@pytest.mark.parametrize("written", ["5", "2.5", "0", "null"])
def test_a_budget_that_can_be_read_is_as_it_stands(written: str) -> None:
    loaded = SettingsFile(write(f'{{"month_budget_usd": {written}}}')).load()
    assert loaded.settings.month_budget_usd == json.loads(written)
    assert loaded.warnings == ()


@pytest.mark.parametrize("written", ['{"local-only": true}', '{"Local_Only": false}', '{"localonly": "x"}'])
def test_a_privacy_choice_under_a_name_that_is_nearly_right_gives_nothing_away(written: str) -> None:
    path = write(written)
    loaded = SettingsFile(path).load()
    assert loaded.settings == Settings(local_only=True)
    assert loaded.warnings[0].endswith("which is not read: the setting is called local_only.")
    SettingsFile(path).save(loaded.settings)
    assert SettingsFile(path).load().warnings == (), "said once, then the right name stands beside it"


@pytest.mark.parametrize("written", ['"yes"', '"false"', "0", "1"])
def test_a_privacy_choice_is_true_or_false_and_nothing_like_it(written: str) -> None:
    loaded = SettingsFile(write(f'{{"local_only": {written}, "keep_history": {written}}}')).load()
    assert loaded.settings == Settings(local_only=True, keep_history=False)
    assert "(keep_history)" in loaded.warnings[0]
    assert "(local_only)" in loaded.warnings[1]


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes")
@pytest.mark.parametrize("kind", ["a link to nothing", "a pipe", "a folder"])
def test_what_is_no_settings_file_counts_as_one_that_cannot_be_read(kind: str) -> None:
    path = app_paths().settings_file
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a folder":
        path.mkdir()
    else:
        path.symlink_to(path.parent / "unmounted" / "settings.json")
    loaded = SettingsFile(path).load()
    assert loaded.settings == Settings(local_only=True, keep_history=False)
    assert "could not be read" in loaded.warnings[0]


@pytest.mark.parametrize(
    "written",
    ["foo", "socks5://h:1", "http://user:pw@h:1", "http://h:99999", "http://h:0", "http://[::1", "", 12, True, ["x"]],
)
def test_a_proxy_that_cannot_be_read_is_not_gone_around(written: Any) -> None:
    path = write(json.dumps({"local_only": False, "proxy_url": written}))
    loaded = SettingsFile(path).load()
    assert "(proxy_url)" in loaded.warnings[0]
    assert "pw" not in loaded.warnings[0]
    SettingsFile(path).save(loaded.settings)
    for settings in (loaded.settings, SettingsFile(path).load().settings):
        with pytest.raises(RouteUnusable):
            Route(settings.proxy_url).proxy  # noqa: B018  raises


def test_an_end_that_is_lost_may_have_held_limits() -> None:
    loaded = SettingsFile(write('{"local_only": false, "keep_history": true, "theme": "dark", "month_bud')).load()
    assert loaded.settings.month_budget_usd == 0
    with pytest.raises(RouteUnusable):
        Route(loaded.settings.proxy_url).proxy  # noqa: B018  raises
    assert SettingsFile(write("nothing at all")).load().settings == Settings(local_only=True, keep_history=False)


@pytest.mark.parametrize("limit", [{"month_budget_usd": -1}, {"proxy_url": "foo"}])
def test_no_prompt_is_sent_past_a_limit_that_cannot_be_read(
    limit: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("egress", "egress_policy", "egress_http", "cloud.providers"):
        monkeypatch.setattr(f"backends.{module}.on_this_machine", lambda host: host != "localhost")
    write(json.dumps({"local_only": False, **limit}))
    with OpenAIServer(answer("Hi")) as server:
        monkeypatch.setenv("NEARFAR_FAR_BASE_URL", f"http://localhost:{server.port}/v1")
        event = asyncio.run(asked())
        assert isinstance(event, Failed)
        assert event.problem.code in ("budget_reached", "route_unusable")
        assert server.received == []


async def asked() -> Event:
    bench = Workbench(app_paths())
    target = parse_target("custom:far/slow")
    bench.access.consent([target])
    request = RunRequest(new_id("run"), target, Prompt.ask("Hi"), Sampling(max_tokens=5))
    events: list[Event] = []
    await bench.run(Comparison([request], bench.engine_for, events.append, "sequence"), [request])
    await bench.close()
    return events[-1]
