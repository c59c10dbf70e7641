"""Downloads at the foot of the page: how far, what to do, and what went wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QAccessible, QAccessibleEvent
from PySide6.QtWidgets import QProgressBar
from pytestqt.qtbot import QtBot

from tests.widgets import model_samples as ms
from tests.widgets.models_shown import Models, button, buttons, models, press, said, settle, the
from widgets.download_list import DownloadList, summary
from widgets.model_values import DownloadLine

pytestmark = pytest.mark.usefixtures("dressed")
RUNNING, PAUSED, FAILED, QUEUED, DONE = ms.DOWNLOADS


def page_with(qtbot: QtBot, *lines: DownloadLine, size: tuple[int, int] = (1280, 800)) -> Models:
    return models(qtbot, replace(ms.on_4090(), downloads=lines), size)


def list_of(shown: Models) -> DownloadList:
    return the(shown.page, DownloadList)


def names(shown: Models) -> list[str]:
    return sorted(made.accessibleName() for made in buttons(list_of(shown)))


def test_nothing_is_shown_while_there_is_none(qtbot: QtBot) -> None:
    shown = models(qtbot)
    assert not list_of(shown).isVisible()
    shown.show_view(replace(ms.on_4090(), downloads=(RUNNING,)))
    assert list_of(shown).isVisible()


def test_a_running_one_says_how_far_and_how_long(qtbot: QtBot) -> None:
    shown = page_with(qtbot, RUNNING)
    assert said(list_of(shown)).split("\n")[-1] == "1.87 of 4.58 GiB  ·  38.3 MiB/s  ·  1 min 12 s left"
    bar = the(list_of(shown), QProgressBar)
    assert bar.value() / bar.maximum() == pytest.approx(0.409, abs=0.001)
    assert bar.accessibleName() == "Download of Llama 3.1 8B Instruct, Q4_K_M"
    assert bar.accessibleDescription().endswith("1 min 12 s left")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        (RUNNING, ["Cancel", "Pause"]),
        (QUEUED, ["Cancel", "Pause"]),
        (PAUSED, ["Cancel", "Resume"]),
        (FAILED, ["Remove", "Resume"]),
        (DONE, ["Use in Compare"]),
        (replace(PAUSED, state="cancelled"), ["Remove", "Resume"]),
    ],
)
def test_each_state_offers_what_can_be_done(qtbot: QtBot, line: DownloadLine, offered: list[str]) -> None:
    assert names(page_with(qtbot, line)) == [f"{name}: {line.title}" for name in offered]


def test_buttons_tell_the_ref(qtbot: QtBot) -> None:
    shown = page_with(qtbot, RUNNING, PAUSED, DONE, size=(1280, 1200))
    press(qtbot, list_of(shown), f"Pause: {RUNNING.title}")
    press(qtbot, list_of(shown), f"Resume: {PAUSED.title}")
    press(qtbot, list_of(shown), f"Use in Compare: {DONE.title}")
    assert shown.heard == [
        ("pause_requested", RUNNING.ref), ("resume_requested", PAUSED.ref), ("use_requested", DONE.ref),
    ]  # fmt: skip


def test_cancel_asks_what_becomes_of_what_arrived(qtbot: QtBot) -> None:
    shown = page_with(qtbot, RUNNING)
    press(qtbot, list_of(shown), f"Cancel: {RUNNING.title}")
    menu = list_of(shown).row(RUNNING.ref).cancel_menu()
    keep, discard = menu.actions()
    assert keep.text() == "Stop, and keep the 1.87 GiB that arrived"
    assert discard.text() == "Stop, and delete the 1.87 GiB that arrived"
    assert shown.heard == [], "nothing happens before the person says which"
    keep.trigger()
    discard.trigger()
    menu.hide()
    assert shown.heard == [("cancel_requested", RUNNING.ref, False), ("cancel_requested", RUNNING.ref, True)]


def test_cancel_asks_nothing_where_nothing_arrived(qtbot: QtBot) -> None:
    shown = page_with(qtbot, QUEUED)
    press(qtbot, list_of(shown), f"Cancel: {QUEUED.title}")
    assert shown.heard == [("cancel_requested", QUEUED.ref, True)]


def test_a_cancelled_one_is_only_deleted(qtbot: QtBot) -> None:
    shown = page_with(qtbot, replace(PAUSED, state="cancelled"))
    press(qtbot, list_of(shown), f"Remove: {PAUSED.title}")
    menu = list_of(shown).row(PAUSED.ref).cancel_menu()
    assert [action.text() for action in menu.actions() if action.isVisible()] == ["Delete the 774 MiB that arrived"]
    menu.hide()


def test_a_failed_one_says_what_happened_what_is_safe_and_what_to_do(qtbot: QtBot) -> None:
    shown = page_with(qtbot, FAILED)
    text = said(list_of(shown))
    assert ms.MISMATCH.what in text
    assert f"{ms.MISMATCH.safe} {ms.MISMATCH.fix}" in text
    shown.show_view(replace(ms.on_4090(), downloads=(replace(FAILED, state="running", problem=None),)))
    assert ms.MISMATCH.what not in said(list_of(shown))


def test_the_head_counts(qtbot: QtBot) -> None:
    assert summary(ms.DOWNLOADS) == "5 downloads: 1 running, 1 queued, 1 paused, 1 failed"
    assert summary((DONE,)) == "1 download"


def test_rows_keep_their_place_and_focus_while_figures_move(qtbot: QtBot) -> None:
    shown = page_with(qtbot, RUNNING, PAUSED)
    row = list_of(shown).row(PAUSED.ref)
    resume = button(list_of(shown), f"Resume: {PAUSED.title}")
    resume.setFocus()
    moved = replace(RUNNING, received_bytes=RUNNING.received_bytes + 10**8)
    shown.show_view(replace(ms.on_4090(), downloads=(moved, PAUSED)))
    assert list_of(shown).row(PAUSED.ref) is row
    assert resume.hasFocus()
    shown.show_view(replace(ms.on_4090(), downloads=(PAUSED,)))
    assert list_of(shown).refs() == (PAUSED.ref,)
    assert list_of(shown).row(PAUSED.ref) is row


def test_the_focus_stays_when_pause_becomes_resume(qtbot: QtBot) -> None:
    shown = page_with(qtbot, RUNNING)
    made = button(list_of(shown), f"Pause: {RUNNING.title}")
    made.setFocus()
    shown.show_view(replace(ms.on_4090(), downloads=(replace(RUNNING, state="paused"),)))
    assert button(list_of(shown), f"Resume: {RUNNING.title}").hasFocus()


def test_a_new_first_one_stands_first(qtbot: QtBot) -> None:
    shown = page_with(qtbot, PAUSED)
    shown.show_view(replace(ms.on_4090(), downloads=(RUNNING, PAUSED)))
    assert list_of(shown).row(RUNNING.ref).y() < list_of(shown).row(PAUSED.ref).y()


def test_many_downloads_leave_room_for_the_page(qtbot: QtBot) -> None:
    for size in ((1280, 800), (800, 560)):
        shown = page_with(qtbot, *ms.DOWNLOADS, size=size)
        assert list_of(shown).height() < 0.45 * shown.page.height()
        shown.window.close()


def test_they_stay_in_sight_on_both_sections_and_while_scrolling(qtbot: QtBot) -> None:
    shown = page_with(qtbot, RUNNING, size=(800, 560))
    bar = shown.page._scroll.verticalScrollBar()
    bar.setValue(bar.maximum())
    assert list_of(shown).visibleRegion().boundingRect() == list_of(shown).rect()
    press(qtbot, shown.page, "Models: On this disk (4)")
    assert list_of(shown).isVisible()


def test_the_row_of_the_catalogue_moves_too(qtbot: QtBot) -> None:
    shown = page_with(qtbot, RUNNING)
    table = shown.page._catalogue.table()
    at = table.shown_refs().index(RUNNING.ref)
    assert table.model().index(at, 7).data() == "41 %"


def test_a_screen_reader_hears_states_not_figures(qtbot: QtBot) -> None:
    told: list[str] = []
    updater = QAccessible.updateAccessibility

    def listen(event: QAccessibleEvent) -> None:
        if event.type() == QAccessible.Event.Announcement:
            told.append(event.message())  # type: ignore[attr-defined]  # an announcement has one
        updater(event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QAccessible, "updateAccessibility", listen)
        shown = page_with(qtbot, RUNNING)
        for received in (10**9, 2 * 10**9, 3 * 10**9):
            shown.show_view(replace(ms.on_4090(), downloads=(replace(RUNNING, received_bytes=received),)))
        assert told == []
        shown.show_view(replace(ms.on_4090(), downloads=(replace(RUNNING, state="done"),)))
        failed = replace(RUNNING, state="failed", problem=ms.MISMATCH)
        shown.show_view(replace(ms.on_4090(), downloads=(failed,)))
    assert len(told) == 2
    assert told[0].startswith("Llama 3.1 8B Instruct, Q4_K_M: Done")
    assert told[1] == f"Llama 3.1 8B Instruct, Q4_K_M: {ms.MISMATCH.sentence}"


def test_by_keyboard_alone(qtbot: QtBot) -> None:
    shown = page_with(qtbot, RUNNING)
    made = button(list_of(shown), f"Pause: {RUNNING.title}")
    made.setFocus()
    qtbot.keyClick(made, Qt.Key.Key_Space)
    settle()
    assert shown.heard == [("pause_requested", RUNNING.ref)]
