"""The button on a lane that names its target and opens the list of targets. Must not know runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QFileDialog, QPushButton, QSizePolicy, QStyle, QStyleOptionButton

from widgets import icons, parts, theme
from widgets.target_list import TargetList
from widgets.values import GROUP_CLOUD, TargetAction, TargetChoice


def unlisted(name: str) -> TargetChoice:
    """A choice for a target that is in no list: a file of the person's own, or a name they typed."""
    provider, _, model = name.partition(":")
    if provider == "local":
        return TargetChoice(name, PurePath(model).name or model, detail="your own file")
    return TargetChoice(name, model or name, group=GROUP_CLOUD, where=provider)


class TargetPicker(QPushButton):
    """Shows the chosen target. `chosen` carries a newly chosen one's name, `action_wanted` the key of an action."""

    chosen = Signal(str)
    action_wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("kind", "picker")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._choices: tuple[TargetChoice, ...] = ()
        self._actions: tuple[TargetAction, ...] = ()
        self._choice: TargetChoice | None = None
        self._list: TargetList | None = None
        self.clicked.connect(self.open)
        self._say()

    def set_choices(self, choices: Sequence[TargetChoice], actions: Sequence[TargetAction] = ()) -> None:
        """What can be chosen or done; the current target takes over a newer description of itself."""
        self._choices = tuple(choices)
        self._actions = tuple(actions)
        if self._choice is not None:
            self.choose(self._choice.name)
        if self._list is not None:
            self._list.show_choices(self._choices, self._actions)

    def choose(self, name: str) -> None:
        """Show a target, without a signal."""
        listed = next((choice for choice in self._choices if choice.name == name), None)
        self._choice = listed or unlisted(name)
        self._say()

    def choice(self) -> TargetChoice | None:
        return self._choice

    def open(self) -> None:
        """Open the list under the button."""
        if self._list is None:
            self._list = TargetList(self)
            self._list.chosen.connect(self.pick)
            self._list.action_wanted.connect(self.action_wanted)
            self._list.file_wanted.connect(self._ask_file)
        self._list.show_choices(self._choices, self._actions)
        self._list.open_below(self)

    def target_list(self) -> TargetList | None:
        return self._list

    def pick(self, name: str) -> None:
        """As if the person had chosen it in the list."""
        if self._choice is None or name != self._choice.name:
            self.choose(name)
            self.chosen.emit(name)

    def _ask_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Choose a model file", "", "GGUF models (*.gguf);;All files (*)")
        if path:
            self.pick(f"local:{path}")

    def _say(self) -> None:
        shown = self._choice.label if self._choice is not None else "Choose a target"
        self.setText(shown)
        self.setAccessibleName(f"Target: {shown}")
        name = f"{shown} ({self._choice.name})\n" if self._choice is not None else ""
        parts.set_tip(self, f"{name}Choose what answers in this lane.")

    def minimumSizeHint(self) -> QSize:
        return QSize(96, super().minimumSizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """The button itself from the style, then an elided name and a caret."""
        painter = QPainter(self)
        option = QStyleOptionButton()
        self.initStyleOption(option)
        option.text = ""
        self.style().drawControl(QStyle.ControlElement.CE_PushButton, option, painter, self)
        caret = 12
        inner = self.rect().adjusted(theme.GAP, 0, -theme.TIGHT - caret - theme.HAIR, 0)
        painter.setFont(theme.font("strong"))
        painter.setPen(theme.color("text"))
        shown = painter.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideMiddle, inner.width())
        painter.drawText(inner, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, shown)
        spot = self.rect()
        spot.setLeft(spot.right() - theme.TIGHT - caret)
        spot.setWidth(caret)
        icons.icon("caret-down", "muted").paint(painter, spot)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self.update()
