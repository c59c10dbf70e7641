"""One change that would help a model to fit, as a button of two lines. Must not know what the change does."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QSizePolicy

from widgets import icons, parts, theme
from widgets import model_words as words
from widgets.model_values import LeverLine


class LeverButton(QPushButton):
    """`chosen` carries the lever shown."""

    chosen = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("kind", "lever")
        self._lever: LeverLine | None = None
        self._what, self._effect = parts.Elided(), parts.Elided(role="caption", tone="muted")
        for text in (self._what, self._effect):
            text.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(theme.GAP, theme.HAIR + 2, theme.TIGHT, theme.HAIR + 2)
        layout.setSpacing(theme.TIGHT)
        layout.addLayout(parts.column(self._what, self._effect, gap=1), 1)
        layout.addWidget(icons.IconMark("caret-right", "muted", 14))
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.clicked.connect(lambda: self.chosen.emit(self._lever))

    def show_lever(self, lever: LeverLine) -> None:
        if lever == self._lever:
            return
        self._lever = lever
        what, effect = words.lever(lever)
        self._what.setText(what)
        self._effect.setText(effect)
        self.setAccessibleName(f"{what}. {effect}")
        parts.set_tip(self, f"{what}\n{effect}")

    def sizeHint(self) -> QSize:
        layout = self.layout()
        return layout.sizeHint() if layout is not None else super().sizeHint()

    def minimumSizeHint(self) -> QSize:
        return QSize(0, self.sizeHint().height())
