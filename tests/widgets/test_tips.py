"""Words of servers, files and people in tooltips: shown as written, never taken for HTML that opens files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtGui import Qt, QTextDocument
from PySide6.QtWidgets import QLabel, QListView, QWidget
from pytestqt.qtbot import QtBot

from backends.events import Finished, Loaded
from tests.contracts.places import named, sources
from tests.widgets import samples
from tests.widgets.conftest import Show
from widgets import parts
from widgets.lane import Lane
from widgets.values import GROUP_CLOUD, DeviceLine, TargetChoice

EVIL = '<img src="file:///etc/hostname"><b>&amp;'
CHOICE = TargetChoice("custom:lab/evil", EVIL, EVIL, GROUP_CLOUD, EVIL)
MS = samples.MS


def painted(tip: str) -> QTextDocument:
    """A tooltip as Qt takes it: by the look of its first line as HTML or as plain text."""
    document = QTextDocument()
    if Qt.mightBeRichText(tip):
        document.setHtml(tip)
    else:
        document.setPlainText(tip)
    return document


def shown(tip: str) -> str:
    document = painted(tip)
    assert "<img" not in document.toHtml()
    return document.toPlainText()


def evil_tips(widget: QWidget) -> Iterator[str]:
    for made in (widget, *widget.findChildren(QWidget)):
        if "img" in made.toolTip():
            yield made.toolTip()


def test_a_bare_tip_would_open_the_picture() -> None:
    assert "<img" in painted(EVIL).toHtml(), "else the other tests here prove nothing"


@pytest.mark.parametrize("text", [EVIL, "two\nlines & <more>", "", "plain"])
def test_a_tip_shows_what_was_written(qtbot: QtBot, text: str) -> None:
    label = QLabel()
    qtbot.addWidget(label)
    parts.set_tip(label, text)
    assert shown(label.toolTip()) == text
    assert bool(label.toolTip()) == bool(text)


def test_names_and_reasons_of_a_server(show: Show) -> None:
    window = show("local:demo")
    lane: Lane = window.compare.lane(window.compare.lane_ids[0])
    window.compare.set_targets([*samples.CHOICES, CHOICE])
    lane.set_target(CHOICE.name)
    ended = samples.cloud_result(finish_reason=EVIL, model=EVIL, settings={"not_sent": [EVIL]})
    report = samples.report(model=EVIL, device=EVIL, quant=EVIL)
    lane.show_events([*samples.opening(CHOICE.name, 0), Loaded("run-1", MS, report), Finished("run-1", 2 * MS, ended)])
    assert lane.head.status_text() == "Done"
    tips = list(evil_tips(lane))
    assert len(tips) >= 4, "the picker, the badge, the detail and the status"
    assert all(EVIL in shown(tip) for tip in tips)


def test_rows_of_the_target_list(show: Show, qtbot: QtBot) -> None:
    window = show("local:demo")
    window.compare.set_targets([replace(CHOICE, disabled_reason=EVIL)])
    picker = window.compare.lane(window.compare.lane_ids[0]).head.picker
    picker.open()
    rows = picker.target_list()
    assert rows is not None
    model = rows.findChildren(QListView)[0].model()
    tips = [model.index(at, 0).data(Qt.ItemDataRole.ToolTipRole) or "" for at in range(model.rowCount())]
    assert [shown(tip) for tip in tips if "img" in tip] == [f"{EVIL} · {EVIL}"], (
        "the whole name, then why it cannot be chosen"
    )
    rows.hide()


def test_names_of_devices(show: Show) -> None:
    window = show("local:demo").window
    window.show_devices([DeviceLine(EVIL, "gpu", None, None)])
    (tip,) = evil_tips(window)
    assert EVIL in shown(tip)


@pytest.mark.parametrize("path", sources("widgets", "app"), ids=named)
def test_only_fixed_text_goes_past_the_helper(path: Path) -> None:
    """`setToolTip` with anything but words written in the source takes the way of `parts.set_tip` or `parts.tip`."""
    for call in ast.walk(ast.parse(path.read_text())):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "setToolTip":
            assert _is_fixed(call.args[0]), f"{named(path)}:{call.lineno}"


def _is_fixed(words: ast.expr) -> bool:
    if isinstance(words, ast.IfExp):
        return _is_fixed(words.body) and _is_fixed(words.orelse)
    if isinstance(words, ast.Call):
        return ast.unparse(words.func) in ("tip", "parts.tip")
    return isinstance(words, ast.Constant) or (isinstance(words, ast.Name) and words.id.isupper())
