"""Shows a model's licence before its download and asks whether the person accepts it. Must not know downloads."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from widgets import format as fmt
from widgets import parts, theme
from widgets.check_line import CheckLine
from widgets.dialog import Dialog
from widgets.model_values import LicenceView


class LicenceDialog(Dialog):
    """`licence_accepted` carries the licence's tag; `link_requested` the address of its text. Nothing is preselected.

    `model` names what is to be downloaded and `size_bytes` is its size, None where it is not known.
    """

    licence_accepted = Signal(str)
    link_requested = Signal(str)

    def __init__(
        self, view: LicenceView, model: str, *, size_bytes: int | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__("Licence before the download", width=520, parent=parent)
        self._view = view
        self.say(f"{model} comes under the {view.name}. Its makers let you use it on the terms written there.")
        read = parts.button(
            "Read the licence", f"Open it in your browser: {view.url}", icon="arrow-square-out", kind="quiet",
            tone="accent",
        )  # fmt: skip
        read.clicked.connect(lambda: self.link_requested.emit(view.url))
        address = parts.Elided(view.url, "caption", "muted")
        line = parts.row(read, address)
        line.setStretch(1, 1)
        self.body.addLayout(line)
        if view.credit or view.notice:
            self.body.addWidget(_notice(view))
        self._accept = CheckLine(f"I have read and accept the {view.name}.")
        self.body.addWidget(self._accept)
        size = f" {fmt.byte_size(size_bytes)}" if size_bytes is not None else ""
        self._download = parts.button(f"Download{size}", f"Accept the licence and download {model}", kind="primary")
        self._download.setEnabled(False)
        self._accept.toggled.connect(self._download.setEnabled)
        self._download.clicked.connect(self._accepted)
        self.add_cancel("Close; nothing is downloaded (Esc)")
        self.add_button(self._download, default=True)
        parts.tab_order([read, self._accept])
        read.setFocus()

    def _accepted(self) -> None:
        self.licence_accepted.emit(self._view.tag)
        self.accept()


def _notice(view: LicenceView) -> QWidget:
    """What the licence wants to be shown wherever the model is offered."""
    card = parts.card("verdict")
    words = QVBoxLayout(card)
    words.setContentsMargins(theme.GAP, theme.TIGHT, theme.GAP, theme.TIGHT)
    words.setSpacing(theme.HAIR)
    if view.credit:
        words.addWidget(parts.label(view.credit, "strong"))
    if view.notice:
        notice = parts.label(view.notice, "caption", "muted", wrap=True)
        notice.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        words.addWidget(notice)
    return card
