"""Small pieces that every page is built from: labels, buttons, badges, switch, segments. Must not know any page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QKeyEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import (
    QAbstractButton,
    QButtonGroup,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStyle,
    QStyleOptionButton,
    QStylePainter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from widgets import icons, theme


def label(text: str = "", role: theme.Role = "body", tone: str = "", *, wrap: bool = False) -> QLabel:
    """Plain text in a role of the type scale; never rich text, since some of it comes from models and servers."""
    made = QLabel()
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setText(text)
    made.setProperty("role", role)
    if tone:
        made.setProperty("tone", tone)
    made.setWordWrap(wrap)
    return made


def set_tone(widget: QWidget, tone: str, prop: str = "tone") -> None:
    """Change a styling property and have the style sheet looked at again."""
    if widget.property(prop) != tone:
        widget.setProperty(prop, tone)
        widget.style().unpolish(widget)
        widget.style().polish(widget)


def tip(text: str) -> str:
    """Words for a tooltip, as they were written. Qt takes what looks like HTML for HTML, and would open the pictures in
    it; so all of it is escaped, in one element that wraps."""
    return f"<span>{escape(text).replace(chr(10), '<br>')}</span>" if text else ""


def set_tip(widget: QWidget, text: str) -> None:
    """The one way to give a widget a tooltip that is not fixed text: servers, files and people write some of it."""
    widget.setToolTip(tip(text))


def button(text: str, tip: str, *, icon: str = "", kind: str = "", tone: str = "text", name: str = "") -> QPushButton:
    """A push button; `name` is what a screen reader says where the text alone is not enough."""
    made = QPushButton(text)
    set_tip(made, tip)
    made.setAccessibleName(name or text)
    made.setAccessibleDescription(tip)
    if kind:
        made.setProperty("kind", kind)
    if icon:
        icons.dress(made, icon, tone)
    return made


def icon_button(icon: str, name: str, tip: str = "", tone: str = "muted") -> QToolButton:
    """A button with only a picture; its name is spoken and shown as the tooltip."""
    made = QToolButton()
    made.setProperty("kind", "icon")
    set_tip(made, tip or name)
    made.setAccessibleName(name)
    made.setAccessibleDescription(tip)
    made.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    icons.dress(made, icon, tone)
    return made


def row(*widgets: QWidget, gap: int = theme.TIGHT) -> QHBoxLayout:
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(gap)
    for widget in widgets:
        layout.addWidget(widget)
    return layout


def column(*widgets: QWidget, gap: int = theme.TIGHT) -> QVBoxLayout:
    layout = QVBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(gap)
    for widget in widgets:
        layout.addWidget(widget)
    return layout


def card(kind: str = "surface") -> QFrame:
    made = QFrame()
    made.setProperty("card", kind)
    return made


def rule() -> QFrame:
    """A hairline between two parts."""
    made = card("rule")
    made.setFixedHeight(1)
    return made


def tab_order(stops: Sequence[QWidget]) -> None:
    """Let Tab go through these widgets in this order; all must be in one window or in none yet."""
    for one, following in pairwise(stops):
        QWidget.setTabOrder(one, following)


def bring_into_sight(widget: QWidget) -> None:
    """Scroll every area around it so far that it can be seen."""
    around = widget.parentWidget()
    while around is not None:
        if isinstance(around, QScrollArea):
            around.ensureWidgetVisible(widget)
        around = around.parentWidget()


class Elided(QLabel):
    """One line with an ellipsis at its end, or in the middle, when there is no room; the whole text is its tooltip."""

    def __init__(self, text: str = "", role: theme.Role = "body", tone: str = "", *, middle: bool = False) -> None:
        super().__init__()
        self._mode = Qt.TextElideMode.ElideMiddle if middle else Qt.TextElideMode.ElideRight
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setProperty("role", role)
        if tone:
            self.setProperty("tone", tone)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setText(text)

    def setText(self, text: str) -> None:
        super().setText(text)
        set_tip(self, text)
        self.setAccessibleName(text)

    def minimumSizeHint(self) -> QSize:
        return QSize(0, super().minimumSizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setPen(self.palette().color(self.foregroundRole()))
        text = QFontMetrics(self.font()).elidedText(self.text(), self._mode, self.width())
        painter.drawText(self.rect(), Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, text)


class Badge(QFrame):
    """An icon and words on a coloured ground: meaning is never told by colour alone."""

    def __init__(self, tone: str = "plain") -> None:
        super().__init__()
        self._mark = icons.IconMark("info", size=14)
        self._text = Elided(role="caption")
        self._text.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        layout = row(self._mark, self._text, gap=theme.HAIR + 2)
        layout.setContentsMargins(theme.TIGHT, theme.HAIR - 1, theme.TIGHT, theme.HAIR - 1)
        self.setLayout(layout)
        self.setProperty("badge", tone)

    def show_text(self, text: str, icon: str, tone: str, tip: str = "") -> None:
        """`tone` is here, away, caution or plain."""
        ink = "muted" if tone == "plain" else tone
        self._mark.show_icon(icon, ink)
        self._text.setText(text)
        set_tip(self._text, f"{text}. {tip}" if tip else text)
        set_tone(self._text, ink)
        set_tone(self, tone, "badge")
        self.setAccessibleName(text)
        self.setAccessibleDescription(tip)
        self.setVisible(bool(text))

    def text(self) -> str:
        return self._text.text()


class Chip(QPushButton):
    """A rounded button whose text ends in an ellipsis when there is no room; give the whole text as tooltip too."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("kind", "chip")

    def minimumSizeHint(self) -> QSize:
        return QSize(96, super().minimumSizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QStylePainter(self)
        option = QStyleOptionButton()
        self.initStyleOption(option)
        room = self.width() - self.iconSize().width() - 2 * theme.ROOM
        option.text = self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, room)
        painter.drawControl(QStyle.ControlElement.CE_PushButton, option)


