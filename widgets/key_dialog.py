"""Asks for a provider's API key. Must not know where keys are kept nor what they open."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from widgets import parts
from widgets.dialog import Dialog
from widgets.key_test_line import KeyOutcome, TryButton
from widgets.key_values import KeyLine, Tone, clear_words
from widgets.secret_dialog import SecretDialog

WITH_PROMPTS = "with each prompt you run on this provider"
WITH_DOWNLOADS = "when you look for or download a model"


class KeyDialog(SecretDialog):
    """`key_entered` carries the provider and the key when the person accepts; cancelling says nothing.

    `provider` is the name that its key has (openai, custom:lab), `title` its name for people (OpenAI), `host` where
    the key is sent, `sent` when, and `in_the_clear` says that this is done without encryption. `test_requested` carries
    the key as it is typed now. `variable_chosen` carries the name of the environment variable that was offered, and the
    dialog closes.
    """

    key_entered = Signal(str, str)
    test_requested = Signal(str)
    test_cancelled = Signal()
    variable_chosen = Signal(str)

    def __init__(
        self,
        provider: str,
        title: str,
        host: str,
        *,
        sent: str = WITH_PROMPTS,
        in_the_clear: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        self._provider = provider
        self._test = TryButton("the key")
        self._test.setAutoDefault(False)
        self._test.setEnabled(False)
        self._outcome = KeyOutcome("The key")
        self._offer = parts.button("", "")
        self._offer.setAutoDefault(False)
        self._offered = parts.label(role="caption", tone="muted", wrap=True)
        says = f"It is sent to {host} {sent}, and nowhere else."
        if in_the_clear:
            says += f" {clear_words(host)}"
        super().__init__("key", f"API key for {title}", says, parent=parent)
        self._test.wanted.connect(self._start_test)
        self._test.stopped.connect(self._stop_test)

    def add_below_field(self) -> None:
        line = parts.row(self._test, self._offer)
        line.addStretch(1)
        self.body.addLayout(line)
        self.body.addWidget(self._offered)
        self.body.addWidget(self._outcome)
        self._offer.hide()
        self._offered.hide()

    def offer_variable(self, name: str) -> None:
        """Offer, once, the key that an environment variable holds; it is never taken without a click."""
        self._offer.setText(f"Use the key in {name}")
        self._offer.setAccessibleName(self._offer.text())
        tip = "Take the key from this environment variable, as it is set now"
        self._offer.setAccessibleDescription(tip)
        parts.set_tip(self._offer, tip)
        self._offered.setText(f"The environment variable {name} is set. It is used only if you choose it here, now.")
        self._offer.clicked.connect(lambda: self._choose(name))
        self._offer.show()
        self._offered.show()

    def show_test(self, sentence: str, tone: Tone) -> None:
        """What came of the test."""
        self._test.show_running(False)
        self._outcome.show_result(sentence, tone)

    def test_text(self) -> str:
        return self._outcome.text()

    def give(self, secret: str) -> None:
        self.key_entered.emit(self._provider, secret)

    def done(self, result: int) -> None:
        self._stop_test()
        super().done(result)

    def _changed(self) -> None:
        """A test speaks of the key that was typed when it began."""
        super()._changed()
        self._test.setEnabled(bool(self._secret()))
        self._stop_test()
        self._outcome.clear()

    def _start_test(self) -> None:
        self._test.show_running(True)
        self._outcome.show_running()
        self.test_requested.emit(self._secret())

    def _stop_test(self) -> None:
        if self._outcome.is_running:
            self._test.show_running(False)
            self._outcome.clear()
            self.test_cancelled.emit()

    def _choose(self, name: str) -> None:
        self.variable_chosen.emit(name)
        self.accept()


class DeleteKeyDialog(Dialog):
    """`confirmed` carries the name that the key has."""

    confirmed = Signal(str)

    def __init__(self, line: KeyLine, parent: QWidget | None = None) -> None:
        super().__init__(f"Delete the key for {line.label}?", parent=parent)
        where = "from the keyring and from memory" if line.place == "keyring" else "from memory"
        self.say(
            f"It is deleted {where}. With {line.label} it stays valid: if somebody else may have it, revoke it there."
        )
        sure = parts.button("Delete", "Delete the key", kind="stop", name=f"Delete the key for {line.label}")
        sure.clicked.connect(lambda: self._sure(line.name))
        self.add_button(sure, left=True)
        self.add_cancel("Keep it (Esc)", default=True)

    def _sure(self, name: str) -> None:
        self.confirmed.emit(name)
        self.accept()
