"""The figures under an answer: TTFT, tok/s with its curve, tokens, time, cost. Must not know events or engines."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from widgets import figures, parts, theme
from widgets.sparkline import Sparkline


class _Cell(QWidget):
    """A caption above a value, and beside the caption a mark where the value is to be read with care."""

    def __init__(self) -> None:
        super().__init__()
        self._caption = parts.label(role="caption", tone="muted")
        self._mark = parts.label(role="caption", tone="caution")
        self._mark.hide()
        self._value = parts.label(role="figure")
        self._value.setFont(theme.font("figure"))
        head = parts.row(self._caption, self._mark, gap=theme.HAIR)
        head.addStretch(1)
        layout = parts.column(gap=0)
        layout.addLayout(head)
        layout.addWidget(self._value)
        self.setLayout(layout)

    def show_figure(self, figure: figures.Figure) -> None:
        _set_text(self._caption, figure.caption)
        _set_text(self._value, figure.value)
        _set_text(self._mark, figure.mark)
        self._mark.setVisible(bool(figure.mark))
        if self._value.property("tone") != ("" if figure.known else "muted"):
            parts.set_tone(self._value, "" if figure.known else "muted")
            self._value.setFont(theme.font("figure" if figure.known else "body"))
        if self.tip() != figure.tip:
            parts.set_tip(self, figure.tip)
            self.setAccessibleDescription(figure.tip)
        self.setAccessibleName(f"{figure.caption}: {figure.value}{f', {figure.mark}' if figure.mark else ''}")

    def value(self) -> str:
        return self._value.text()

    def tip(self) -> str:
        return self.accessibleDescription()

    def caption(self) -> str:
        return self._caption.text()

    def mark(self) -> str:
        return self._mark.text()


class MetricsStrip(QWidget):
    """Paints `Figures`; repainting costs little, since only texts that changed are set."""

    def __init__(self) -> None:
        super().__init__()
        self._cells = tuple(_Cell() for _ in range(5))
        self._curve = Sparkline()
        self._note = parts.Elided(role="caption", tone="muted")
        cells = QHBoxLayout()
        cells.setSpacing(theme.TIGHT)
        for cell in self._cells:
            cells.addWidget(cell)
            cells.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.TIGHT)
        layout.addWidget(self._curve)
        layout.addLayout(cells)
        layout.addWidget(self._note)
        self.setAccessibleName("Figures of this run")
        self.show_figures(figures.blank())

    def show_figures(self, shown: figures.Figures) -> None:
        for cell, figure in zip(self._cells, shown.cells(), strict=True):
            cell.show_figure(figure)
        if shown.curve != self._curve.values():
            self._curve.show_values(shown.curve)
        _set_text(self._note, shown.note)  # its line is kept when empty, so that lanes stay level
        self.setAccessibleDescription(shown.spoken())

    def values(self) -> dict[str, str]:
        """What stands in the cells, by caption."""
        return {cell.caption(): cell.value() for cell in self._cells}

    def tips(self) -> dict[str, str]:
        return {cell.caption(): cell.tip() for cell in self._cells}

    def marks(self) -> dict[str, str]:
        """The marks that stand beside captions, by caption."""
        return {cell.caption(): cell.mark() for cell in self._cells if cell.mark()}

    def note(self) -> str:
        return self._note.text()

    def curve(self) -> tuple[float, ...]:
        return self._curve.values()


def _set_text(shown: QLabel, text: str) -> None:
    if shown.text() != text:
        shown.setText(text)
