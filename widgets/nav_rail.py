"""The left rail: one button per page. Must not know what a page shows."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QSizePolicy, QToolButton, QVBoxLayout

from widgets import format as fmt
from widgets import icons, parts, theme

WIDTH = 88
RING, DOT = 14, 8


class RailButton(QToolButton):
    """A page's button; beside its icon a ring fills up while work of the page goes on, a dot asks for attention, and
    a tick says that something is done."""

    def __init__(self, title: str, tip: str) -> None:
        super().__init__()
        self._title, self._tip = title, tip
        self._share: float | None = None
        self._attention = self._done = False
        self.setProperty("kind", "rail")
        self.setText(title)
        self.setCheckable(True)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.show_work(None, "", attention=False)

    def show_work(self, share: float | None, words: str, *, attention: bool, done: bool = False) -> None:
        """`share` from 0 to 1, None for no ring; `words` say it all to those who see no ring."""
        self._share, self._attention, self._done = share, attention, done
        name = f"{self._title} page, {words}" if words else f"{self._title} page"
        if name != self.accessibleName():
            self.setAccessibleName(name)
            parts.set_tip(self, f"{self._tip}\n{words[:1].upper()}{words[1:]}" if words else self._tip)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self._share is None and not self._attention and not self._done:
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ring = QRectF(self.width() / 2 + 11, 7, RING, RING)
        if self._share is not None:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(theme.color("outline"), 1))
            painter.drawEllipse(ring)
            pen = QPen(theme.color("accent"), 3)
            pen.setCapStyle(Qt.PenCapStyle.FlatCap)
            painter.setPen(pen)
            painter.drawArc(ring, 90 * 16, -round(self._share * 360 * 16))
        if self._done and self._share is None and not self._attention:
            _paint_tick(painter, ring)
        if self._attention:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(theme.color("danger"))
            painter.drawEllipse(ring.center(), DOT / 2, DOT / 2)


def _paint_tick(painter: QPainter, ring: QRectF) -> None:
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme.color("here"))
    painter.drawEllipse(ring)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(theme.color("surface"), 2))
    spots = ((0.27, 0.52), (0.44, 0.69), (0.74, 0.34))
    painter.drawPolyline([ring.topLeft() + QPointF(x * ring.width(), y * ring.height()) for x, y in spots])


class NavRail(QFrame):
    """`chosen` carries the key of the page that was picked. Up and Down move between pages."""

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("card", "rail")
        self.setFixedWidth(WIDTH)
        self.setAccessibleName("Pages")
        self._buttons: dict[str, RailButton] = {}
        self._icons: dict[str, str] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.TIGHT, theme.GAP, theme.TIGHT, theme.GAP)
        self._top, self._bottom = QVBoxLayout(), QVBoxLayout()
        for part in (self._top, self._bottom):
            part.setSpacing(theme.HAIR)
        layout.addLayout(self._top)
        layout.addStretch(1)
        layout.addLayout(self._bottom)

    def add(self, key: str, title: str, icon: str, *, at_bottom: bool = False) -> None:
        """Add a page's button; its shortcut is Ctrl and its place."""
        made = RailButton(title, f"{title} (Ctrl+{len(self._buttons) + 1})")
        made.setFont(theme.font("caption"))
        made.clicked.connect(lambda: self._choose(key))
        self._buttons[key] = made
        self._icons[key] = icon
        icons.dress(made, icon, "muted", 20)
        (self._bottom if at_bottom else self._top).addWidget(made)

    def keys(self) -> tuple[str, ...]:
        return tuple(self._buttons)

    def show_current(self, key: str) -> None:
        """Mark a page as the open one, without a signal."""
        for name, made in self._buttons.items():
            made.setChecked(name == key)
            icons.dress(made, self._icons[name], "accent" if name == key else "muted", 20)

    def show_downloads(self, key: str, share: float | None, *, failed: bool, done: bool = False) -> None:
        """On a page's button: how far its downloads are, from 0 to 1 (None for none), and whether one failed or is
        done."""
        told = [f"downloading, {fmt.percent(share)}"] if share is not None else []
        told += ["a download failed"] if failed else []
        told += ["a download is done"] if done else []
        self._buttons[key].show_work(share, ", ".join(told), attention=failed, done=done)

    def _choose(self, key: str) -> None:
        self.show_current(key)
        self.chosen.emit(key)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(Qt.Key(event.key()))
        made = list(self._buttons.values())
        at = next((place for place, button in enumerate(made) if button.hasFocus()), None)
        if step is None or at is None:
            super().keyPressEvent(event)
            return
        made[(at + step) % len(made)].setFocus()

    def sizeHint(self) -> QSize:
        return QSize(WIDTH, 400)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            for made in self._buttons.values():
                made.setFont(theme.font("caption"))
