"""`nearfar history` beside a run that goes on elsewhere. Must not know the table behind it."""

from __future__ import annotations

import asyncio
import json

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
