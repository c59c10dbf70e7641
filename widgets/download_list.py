"""All downloads, pinned to the foot of the Models page while there are any. Must not know the network."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from widgets import format as fmt
from widgets import parts, theme
from widgets.download_row import DownloadRow
from widgets.model_values import DownloadLine

LEAST = 64


def summary(lines: Sequence[DownloadLine]) -> str:
    """`2 downloads: 1 running, 1 paused`."""
    counts = {state: sum(line.state == state for line in lines) for state in ("running", "queued", "paused", "failed")}
    said = [f"{n} {state}" for state, n in counts.items() if n]
    head = fmt.plural(len(lines), "download")
    return f"{head}: {', '.join(said)}" if said else head


class DownloadList(QFrame):
    """Hidden while there is nothing to show; scrolls where there are more than the page has room for."""

    pause_requested = Signal(str)
    resume_requested = Signal(str)
    cancel_requested = Signal(str, bool)
    use_requested = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("card", "surface")
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self._rows: dict[str, DownloadRow] = {}
        self._limit = 160
        self._head = parts.label(role="strong")
        self._body = QWidget()
        self._body.setProperty("ground", "clear")
        self._stack = QVBoxLayout(self._body)
        self._stack.setContentsMargins(0, 0, theme.HAIR, 0)
        self._stack.setSpacing(theme.TIGHT)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setWidget(self._body)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.ROOM, theme.TIGHT, theme.ROOM, theme.GAP)
        layout.setSpacing(theme.HAIR)
        layout.addWidget(self._head)
        layout.addWidget(self._scroll)
        self.hide()

    def show_lines(self, lines: Sequence[DownloadLine]) -> None:
        """Rows are kept by ref, so that a button does not vanish from under the pointer."""
        refs = [line.ref for line in lines]
        for ref in [ref for ref in self._rows if ref not in refs]:
            gone = self._rows.pop(ref)
            self._stack.removeWidget(gone)
            gone.hide()
            gone.deleteLater()
        for at, line in enumerate(lines):
            if line.ref not in self._rows:
                self._add(line.ref, at)
            self._rows[line.ref].show_line(line)
        self.setVisible(bool(lines))
        if lines:
            self._head.setText(summary(lines))
            self.setAccessibleName(summary(lines))
            self._fit()

    def set_limit(self, tall: int) -> None:
        """How tall the rows may be together, in pixels."""
        self._limit = tall
        self._fit()

    def row(self, ref: str) -> DownloadRow:
        return self._rows[ref]

    def refs(self) -> tuple[str, ...]:
        return tuple(self._rows)

    def _add(self, ref: str, at: int) -> None:
        made = DownloadRow(ref)
        made.pause_requested.connect(self.pause_requested)
        made.resume_requested.connect(self.resume_requested)
        made.cancel_requested.connect(self.cancel_requested)
        made.use_requested.connect(self.use_requested)
        self._rows[ref] = made
        self._stack.insertWidget(at, made)

    def _fit(self) -> None:
        """As tall as the rows, up to the limit."""
        layout = self._stack
        whole = max(layout.heightForWidth(self._scroll.viewport().width()), layout.sizeHint().height())
        tall = min(whole, max(LEAST, self._limit))
        if self._scroll.minimumHeight() != tall:
            self._scroll.setFixedHeight(tall)
