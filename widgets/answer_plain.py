"""A painted answer as plain text, with list marks and tabs between table cells. Must not change what it reads."""

from __future__ import annotations

from PySide6.QtCore import QMimeData
from PySide6.QtGui import QTextBlock, QTextBlockFormat, QTextCursor, QTextDocument
from PySide6.QtWidgets import QTextEdit

from widgets.answer_formats import CODE

_INDENT = "  "


def plain_text(cursor: QTextCursor) -> str:
    """What the selection of `cursor` says, ready to be pasted anywhere."""
    start, end = cursor.selectionStart(), cursor.selectionEnd()
    document = cursor.document()
    parts: list[str] = []
    before: tuple[int, int] | None = None
    block = document.findBlock(start)
    while block.isValid() and block.position() < max(end, start + 1):
        cell = _cell(block)
        text = _selected(block, start, end)
        if parts:
            parts.append("\t" if cell is not None and before is not None and cell[0] == before[0] else "\n")
        if start <= block.position():
            text = _mark(block) + text
        if not (cell is None and not text and _is_spare(block)):
            parts.append(text)
        elif parts:
            parts.pop()
        before = cell
        block = block.next()
    return "".join(parts).replace("\u2028", "\n")


def plain_data(text: str) -> QMimeData:
    """Plain text for the clipboard or a drag.

    The clipboard keeps it past the end of Python, where a QMimeData made here would crash. So an editor makes it, which
    fills it when it is first read: read it while it is small, and it is ours to fill.
    """
    editor = QTextEdit()
    editor.setPlainText("-")
    editor.selectAll()
    data = editor.createMimeDataFromSelection()
    data.text()
    data.clear()
    data.setText(text)
    return data


def selected(document: QTextDocument, anchor: int, position: int) -> QTextCursor:
    """A cursor that selects between two positions, as far as the document reaches."""
    end = document.characterCount() - 1
    cursor = QTextCursor(document)
    cursor.setPosition(min(anchor, end))
    cursor.setPosition(min(position, end), QTextCursor.MoveMode.KeepAnchor)
    return cursor


def code_around(block: QTextBlock) -> str:
    """The code block that `block` is a line of, or an empty string."""
    if not _code_part(block):
        return ""
    while _code_part(block) == 2:
        block = block.previous()
    lines = [block.text()]
    block = block.next()
    while _code_part(block) == 2:
        lines.append(block.text())
        block = block.next()
    return "\n".join(lines)


def _code_part(block: QTextBlock) -> int:
    return block.blockFormat().intProperty(CODE) if block.isValid() else 0


def _selected(block: QTextBlock, start: int, end: int) -> str:
    # Positions count UTF-16 units, so cut by a cursor and not by Python's characters.
    last = min(end, block.position() + block.length() - 1)
    return selected(block.document(), max(start, block.position()), last).selectedText()


def _cell(block: QTextBlock) -> tuple[int, int] | None:
    table = QTextCursor(block).currentTable()
    if table is None:
        return None
    cell = table.cellAt(block.position())
    return (table.firstPosition() + cell.row(), cell.column())


def _is_spare(block: QTextBlock) -> bool:
    return block.blockFormat().lineHeightType() == QTextBlockFormat.LineHeightTypes.FixedHeight.value


def _mark(block: QTextBlock) -> str:
    form = block.blockFormat()
    group = block.textList()
    if group is None:
        return _INDENT * form.indent()
    kind = QTextBlockFormat.MarkerType
    if form.marker() != kind.NoMarker:
        mark = "- [x]" if form.marker() == kind.Checked else "- [ ]"
    elif group.format().style().value < -3:
        mark = group.itemText(block).strip()
    else:
        mark = "-"
    return f"{_INDENT * (group.format().indent() - 1)}{mark} "
