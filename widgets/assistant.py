"""The first-start assistant: a few calm steps that end on a working comparison. Must not know engines or downloads."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QAccessible,
    QAccessibleAnnouncementEvent,
    QDragEnterEvent,
    QDropEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
    QPen,
    QShortcut,
    QShowEvent,
)
from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QVBoxLayout, QWidget

from widgets import parts, theme
from widgets.assistant_machine import MachineStep
from widgets.assistant_model import ModelStep
from widgets.assistant_step import Step
from widgets.assistant_values import AssistantView
from widgets.overlay import Overlay
from widgets.screen_room import keep_inside, largest

WIDTH, HEIGHT = 760, 600
MARGIN = 48  # of the window that stays in sight around it
DOT = 22


class Assistant(Overlay):
    """Open it with `open()` and feed it by `show_view`. Both ends close it: `skipped` (Skip, Esc, the window's own
    close) and `completed` (the last step's main button). `step_changed` carries the number of the step, from 1.

    A further step is one more `Step` given to `add_step`.
    """

    download_requested = Signal(str)
    cancel_requested = Signal(str)
    use_requested = Signal(str)
    import_requested = Signal(object)
    fix_copied = Signal(str)
    step_changed = Signal(int)
    skipped = Signal()
    completed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("First steps")
        self.setAcceptDrops(True)
        room = parent.size().shrunkBy(parent.contentsMargins()) if parent is not None else None
        width, height = (room.width() - MARGIN, room.height() - MARGIN) if room is not None else (WIDTH, HEIGHT)
        self.resize(QSize(min(WIDTH, width), min(HEIGHT, height)).boundedTo(largest(parent or self)))
        self._view = AssistantView()
        self._steps: list[Step] = []
        self._trail = _Trail()
        self._heading = parts.label("", "title")
        self._stack = QStackedWidget()
        self._skip = parts.button("Skip", "", kind="quiet")
        self._back = parts.button("Back", "Back to the step before (Alt+Left)")
        QShortcut(QKeySequence("Alt+Left"), self).activated.connect(self._back_one)
        self._next = parts.button("Next", "", kind="primary")
        self._skip.clicked.connect(self.reject)
        self._back.clicked.connect(self._back_one)
        self._next.clicked.connect(self._go_on)
        self._lay_out()
        self._next.setDefault(True)  # only once it is in the dialog, which has one default
        self._add_own_steps()

    def _lay_out(self) -> None:
        head = parts.column(self._trail, self._heading, gap=theme.ROOM)
        head.setContentsMargins(theme.WIDE, theme.WIDE, theme.WIDE, 0)
        foot = QWidget()
        buttons = QHBoxLayout(foot)
        buttons.setContentsMargins(theme.ROOM, theme.GAP, theme.WIDE, theme.ROOM)
        buttons.setSpacing(theme.TIGHT)
        buttons.addWidget(self._skip)
        buttons.addStretch(1)
        buttons.addWidget(self._back)
        buttons.addWidget(self._next)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.TIGHT)
        layout.addLayout(head)
        layout.addWidget(self._stack, 1)
        layout.addWidget(parts.rule())
        layout.addWidget(foot)

    def _add_own_steps(self) -> None:
        machine, model = MachineStep(), ModelStep()
        machine.fix_copied.connect(self.fix_copied)
        model.download_requested.connect(self.download_requested)
        model.cancel_requested.connect(self.cancel_requested)
        model.use_requested.connect(self.use_requested)
        model.import_requested.connect(self.import_requested)
        self.add_step(machine)
        self.add_step(model)

    def add_step(self, step: Step) -> None:
        """One more page at the end."""
        self._steps.append(step)
        self._stack.addWidget(step)
        step.changed.connect(self._say)
        step.show_view(self._view)
        self._trail.show_titles([each.title for each in self._steps])
        self._say()

    def show_view(self, view: AssistantView) -> None:
        """What is known by now; neither the step nor a choice made in it changes."""
        self._view = view
        waited = not self._next.isEnabled()
        for step in self._steps:
            step.show_view(view)
        self._say()
        if waited and self._next.isEnabled() and self.isVisible():
            self._focus()  # what was waited for is here

    def shown(self) -> AssistantView:
        """What it was given last."""
        return self._view

    def step(self) -> int:
        """The number of the open step, from 1."""
        return self._stack.currentIndex() + 1

    def go_to(self, number: int) -> None:
        """Open a step by its number; beyond the ends nothing happens."""
        if not 1 <= number <= len(self._steps) or number == self.step():
            return
        self._stack.setCurrentIndex(number - 1)
        self._say()
        self._focus()
        self.step_changed.emit(number)
        if QAccessible.isActive():
            QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(self, self.accessibleName()))

    def reject(self) -> None:
        """Skip, Esc and the window's close button: all mean not now."""
        super().reject()
        self.skipped.emit()

    # -- inside --------------------------------------------------------------------------------------------------

    def _back_one(self) -> None:
        self.go_to(self.step() - 1)

    def _go_on(self) -> None:
        if not self._steps[self.step() - 1].go_on():
            return
        if self.step() < len(self._steps):
            self.go_to(self.step() + 1)
        else:
            self.accept()
            self.completed.emit()

    def _say(self) -> None:
        """The words around the open step."""
        step = self._steps[max(0, self._stack.currentIndex())]
        number = self.step()
        self._trail.show_current(number)
        self._heading.setText(step.heading)
        self.setAccessibleName(f"First steps, step {number} of {len(self._steps)}: {step.title}")
        for button, text, tip in (
            (self._skip, step.skip_text(), step.skip_tip()),
            (self._next, step.next_text(), step.next_tip()),
        ):
            button.setText(text)
            button.setAccessibleName(text)
            button.setAccessibleDescription(tip)
            parts.set_tip(button, tip)
        self._skip.setVisible(bool(step.skip_text()))
        self._next.setEnabled(step.can_go_on())
        parts.tab_order([*step.tab_stops(), self._skip, self._back, self._next])
        self._back.setVisible(number > 1)

    def _focus(self) -> None:
        target = self._steps[self.step() - 1].focus_target()
        # Never on Skip: a second Enter would close it all.
        main = self._next if self._next.isEnabled() else self._back
        (target or main).setFocus(Qt.FocusReason.TabFocusReason)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        keep_inside(self)
        self._focus()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if _dropped(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        paths = _dropped(event)
        if paths:
            event.acceptProposedAction()
            self.import_requested.emit(paths)


def _dropped(event: QDropEvent) -> tuple[str, ...]:
    """The files in a drop, or none where it holds anything else."""
    urls = event.mimeData().urls()
    return tuple(url.toLocalFile() for url in urls) if urls and all(url.isLocalFile() for url in urls) else ()


class _Trail(QWidget):
    """The steps as numbers with their titles; silent for screen readers, since the dialog's name says the same."""

    def __init__(self) -> None:
        super().__init__()
        self._titles: list[str] = []
        self._current = 1
        self.setFixedHeight(DOT + 2)

    def show_titles(self, titles: list[str]) -> None:
        self._titles = titles
        self.update()

    def show_current(self, number: int) -> None:
        self._current = number
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        x = 1.0
        for number, title in enumerate(self._titles, start=1):
            x = self._paint_step(painter, x, number, title)
            if number < len(self._titles):
                painter.setPen(QPen(theme.color("outline"), 1))
                painter.drawLine(round(x), self.height() // 2, round(x) + theme.WIDE, self.height() // 2)
                x += theme.WIDE + theme.TIGHT

    def _paint_step(self, painter: QPainter, x: float, number: int, title: str) -> float:
        reached, here = number <= self._current, number == self._current
        dot = QRectF(x, 1, DOT, DOT)
        painter.setPen(QPen(theme.color("accent" if reached else "outline"), 1))
        painter.setBrush(theme.color("accent" if here else "accent_soft" if reached else "surface"))
        painter.drawEllipse(dot)
        painter.setFont(theme.font("caption"))
        painter.setPen(theme.color("on_accent" if here else "accent" if reached else "muted"))
        painter.drawText(dot, Qt.AlignmentFlag.AlignCenter, str(number))
        painter.setFont(theme.font("strong" if here else "body"))
        painter.setPen(theme.color("text" if here else "muted"))
        width = painter.fontMetrics().horizontalAdvance(title)
        words = QRectF(dot.right() + theme.TIGHT, 0, width + 2, self.height())
        painter.drawText(words, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, title)
        return words.right() + theme.TIGHT
