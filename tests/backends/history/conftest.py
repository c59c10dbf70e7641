"""A history on a real SQLite file, opened for each test and closed after it. Must not write comparisons."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backends.history.store import History
from tests.backends.history.helpers import opened


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "history.sqlite3"


@pytest.fixture
async def history(path: Path) -> AsyncIterator[History]:
    async with opened(path) as history:
        await history.open()
        yield history
