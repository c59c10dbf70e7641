"""Asks for a secret: masked until shown, forgotten when the dialog closes. Must not know what it opens."""

from __future__ import annotations

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QLineEdit, QWidget

from widgets import icons, parts, theme
from widgets.check_line import CheckLine
from widgets.dialog import Dialog
from widgets.key_values import KeyringNote, keep_words


class SecretDialog(Dialog):
    """`what` is the secret's short name (key, token); `says` tells where it goes.

    Subclasses say in `give` what becomes of it; cancelling says nothing. `keeps_in_keyring` says whether the person
    wants it kept beyond this session.
    """

    def __init__(self, what: str, title: str, says: str, *, parent: QWidget | None = None) -> None:
        super().__init__(title, parent=parent)
        self._what = what
        self._field = QLineEdit()
        self._field.setEchoMode(QLineEdit.EchoMode.Password)
        self._field.setAccessibleName(title)
        self._field.setAccessibleDescription(says)
        self._field.setPlaceholderText(f"Paste the {what} here")
        self._field.textChanged.connect(self._changed)
        self._show = parts.icon_button("eye", f"Show the {what}")
        self._show.setCheckable(True)
        self._show.toggled.connect(self._reveal)
        self._paste = parts.icon_button("clipboard-text", f"Paste the {what}", f"Paste the {what} from the clipboard")
        self._paste.clicked.connect(self._paste_secret)
        self._keep = CheckLine("")
        self._keep.setChecked(True)
        self._kept = parts.label(role="caption", tone="muted", wrap=True)
        self._use = parts.button(f"Use this {what}", f"Use this {what} (Enter)", kind="primary")
        self._use.setEnabled(False)
        self._use.clicked.connect(self._accept_secret)
        self.say(says)
        self.body.addLayout(parts.row(self._field, self._show, self._paste, gap=theme.HAIR))
        self.add_below_field()
        self.body.addLayout(parts.column(self._keep, self._kept, gap=theme.HAIR))
        self.add_cancel(f"Close without a {what} (Esc)")
        self.add_button(self._use, default=True)
        self.show_keyring(None)
        self._field.setFocus()

    def give(self, secret: str) -> None:
        """Tell the secret, once."""
        raise NotImplementedError

    def add_below_field(self) -> None:
        """Add what a subclass has between the field and the choice where it is kept."""

    def show_keyring(self, keyring: KeyringNote | None) -> None:
        """What this machine has to keep it in; None while that is not known."""
        choice, says = keep_words(self._what, keyring)
        self._keep.set_words(choice)
        self._keep.setAccessibleDescription(says)
        self._kept.setText(says)
        if keyring is not None and not keyring.is_there:
            self._keep.setChecked(False)
            self._keep.setEnabled(False)

    def keeps_in_keyring(self) -> bool:
        return self._keep.isChecked()

    def done(self, result: int) -> None:
        """Forget what was typed as soon as the dialog closes."""
        self._field.clear()
        super().done(result)

    def _secret(self) -> str:
        return self._field.text().strip()

    def _changed(self) -> None:
        self._use.setEnabled(bool(self._secret()))

    def _paste_secret(self) -> None:
        self._field.setText(QGuiApplication.clipboard().text().strip())
        self._field.setFocus()

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
