"""The answer view in a real window: the same however it was cut, and kind to whoever reads along."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QAccessible, QGuiApplication, QTextCursor, QTextDocument
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from tests.widgets.answer_outline import Line, formats, outline, styles
from tests.widgets.answer_texts import pieces
from widgets import answer_view
from widgets.answer_blocks import Update
from widgets.answer_style import DARK, LIGHT
from widgets.answer_view import AnswerView

SAMPLE = (Path(__file__).parent / "answer_sample.md").read_text(encoding="utf-8")


@pytest.fixture
def view(qtbot: QtBot) -> AnswerView:
    made = AnswerView()
    qtbot.addWidget(made)
    made.resize(480, 400)
    made.show()
    return made


def settle(view: AnswerView) -> None:
    while view.flush():
        answer_view._shelf.wait()


def stream(view: AnswerView, deltas: list[str], *, until_end: bool = True) -> None:
    view.clear_answer()
    for delta in deltas:
        view.append(delta)
        settle(view)
    if until_end:
        view.finish()
        settle(view)


def cut(text: str, seed: int, longest: int = 40) -> list[str]:
    rng = random.Random(seed)
    deltas = []
    while text:
        size = rng.randint(1, longest)
        deltas.append(text[:size])
        text = text[size:]
    return deltas


@given(pieces())
@example(deltas=["-\nw", "ord\nword\n===\n"]).via("an empty item before what is painted anew")
@example(deltas=["[r", "]: http://e.org/r\n"]).via("all that was painted goes again")
@example(deltas=["see [🙂🙂 the link", "](http://a.b) 🙂"]).via("characters of two UTF-16 units painted anew")
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cuts_change_nothing(view: AnswerView, deltas: list[str]) -> None:
    stream(view, deltas)
    streamed, looks, every = outline(view.document()), styles(view.document()), formats(view.document())
    view.set_answer("".join(deltas))
    settle(view)
    assert (streamed, looks) == (outline(view.document()), styles(view.document()))
    assert every == formats(view.document())
    assert view.source_text() == "".join(deltas)


@pytest.mark.parametrize("seed", range(4))
def test_cuts_change_no_pixel(view: AnswerView, seed: int) -> None:
    view.resize(520, 2200)
    stream(view, cut(SAMPLE, seed))
    streamed = view.grab().toImage()
    view.set_answer(SAMPLE)
    settle(view)
    assert streamed == view.grab().toImage()
    assert view.verticalScrollBar().maximum() == 0


@pytest.mark.parametrize("seed", range(3))
def test_structure_equals_qts_own_markdown(view: AnswerView, seed: int) -> None:
    text = SAMPLE.partition("<!-- Qt reads what follows otherwise -->")[0]
    stream(view, cut(text, seed))
    reference = QTextDocument()
    features = QTextDocument.MarkdownFeature
    reference.setMarkdown(text, features.MarkdownDialectGitHub | features.MarkdownNoHTML)
    assert _comparable(view.document()) == _comparable(reference)


def _comparable(document: QTextDocument) -> list[Line]:
    """Without empty blocks, and without bullet shapes: Qt gives nested bullets the outer one's."""
    lines = []
    for text, heading, group, marker, *rest in outline(document):
        if text:
            indent = group[1] if isinstance(group, tuple) else None
            lines.append((text, heading, indent, marker, *rest))
    return lines


def test_what_is_final_is_not_painted_again(view: AnswerView) -> None:
    view.append("first paragraph\n\nsecond")
    settle(view)
    changes: list[tuple[int, int]] = []
    view.document().contentsChange.connect(lambda at, removed, added: changes.append((at, removed)))
    for delta in cut(" and more words\n\n- a list\n- of items\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nend", 1, 5):
        view.append(delta)
        settle(view)
    assert changes
    assert min(at for at, _ in changes) >= len("first paragraph\n")


def test_flush_takes_at_most_what_it_may(view: AnswerView) -> None:
    view.append("word " * 400)
    assert view.queued == 2000
    assert view.flush(300)
    assert view.queued == 1700
    assert len(view.toPlainText()) <= 300
    settle(view)
    assert view.queued == 0
    assert not view.flush()


