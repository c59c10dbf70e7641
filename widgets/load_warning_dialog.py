"""Says that a model would not fit now, what to free and what would help. Must not know how memory is read."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from widgets import format as fmt
from widgets import parts, theme
from widgets.choice_card import clear
from widgets.dialog import Dialog
from widgets.lever_button import LeverButton
from widgets.model_values import LeverLine, LoadWarning


class LoadWarningDialog(Dialog):
    """`lever_chosen` carries the LeverLine of a pressed button, `load_anyway` takes the risk, `recheck_requested` asks
    to look again: answer it with `show_warning`, or with `accept()` where the model fits by now."""

    lever_chosen = Signal(object)
    load_anyway = Signal()
    recheck_requested = Signal()

    def __init__(self, warning: LoadWarning, parent: QWidget | None = None) -> None:
        super().__init__("", width=540, parent=parent)
        self._needs = parts.label("", wrap=True)
        self._users = parts.label("", wrap=True)
        self._levers = QVBoxLayout()
        self._levers.setSpacing(theme.TIGHT)
        for made in (self._needs, self._users):
            self.body.addWidget(made)
        self.body.addLayout(self._levers)
        self.say("Loading it all the same can fail or make the whole machine slow. Your prompt is kept.", tone="muted")
        anyway = parts.button("Load anyway", "Try it: the load may fail, and your prompt is kept", kind="quiet")
        anyway.clicked.connect(self._anyway)
        again = parts.button("Check again", "Look at the free memory again, after you closed something")
        again.clicked.connect(self.recheck_requested)
        self.add_button(anyway, left=True)
        self.add_button(again)
        self.add_cancel("Do not load it now (Esc)", default=True)
        self.show_warning(warning)

    def show_warning(self, warning: LoadWarning) -> None:
        """The figures as they are now."""
        self.set_title(f"{warning.model} would not fit now")
        needs, free = fmt.byte_size(warning.needs_bytes), fmt.byte_size(warning.free_bytes)
        short = max(0, warning.needs_bytes - warning.free_bytes)
        kept = warning.missing_bytes is not None and warning.missing_bytes > short
        missing = fmt.byte_size(warning.missing_bytes if kept else short)
        reserve = ", with what must stay free for the rest of the machine" if kept else ""
        self._needs.setText(
            f"It needs {needs} on {warning.device}, where {free} is free: {missing} too little{reserve}."
        )
        self._users.setText(users_text(warning))
        clear(self._levers)
        if warning.levers:
            self._levers.addWidget(parts.label("What would change it", "strong"))
        for lever in warning.levers:
            self._levers.addWidget(self._lever_button(lever))

    def _lever_button(self, lever: LeverLine) -> LeverButton:
        made = LeverButton()
        made.show_lever(lever)
        made.chosen.connect(self._choose)
        return made

    def _choose(self, lever: LeverLine) -> None:
        self.lever_chosen.emit(lever)
        self.accept()

    def _anyway(self) -> None:
        self.load_anyway.emit()
        self.accept()


def users_text(warning: LoadWarning) -> str:
    """Who holds memory there, and what to do about it."""
    if not warning.in_use_by:
        return f"Close programs that use {warning.device}, then check again."
    names = list(dict.fromkeys(warning.in_use_by))
    told = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    return (
        f"{told} {'holds' if len(names) == 1 else 'hold'} memory there. Close what you do not need, then check again."
    )
