"""Finding kept comparisons again: pages of them, words in them, and an index that may have missed some."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.history.store import History
from tests.backends.history.helpers import keep, look, opened


async def test_the_list_pages_newest_first_with_figures(history: History) -> None:
    for n in range(7):
        await keep(history, f"cmp-{n}", question=f"Question {n}? " + "long " * 200)
    first = await history.list(limit=3)
    assert [each.id for each in first] == ["cmp-6", "cmp-5", "cmp-4"]
    assert len(first[0].prompt_start) == 300
    second = await history.list(limit=3, before=first[-1].id)
    assert [each.id for each in second] == ["cmp-3", "cmp-2", "cmp-1"]
    run = first[0].runs[0]
    assert (run.target, run.status, run.cost_usd) == ("local:demo", "finished", None)
    assert run.ttft_ms is not None
    assert run.e2e_ms is not None
    assert await history.list(before="no such comparison") == ()
    assert await history.ids("cmp-4") == ("cmp-4",)
    assert len(await history.ids("cmp-")) == 7
    assert await history.ids("%") == ()


SEARCHES = [
    ("ttft", {"a"}),
    ("TTFT", {"a"}),
    ("first token", {"a", "b"}),
    ("token first", {"a", "b"}),
    ('"first token"', {"a", "b"}),
    ('"token first"', set()),
    ("tok", {"a", "b"}),
    ("oken", set()),
    ("grosse", {"b"}),
    ("gross modele", {"b"}),
    ("tok/s", {"b"}),
    ("brief", {"a", "b", "c"}),
    ("TTFT answer", {"a"}),
    ("显存", {"c"}),
    ("显存 brief", {"c"}),
    ("100%", {"c"}),
    ("%", {"c"}),
    ("_", set()),
    ("💡", {"c"}),
    ('un"balanced', set()),
    ('"', set()),
    ("* OR NOT ( : ^ -", set()),
    ("NEAR(", set()),
    ("", set()),
    ("   ", set()),
    ("\0", set()),
    ("prompt:ttft", set()),
    ("word " * 100, set()),
]


@pytest.mark.parametrize("with_index", [True, False])
async def test_search(path: Path, monkeypatch: pytest.MonkeyPatch, with_index: bool) -> None:
    if not with_index:
        monkeypatch.setattr("backends.history.schema.has_fts5", lambda _connection: False)
    async with opened(path) as history:
        await keep(history, "a", "What is TTFT?")
        await keep(history, "b", "Größe modèle grosse: how many tok/s until the first token?", "The first token.")
        await keep(history, "c", "模型需要多少显存？", "About 100% of it. 💡")
        for text, expected in SEARCHES:
            if not with_index and text in ("oken", "gross modele"):
                continue  # without the index, any part of a word is found and accents count
            found = {each.id for each in await history.search(text)}
            assert found == expected, text
        assert [each.id for each in await history.search("brief", limit=2)] == ["c", "b"]


async def test_an_index_that_missed_something_is_rebuilt(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(path) as history:
        await keep(history, "a", "Indexed at once")
    with monkeypatch.context() as without:
        without.setattr("backends.history.schema.has_fts5", lambda _connection: False)
        async with opened(path) as history:
            await keep(history, "b", "Written without an index")
    async with opened(path, keep=False) as history:
        assert [each.id for each in await history.search("written")] == ["b"], "a stale index is not trusted"
    async with opened(path) as history:
        await history.open()
        assert [each.id for each in await history.search("written")] == ["b"]
        assert [each.id for each in await history.search("index")] == ["b", "a"]
    assert look(path, "SELECT stale FROM search_state") == [(0,)]
