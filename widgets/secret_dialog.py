"""Asks for a secret: masked until shown, forgotten when the dialog closes. Must not know what it opens."""

from __future__ import annotations

from PySide6.QtWidgets import QLineEdit, QWidget

from widgets import icons, parts, theme
from widgets.dialog import Dialog


class SecretDialog(Dialog):
    """`what` is the secret's short name (key, token); `says` tells where it goes and `kept` how long it is kept.

    Subclasses say in `give` what becomes of it; cancelling says nothing.
    """

    def __init__(self, what: str, title: str, says: str, kept: str, *, parent: QWidget | None = None) -> None:
        super().__init__(title, parent=parent)
        self._what = what
        self._field = QLineEdit()
        self._field.setEchoMode(QLineEdit.EchoMode.Password)
        self._field.setAccessibleName(title)
        self._field.setAccessibleDescription(f"{says} {kept}")
        self._field.setPlaceholderText(f"Paste the {what} here")
        self._field.textChanged.connect(self._changed)
        self._show = parts.icon_button("eye", f"Show the {what}")
        self._show.setCheckable(True)
        self._show.toggled.connect(self._reveal)
        self._use = parts.button(f"Use this {what}", f"Use this {what} (Enter)", kind="primary")
        self._use.setEnabled(False)
        self._use.clicked.connect(self._accept_secret)
        self.say(says)
        self.body.addLayout(parts.row(self._field, self._show, gap=theme.HAIR))
        self.say(kept, "caption", "muted")
        self.add_cancel(f"Close without a {what} (Esc)")
        self.add_button(self._use, default=True)
        self._field.setFocus()

    def give(self, secret: str) -> None:
        """Tell the secret, once."""
        raise NotImplementedError

    def done(self, result: int) -> None:
        """Forget what was typed as soon as the dialog closes."""
        self._field.clear()
        super().done(result)

    def _secret(self) -> str:
        return self._field.text().strip()

    def _changed(self) -> None:
        self._use.setEnabled(bool(self._secret()))

    def _reveal(self, shown: bool) -> None:
        self._field.setEchoMode(QLineEdit.EchoMode.Normal if shown else QLineEdit.EchoMode.Password)
        name = f"Hide the {self._what}" if shown else f"Show the {self._what}"
        self._show.setAccessibleName(name)
        parts.set_tip(self._show, name)
        icons.dress(self._show, "eye-slash" if shown else "eye", "muted")

    def _accept_secret(self) -> None:
        secret = self._secret()
        if secret:
            self.give(secret)
            self.accept()