def test_small_pieces_are_laid_out_together(view: AnswerView, monkeypatch: pytest.MonkeyPatch) -> None:
    for word in range(40):
        view.append(f"word{word} ")
    written: list[Update] = []
    write = view._write

    def count(update: Update) -> None:
        written.append(update)
        write(update)

    monkeypatch.setattr(view, "_write", count)
    settle(view)
    assert len(written) == 1
    assert view.toPlainText().split() == [f"word{word}" for word in range(40)]


def test_finish_paints_what_was_held_back(view: AnswerView) -> None:
    stream(view, ["words\n\n-"], until_end=False)
    assert view.toPlainText() == "words"
    view.finish()
    settle(view)
    # The dash alone is an empty item.
    assert len(outline(view.document())) == 2
    with pytest.raises(RuntimeError):
        view.append("more")
    view.clear_answer()
    assert view.toPlainText() == ""
    assert view.source_text() == ""


def test_a_mark_does_not_flicker(view: AnswerView) -> None:
    stream(view, ["Some words\n-"], until_end=False)
    assert outline(view.document())[0][1] == 0, "a dash under a paragraph is no heading yet"
    stream(view, ["| a | b |\n|--"], until_end=False)
    assert "|" not in view.toPlainText()


def test_follows_the_end_until_the_reader_scrolls_up(view: AnswerView) -> None:
    bar = view.verticalScrollBar()
    stream(view, ["line\n\n" * 80], until_end=False)
    assert bar.maximum() > 0
    assert bar.value() == bar.maximum()
    bar.setValue(bar.maximum() // 2)
    place = bar.value()
    view.append("more\n\n" * 20)
    settle(view)
    assert bar.value() == place
    bar.setValue(bar.maximum())
    view.append("more\n\n" * 20)
    settle(view)
    assert bar.value() == bar.maximum()


def test_follows_the_end_when_it_becomes_less_high(view: AnswerView, qtbot: QtBot) -> None:
    """As when the figures below an answer take more room once it has ended."""
    stream(view, ["word " * 2000])
    bar = view.verticalScrollBar()
    assert bar.value() == bar.maximum() > 0
    view.resize(view.width(), view.height() - 60)
    qtbot.waitUntil(lambda: bar.value() == bar.maximum())


def test_keeps_the_selection(view: AnswerView) -> None:
    stream(view, ["alpha beta"], until_end=False)
    cursor = view.textCursor()
    cursor.setPosition(0)
    cursor.movePosition(QTextCursor.MoveOperation.End, QTextCursor.MoveMode.KeepAnchor)
    view.setTextCursor(cursor)
    view.append(" gamma\n\n# Head\n\nrest")
    settle(view)
    assert view.textCursor().selectedText() == "alpha beta"


def test_copies_plain_text_with_list_marks_and_tabs(view: AnswerView) -> None:
    text = "# Head\n\n1. one\n2. two\n   - in **two**\n- [x] done\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n"
    stream(view, [text, "```py\nx = 1\n  y\n```\nend 🙂"])
    QTest.keyClick(view, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    QTest.keyClick(view, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    copied = QGuiApplication.clipboard().mimeData()
    assert copied.text() == "Head\n1. one\n2. two\n  - in two\n- [x] done\na\tb\n1\t2\nx = 1\n  y\nend 🙂"
    assert not copied.hasHtml()


_COPY_AND_LEAVE = """
from PySide6.QtWidgets import QApplication
app = QApplication([])
from widgets.answer_view import AnswerView
view = AnswerView()
view.set_answer("words")
view.flush()
view.selectAll()
view.copy()
assert app.clipboard().text() == "words"
"""


def test_leaving_after_a_copy_is_clean() -> None:
    """The clipboard outlives Python's objects; a crash here would be one at every exit after a copy."""
    done = subprocess.run([sys.executable, "-c", _COPY_AND_LEAVE], check=False, timeout=60)
    assert done.returncode == 0


def test_knows_the_code_under_the_mouse(view: AnswerView) -> None:
    stream(view, ["words\n\n```py\na = 1\n\nb = 2\n```\n\nmore"])
    block = view.document().findBlockByNumber(3)
    at = view.cursorRect(QTextCursor(block)).center()
    assert view.code_at(at) == "a = 1\n\nb = 2"
    assert view.code_at(QPoint(20, 20)) == ""


def test_another_style_paints_the_same_text(view: AnswerView) -> None:
    stream(view, cut(SAMPLE, 7))
    before = outline(view.document())
    view.apply_style(DARK)
    settle(view)
    assert outline(view.document()) == before
    dark = styles(view.document())
    view.apply_style(LIGHT)
    settle(view)
    assert styles(view.document()) != dark


def test_another_style_while_it_streams(view: AnswerView) -> None:
    half = len(SAMPLE) // 2
    stream(view, [SAMPLE[:half]], until_end=False)
    view.append(SAMPLE[half : half + 40])
    view.apply_style(DARK)
    view.append(SAMPLE[half + 40 :])
    view.finish()
    settle(view)
    streamed = styles(view.document())
    view.set_answer(SAMPLE)
    settle(view)
    assert styles(view.document()) == streamed


def test_drains_by_itself_where_nobody_flushes(view: AnswerView, qtbot: QtBot) -> None:
    view.set_answer(SAMPLE)
    qtbot.waitUntil(lambda: view.queued == 0 and not view._drain.active, timeout=10_000)
    assert "Last words" in view.toPlainText()


def test_a_width_change_keeps_the_readers_place(view: AnswerView, qtbot: QtBot) -> None:
    stream(view, ["".join(f"paragraph {n} " + "word " * 30 + "\n\n" for n in range(60))])
    view.verticalScrollBar().setValue(view.verticalScrollBar().maximum() // 2)
    top = view.cursorForPosition(QPoint(30, 10)).block().blockNumber()
    view.resize(300, 400)
    qtbot.waitUntil(lambda: view.lineWrapColumnOrWidth() == view.viewport().width())
    assert abs(view.cursorForPosition(QPoint(30, 10)).block().blockNumber() - top) <= 1


def test_a_long_answer_is_laid_out_once_a_resize_has_settled(view: AnswerView, qtbot: QtBot) -> None:
    stream(view, ["word " * 100 + "\n\n"] * 120)
    width = view.lineWrapColumnOrWidth()
    for step in range(1, 8):
        view.resize(480 - 10 * step, 400)
    assert view.lineWrapColumnOrWidth() == width
    qtbot.waitUntil(lambda: view.lineWrapColumnOrWidth() == view.viewport().width(), timeout=5000)


def test_a_screen_reader_can_read_it(view: AnswerView) -> None:
    view.setAccessibleName("Answer of the demo model")
    stream(view, ["# Head\n\nSome **bold** words"])
    interface = QAccessible.queryAccessibleInterface(view)
    assert interface.text(QAccessible.Text.Name) == "Answer of the demo model"
    text = interface.textInterface()
    assert "Some bold words" in text.text(0, text.characterCount())


def test_characters_that_qt_keeps_for_itself_do_no_harm(view: AnswerView) -> None:
    stream(view, ["a\ufdd0b\ufdd1c\u2029d\ufffce\0f \ud800 | x\n\n```\n\ufdd0\n```\n"])
    assert "a\ufffdb\ufffdc\ufffdd\ufffde\ufffdf" in view.toPlainText()


def test_tables_are_bounded(view: AnswerView) -> None:
    wide = "|" + "a|" * 40 + "\n|" + "-|" * 40 + "\n|" + "b|" * 40 + "\n\n"
    stream(view, [wide])
    assert not view.document().rootFrame().childFrames()
    rows = "| a | b |\n|---|---|\n" + "".join(f"| {n} | x |\n" for n in range(12 * 200))
    stream(view, cut(rows, 1, 4000))
    assert len(view.document().rootFrame().childFrames()) <= 150
    assert "2399" in view.toPlainText()


def test_deep_nesting_is_bounded(view: AnswerView) -> None:
    stream(view, ["> " * 400 + "deep\n", "- " * 400 + "deep\n"])
    assert view.toPlainText().count("deep") == 2
