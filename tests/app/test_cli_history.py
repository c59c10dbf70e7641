"""`nearfar history` beside a run that goes on elsewhere. Must not know the table behind it."""

from __future__ import annotations

import asyncio
import json

from backends.errors import NearfarError
from backends.paths import app_paths
from tests.app.test_cli import QUESTION, nearfar
from tests.backends.history.helpers import opened, play, request


def test_history_says_that_a_run_goes_on_in_another_window() -> None:
    async def show_while_it_runs() -> tuple[str, str]:
        async with opened(app_paths().history_file) as history:
            asked = [request("run-live", QUESTION, "local:demo")]
            history.recorder.begin("cmp-live", asked, "sequence")
            play(history.recorder, asked[0], end=None)
            await history.list()
            shown = await asyncio.to_thread(nearfar, "history", "show", "cmp-live")
            as_object = await asyncio.to_thread(nearfar, "history", "show", "cmp-live", "--json")
            return shown.stdout, as_object.stdout

    shown, as_object = asyncio.run(show_while_it_runs())
    assert "local:demo (still running in another window)" in shown
    assert json.loads(as_object)["runs"][0]["status"] == "streaming"


def test_a_history_that_cannot_be_written_is_said_once_and_nothing_is_called_kept() -> None:
    data = app_paths().data
    data.parent.mkdir(parents=True, exist_ok=True)
    data.write_text("a file where the folder would be")
    done = nearfar("run", "hi", "--target", "local:demo", "--max-tokens", "4")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("The history could not be written: the history file") == 1
    assert "This answer is kept nowhere else." in done.stderr
    failed = nearfar("run", "hi", "--target", "ollama:x", env={"OLLAMA_HOST": "127.0.0.1:1"})
    assert failed.returncode == 1
    assert failed.stderr.count("This prompt is kept nowhere else.") == 1
    assert NearfarError.safe not in failed.stderr


def test_nothing_is_said_where_the_history_was_written() -> None:
    done = nearfar("run", "hi", "--target", "local:demo", "--max-tokens", "4")
    assert "history" not in done.stderr
    failed = nearfar("run", "hi", "--target", "ollama:x", env={"OLLAMA_HOST": "127.0.0.1:1"})
    assert NearfarError.safe in failed.stderr
