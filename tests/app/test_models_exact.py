"""llama.cpp is asked from the page: the hub is named before it is contacted, and the question can be taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from app import exact_controller
from app.exact_controller import OVERTAKEN
from backends.models.errors import HubUnreachable
from tests.app.models_window import ModelsWindow
from tests.backends.models.library_support import write_model

SMALL = "llama-3.2-1b:Q4_K_M"
HUB = "May contact: huggingface.co"


async def never(*_args: object, **_kwargs: object) -> None:
    await asyncio.Event().wait()


async def refuses(*_args: object, **_kwargs: object) -> None:
    raise HubUnreachable("The hub is not there.")


@pytest.fixture
def window(qtbot: QtBot, qapp: QApplication) -> Iterator[ModelsWindow]:
    """At the real hub's address, which no test may reach."""
    made = ModelsWindow(qtbot, qapp)
    made.wait(lambda: made.rows)
    yield made
    made.close(qapp)


def chip(window: ModelsWindow) -> str:
    return window.session.window._privacy.text()


@pytest.mark.parametrize("wish", ["exact_requested", "download_requested"])
def test_the_chip_names_the_hub_while_it_is_asked(
    window: ModelsWindow, monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    monkeypatch.setattr(window.session.bench.models, "plan_for", never)
    assert chip(window).startswith(("Local only, 0", "All lanes local, 0"))
    getattr(window.page, wish).emit(SMALL)
    window.wait(lambda: chip(window) == HUB)
    if wish == "exact_requested":
        window.page.stop_exact_requested.emit(SMALL)
    else:
        window.page.cancel_requested.emit(SMALL, True)
    window.wait(lambda: chip(window).startswith("All lanes local"))


def test_a_hub_that_refuses_leaves_the_chip_true(window: ModelsWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window.session.bench.models, "plan_for", refuses)
    window.page.download_requested.emit(SMALL)
    window.wait(lambda: "not there" in window.said())
    window.wait(lambda: chip(window).startswith("All lanes local"))


def test_the_question_can_be_taken_back(window: ModelsWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window.session.bench.models, "plan_for", never)
    window.page.exact_requested.emit(SMALL)
    assert window.rows[SMALL].asking
    window.page.stop_exact_requested.emit(SMALL)
    window.wait(lambda: not window.rows[SMALL].asking)
    assert not window.said()
    window.page.exact_requested.emit(SMALL)
    assert window.rows[SMALL].asking, "and asked again"


def test_another_context_ends_the_question_and_says_so(
    window: ModelsWindow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact_controller, "exact_here", never)
    window.session.models.library.bring_in([str(write_model(tmp_path / "mine.gguf"))], "copy")
    window.wait(lambda: "mine" in window.rows)
    window.page.exact_requested.emit("mine")
    window.page.context_changed.emit(1024)
    window.wait(lambda: not window.rows["mine"].asking)
    assert window.rows["mine"].exact_note == OVERTAKEN
    window.page.selected.emit(SMALL)
    window.wait(lambda: not window.state.exact_notes)
