"""What a document holds, block by block, to compare one way of painting an answer with another."""

from __future__ import annotations

from PySide6.QtGui import QTextBlock, QTextBlockFormat, QTextCharFormat, QTextCursor, QTextDocument, QTextFormat

Line = tuple[object, ...]


def outline(document: QTextDocument) -> list[Line]:
    """Text, heading level, list style and indent, number, fence, language, quote level and table cell of each block."""
    lines: list[Line] = []
    block = document.begin()
    while block.isValid():
        line = _line(block)
        if line[0] or any(line[1:]):
            lines.append(line)
        block = block.next()
    return lines


def _line(block: QTextBlock) -> Line:
    form = block.blockFormat()
    group = block.textList()
    table = QTextCursor(block).currentTable()
    cell = table.cellAt(block.position()) if table is not None else None
    return (
        block.text(),
        form.headingLevel(),
        (group.format().style().name, group.format().indent(), group.itemText(block)) if group is not None else None,
        form.marker().value if group is not None else 0,
        form.hasProperty(QTextFormat.Property.BlockCodeFence),
        form.stringProperty(QTextFormat.Property.BlockCodeLanguage),
        form.intProperty(QTextFormat.Property.BlockQuoteLevel),
        form.hasProperty(QTextFormat.Property.BlockTrailingHorizontalRulerWidth),
        (cell.row(), cell.column()) if cell is not None else None,
    )


def formats(document: QTextDocument) -> list[tuple[str, QTextBlockFormat, QTextCharFormat, list[tuple[str, object]]]]:
    """Every property of each block and of its stretches of text, whatever it is for."""
    found = []
    block = document.begin()
    while block.isValid():
        runs: list[tuple[str, object]] = []
        it = block.begin()
        while not it.atEnd():
            text, form = it.fragment().text(), it.fragment().charFormat()
            if runs and runs[-1][1] == form:
                runs[-1] = (runs[-1][0] + text, form)
            else:
                runs.append((text, form))
            it += 1
        own = QTextBlockFormat(block.blockFormat())
        own.clearProperty(QTextFormat.Property.ObjectIndex.value)  # the number of its list object in this document
        found.append((block.text(), own, block.charFormat(), runs))
        block = block.next()
    return found


def styles(document: QTextDocument) -> list[Line]:
    """Every stretch of text with what makes it look as it does, and the colours laid over code."""
    found: list[Line] = []
    block = document.begin()
    while block.isValid():
        runs: list[list[object]] = []
        it = block.begin()
        while not it.atEnd():
            form = it.fragment().charFormat()
            font = form.font()
            look = (font.key(), form.foreground().color().name(), form.background().color().name(), form.anchorHref())
            if runs and runs[-1][1] == look:
                runs[-1][0] = str(runs[-1][0]) + it.fragment().text()
            else:
                runs.append([it.fragment().text(), look])
            it += 1
        over = [(span.start, span.length, span.format.foreground().color().name()) for span in block.layout().formats()]
        form_ = block.blockFormat()
        found.append((block.text(), form_.topMargin(), form_.leftMargin(), form_.indent(), repr(runs), over))
        block = block.next()
    return found