class Switch(QAbstractButton):
    """An on/off control whose state is also written beside it."""

    def __init__(self, name: str, tip: str = "") -> None:
        super().__init__()
        self.setCheckable(True)
        self.setText(name)
        self.setAccessibleName(name)
        self.setAccessibleDescription(tip)
        set_tip(self, tip)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        words = max(self.fontMetrics().horizontalAdvance(word) for word in ("On", "Off"))
        return QSize(44 + theme.TIGHT + words, max(28, self.fontMetrics().height()))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        track = QRectF(3, (self.height() - 20) / 2, 36, 20)
        on = self.isChecked()
        painter.setPen(QPen(theme.color("accent" if on else "outline"), 1))
        painter.setBrush(theme.color("accent" if on else "sunken"))
        painter.drawRoundedRect(track, 10, 10)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(theme.color("on_accent" if on else "outline"))
        painter.drawEllipse(QRectF(track.right() - 17 if on else track.left() + 3, track.top() + 3, 14, 14))
        if self.hasFocus():
            painter.setPen(QPen(theme.color("accent"), 2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(track.adjusted(-2, -2, 2, 2), 12, 12)
        painter.setPen(theme.color("text"))
        words = self.rect().adjusted(44 + theme.HAIR, 0, 0, 0)
        painter.drawText(words, Qt.AlignmentFlag.AlignVCenter, "On" if on else "Off")


class Segments(QWidget):
    """A choice of one among few, all in sight; arrow keys move between them."""

    chosen = Signal(str)

    def __init__(self, name: str, options: Sequence[tuple[str, str, str]]) -> None:
        """`options` are (value, text, tooltip)."""
        super().__init__()
        self.setAccessibleName(name)
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        self._buttons: dict[str, QPushButton] = {}
        layout = row(gap=0)
        for value, text, tip in options:
            made = button(text, tip, kind="segment", name=f"{name}: {text}")
            made.setCheckable(True)
            # The chosen one is bolder: leave room for that from the start.
            bold = QFontMetrics(theme.font("strong")).horizontalAdvance(text)
            made.setMinimumWidth(bold + 2 * theme.GAP + theme.TIGHT)
            made.clicked.connect(lambda _checked, chosen=value: self.chosen.emit(chosen))
            self._group.addButton(made)
            self._buttons[value] = made
            layout.addWidget(made)
        self.setLayout(layout)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.choose(options[0][0])

    def choose(self, value: str) -> None:
        """Set without a signal."""
        self._buttons[value].setChecked(True)

    def value(self) -> str:
        return next(value for value, made in self._buttons.items() if made.isChecked())

    def tab_stops(self) -> list[QWidget]:
        return list(self._buttons.values())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        step = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()))
        if step is None:
            super().keyPressEvent(event)
            return
        values = list(self._buttons)
        at = values.index(self.value()) + step
        if 0 <= at < len(values):
            self._buttons[values[at]].setFocus()
            self._buttons[values[at]].click()
