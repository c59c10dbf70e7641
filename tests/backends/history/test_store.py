"""Keeping, reopening and exporting comparisons, on a real SQLite file."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from backends.errors import HistoryUnavailable, ServerFailed
from backends.events import Event, Finished
from backends.history.records import RunStatus
from backends.history.store import History
from backends.records import Cost
from backends.tally import Tally
from tests.backends.history.helpers import ANSWER, is_sound, keep, look, opened, play, request


async def test_a_comparison_comes_back_whole(history: History, path: Path) -> None:
    asked = [request("run-1", target="local:demo"), request("run-2")]
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        history.recorder.record(event)

    kept = history.recorder.begin("cmp-1", asked, "race")
    assert await asyncio.wrap_future(kept) is True
    for each in asked:
        tally = Tally(
            each,
            listen,
            cost_of=lambda _usage: Cost(Decimal("0.00125"), "api_price", "2026-11-01", "in + out"),
            settings={"stop": ("END",), "seed": 7},
        )
        tally.started()
        tally.sent()
        tally.reasoning_arrived("Let me think. ")
        for word in ANSWER.split(" "):
            tally.text_arrived(word + " ", n_tokens=1)
        tally.engine_timings = {"prompt_ms": 1.5, "n": 3}
        tally.finished("stop")
    results = [event.result for event in events if isinstance(event, Finished)]
    await history.list()  # a reader of the same program sees all; one of another sees what is written
    async with opened(path) as reader:
        record = await reader.show("cmp-1")
    assert record is not None
    assert (record.id, record.mode, record.prompt, record.sampling) == (
        "cmp-1",
        "race",
        asked[0].prompt,
        asked[0].sampling,
    )
    assert timedelta(0) <= datetime.now(UTC) - record.started_at < timedelta(minutes=1)
    assert [run.result for run in record.runs] == results
    assert [(run.run_id, run.position, run.target, run.status) for run in record.runs] == [
        ("run-1", 0, "local:demo", "finished"),
        ("run-2", 1, "openai:gpt-4o", "finished"),
    ]
    assert record.runs[0].text == ANSWER + " "
    assert record.runs[0].reasoning == "Let me think. "
    assert is_sound(path)
    assert look(path, "SELECT count(*) FROM pieces") == [(0,)]


@pytest.mark.parametrize("end", ["finished", "incomplete", "failed", "cancelled"])
async def test_each_ending_has_its_status(history: History, end: RunStatus) -> None:
    asked = request("run-1")
    history.recorder.begin("cmp-1", [asked], "sequence")
    tally = Tally(asked, history.recorder.record)
    tally.sent()
    tally.text_arrived("half an ans", n_tokens=3)
    match end:
        case "finished":
            tally.finished("length")
        case "incomplete":
            tally.finished(None)
        case "failed":
            tally.failed(ServerFailed("The server broke."))
        case _:
            tally.cancelled()
    record = await history.show("cmp-1")
    assert record is not None
    (run,) = record.runs
    assert (run.status, run.text) == (end, "half an ans")
    assert (run.problem is not None) == (end == "failed")
    assert run.problem is None or run.problem == ServerFailed("The server broke.").problem


async def test_a_run_that_streams_is_read_with_what_arrived_so_far(history: History) -> None:
    asked = request("run-1")
    history.recorder.begin("cmp-1", [asked], "sequence")
    play(history.recorder, asked, "so far so good", end=None)
    record = await history.show("cmp-1")
    assert record is not None
    assert (record.runs[0].status, record.runs[0].text, record.runs[0].result) == ("streaming", "so far so good ", None)


async def test_text_that_arrived_outlives_a_result_without_it(history: History) -> None:
    asked = request("run-1")
    history.recorder.begin("cmp-1", [asked], "sequence")
    play(history.recorder, asked, "this arrived", end=None)
    Tally(asked, history.recorder.record).failed(ServerFailed("A defect."))
    record = await history.show("cmp-1")
    assert record is not None
    assert (record.runs[0].status, record.runs[0].text) == ("failed", "this arrived ")
    assert record.runs[0].result is not None
    assert record.runs[0].result.text == "this arrived "


async def test_a_retried_lane_has_both_runs(history: History) -> None:
    first, again = request("run-1"), request("run-2")
    history.recorder.begin("cmp-1", [first], "sequence")
    play(history.recorder, first, "first", end=None)
    assert await asyncio.wrap_future(history.recorder.add_run("cmp-1", again, 0)) is True
    play(history.recorder, again, "again")
    record = await history.show("cmp-1")
    assert record is not None
    assert [(run.run_id, run.position, run.text) for run in record.runs] == [
        ("run-1", 0, "first "),
        ("run-2", 0, "again "),
    ]


@pytest.mark.parametrize(
    "answer", ["", "a\0b", "\ud83d half a pair \ude00", "x" * 3_000_000, "e\u0301 \U0001f469\u200d\U0001f4bb"]
)
async def test_any_text_is_kept(history: History, answer: str) -> None:
    asked = request("run-1", question=f"? {answer[:50]}")
    history.recorder.begin("cmp-1", [asked], "sequence")
    tally = Tally(asked, history.recorder.record)
    tally.text_arrived(answer[: len(answer) // 2])
    tally.text_arrived(answer[len(answer) // 2 :])
    expected = answer.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    streaming = await history.show("cmp-1")
    assert streaming is not None
    assert streaming.runs[0].text == expected
    tally.finished("stop")
    record = await history.show("cmp-1")
    assert record is not None
    assert record.runs[0].text == expected


async def test_events_of_unknown_runs_are_not_kept(history: History) -> None:
    play(history.recorder, request("run-9"))
    assert await history.list() == ()


async def test_export(history: History) -> None:
    await keep(history, "cmp-1", "What is\n# TTFT?", "A **wait**.\n\n```py\nx = 1\n```")
    await keep(history, "cmp-2")
    body = json.loads(await history.export("json"))
    assert [each["id"] for each in body["comparisons"]] == ["cmp-1", "cmp-2"], "oldest first"
    run = body["comparisons"][0]["runs"][0]
    assert run["text"].startswith("A **wait**.")
    assert run["result"]["usage"]["completion_tokens"] == 4
    assert run["result"]["cost"]["usd"] is None
    assert "text" not in run["result"]
    text = await history.export("markdown", ["cmp-1", "no such"])
    assert "> What is\n> # TTFT?" in text
    assert "## local:demo\n\nfinished · TTFT 0 ms · " in text
    assert "A **wait**.\n\n```py\nx = 1\n```" in text
    assert "None" not in text


async def test_two_programs_write_at_once(path: Path) -> None:
    async with opened(path) as window, opened(path) as command:
        await window.open()
        streaming = request("run-w")
        window.recorder.begin("cmp-w", [streaming], "sequence")
        play(window.recorder, streaming, "still", end=None)
        await window.list()
        await command.open()
        await asyncio.gather(
            *(keep(each, f"cmp-{name}-{n}") for n in range(10) for name, each in (("w", window), ("c", command)))
        )
        assert len(await window.list()) == len(await command.list()) == 21
        record = await command.show("cmp-w")
        assert record is not None
        assert record.runs[0].status == "streaming", "a living program's run is not declared dead"
        play(window.recorder, streaming, "still here")
        await window.list()
        record = await command.show("cmp-w")
        assert record is not None
        assert record.runs[0].status == "finished"
    assert is_sound(path)


async def test_nothing_is_promised_after_close(path: Path) -> None:
    history = History(path)
    await keep(history, "cmp-1")
    await history.close()
    await history.close()
    with pytest.raises(HistoryUnavailable, match="closed"):
        await history.list()
    assert await asyncio.wrap_future(history.recorder.begin("cmp-2", [request("run-1")], "race")) is False
    play(history.recorder, request("run-1"))
    assert look(path, "SELECT id FROM comparisons") == [("cmp-1",)]
