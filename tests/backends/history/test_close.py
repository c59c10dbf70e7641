"""Closing the history: it ends in time, whatever the disk does."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from backends.history import store
from backends.history.store import History


async def test_a_disk_that_hangs_does_not_keep_the_program_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(store, "CLOSE_S", 0.05)
    history = History(tmp_path / "history.sqlite")
    disk = threading.Event()
    stuck = history._writer.submit(disk.wait)
    try:
        await history.close()
        assert not stuck.done()
        assert "not written" in caplog.text
    finally:
        disk.set()
        stuck.result(10)
