"""Tells a dialog what keyring this machine has, and what became of a key. Must not see a key, nor paint."""

from __future__ import annotations

from shiboken6 import isValid

from app.engine_thread import EngineThread
from backends.errors import KeyNotKept, Problem
from backends.key_ring import KeyState
from backends.keyring_state import KeyringState, read_keyring_state
from widgets.key_values import KeyringNote
from widgets.secret_dialog import SecretDialog


def note_of(state: KeyringState) -> KeyringNote:
    return KeyringNote(state.backend, state.usable, state.is_there, state.reason)


def tell_keyring(engine: EngineThread, dialog: SecretDialog) -> None:
    """Ask the keyring, which may ask for its password, and show the dialog what it is when the answer comes."""

    def show(state: KeyringState) -> None:
        if isValid(dialog):
            dialog.show_keyring(note_of(state))

    engine.ask(read_keyring_state(), show)


def problem_of_state(state: KeyState) -> Problem | None:
    """What to say after a key was to be kept or deleted; None where all went as it should."""
    if not state.reason:
        return None
    if state.place == "session":
        return KeyNotKept(state.reason).problem
    return Problem(KeyNotKept.code, state.reason, "", "Unlock the keyring, then try again in Settings.")
